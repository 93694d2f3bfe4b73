"""Messages a second to one provider: a token bucket. Pure: time is an argument."""

from __future__ import annotations

from math import ceil

from ..model import Millis

#: Seconds of the rate that may go at once: enough for batches, while no second sees more than a tenth above the rate.
_BURST = 0.1


class Bucket:
    """`rate` tokens a second; a message takes one."""

    __slots__ = ("_capacity", "_rate", "_since", "_tokens")

    def __init__(self, rate: float, now: Millis) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * _BURST)
        self._tokens = self._capacity
        self._since = now

    def available(self, now: Millis) -> int:
        """How many messages may go now."""
        # A clock that was put back gives nothing and takes nothing away.
        gone = max(0, now - self._since)
        self._since = now
        self._tokens = min(self._capacity, self._tokens + gone * self._rate / 1000)
        return int(self._tokens)

    def take(self, count: int) -> None:
        self._tokens -= count

    def wait(self) -> Millis:
        """How long until one more may go, as of the last look at `available`."""
        return max(1, ceil((1.0 - self._tokens) * 1000 / self._rate)) if self._tokens < 1.0 else 0
