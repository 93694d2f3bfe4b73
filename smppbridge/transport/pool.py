"""Connections to a provider, as its configuration says: how many, by which way, whom to believe.

As many are opened as there are requests at once; the one that was used last is used next, and what has been idle for
4 s is closed. A request is written on a connection that was open a moment before, once; there is no second try.

What can go wrong before the first octet of the request is `NotSent`: no free connection in time, a name without an
address, nobody who listens, a certificate that is not believed, a proxy that refuses. After it, `connection.py` says.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeAlias

import certifi
import httpx
from aiohappyeyeballs import start_connection

from ..config import ProviderConfig
from .answer import response
from .connection import Connection
from .failures import NotSent, reason

#: Connections beyond those for messages and questions: for the balance.
_SPARE = 1
#: Seconds an idle connection is kept at most. Servers commonly close after 5 (Apache, Node.js), and a request that is
#: written while the server closes ends in doubt for nothing.
_KEEP_IDLE = 4.0
#: Seconds until the next address of a host is tried beside the first (RFC 8305 §5): one family may lead nowhere.
_NEXT_ADDRESS = 0.25

#: Scheme, host and port of a request: what a connection is for.
Origin: TypeAlias = tuple[str, str, int]

#: What frames a body is written here and not taken from the adapter.
_FRAMING = (b"content-length", b"transfer-encoding")
_WITH_BODY = ("POST", "PUT", "PATCH")
_PORTS = {"http": 80, "https": 443}


def _user_agent() -> bytes:
    try:
        return f"smppbridge/{version('smppbridge')}".encode()
    except PackageNotFoundError:
        return b"smppbridge"


_USER_AGENT = _user_agent()


def connect(config: ProviderConfig) -> Pool:
    """As many connections as the configuration allows. Nothing is opened before the first request."""
    proxy = Proxy(config.proxy) if config.proxy else None
    return Pool(tls(config.verify), proxy, config.max_in_flight + config.questions + _SPARE)


def to_anybody(at_once: int) -> Pool:
    """So many connections, to whatever hosts; certificates are checked against the system's authorities."""
    return Pool(tls(True), None, at_once)


class Proxy:
    """The way there: requests in plain text are given to it, those with TLS go through it (RFC 9110 §9.3.6)."""

    def __init__(self, address: str) -> None:
        """Raises ValueError, which does not say what the address is: it may hold a password."""
        try:
            url = httpx.URL(address)
            self.host, self.port = url.raw_host.decode(), url.port or _PORTS[url.scheme]
        except (httpx.InvalidURL, KeyError):
            raise ValueError("the address of the proxy cannot be read") from None
        #: Of the proxy itself, `https://`; whom to believe there has nothing to do with the provider.
        self.context = tls(True) if url.scheme == "https" else None
        self.headers: list[tuple[bytes, bytes]] = []
        if url.username or url.password:
            login = base64.b64encode(f"{url.username}:{url.password}".encode())
            self.headers.append((b"Proxy-Authorization", b"Basic " + login))


