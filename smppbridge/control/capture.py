"""`capture`: what is seen on the links, to a caller, for as long as it listens.

The gateway never waits for it. What a caller that is too slow has no room for is lost, counted, and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from ipaddress import ip_network

import structlog

from .. import __version__
from ..config import Network
from ..smpp.tap import Seen, Taps
from .listener import Caller, Refused
from .protocol import Lost, Order, Over, Welcome

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Capture:
    """The command."""

    def __init__(self, taps: Taps, accounts: Callable[[], Container[str]]) -> None:
        """`accounts`: the names of those that there are at the moment."""
        self._taps = taps
        self._accounts = accounts

    async def __call__(self, order: Order, caller: Caller) -> None:
        """Tell `caller` all that `order` asks for, until it has enough."""
        if order.account and order.account not in self._accounts():
            raise Refused(f"there is no account {order.account!r}")
        watch = Watch(caller, order.account, _networks(order.peer))
        about = {"account": order.account, "peer": order.peer, "pid": caller.pid, "uid": caller.uid}
        log.info("capture begun", **about)
        caller.say(Welcome(gateway=__version__))
        self._taps.watch(watch)
        reason = ""
        try:
            await caller.enough()
        except asyncio.CancelledError:
            reason = "the gateway stops"
        finally:
            self._taps.leave(watch)
            log.info("capture ended", **about, told=watch.told, lost=watch.lost)
        caller.say(Over(reason=reason, lost=watch.lost))


class Watch:
    """One capture (`tap.Watcher`)."""

    def __init__(self, caller: Caller, account: str, networks: Sequence[Network]) -> None:
        self.account = account
        self.networks = networks
        self.told = 0
        self.lost = 0
        self._caller = caller
        #: How many of the lost ones the caller has heard of.
        self._owned = 0

    def take(self, seen: Seen) -> None:
        caller = self._caller
        if not caller.has_room:
            self.lost += 1
            return
        if self._owned != self.lost:
            self._owned = self.lost
            caller.say(Lost(pdus=self.lost))
        caller.say(seen)
        self.told += 1


def _networks(peer: str) -> tuple[Network, ...]:
    """ "192.0.2.7" or "192.0.2.0/24"; none for an empty text. Raises Refused."""
    if not peer:
        return ()
    try:
        return (ip_network(peer),)
    except ValueError:
        raise Refused(f"{peer} is no address such as 192.0.2.7, and no network such as 192.0.2.0/24") from None
