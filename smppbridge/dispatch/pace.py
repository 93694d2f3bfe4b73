"""When a message that finds no room at a provider may hope for some. Pure: time is an argument."""

from __future__ import annotations

from ..model import Millis

#: Messages a second that a lane is taken to manage before it has been measured, and at least.
_FIRST = 1000.0
_SLOWEST = 10.0
#: What cannot be held in memory comes back from disk after this, at the latest: longer than it takes to look past what
#: is in the way, short enough that a lane that gets going again does not stand idle.
_FAR: Millis = 5000


class Pace:
    """Messages a second that a lane manages, and the times that are given away by it."""

    __slots__ = ("_a_second", "_done", "_given", "_since")

    def __init__(self, now: Millis) -> None:
        self._a_second = _FIRST
        self._done, self._since = 0, now
        self._given = 0.0

    def __repr__(self) -> str:
        return f"<Pace {self._a_second:.0f} a second>"

    def measure(self, count: int, now: Millis, *, more: bool) -> None:
        """So many are done. Only while `more` waits, it is the lane that sets the pace."""
        if not more or now < self._since:
            self._done, self._since = 0, now
            return
        self._done += count
        if now - self._since >= 1000:
            self._a_second = max(_SLOWEST, self._done * 1000 / (now - self._since))
            self._done, self._since = 0, now

    def slot(self, first: Millis, ahead: int) -> Millis:
        """A time for one more, behind `ahead` messages that go from `first` on: one after the other."""
        step = 1000 / self._a_second
        self._given = min(max(self._given, first + ahead * step) + step, first + _FAR)
        return int(self._given)