class Pool(httpx.AsyncBaseTransport):
    """Requests and answers are whole: nothing of a connection is left in an answer."""

    def __init__(self, context: ssl.SSLContext, proxy: Proxy | None, most: int) -> None:
        self._context = context
        self._proxy = proxy
        self._most = most
        self._free = asyncio.Semaphore(most)
        #: Every open connection; those that wait for a request, by what they are for, the one used last at the end.
        self._open: set[Connection] = set()
        self._idle: dict[Origin, list[Connection]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises NotSent or Unclear. Time-outs are those of `extensions["timeout"]`, in seconds: `pool` for a free
        connection, `connect` to open it with everything that belongs to it, `read` for the whole answer."""
        times = request.extensions.get("timeout", {})
        origin = _origin(request.url)
        octets = await self._octets(request)
        await self._wait(times.get("pool"))
        try:
            connection = self._take(origin) or await self._connect(origin, times.get("connect"))
            try:
                answer = await connection.exchange(octets, times.get("read"))
            finally:
                self._give_back(origin, connection)
        finally:
            self._free.release()
        if answer.status == 407 and self._proxy is not None:
            raise NotSent("the proxy answers HTTP 407")
        return response(*answer, request)

    async def aclose(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        gone = [connection.lost for connection in self._open]
        for connection in list(self._open):
            connection.abort()
        await asyncio.gather(*gone)

    # A request in octets ---------------------------------------------------------------------------------------------

    async def _octets(self, request: httpx.Request) -> bytes:
        body = await request.aread()
        url = request.url
        headers = [header for header in request.headers.raw if header[0].lower() not in _FRAMING]
        if not any(name.lower() == b"user-agent" for name, _ in headers):
            headers.append((b"User-Agent", _USER_AGENT))
        if body or request.method in _WITH_BODY:
            headers.append((b"Content-Length", b"%d" % len(body)))
        target = url.raw_path
        if self._proxy is not None and url.scheme == "http":
            target = b"http://%b%b" % (url.netloc, target)
            headers += self._proxy.headers
        return _head(request.method, target, headers) + body

    # Connections -----------------------------------------------------------------------------------------------------

    async def _wait(self, seconds: float | None) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise NotSent(f"no free connection within {seconds:g} s") from error

    def _take(self, origin: Origin) -> Connection | None:
        """An idle connection that is certainly still open."""
        idle = self._idle.get(origin, [])
        while idle:
            connection = idle.pop()
            if not connection.ended():
                return connection
            connection.abort()
        return None

    def _give_back(self, origin: Origin, connection: Connection) -> None:
        if self._closed or not connection.again:
            connection.abort()
            return
        connection.rested = False
        self._idle.setdefault(origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_KEEP_IDLE / 2, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle the last time already. Looking twice in `_KEEP_IDLE` spares each request the clock."""
        self._sweeper = None
        for origin, idle in list(self._idle.items()):
            kept = [connection for connection in idle if not connection.rested]
            for connection in idle:
                if connection.rested:
                    connection.abort()
                connection.rested = True
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        if self._idle:
            self._sweeper = asyncio.get_running_loop().call_later(_KEEP_IDLE / 2, self._sweep)

    def _make_room(self) -> None:
        """Those that wait for another host's requests must not keep this one's from being opened."""
        if len(self._open) >= self._most:
            for idle in self._idle.values():
                if idle:
                    idle.pop(0).abort()
                    return

    async def _connect(self, origin: Origin, seconds: float | None) -> Connection:
        """A new connection, ready for a request. Whatever happens until then is NotSent."""
        self._make_room()
        try:
            async with asyncio.timeout(seconds):
                connection = await self._way_to(*origin)
        except NotSent:
            raise
        except TimeoutError as error:
            raise NotSent(f"not connected within {seconds:g} s" if seconds else "not connected in time") from error
        except Exception as error:
            raise NotSent(f"not connected: {reason(error)}") from error
        if self._closed:
            connection.abort()
            raise NotSent("closed")
        return connection

    async def _way_to(self, scheme: str, host: str, port: int) -> Connection:
        context = self._context if scheme == "https" else None
        if self._proxy is None:
            return await self._reach(host, port, context)
        connection = await self._reach(self._proxy.host, self._proxy.port, self._proxy.context)
        if context is not None:
            await self._tunnel(self._proxy, connection, host, port, context)
        return connection

    async def _reach(self, host: str, port: int, context: ssl.SSLContext | None) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS)
        connection = Connection(self._open)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.create_connection(
                lambda: connection, sock=sock, ssl=context, server_hostname=host if context else None
            )
        except BaseException:
            connection.break_off()
            sock.close()
            raise
        return connection

    async def _tunnel(
        self, proxy: Proxy, connection: Connection, host: str, port: int, context: ssl.SSLContext
    ) -> None:
        try:
            target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
            status = await connection.tunnel(_head("CONNECT", target, [(b"Host", target), *proxy.headers]))
            if not 200 <= status < 300:
                raise NotSent(f"the proxy answers HTTP {status}")
            await connection.secure(context, host)
        except BaseException:
            connection.break_off()
            raise


def _origin(url: httpx.URL) -> Origin:
    if url.scheme not in _PORTS or not url.host:
        raise NotSent("the adapter's request has no http:// or https:// address")
    return url.scheme, url.raw_host.decode(), url.port or _PORTS[url.scheme]


def _head(method: str, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Raises NotSent where something in it would be read as more than one line."""
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target)]
    lines += [b"%b: %b" % header for header in headers]
    head = b"\r\n".join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(headers) or b"\0" in head:
        raise NotSent("the adapter's request has a header that cannot be written")
    return head + b"\r\n\r\n"


def tls(verify: bool | Path) -> ssl.SSLContext:
    """One context for all connections of a provider: loading the authorities costs milliseconds and a megabyte."""
    context = _context(verify)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _context(verify: bool | Path) -> ssl.SSLContext:
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if verify is not True:
        return ssl.create_default_context(cafile=str(verify))
    known = ssl.get_default_verify_paths()
    # A small container may have no authorities at all: then those that come with certifi.
    there = known.cafile or (known.capath and any(Path(known.capath).iterdir()))
    return ssl.create_default_context(cafile=None if there else certifi.where())
