"""How much an account may send: rates, quotas, and floods to one subscriber. Pure: the time is an argument, in
milliseconds.

Three shapes of limit, because three things are meant:

* `throughput` is a bucket (`smpp.throttle`): a pace, with a burst. It counts what is asked, also what is refused for
  its text afterwards, because a refusal costs as much as an acceptance.
* `per_minute`, `per_hour` and `per_day` are quotas: never more within *any* span of that length. A fixed window would
  let twice as many through around its edge, and a bucket does the same after a pause. They count what is accepted: what
  is refused for another reason is given back, for nobody pays for a message that was not taken.
* A flood is a row of messages to one subscriber without a pause between them.

A message passes all rates and quotas or is counted by none, and of several that are in its way the one that stands
longest is named, so that "free again in" is true.

A quota is kept in 60 buckets and the one that is being filled: constant time and memory however many messages there
are, and for that a message counts for up to a sixtieth of the span longer than it should (a minute is at most 61 s).
Never shorter, so the number in the settings is never exceeded. The ring of buckets turns as time passes and stands
still where the clock is set back: nobody is locked out for longer than the span, whatever the clock does. Everything is
in memory, so a restart begins anew; a reload changes the numbers and keeps what was counted.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from ..model import Millis
from ..smpp.throttle import Throttle

_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000

#: Full buckets of a quota; one more is being filled.
_BUCKETS = 60

#: Subscribers that one account's flood limit remembers, the latest: some 25 MB where there are as many within the gap.
_SUBSCRIBERS = 100_000

#: Long messages under way that one account is remembered to have paid for.
_SETS = 10_000


class Exceeded(NamedTuple):
    """Which limit is in the way: its key in the settings, and the words for the client."""

    limit: str
    reason: str


# Quotas --------------------------------------------------------------------------------------------------------------


class Quota:
    """At most `limit` messages within any `span` milliseconds (a multiple of 60)."""

    __slots__ = ("_at", "_counts", "_number", "_total", "_width", "limit")

    def __init__(self, span: Millis, limit: int) -> None:
        self.limit = limit
        self._width = span // _BUCKETS
        self._counts = [0] * (_BUCKETS + 1)
        self._total = 0
        #: Place of the bucket that is being filled, and which stretch of time it is.
        self._at = 0
        self._number = 0

    def __repr__(self) -> str:
        return f"<Quota {self._total} of {self.limit} in {self._width * _BUCKETS} ms>"

    def room(self, now: Millis) -> int:
        """How many more may pass; below 0 where the limit was lowered meanwhile."""
        number = now // self._width
        if number != self._number:
            self._turn(number)
        return self.limit - self._total

    def count(self, count: int) -> None:
        """So many have passed, at the moment for which `room` was asked last."""
        self._counts[self._at] += count
        self._total += count

    def give_back(self, at: Millis) -> None:
        """One that passed at that time was not accepted after all."""
        age = max(0, self._number - at // self._width)
        for bucket in range(self._at - age, self._at - _BUCKETS - 1, -1):
            # Mostly the first one; a clock that was set back is why it need not be.
            if self._counts[bucket % (_BUCKETS + 1)]:
                self._counts[bucket % (_BUCKETS + 1)] -= 1
                self._total -= 1
                return

    def wait(self, now: Millis, count: int) -> Millis | None:
        """Until so many more may pass; 0: now, None: never, they are more than the limit."""
        missing = count - self.room(now)
        if missing <= 0:
            return 0
        if count > self.limit:
            return None
        for age in range(_BUCKETS, -1, -1):
            missing -= self._counts[(self._at - age) % (_BUCKETS + 1)]
            if missing <= 0:
                return (self._number + _BUCKETS + 1 - age) * self._width - now
        raise AssertionError("the buckets hold less than their total")

    def _turn(self, number: int) -> None:
        for _ in range(min(number - self._number, _BUCKETS + 1)):
            self._at = (self._at + 1) % (_BUCKETS + 1)
            self._total -= self._counts[self._at]
            self._counts[self._at] = 0
        self._number = number


# All rates of an account ---------------------------------------------------------------------------------------------


class Rates:
    """What an account may send in a time. False while nothing is limited."""

    __slots__ = ("_by_key", "_quotas", "throttle")

    def __init__(self) -> None:
        self.throttle = Throttle(0)
        #: Those that are on, by their keys, and as the hot path wants them.
        self._by_key: dict[str, Quota] = {}
        self._quotas: tuple[Quota, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._quotas) or self.throttle.rate > 0

    def apply(self, throughput: float, burst: int, **quotas: int) -> None:
        """New settings; what was counted stays, but for a bucket whose own pace or burst changed."""
        throttle = Throttle(throughput, burst)
        if (throttle.rate, throttle.burst) != (self.throttle.rate, self.throttle.burst):
            self.throttle = throttle
        kept = self._by_key
        self._by_key = {}
        for key, limit in quotas.items():
            if limit:
                self._by_key[key] = quota = kept.get(key) or Quota(_SPANS[key], limit)
                quota.limit = limit
        self._quotas = tuple(self._by_key.values())

    def take(self, now: Millis, count: int = 1) -> Exceeded | None:
        """Let `count` messages pass and count them; or say what is in the way and count nothing."""
        quotas = self._quotas
        if not quotas:
            return None if self.throttle.take(now, count) else self._exceeded(now, count)
        for quota in quotas:
            if quota.room(now) < count:
                return self._exceeded(now, count)
        if not self.throttle.take(now, count):
            return self._exceeded(now, count)
        for quota in quotas:
            quota.count(count)
        return None

    def give_back(self, at: Millis) -> None:
        """One that passed at that time was not accepted after all; it counts in no quota then."""
        for quota in self._quotas:
            quota.give_back(at)

    def _exceeded(self, now: Millis, count: int) -> Exceeded:
        """The limit that stands longest, of those that are in the way."""
        found = [(self.throttle.wait(now, count), "throughput", f"{self.throttle.rate:g} messages a second")]
        for key, quota in self._by_key.items():
            found.append((quota.wait(now, count), key, f"{quota.limit} messages {_WORDS[key]}"))
        wait, key, limit = max(found, key=lambda one: math.inf if one[0] is None else one[0])
        if wait is None:
            most = self.throttle.burst if key == "throughput" else self._by_key[key].limit
            return Exceeded(key, f"{count} messages in one request, never more than {most} may come at once ({limit})")
        return Exceeded(key, f"more than {limit}, free again in {lasting(wait)}")


_SPANS = {"per_minute": _MINUTE, "per_hour": _HOUR, "per_day": _DAY}
_WORDS = {"per_minute": "a minute", "per_hour": "an hour", "per_day": "a day"}


def lasting(time: float) -> str:
    """Milliseconds as a person says them, never less than it is: "0.4 s", "12 s", "7 min", "5 h"."""
    seconds = time / 1000
    if seconds < 10:
        return f"{math.ceil(seconds * 10) / 10:g} s"
    if seconds <= 120:
        return f"{math.ceil(seconds)} s"
    if seconds <= 7200:
        return f"{math.ceil(seconds / 60)} min"
    return f"{math.ceil(seconds / 3600)} h"


# One subscriber ------------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    messages: int
    last: Millis
    #: When the one before the last came, should that be given back.
    before: Millis


class Flood:
    """At most `most` messages in a row to one subscriber, each less than `gap` milliseconds after the one before.

    What is refused belongs to no row, so a client that goes on trying is free after the gap all the same. Of the
    subscribers those are remembered that were written to within the gap, 100,000 at most: beyond it the one that was
    written to longest ago is forgotten, and its row begins anew.
    """

    __slots__ = ("_rows", "gap", "most", "size")

    def __init__(self, most: int, gap: Millis, size: int = _SUBSCRIBERS) -> None:
        self.most = most
        self.gap = gap
        self.size = size
        #: The one written to longest ago first.
        self._rows: OrderedDict[str, _Row] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Flood {self.most} at {self.gap} ms, {len(self._rows)} subscribers>"

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, subscriber: str, now: Millis) -> Millis:
        """0: the message may pass, and is counted. Else how long it is until one may again."""
        rows = self._rows
        row = rows.get(subscriber)
        if row is None or now - row.last >= self.gap:
            rows[subscriber] = _Row(1, now, now)
        elif row.messages < self.most:
            rows[subscriber] = _Row(row.messages + 1, now, row.last)
        else:
            if row.last > now:
                # The clock was set back.
                row = rows[subscriber] = row._replace(last=now)
            return row.last + self.gap - now
        rows.move_to_end(subscriber)
        self._forget(now)
        return 0

    def give_back(self, subscriber: str, at: Millis) -> None:
        """One that passed at that time was not accepted after all."""
        row = self._rows.get(subscriber)
        if row is None or row.messages == 1:
            self._rows.pop(subscriber, None)
        else:
            self._rows[subscriber] = _Row(row.messages - 1, row.before if row.last == at else row.last, row.before)

    def _forget(self, now: Millis) -> None:
        """Two at most for each one that comes, so that memory shrinks and nobody waits for it."""
        for _ in range(2):
            oldest = next(iter(self._rows.values()))
            if len(self._rows) <= self.size and now - oldest.last < self.gap:
                return
            self._rows.popitem(last=False)


# Long messages that count once ---------------------------------------------------------------------------------------


class Sets:
    """Which long messages in parts were paid for, where each counts once.

    The part of a set that is seen first pays, whichever it is: if the last one did, sets that never become whole would
    be free, and each of their parts is a row on the disk. A part that was seen already pays again, so repeating one
    is no way to send for nothing; nor is a part of a set that is not remembered (after a restart, or the 10,001st at
    once).
    """

    __slots__ = ("_sets", "size")

    def __init__(self, size: int = _SETS) -> None:
        self.size = size
        #: Numbers of parts that were seen, as bits, and until when the set is remembered.
        self._sets: OrderedDict[tuple[object, ...], tuple[int, Millis]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def weight(self, key: tuple[object, ...], number: int, now: Millis) -> int:
        """As how many messages this part counts: 1, or 0 if another part of its set has paid."""
        return 0 if self._fits(key, number, now) else 1

    def saw(self, key: tuple[object, ...], number: int, total: int, now: Millis, keep: Millis) -> None:
        """The part was let in; its set is remembered for `keep` milliseconds from now."""
        # Where it does not fit it is a repetition, or the first of a new set under a reference that is used again.
        seen = self._fits(key, number, now) | 1 << number
        if seen.bit_count() == total:
            del self._sets[key]
            return
        self._sets[key] = seen, now + keep
        self._sets.move_to_end(key)
        if len(self._sets) > self.size:
            self._sets.popitem(last=False)

    def _fits(self, key: tuple[object, ...], number: int, now: Millis) -> int:
        """The parts of the set that this one belongs to; 0 if it begins a new one."""
        seen, until = self._sets.get(key, (0, 0))
        return seen if until > now and not seen >> number & 1 else 0
