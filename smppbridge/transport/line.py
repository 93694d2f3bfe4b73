"""`Line`: what a lane calls. The rules that hold for every transport are here, and only here.

Why the transport is called and not an `httpx.AsyncClient`: a client adds cookies, redirects and authentication, all of
which belong to the adapter, and costs several times the request itself.
"""

from __future__ import annotations

import asyncio

import httpx

from ..config import ProviderConfig
from .answer import MAX_ANSWER, response, too_long
from .failures import NotSent, RequestFailed, Unclear, reason
from .pool import Pool

#: What a transport of somebody else's raises before the first octet of a request is written. (A proxy's refusal to
#: connect counts: nothing went past it.)
_BEFORE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class Line:
    """The way to one provider."""

    def __init__(self, transport: httpx.AsyncBaseTransport, config: ProviderConfig) -> None:
        self._transport = transport
        self._timeouts = httpx.Timeout(
            config.timeout or None, connect=config.connect_timeout or None, pool=config.connect_timeout or None
        ).as_dict()
        # Our own pool keeps these times exactly, and that costs less. For the others: waiting for a connection and
        # opening it have `connect_timeout` each; with that on top, this one never strikes before the request is
        # written, and what it ends is rightly unclear.
        kept = isinstance(transport, Pool) or not config.timeout
        self._limit = None if kept else config.timeout + 2 * config.connect_timeout

    async def send(self, request: httpx.Request) -> httpx.Response:
        """The answer, its body read. Raises NotSent or Unclear."""
        own = request.extensions.get("timeout")
        request.extensions["timeout"] = {**self._timeouts, **own} if own else self._timeouts
        try:
            if self._limit is None:
                return await self._answer(request)
            async with asyncio.timeout(self._limit):
                return await self._answer(request)
        except RequestFailed:
            raise
        except _BEFORE as error:
            raise NotSent(reason(error)) from error
        except TimeoutError as error:
            raise Unclear(f"no whole answer within {self._limit:g} s") from error
        except Exception as error:
            # Whatever a transport raises: it is not known to have been raised before the request was written.
            raise Unclear(reason(error)) from error

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        return answer if answer.is_stream_consumed else await _read(request, answer)

    async def close(self) -> None:
        await self._transport.aclose()


async def _read(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
    """An answer that comes in pieces, with its body in memory, and nothing left of the connection."""
    body = bytearray()
    try:
        async for chunk in answer.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise too_long(answer.status_code)
    finally:
        await answer.aclose()
    return response(answer.status_code, answer.headers.raw, bytes(body), request)
