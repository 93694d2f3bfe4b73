"""uvicorn in our own loop: our sockets, our signals, our logs, and limits that nobody passes.

Anybody may reach this listener, and it shares its loop with SMPP. So what one turn costs is bounded (`Limits`): how
many connections there are, in all and from one address; how long each step of a request may take, whichever octets come
meanwhile; how much of a head, and how many requests behind one that is not answered. uvicorn closes an idle connection;
the rest it leaves to whoever stands in front, and here nobody has to.

What is beyond is cut off without an answer, counted, and told in the log: a line a second at most, after a first sixty.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..config import HttpConfig, plain
from ..smpp.guard import place_of
from ..smpp.listening import ListenFailed
from ..smpp.throttle import Throttle

#: Octets that may come one after the other and be no body: a head, or what is between its chunks.
_MOST = 65536
#: Fields of a head. Each becomes objects of Python, so that thousands of four octets take megabytes; a provider and the
#: proxies in front of us need about twenty.
_FIELDS = 100
#: Requests that may wait behind one that is not answered. No provider sends any: each is read in the turn of the first.
_PIPELINED = 16
#: A proxy on this machine speaks for many, and tells for whom.
_PROXIES = ("127.0.0.1", "::1")
#: Seconds between two looks at who takes too long.
_LOOK = 0.5


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What all connections together may take; 0 is unlimited."""

    connections: int = 0
    #: Of one address; of IPv6 a /64. A proxy on this machine has none.
    per_address: int = 0
    #: Seconds for each step of a request: until it is there whole, until it is answered, until the answer is read.
    request: float = 0
    #: Seconds until another request begins.
    idle: float = 5

    @classmethod
    def of(cls, config: HttpConfig) -> Limits:
        """As the settings say."""
        return cls(
            connections=config.max_connections,
            per_address=config.max_connections_per_address,
            request=config.request_timeout,
            idle=config.idle_timeout,
        )


_UNLIMITED = Limits()


class Door:
    """Who is connected, and who was not let in or sent off, by reason."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.connections: set[_Requests] = set()
        #: Counted for /metrics.
        self.refused: Counter[str] = Counter()
        self._addresses: Counter[str] = Counter()
        self._lines = Throttle(1, burst=60)
        self._silent = 0
        self._log = structlog.get_logger("http")

    def __repr__(self) -> str:
        return f"<Door {len(self.connections)} connections, {len(self._addresses)} addresses>"

    def enter(self, connection: _Requests) -> str:
        """Count a connection, unless it is one too many: then the limit's name."""
        limits = self.limits
        if limits.connections and len(self.connections) >= limits.connections:
            return "max_connections"
        of_it = self._addresses[connection.address]
        if limits.per_address and not connection.proxy and of_it >= limits.per_address:
            return "max_connections_per_address"
        self.connections.add(connection)
        self._addresses[connection.address] += 1
        return ""

    def leave(self, connection: _Requests) -> None:
        """It is gone, if it was ever counted."""
        if connection in self.connections:
            self.connections.remove(connection)
            self._addresses[connection.address] -= 1
            if not self._addresses[connection.address]:
                del self._addresses[connection.address]

    def refuse(self, address: str, reason: str, now: float) -> None:
        """Count, and tell once in a while."""
        self.refused[reason] += 1
        self._silent += 1
        if self._lines.take(now * 1000):
            times, self._silent = self._silent, 0
            self._log.warning("connection cut off", address=address, reason=reason, times=times)

    def look(self, now: float) -> None:
        """Cut off who takes longer than `Limits.request`."""
        for connection in [one for one in self.connections if one.due <= now]:
            connection.cut("request_timeout")


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """uvicorn writes a line for each request that is none, and anybody can send some: they are told as the rest is."""

    def __init__(self, logger: logging.Logger, refuse: Callable[[str], None]) -> None:
        super().__init__(logger)
        self._refuse = refuse

    @property
    def level(self) -> int:
        return self.logger.level

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self._refuse("no_http")


class _Requests(HttpToolsProtocol):
    """Twice as fast as uvicorn's other reader of requests, which however reads no head without end."""

    _unread = 0
    #: The head is over: what reads like a field of it is one of the trailers.
    _trailing = False

    def __init__(self, door: Door, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._door = door
        self.address = ""
        #: It comes from this machine. (`address` does not say so: of IPv6 it is a network.)
        self.proxy = False
        #: Until when it has to be further than it is.
        self.due = float("inf")
        self.logger = _Quiet(self.logger, self._complained)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = plain(self.client[0]) if self.client else None
        self.address = place_of(address)
        self.proxy = str(address) in _PROXIES
        self._further()
        if full := self._door.enter(self):
            self.cut(full)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self)
        super().connection_lost(exc)

    def cut(self, reason: str) -> None:
        """Not another octet, in or out."""
        self.due = float("inf")
        self._refuse(reason)
        self.transport.abort()

    def _refuse(self, reason: str) -> None:
        self._door.refuse(self.address, reason, self.loop.time())

    def _complained(self, reason: str) -> None:
        # After a cut it complains of what it could not read any more.
        if not self.transport.is_closing():
            self._refuse(reason)

    def _further(self) -> None:
        if seconds := self._door.limits.request:
            self.due = self.loop.time() + seconds

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > _MOST and not self.transport.is_closing():
            self.cut("head")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._trailing = False
        self._further()
        if len(self.pipeline) >= _PIPELINED:
            self.cut("pipelining")
            # The parser would go through all that has been read already.
            raise _TooMany

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._trailing:
            # uvicorn would add it to the head. A proxy passes a trailer on as it came, and so a client would have the
            # last word in X-Forwarded-For, behind the proxy's own.
            return
        if len(self.headers) >= _FIELDS:
            self.cut("head")
            raise _TooMany
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread = 0
        self._trailing = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._further()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._further()
        super().on_response_complete()


class _TooMany(Exception):
    """Ends the reading of a connection that was cut."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The gateway has its own signals."""
        yield


class Listener:
    """One HTTP listener, from bind to close."""

    def __init__(self, server: _Server, task: asyncio.Task[None], address: str, door: Door) -> None:
        self._server = server
        self._task = task
        self._looker = asyncio.get_running_loop().create_task(_look(door))
        self.address = address
        self.door = door

    @classmethod
    async def start(cls, web: ASGIApp, listen: str, limits: Limits = _UNLIMITED) -> Listener:
        """Listen on "host:port" (port 0: any) and serve. Raises ListenFailed."""
        door = Door(limits)
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sock = socket.create_server((host, int(port)), family=family)
        except OSError as error:
            raise ListenFailed.of(listen, error) from error
        sock.setblocking(False)
        # Taken on by every connection: an answer's head and body must not wait 40 ms for each other.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = f"[{host}]" if family == socket.AF_INET6 else host
        settings = uvicorn.Config(
            web,
            http=partial(_Requests, door),  # type: ignore[arg-type]
            # A library that happens to be installed would take over the connection, and nobody would count it out.
            ws="none",
            # Not left to the environment: who is believed is who stands on this machine.
            forwarded_allow_ips=list(_PROXIES),
            timeout_keep_alive=limits.idle,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = _Server(settings)
        task = asyncio.get_running_loop().create_task(server.serve(sockets=[sock]))
        return cls(server, task, f"{shown}:{sock.getsockname()[1]}", door)

    async def stop(self) -> None:
        """Finish what is being answered, then close."""
        self._server.should_exit = True
        await self._task
        self._looker.cancel()


async def _look(door: Door) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_LOOK)
        door.look(loop.time())
