"""What waits in one provider's lane, so that what may ride together leaves together.

Higher priority first; within a priority by groups (`Provider.rides_with`), a group that is longer than a batch goes to
the end of the line after each batch; within a group in order of arrival. A batch never waits for more to come, and
seats that are left are taken by messages of the same group with lower priority. Pure.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable

from ..model import Message, Millis

_NEVER: Millis = 1 << 62


class Queue:
    __slots__ = ("_earliest", "_levels", "_order", "_size")

    def __init__(self) -> None:
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
        self._lot(message.priority, group).append(message)
        self._size += 1
        if message.expires < self._earliest:
            self._earliest = message.expires

    def put_back(self, messages: Iterable[Message], group: Hashable) -> None:
        """A batch that could not go: it is the next one of its group again."""
        for message in reversed(list(messages)):
            self._lot(message.priority, group).appendleft(message)
            self._size += 1
            self._earliest = min(self._earliest, message.expires)

    def take(self, limit: int) -> tuple[Hashable, list[Message]]:
        """The next batch and its group; an empty one if nothing waits."""
        if not self._size:
            return None, []
        group = next(iter(self._levels[self._order[0]]))
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
        self._size -= len(batch)
        return group, batch

    def drain(self) -> list[Message]:
        """Everything, in order of priority; nothing is left."""
        everything = [message for negated in self._order for lot in self._levels[negated].values() for message in lot]
        self._levels.clear()
        self._order.clear()
        self._size = 0
        self._earliest = _NEVER
        return everything

    def take_expired(self, now: Millis) -> list[Message]:
        """Messages whose validity is over. Looks through the queue only when one may have ended."""
        if now < self._earliest:
            return []
        expired: list[Message] = []
        self._earliest = _NEVER
        for negated in tuple(self._order):
            level = self._levels[negated]
            for group, lot in list(level.items()):
                alive: deque[Message] = deque()
                for message in lot:
                    if message.expires <= now:
                        expired.append(message)
                    else:
                        alive.append(message)
                        self._earliest = min(self._earliest, message.expires)
                if alive:
                    level[group] = alive
                else:
                    del level[group]
            if not level:
                self._drop(negated)
        self._size -= len(expired)
        return expired

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
