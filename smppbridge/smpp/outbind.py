"""OUTBIND: calling clients that wait to be called (SMPP 3.4 §2.2.1, §4.1.7).

When something waits for an account and none of its binds receives, we connect to the address in its configuration and
send OUTBIND; the client binds over that connection, as receiver or transceiver, and from then on it is a bind as any
other: the same doorkeeper, networks, timers and limits. A call lasts as long as its connection, so there is never more
than one of an account at a time.

A call that leads to no bind that receives (nobody answers, no bind within session_init_timeout, a wrong password) is
made again after `retry`, then after twice that, up to ten times as much. A name is looked up for each call, and only
addresses within allowed_networks are called: our password goes to nobody else.

What an operator sees in the log: "outbind" (info), a client was reached and asked to bind; "outbind failed" (warning),
with the reason and when it is tried again; so at most one line each `retry`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import structlog

from ..config import AccountConfig, OutbindConfig, address, plain, within
from .arriving import Arrival
from .link import Link
from .listening import join_address

if TYPE_CHECKING:
    from .server import SmppServer

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: How often we look whether somebody is to be called, in seconds.
_EVERY = 1.0
#: To connect, in seconds, where session_init_timeout is switched off.
_CONNECT = 30.0
#: By how much the pause between calls grows at most.
_AT_MOST = 10


class Pace:
    """When an account may be called again. Pure: times in milliseconds."""

    __slots__ = ("_not_before", "_pause", "retry")

    def __init__(self, retry: int) -> None:
        """`retry` is the first pause, a second at least."""
        self.retry = max(retry, 1000)
        self._pause = 0
        self._not_before = 0

    def __repr__(self) -> str:
        return f"<Pace {self._pause} ms, not before {self._not_before}>"

    def may_call(self, now: int) -> bool:
        """Whether the last pause is over."""
        return now >= self._not_before

    def failed(self, now: int) -> int:
        """A call led to nothing. Returns the pause that follows."""
        self._pause = min(self._pause * 2 or self.retry, self.retry * _AT_MOST)
        self._not_before = now + self._pause
        return self._pause

    def succeeded(self, now: int) -> None:
        """The bind that a call led to has ended: one that ends again and again is not called without a pause."""
        self._pause = 0
        self._not_before = now + self.retry


class Callers:
    """Calls the accounts that want it. `run` until cancelled."""

    def __init__(
        self, server: SmppServer, accounts: Mapping[str, AccountConfig], waits: Callable[[str], Awaitable[bool]]
    ) -> None:
        """`waits` says whether anything waits for an account; what it raises is a failed call."""
        self._server = server
        self._waits = waits
        self._accounts: Mapping[str, AccountConfig] = {}
        self._paces: dict[str, Pace] = {}
        #: Calls that are being made, and those that reached somebody.
        self._calling: dict[str, asyncio.Task[None]] = {}
        self._called: dict[str, Link] = {}
        self.reload(accounts)

    def __repr__(self) -> str:
        return f"<Callers of {len(self._paces)} accounts: {len(self._calling)} calling, {len(self._called)} called>"

    def reload(self, accounts: Mapping[str, AccountConfig]) -> None:
        """New settings: for the next call, and for calls that are not wanted any more or go elsewhere."""
        old, self._accounts = self._accounts, dict(accounts)
        for name in old.keys() | accounts.keys():
            before = old[name].outbind if name in old else None
            wanted = accounts[name].outbind if name in accounts else None
            if before == wanted:
                continue
            self._hang_up(name)
            if wanted is None:
                self._paces.pop(name, None)
            else:
                self._paces[name] = Pace(int(wanted.retry * 1000))

    async def run(self) -> None:
        """Look every second who is to be called."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY)

    def look(self) -> None:
        """See which calls are over, and begin those whose time has come."""
        server = self._server
        now = server.now()
        for name, link in list(self._called.items()):
            if link.id in server.links:
                continue
            del self._called[name]
            if link.account == name and link.bind_type != "transmitter":
                self._paces[name].succeeded(now)
            else:
                self._failed(name, "it did not bind as receiver or transceiver")
        for name, pace in self._paces.items():
            if name in self._calling or name in self._called or not pace.may_call(now):
                continue
            if not any(link.can_receive for link in server.bound.receivers(name)):
                self._calling[name] = task = asyncio.get_running_loop().create_task(self._call(name))
                task.add_done_callback(partial(self._made, name))

    async def close(self) -> None:
        """Call nobody any more."""
        calls = list(self._calling.values())
        self.reload({})
        await asyncio.gather(*calls, return_exceptions=True)

    # One call --------------------------------------------------------------------------------------------------------

    async def _call(self, name: str) -> None:
        config = self._accounts[name]
        outbind = config.outbind
        assert outbind is not None
        try:
            if await self._waits(name):
                link = await self._connect(config, outbind)
                log.info("outbind", account=name, address=outbind.address, link=link.id)
                self._called[name] = link
                link.outbind(outbind.system_id or self._server.config.system_id, outbind.password)
        except Exception as failed:
            self._failed(name, _reason(failed))

    def _made(self, name: str, task: asyncio.Task[None]) -> None:
        if self._calling.get(name) is task:
            del self._calling[name]

    async def _connect(self, config: AccountConfig, outbind: OutbindConfig) -> Link:
        """Raises OSError."""
        host, port = address(outbind.address)
        async with asyncio.timeout(self._server.config.session_init_timeout or _CONNECT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            hosts = [str(where[0]) for _, _, _, _, where in found]
            ours = [one for one in hosts if within(plain(one), config.allowed_networks)]
            if not ours:
                raise OSError(f"{', '.join(hosts)} is not in allowed_networks")
            return await self._open(ours[0], port)

    async def _open(self, host: str, port: int) -> Link:
        """It counts as the connections do that come to us."""
        server = self._server
        guard, now = server.guard, server.now()
        visitor, full = guard.enter(plain(host), now)
        if full is not None:
            raise OSError(f"{full.value} is reached")
        arrival = Arrival(visitor, join_address(host, port), now)
        try:
            _, link = await asyncio.get_running_loop().create_connection(lambda: Link(server, arrival), host, port)
        finally:
            if not arrival.linked:
                guard.leave(visitor, server.now(), bound=False)
        return link

    def _hang_up(self, name: str) -> None:
        """Who is bound already is left alone: a bind as any other."""
        if (task := self._calling.pop(name, None)) is not None:
            task.cancel()
        link = self._called.pop(name, None)
        if link is not None and not link.account:
            link.close("not called any more")

    def _failed(self, name: str, reason: str) -> None:
        if (pace := self._paces.get(name)) is not None:
            again_in = pace.failed(self._server.now()) // 1000
            log.warning("outbind failed", account=name, reason=reason, again_in=again_in)


def _reason(failed: Exception) -> str:
    if isinstance(failed, TimeoutError):
        return "it does not answer"
    if isinstance(failed, OSError) and failed.errno is not None and failed.errno > 0:
        # What the loops write beside it differs.
        return os.strerror(failed.errno)
    return getattr(failed, "strerror", None) or str(failed) or type(failed).__name__
