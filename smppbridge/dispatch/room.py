"""Room for messages in memory, shared by accounts: one that is alone may fill it, but where it is full, who holds less
than its fair part of it is let in all the same. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ..model import Message


class Room:
    """`share`: messages that it has room for. With those of accounts that came when it was full twice as many: more are
    not needed for these to have their fair parts before long."""

    __slots__ = ("_of", "held", "share")

    def __init__(self, share: int) -> None:
        self.share = share
        self.held = 0
        self._of: Counter[str] = Counter()

    def full(self, account: str, share: int = 0) -> bool:
        """Whether there is no room for a message of the account; `share`: for one that is allowed another one."""
        if self.held < (share or self.share):
            return False
        return self.held >= self.share * 2 or self._of[account] >= self._part(account)

    def hungry(self, account: str) -> int:
        """How many messages of the account should be fetched; 0 unless half of the room is free, or half of what is the
        account's fair part."""
        if self.held * 2 <= self.share:
            return self.share - self.held
        held, part = self._of[account], self._part(account)
        # More may be held than there is room for, since a reload has made the share smaller.
        return max(0, min(part - held, self.share * 2 - self.held)) if held * 2 <= part else 0

    def enter(self, message: Message) -> None:
        self.held += 1
        self._of[message.account] += 1

    def leave(self, messages: Iterable[Message]) -> None:
        of = self._of
        for message in messages:
            self.held -= 1
            if of[message.account] > 1:
                of[message.account] -= 1
            else:
                del of[message.account]

    def _part(self, account: str) -> int:
        """What each account may hold at least, this one among them."""
        return self.share // (len(self._of) + (account not in self._of))
