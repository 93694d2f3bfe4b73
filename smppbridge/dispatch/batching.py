"""What waits in one provider's lane, so that what may ride together leaves together.

Higher priority first; within a priority by groups (`Provider.rides_with`), a group that is longer than a batch goes to
the end of the line after each batch; within a group in order of arrival. Seats that are left are taken by messages of
the same group with lower priority. Whether a batch waits for more to come is for the lane to say; the queue knows which
groups fill one. Pure.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Hashable, Iterable
from typing import Any

from ..model import Message, Millis

_NEVER: Millis = 1 << 62


class Queue:
    """`batch`: messages that make a batch full; 0: nobody asks for full ones."""

    __slots__ = ("_batch", "_earliest", "_full", "_levels", "_order", "_size")

    def __init__(self, batch: int = 0) -> None:
        self._batch = batch
        #: Groups of priority 0 that fill a batch by themselves.
        self._full: dict[Hashable, None] = {}
        #: By priority, then by group in order of their turn.
        self._levels: dict[int, OrderedDict[Hashable, deque[Message]]] = {}
        #: The priorities that have something, negated: the highest is the first.
        self._order: list[int] = []
        self._size = 0
        #: No message in here expires before; may be earlier than the truth.
        self._earliest = _NEVER

    def __len__(self) -> int:
        return self._size

    def push(self, message: Message, group: Hashable) -> None:
        lot = self._lot(message.priority, group)
        lot.append(message)
        self._size += 1
        if len(lot) == self._batch and not message.priority:
            self._full[group] = None
        if message.expires < self._earliest:
            self._earliest = message.expires

    def put_back(self, messages: Iterable[Message], group: Hashable) -> None:
        """A batch that could not go: it is the next one of its group again."""
        for message in reversed(list(messages)):
            self._lot(message.priority, group).appendleft(message)
            self._size += 1
            self._earliest = min(self._earliest, message.expires)
        if self._batch and self._fills(group):
            self._full[group] = None

    @property
    def urgent(self) -> bool:
        """Whether anything has a priority above 0."""
        return bool(self._order) and self._order[0] < 0

    def take(self, limit: int) -> tuple[Any, list[Message]]:
        """The next batch and its group; an empty one if nothing waits."""
        if not self._size:
            return None, []
        return self._take(next(iter(self._levels[self._order[0]])), limit)

    def take_full(self, limit: int) -> tuple[Any, list[Message]]:
        """The same, of a group that fills a batch by itself."""
        for group in self._full:
            return self._take(group, limit)
        return None, []

    def _take(self, group: Hashable, limit: int) -> tuple[Any, list[Message]]:
        batch: list[Message] = []
        for negated in tuple(self._order):
            level = self._levels[negated]
            lot = level.get(group)
            if lot is None:
                continue
            free = limit - len(batch)
            if len(lot) <= free:
                batch.extend(lot)
                del level[group]
                if not level:
                    self._drop(negated)
            else:
                batch.extend(lot.popleft() for _ in range(free))
                level.move_to_end(group)
            if len(batch) == limit:
                break
        if group in self._full and not self._fills(group):
            del self._full[group]
        self._size -= len(batch)
        return group, batch

    def _fills(self, group: Hashable) -> bool:
        lot = self._levels.get(0, OrderedDict()).get(group)
        return lot is not None and len(lot) >= self._batch

    def drain(self) -> list[Message]:
        """Everything, in order of priority; nothing is left."""
        return self.take_out(lambda message: True)

    def take_expired(self, now: Millis) -> list[Message]:
        """Messages whose validity is over. Looks through the queue only when one may have ended."""
        return self.take_out(lambda message: message.expires <= now) if now >= self._earliest else []

    def take_out(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """All of which this holds, in order of priority. Looks through the whole queue."""
        self._earliest = _NEVER

        def pick(lot: deque[Message]) -> list[Message]:
            picked = []
            for _ in range(len(lot)):
                message = lot.popleft()
                if wanted(message):
                    picked.append(message)
                else:
                    lot.append(message)
                    self._earliest = min(self._earliest, message.expires)
            return picked

        return self._sweep(pick)

    def take_these(self, ids: Container[int], wanted: Callable[[Message], bool]) -> list[Message]:
        """A few of them, by their ids and as far as this holds, in order of priority. Looks through the whole queue
        and moves nothing that stays: a millisecond or two for 20,000 messages."""

        def pick(lot: deque[Message]) -> list[Message]:
            picked = [(place, one) for place, one in enumerate(lot) if one.id in ids and wanted(one)]
            for place, _ in reversed(picked):
                del lot[place]
            return [one for _, one in picked]

        return self._sweep(pick)

    def _sweep(self, pick: Callable[[deque[Message]], list[Message]]) -> list[Message]:
        """Take out of each lot what `pick` takes out of it, in order of priority."""
        found: list[Message] = []
        for negated in tuple(self._order):
            level = self._levels[negated]
            for group, lot in list(level.items()):
                found.extend(pick(lot))
                if not lot:
                    del level[group]
                if not negated and group in self._full and not self._fills(group):
                    del self._full[group]
            if not level:
                self._drop(negated)
        self._size -= len(found)
        return found

    def _lot(self, priority: int, group: Hashable) -> deque[Message]:
        level = self._levels.get(-priority)
        if level is None:
            level = self._levels[-priority] = OrderedDict()
            insort(self._order, -priority)
        lot = level.get(group)
        if lot is None:
            lot = level[group] = deque()
        return lot

    def _drop(self, negated: int) -> None:
        del self._levels[negated]
        self._order.remove(negated)
