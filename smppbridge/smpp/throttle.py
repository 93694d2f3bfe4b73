"""How many messages a second somebody may send, and how many at once. Pure: the time is an argument, in milliseconds.

A token bucket, kept as one number: the time at which it will be full again (the "generic cell rate algorithm"). Nothing
runs between two messages, and fractions of a message are not lost at any rate.
"""

from __future__ import annotations

import math


class Throttle:
    """`rate` messages a second (0: as many as come), `burst` at once (0: one second's worth, at least one)."""

    __slots__ = ("_full_at", "_interval", "_span", "burst", "rate")

    def __init__(self, rate: float, burst: int = 0) -> None:
        self.rate = rate
        self.burst = burst or max(1, math.ceil(rate))
        #: Milliseconds that one message takes.
        self._interval = 1000 / rate if rate > 0 else 0.0
        #: Milliseconds in which an empty bucket fills.
        self._span = self._interval * self.burst
        self._full_at = 0.0

    def __repr__(self) -> str:
        return f"<Throttle {self.rate:g}/s, {self.burst} at once>"

    def take(self, now: float, count: int = 1) -> bool:
        """Tell whether `count` more may pass, and count them if so."""
        if not self._interval:
            return True
        full_at = self._full_at
        if full_at < now:
            full_at = now
        elif full_at > now + self._span:
            # The clock was set back: an empty bucket is the worst that can be true, and it fills from now on.
            full_at = self._full_at = now + self._span
        full_at += self._interval * count
        # Rounding must not cost the last message of a burst.
        if full_at - now > self._span + 1e-6:
            return False
        self._full_at = full_at
        return True

    def wait(self, now: float, count: int = 1) -> float | None:
        """Milliseconds until `count` more may pass, which `take` has just refused; None: never, they are more than may
        come at once."""
        if not self._interval:
            return 0.0
        if count > self.burst:
            return None
        full_at = max(now, min(self._full_at, now + self._span))
        return max(0.0, full_at + self._interval * count - now - self._span)

    def level(self, now: float) -> float:
        """How full it would be with one more, 0 to 1; just above that nothing passes."""
        if not self._interval:
            return 0.0
        return min(max(0.0, self._full_at - now), self._span) / (self._span + self._interval)
