"""Who is bound, and how those ended who were.

The second half serves the one-minute rule: a client that lost its connection before it read a response sends the
message again, and must get the first id and no second message. Whether it read the response nobody can know, but two
things tell: how the bind ended, and whether the kernel still holds octets that a living one has not acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .events import Ending
from .kernel import unacknowledged

if TYPE_CHECKING:
    from .link import Link

#: How many ended binds are remembered, and for how long, in milliseconds. The one-minute rule asks for the last minute
#: by default; ten thousand are three binds a second for an hour.
_REMEMBERED = 10_000
_REMEMBERED_FOR = 3_600_000


class Bound:
    """The registry of one process: asked and told from the event loop alone."""

    def __init__(self) -> None:
        #: Every bound link by its id.
        self.links: dict[int, Link] = {}
        self._accounts: dict[str, list[Link]] = {}
        self._receivers: dict[str, list[Link]] = {}
        #: id → (when, clean), oldest first.
        self._ended: dict[int, tuple[int, bool]] = {}

    def __repr__(self) -> str:
        return f"<Bound {len(self.links)} links of {len(self._accounts)} accounts>"

    def add(self, link: Link) -> None:
        """The link is bound now."""
        self.links[link.id] = link
        self._accounts.setdefault(link.account, []).append(link)
        if link.can_receive:
            self._receivers.setdefault(link.account, []).append(link)

    def remove(self, link: Link, ending: Ending, now: int) -> None:
        """The link is bound no longer."""
        if self.links.pop(link.id, None) is None:
            return
        for by_account in (self._accounts, self._receivers):
            links = by_account.get(link.account, [])
            if link in links:
                links.remove(link)
                if not links:
                    del by_account[link.account]
        self._ended[link.id] = now, ending.clean
        while len(self._ended) > _REMEMBERED or next(iter(self._ended.values()))[0] < now - _REMEMBERED_FOR:
            del self._ended[next(iter(self._ended))]

    def of(self, account: str) -> Sequence[Link]:
        """The links of an account, in the order in which they bound."""
        return self._accounts.get(account, ())

    def receivers(self, account: str) -> Sequence[Link]:
        """Those among them that bound as receiver or transceiver."""
        return self._receivers.get(account, ())

    def count(self, account: str) -> int:
        """How often an account is bound. Who has closed its half of the connection does not count: it may be back
        before its last request is answered."""
        return sum(not link.half_closed for link in self.of(account))

    def in_the_way(self, account: str, max_binds: int) -> tuple[Sequence[Link], Sequence[Link]]:
        """Which links have to go for one bind more: the oldest ones, to be unbound, and some that are leaving, to be
        closed at once.

        Who is leaving counts no longer, or each bind would send off one more while they go. But there are never more of
        them than `max_binds`: clients that replace each other in a loop and answer no UNBIND cost no more than that.
        """
        leaving = [link for link in self.of(account) if link.leaving]
        staying = [link for link in self.of(account) if not link.leaving]
        oldest = staying[: max(0, len(staying) - max_binds + 1)]
        return oldest, leaving[: max(0, len(leaving) + len(oldest) - max_binds)]

    def forsaken(self, account: str, max_binds: int) -> Sequence[Link]:
        """Which of those that have closed their half have to go, the oldest ones. They do not count, but no more than
        `max_binds` of them stay beside a bind that is let in: each is a connection that nobody else gets, for as long
        as it is read slowly or waits for its answers."""
        half_closed = [link for link in self.of(account) if link.half_closed]
        return half_closed[: max(0, len(half_closed) - max_binds)]

    def ended_cleanly(self, bind_id: int) -> bool | None:
        """Whether the client had read its responses when the bind ended; None: still bound, or not remembered."""
        ended = self._ended.get(bind_id)
        return None if ended is None else ended[1]

    def unread(self, link: Link) -> bool:
        """Whether the client may not have read everything that it is to read: something we wrote has not reached its
        kernel yet, or it has closed its half, and perhaps both. False where that cannot be told."""
        return link.half_closed or link.unwritten > 0 or unacknowledged(link.fileno) > 0
