"""From an accepted socket to a link: counted, named by a balancer, through the handshake of TLS.

A connection is counted from its first moment (`guard`), so one that says nothing before or within its handshake costs
what any unbound client costs, and no longer than session_init_timeout, which covers all of this and the bind.

What a balancer opens counts as its own until the header is there, and is then the client's. A balancer has no limit of
its own, or one client could spend it for all of them.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import structlog

from ..config import plain, within
from .guard import Full, Visitor
from .link import Link
from .listening import Port, join_address
from .proxy import Header, Parser, ProxyError
from .tls import why

if TYPE_CHECKING:
    from .server import SmppServer

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: Seconds for a header and a handshake, where session_init_timeout is switched off.
_AT_MOST = 60.0
#: How a client is called that a balancer could not name: it has no address, and so is in nobody's networks.
UNNAMED = "unknown"


class Refused(Exception):
    """A connection that is not taken. It is told already."""


class Arrival:
    """A connection before it is a link."""

    __slots__ = ("linked", "peer", "since", "via", "visitor")

    def __init__(self, visitor: Visitor, peer: str, since: int) -> None:
        #: As whose it is counted.
        self.visitor = visitor
        #: "host:port" of the client …
        self.peer = peer
        #: … and of the balancer between us, if there is one.
        self.via = ""
        #: When it came, in the server's milliseconds.
        self.since = since
        #: There is a link now, which tells its own end.
        self.linked = False


class Arrivals:
    """All connections of a server that are no links yet."""

    def __init__(self, server: SmppServer) -> None:
        self._server = server
        self._tasks: dict[asyncio.Task[None], Arrival] = {}

    def __repr__(self) -> str:
        return f"<Arrivals {len(self._tasks)} of them>"

    def take(self, port: Port, sock: socket.socket, name: Any) -> None:
        """A connection was accepted; `name` is the other end of its socket."""
        server = self._server
        server.stats.opened += 1
        address = plain(str(name[0]))
        behind = within(address, port.listener.proxy_from)
        peer = join_address(*name[:2])
        now = server.now()
        visitor, full = server.guard.enter(address, now, balancer=behind)
        if full is not None:
            self._refuse(visitor, full, peer)
            sock.close()
            return
        arrival = Arrival(visitor, peer, now)
        task = asyncio.get_running_loop().create_task(self._bring(port, sock, arrival, behind))
        self._tasks[task] = arrival
        task.add_done_callback(self._tasks.pop)

    def stop(self) -> None:
        """Whoever is no link by now will not become one."""
        for task, arrival in self._tasks.items():
            if not arrival.linked:
                task.cancel()

    # Inside ----------------------------------------------------------------------------------------------------------

    async def _bring(self, port: Port, sock: socket.socket, arrival: Arrival, behind: bool) -> None:
        server = self._server
        try:
            if behind:
                await self._hear_balancer(sock, arrival)
            if port.context is not None:
                await self._hear_client(sock, arrival)
            # Whatever the settings say by now.
            context = port.context
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Link(server, arrival),
                sock,
                ssl=context,
                ssl_handshake_timeout=None if context is None else self._left(arrival),
            )
        except Refused:
            pass
        except (OSError, EOFError) as error:
            self._lost(port, arrival, error)
        except Exception:
            log.exception("link failed", peer=arrival.peer, account="", link=0)
        finally:
            if not arrival.linked:
                sock.close()
                server.guard.leave(arrival.visitor, server.now(), bound=False)

    async def _hear_client(self, sock: socket.socket, arrival: Arrival) -> None:
        """Wait for the first octet: the buffers of TLS are 20 times what a silent connection costs without them."""
        try:
            async with asyncio.timeout(self._left(arrival)):
                await _readable(sock)
        except TimeoutError as error:
            raise ConnectionAbortedError("not a word in time") from error

    async def _hear_balancer(self, sock: socket.socket, arrival: Arrival) -> None:
        """Find out for whom the connection is, and count it as his."""
        server, guard = self._server, self._server.guard
        try:
            async with asyncio.timeout(self._left(arrival)):
                header = await _read_header(sock)
        except (ProxyError, TimeoutError) as error:
            server.stats.refused["proxy"] += 1
            reason = str(error) or "no whole header in time"
            if times := guard.tell(arrival.visitor, "proxy header refused", server.now()):
                log.warning("proxy header refused", peer=arrival.peer, reason=reason, times=times)
            raise Refused from error
        if header.local:
            return
        address, peer = None, UNNAMED
        if header.source is not None:
            address = plain(str(header.source[0]))
            peer = join_address(str(header.source[0]), header.source[1])
        visitor, full = guard.rename(arrival.visitor, address, server.now())
        if full is not None:
            self._refuse(visitor, full, peer, arrival.peer)
            raise Refused
        arrival.visitor, arrival.peer, arrival.via = visitor, peer, arrival.peer

    def _refuse(self, visitor: Visitor, full: Full, peer: str, via: str = "") -> None:
        server, guard = self._server, self._server.guard
        server.stats.refused[full.value] += 1
        if times := guard.tell(visitor, "connection refused", server.now()):
            log.warning(
                "connection refused",
                peer=peer,
                **_through(via),
                reason=full.value,
                connections=guard.connections,
                unbound=guard.unbound,
                times=times,
            )

    def _lost(self, port: Port, arrival: Arrival, error: Exception) -> None:
        """The connection went away, or the handshake failed."""
        server = self._server
        if port.context is None or isinstance(error, EOFError | ConnectionResetError | BrokenPipeError):
            # As load balancers do that look whether we live.
            log.debug("link closed before bind", peer=arrival.peer, how="lost", reason=why(error))
            return
        server.stats.refused["tls"] += 1
        if times := server.guard.tell(arrival.visitor, "tls handshake failed", server.now()):
            log.warning(
                "tls handshake failed",
                peer=arrival.peer,
                **_through(arrival.via),
                reason=why(error),
                times=times,
            )

    def _left(self, arrival: Arrival) -> float:
        """Seconds until it has to be a link."""
        server = self._server
        whole = server.config.session_init_timeout or _AT_MOST
        return max(whole - (server.now() - arrival.since) / 1000, 0.001)


def _through(via: str) -> dict[str, str]:
    """The balancer between us and the client, for the log."""
    return {"via": via} if via else {}


async def _readable(sock: socket.socket) -> None:
    """Return when something can be read, or the other end is gone."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock.fileno(), there.set)
    try:
        await there.wait()
    finally:
        loop.remove_reader(sock.fileno())


async def _read_header(sock: socket.socket) -> Header:
    """Read a header and not one octet more. Raises ProxyError, and EOFError where the balancer closes first."""
    loop = asyncio.get_running_loop()
    parser = Parser()
    while parser.header is None:
        data = await loop.sock_recv(sock, parser.wants)
        if not data:
            raise EOFError("closed within the PROXY header")
        parser.feed(data)
    return parser.header
