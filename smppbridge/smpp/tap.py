"""What somebody who captures sees of the links: each PDU as it stood on the wire, but for passwords.

A session that is looked at has a `Tap`; all others have None there, and that is all a capture costs them. A tap tells
whole PDUs in the order in which the session takes and says them, so what TLS and the PROXY protocol wrap around them is
gone, and a password is found wherever the client cut its stream. What follows a lost framing is told as one piece.

Passwords never leave this module (`masked`). It fails closed: where a BIND is not whole, or the framing is lost, nobody
can tell what the octets are, and more is masked than would be needed.

Who captures an account wants its BINDs too, and while a client binds nobody knows whose it is: what it says until then
is kept, up to `_EARLY` small PDUs, and told once the account is known. A bind that is refused belongs to no account.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog

from pdu import BodyError, CommandId, decode

from ..config import Network, plain, within

if TYPE_CHECKING:
    from .link import Link

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: PDUs of a client that has not bound, kept for who captures one account, and their octets at the most: a BIND with
#: some TLVs is a third of that, and anybody may send larger ones.
_EARLY = 32
_EARLY_OCTETS = 512
_HEADER = 16
#: SMPP 3.4 §5.2.1: system_id with its NUL.
_SYSTEM_ID_MAX = 16
#: The PDUs with a password (SMPP 3.4 §4.1.1, §4.1.3, §4.1.5, §4.1.7), by the octets of their command_id.
_WITH_PASSWORD = frozenset(
    id.to_bytes(4)
    for id in (CommandId.BIND_TRANSMITTER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSCEIVER, CommandId.OUTBIND)
)


class Seen(msgspec.Struct, frozen=True, gc=False, kw_only=True, tag="pdu"):
    """One PDU on its way over a link, the password masked."""

    #: Microseconds since 1970-01-01 UTC.
    at: int
    #: `Link.id`.
    link: int
    #: Empty before the bind.
    account: str
    #: "host:port" of the client and of ours.
    peer: str
    local: str
    #: From the client; else to it.
    received: bool
    #: Octets that had passed before it, since the link is looked at: in its own direction and in the other one.
    offset: int
    beside: int
    octets: bytes


class Watcher(Protocol):
    """Somebody who captures."""

    #: Only links of this account; empty: every link, bound or not.
    account: str
    #: Only clients from there; empty: from everywhere.
    networks: Sequence[Network]

    def take(self, seen: Seen) -> None:
        """Called in the loop, while the session works: keep it, or count it as lost, and return."""


class Taps:
    """Who captures what, over all links of a server."""

    def __init__(self, links: Mapping[int, Link], clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        """`clock`: as in `Seen.at`."""
        self.clock = clock
        self._links = links
        self._watchers: list[Watcher] = []

    def __repr__(self) -> str:
        return f"<Taps {len(self._watchers)} watchers>"

    def watch(self, watcher: Watcher) -> None:
        """Tell it what is seen from now on, on links that are there and on those to come."""
        self._watchers.append(watcher)
        for link in self._links.values():
            self._turn(link)

    def leave(self, watcher: Watcher) -> None:
        """Tell it nothing any more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)
            for link in self._links.values():
                self._turn(link)

    def opened(self, link: Link) -> None:
        """A client connected."""
        if self._watchers:
            link.session.tap = Tap(self, link)

    def who(self, link: Link) -> tuple[Sequence[Watcher], bool]:
        """Who looks at a link, and whether somebody else will once its account is known."""
        host = plain(link.peer.rpartition(":")[0].strip("[]"))
        near = [one for one in self._watchers if not one.networks or within(host, one.networks)]
        later = not link.account and any(one.account for one in near)
        return [one for one in near if not one.account or one.account == link.account], later

    def tell(self, watchers: Iterable[Watcher], seen: Seen) -> None:
        """Hand it on. A mistake in a watcher is its own and not the client's."""
        for watcher in watchers:
            try:
                watcher.take(seen)
            except Exception:
                log.exception("capture failed", account=watcher.account)
                self.leave(watcher)

    def _turn(self, link: Link) -> None:
        """Somebody came or left."""
        if not self._watchers:
            link.session.tap = None
        elif link.session.tap is None:
            link.session.tap = Tap(self, link)
        else:
            link.session.tap.look_again()


class Tap:
    """The ear at one session."""

    __slots__ = ("_early", "_later", "_link", "_received", "_sent", "_taps", "_watchers")

    def __init__(self, taps: Taps, link: Link) -> None:
        self._taps = taps
        self._link = link
        #: Octets so far, by direction.
        self._received = 0
        self._sent = 0
        #: None: to be asked. Not asked before the first PDU, because a balancer names the client late.
        self._watchers: Sequence[Watcher] | None = None
        self._later = False
        self._early: list[Seen] = []

    def __repr__(self) -> str:
        return f"<Tap {self._link.id} received={self._received} sent={self._sent}>"

    def received(self, frame: bytes) -> None:
        """A PDU of the client was taken."""
        before = self._received
        self._received = before + len(frame)
        self._tell(True, before, self._sent, masked(frame))

    def sent(self, frames: Iterable[bytes]) -> None:
        """PDUs of ours are written."""
        for frame in frames:
            before = self._sent
            self._sent = before + len(frame)
            self._tell(False, before, self._received, masked(frame))

    def lost(self, octets: bytes) -> None:
        """The framing is lost; this is what came. Only the command_length is told, which the log tells too: the rest
        may be anything, a password too."""
        before = self._received
        self._received = before + len(octets)
        self._tell(True, before, self._sent, octets[:4] + b"*" * (len(octets) - 4))

    def bound(self) -> None:
        """The account of the link is known."""
        early, self._early = self._early, []
        watchers = self._look()
        for seen in early:
            self._taps.tell([one for one in watchers if one.account], seen)

    def look_again(self) -> None:
        """Who captures has changed."""
        self._watchers = None

    def _look(self) -> Sequence[Watcher]:
        watchers, self._later = self._taps.who(self._link)
        self._watchers = watchers
        if not watchers and not self._later:
            # Nobody wants this link: it costs nothing any more, until somebody comes.
            self._link.session.tap = None
        return watchers

    def _tell(self, received: bool, offset: int, beside: int, octets: bytes) -> None:
        watchers = self._look() if self._watchers is None else self._watchers
        if not watchers and not self._later:
            return
        link = self._link
        seen = Seen(
            at=self._taps.clock(),
            link=link.id,
            account=link.account,
            peer=link.peer,
            local=link.local,
            received=received,
            offset=offset,
            beside=beside,
            octets=octets,
        )
        if self._later and len(self._early) < _EARLY and len(octets) <= _EARLY_OCTETS:
            self._early.append(seen)
        self._taps.tell(watchers, seen)


def masked(frame: bytes) -> bytes:
    """The same PDU, as long as before, with `*` in the place of a password.

    In a BIND or OUTBIND that cannot be read everything behind its first C-octet string is masked, or all of its body
    where that does not end in time: clients write fixed fields, or forget a NUL, and the password is somewhere there.
    """
    if frame[4:8] not in _WITH_PASSWORD:
        return frame
    end = frame.find(0, _HEADER, _HEADER + _SYSTEM_ID_MAX)
    start = end + 1 if end >= 0 else _HEADER
    try:
        decode(frame)
        stop = frame.index(0, start)
    except (BodyError, ValueError):
        stop = len(frame)
    return frame[:start] + b"*" * (stop - start) + frame[stop:]
