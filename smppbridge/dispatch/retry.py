"""When to try again, and when to look again. Pure: the time and the dice are arguments."""

from __future__ import annotations

from random import Random

import msgspec

from ..config import ProviderConfig
from ..model import Message, Millis, Onward

#: 2 to this power is beyond every maximum, and far from where a float overflows.
_MOST_DOUBLINGS = 40


def delay(times: int, first: float, maximum: float, random: Random) -> float:
    """Seconds to wait after the `times`-th time (from 1): `first`, doubled each time, up to `maximum`.

    Jitter takes away up to half of it, so that what failed together does not come back together.
    """
    whole: float = min(first * 2.0 ** min(max(times - 1, 0), _MOST_DOUBLINGS), maximum)
    return whole * (0.5 + 0.5 * random.random())


class Schedule(msgspec.Struct, frozen=True):
    """The times of one provider: of tries, of status questions, and of the end."""

    retry_first: float
    retry_max: float
    poll_first: float
    poll_max: float
    grace: Millis

    @classmethod
    def of(cls, config: ProviderConfig) -> Schedule:
        return cls(config.retry_first, config.retry_max, config.poll_first, config.poll_max, int(config.grace * 1000))

    def next_try(self, attempts: int, now: Millis, random: Random, retry_after: float | None = None) -> Millis:
        """When to try again after `attempts` tries; not before what the provider asked for."""
        wait = delay(attempts, self.retry_first, self.retry_max, random)
        return now + int(max(wait, retry_after or 0.0) * 1000)

    def next_look(self, message: Message, polls: int, now: Millis, random: Random) -> Millis:
        """When to ask for the status after `polls` questions: for the last time when the grace is over, and in any case
        when the leg is, for then it is the question whether the next one follows."""
        look_at = min(now + int(delay(polls + 1, self.poll_first, self.poll_max, random) * 1000), self.end(message))
        return min(look_at, leg_ends) if (leg_ends := message.progress.leg_ends) > now else look_at

    def end(self, message: Message) -> Millis:
        """Nothing is learned any more after this: validity and grace are over, or the leg, where the message goes on to
        the next one even if nobody knows."""
        progress = message.progress
        return progress.leg_ends if progress.onward is Onward.ALWAYS else message.expires + self.grace


def sendable_until(message: Message) -> Millis:
    """Until when it may be sent: to the end of the leg that it is on, or of its validity."""
    return message.progress.leg_ends or message.expires
