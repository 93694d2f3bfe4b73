"""What waits in one provider's lane, so that what may ride together leaves together.

Higher priority first; within a priority the accounts take turns, a batch each, so that none waits behind the backlog of
another; of an account by groups (`Provider.rides_with`), a group that is longer than a batch goes to the end of the
account's line after each batch; within a group in order of arrival. Seats that are left are taken by messages of the
same group, first those of other accounts, then those with lower priority. Whether a batch waits for more to come is for
the lane to say; the queue knows which groups fill one. Pure.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Container, Hashable, Iterable
from typing import Any, TypeAlias

from ..model import Message, Millis

_NEVER: Millis = 1 << 62

Lot: TypeAlias = "deque[Message]"
#: By account in order of their turn, and of each by group in order of theirs.
Level: TypeAlias = "OrderedDict[str, OrderedDict[Hashable, Lot]]"


class Queue:
    """`batch`: messages that make a batch full; 0: nobody asks for full ones."""

    __slots__ = ("_batch", "_earliest", "_full", "_levels", "_lots", "_order", "_size")

    def __init__(self, batch: int = 0) -> None:
        self._batch = batch
        #: Messages of priority 0 by group, and the groups among them that fill a batch by themselves.
        self._lots: Counter[Hashable] = Counter()
        self._full: dict[Hashable, None] = {}
        #: By priority, negated.
        self._levels: dict[int, Level] = {}
        #: The priorities that have something, negated: the highest is the first.
        self._order: list[int] = []
        self._size = 0
        #: No message in here expires before; may be earlier than the truth.
        self._earliest = _NEVER

    def __len__(self) -> int:
        return self._size

    def push(self, message: Message, group: Hashable) -> None:
        self._lot(message, group).append(message)
        self._size += 1
        if self._batch and not message.priority:
            self._counted(group, 1)
        if message.expires < self._earliest:
            self._earliest = message.expires

    def put_back(self, messages: Iterable[Message], group: Hashable) -> None:
        """A batch that could not go: it is the next one of its group again, and the turn of its accounts."""
        for message in reversed(list(messages)):
            self._lot(message, group).appendleft(message)
            self._levels[-message.priority].move_to_end(message.account, last=False)
            self._size += 1
            if self._batch and not message.priority:
                self._counted(group, 1)
            self._earliest = min(self._earliest, message.expires)

    @property
    def urgent(self) -> bool:
        """Whether anything has a priority above 0."""
        return bool(self._order) and self._order[0] < 0

    def take(self, limit: int) -> tuple[Any, list[Message]]:
        """The next batch and its group; an empty one if nothing waits."""
        if not self._size:
            return None, []
        groups = next(iter(self._levels[self._order[0]].values()))
        return self._take(next(iter(groups)), limit)

    def take_full(self, limit: int) -> tuple[Any, list[Message]]:
        """The same, of a group that fills a batch by itself."""
        for group in self._full:
            return self._take(group, limit)
        return None, []

    def _take(self, group: Hashable, limit: int) -> tuple[Any, list[Message]]:
        batch: list[Message] = []
        for negated in tuple(self._order):
            level, before = self._levels[negated], len(batch)
            for account in tuple(level):
                groups = level[account]
                lot = groups.get(group)
                if lot is None:
                    continue
                first, free = len(batch) == before, limit - len(batch)
                if len(lot) <= free:
                    batch.extend(lot)
                    del groups[group]
                else:
                    batch.extend(lot.popleft() for _ in range(free))
                    groups.move_to_end(group)
                if not groups:
                    del level[account]
                elif first:
                    level.move_to_end(account)
                if len(batch) == limit:
                    break
            if self._batch and not negated:
                self._counted(group, before - len(batch))
            if not level:
                self._drop(negated)
            if len(batch) == limit:
                break
        self._size -= len(batch)
        return group, batch

    def _counted(self, group: Hashable, more: int) -> None:
        """There are so many more of priority 0 in a group, or fewer."""
        self._lots[group] = count = self._lots[group] + more
        if count >= self._batch:
            self._full[group] = None
        else:
            self._full.pop(group, None)
            if not count:
                del self._lots[group]

    def drain(self) -> list[Message]:
        """Everything, in order of priority; nothing is left."""
        return self.take_out(lambda message: True)

    def take_expired(self, now: Millis) -> list[Message]:
        """Messages whose validity is over. Looks through the queue only when one may have ended."""
        return self.take_out(lambda message: message.expires <= now) if now >= self._earliest else []

    def take_out(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """All of which this holds, in order of priority. Looks through the whole queue."""
        self._earliest = _NEVER

        def pick(lot: Lot) -> list[Message]:
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

        def pick(lot: Lot) -> list[Message]:
            picked = [(place, one) for place, one in enumerate(lot) if one.id in ids and wanted(one)]
            for place, _ in reversed(picked):
                del lot[place]
            return [one for _, one in picked]

        return self._sweep(pick)

    def _sweep(self, pick: Callable[[Lot], list[Message]]) -> list[Message]:
        """Take out of each lot what `pick` takes out of it, in order of priority."""
        found: list[Message] = []
        for negated in tuple(self._order):
            level = self._levels[negated]
            for account, groups in list(level.items()):
                for group, lot in list(groups.items()):
                    picked = pick(lot)
                    found.extend(picked)
                    if not lot:
                        del groups[group]
                    if picked and self._batch and not negated:
                        self._counted(group, -len(picked))
                if not groups:
                    del level[account]
            if not level:
                self._drop(negated)
        self._size -= len(found)
        return found

    def _lot(self, message: Message, group: Hashable) -> Lot:
        level = self._levels.get(-message.priority)
        if level is None:
            level = self._levels[-message.priority] = OrderedDict()
            insort(self._order, -message.priority)
        groups = level.get(message.account)
        if groups is None:
            groups = level[message.account] = OrderedDict()
        lot = groups.get(group)
        if lot is None:
            lot = groups[group] = deque()
        return lot

    def _drop(self, negated: int) -> None:
        del self._levels[negated]
        self._order.remove(negated)
