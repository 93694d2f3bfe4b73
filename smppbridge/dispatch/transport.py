"""One request to a provider and its whole answer; every failure says whether the request may have arrived.

`Line.send` is all that the rest of dispatch knows of HTTP. Underneath is any `httpx.AsyncBaseTransport`: a provider's
own (the sandbox lives in this process), or pools of connections made here from the provider's configuration. A faster
transport is another `httpx.AsyncBaseTransport` in `connect`, and nothing else changes.

Why not `httpx.AsyncClient`: it adds cookies, redirects and authentication, all of which belong to the adapter, and a
third to the cost of a request. Why several pools: httpcore looks through all connections of a pool on every step of
every request, so one pool of a hundred is slower than one of ten; small ones side by side are not.

What can go wrong is one of two things (ARCHITECTURE.md, promise 4): `NotSent`, the provider certainly did
nothing, or `Unclear`, it may have. Whatever is not known to be the first is the second.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import certifi
import httpx

from ..config import ProviderConfig

#: Octets of a decoded answer. A longer one cannot be what an adapter expects.
MAX_ANSWER = 1_048_576

#: Connections in one pool.
_POOL = 8
#: Connections beyond `max_in_flight`: for status questions and for the balance.
_SPARE = 3
#: Seconds an idle connection is kept. Servers commonly close after 5 (Apache, Node.js), and a request that is written
#: while the server closes ends in doubt for nothing.
_KEEP_IDLE = 4.0

#: Raised before the first octet of a request is written. (A proxy's refusal to connect counts: nothing went past it.)
_BEFORE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)

#: Headers that speak of the body as it was on the wire, not as it is handed on.
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


class RequestFailed(Exception):
    """No answer. The text says why, for the log and the time-line."""


class NotSent(RequestFailed):
    """The request was certainly not processed."""


class Unclear(RequestFailed):
    """The request may have been processed."""


class Line:
    """The way to one provider."""

    def __init__(self, transport: httpx.AsyncBaseTransport, config: ProviderConfig) -> None:
        self._transport = transport
        self._timeouts = httpx.Timeout(
            config.timeout or None, connect=config.connect_timeout or None, pool=config.connect_timeout or None
        ).as_dict()
        # Connecting and the TLS handshake have `connect_timeout` each: with that on top, this one never strikes
        # before the request is written, and what it ends is rightly unclear.
        self._limit = config.timeout + 2 * config.connect_timeout if config.timeout else None

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body read. Raises NotSent or Unclear."""
        request.headers.setdefault("user-agent", _USER_AGENT)
        request.extensions = {"timeout": self._timeouts, **request.extensions}
        try:
            async with asyncio.timeout(self._limit):
                answer = await self._transport.handle_async_request(request)
                return await _read(request, answer)
        except RequestFailed:
            raise
        except _BEFORE as error:
            raise NotSent(_said(error)) from error
        except TimeoutError as error:
            raise Unclear(f"no whole answer within {self._limit:g} s") from error
        except Exception as error:
            # Whatever a transport raises: it is not known to have been raised before the request was written.
            raise Unclear(_said(error)) from error

    async def close(self) -> None:
        await self._transport.aclose()


async def _read(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    """The answer with its body in memory, and nothing left of the connection."""
    answer.request = request
    try:
        if answer.is_stream_consumed:
            return answer
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise Unclear(f"HTTP {answer.status_code} with an answer of more than {MAX_ANSWER} octets")
    finally:
        await answer.aclose()
    headers = [(name, value) for name, value in answer.headers.raw if name.lower().decode() not in _OF_THE_WIRE]
    return httpx.Response(
        answer.status_code, headers=headers, content=bytes(body), request=request, extensions=answer.extensions
    )


def _said(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


# Connections ---------------------------------------------------------------------------------------------------------


def connect(config: ProviderConfig) -> httpx.AsyncBaseTransport:
    """Pools for as many requests at once as the configuration allows. Nothing is opened before the first request."""
    context = _tls(config.verify)
    pools = -(-(config.max_in_flight + _SPARE) // _POOL)
    limits = httpx.Limits(max_connections=_POOL, max_keepalive_connections=_POOL, keepalive_expiry=_KEEP_IDLE)
    return Pools(
        [
            httpx.AsyncHTTPTransport(verify=context, trust_env=False, proxy=config.proxy, limits=limits)
            for _ in range(pools)
        ]
    )


class Pools(httpx.AsyncBaseTransport):
    """Several transports side by side: each request goes to the one with the fewest under way."""

    def __init__(self, pools: list[httpx.AsyncHTTPTransport]) -> None:
        self._pools = pools
        self._busy = [0] * len(pools)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        which = self._busy.index(min(self._busy))
        self._busy[which] += 1
        try:
            answer = await self._pools[which].handle_async_request(request)
        except BaseException:
            self._busy[which] -= 1
            raise
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        answer.stream = _Counted(answer.stream, self._busy, which)
        return answer

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()


class _Counted(httpx.AsyncByteStream):
    """The body of an answer: its connection is busy until the body is closed."""

    def __init__(self, stream: httpx.AsyncByteStream, busy: list[int], which: int) -> None:
        self._stream = stream
        self._busy = busy
        self._which = which
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        if self._open:
            self._open = False
            self._busy[self._which] -= 1
        await self._stream.aclose()


def _tls(verify: bool | Path) -> ssl.SSLContext:
    """One context for all pools of a provider: loading the authorities costs milliseconds and a megabyte."""
    if verify is False:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if verify is not True:
        return ssl.create_default_context(cafile=str(verify))
    known = ssl.get_default_verify_paths()
    # A small container may have no authorities at all: then those that come with httpx.
    there = known.cafile or (known.capath and any(Path(known.capath).iterdir()))
    return ssl.create_default_context(cafile=None if there else certifi.where())


def _user_agent() -> str:
    try:
        return f"smppbridge/{version('smppbridge')}"
    except PackageNotFoundError:
        return "smppbridge"


_USER_AGENT = _user_agent()
