"""Providers call us: `/callback/NAME/TOKEN`, answered only when what it said is durable.

Access fails closed: no token configured, no such provider, a wrong token and a peer outside the allowed networks all
look the same from outside (404), and the log says which it was, without the token. Anybody can reach this door, so
refusals take no more than a line a second in the log, after a first sixty; each line says how many there were.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..config import ProviderConfig, plain, within
from ..model import Incoming, Millis, StatusReport
from ..providers.base import BadCallback, Callback, Provider
from ..smpp.throttle import Throttle
from ..store.base import StoreFailed

#: By what a provider may call, and by what it is told that it may not (the others find nothing).
_METHODS = ("GET", "POST")
_NOT = ("HEAD", "PUT", "PATCH", "DELETE", "OPTIONS")

Report = Callable[[str, Sequence[StatusReport]], Awaitable[None]]
Receive = Callable[[str, Sequence[Incoming]], Awaitable[None]]


class BrokenOff(Exception):
    """The peer went away in the middle of the body."""


class NobodyReceives(Exception):
    """No account is set to receive a subscriber's message. The provider is to come again: an operator may mend it."""


class TooLarge(Exception):
    """The body is longer than `max_body`."""


class Callbacks:
    """The entrance for every configured provider."""

    def __init__(
        self,
        *,
        providers: dict[str, Provider[Any]],
        config: dict[str, ProviderConfig],
        report: Report,
        receive: Receive,
        clock: Callable[[], Millis],
        max_body: int,
    ) -> None:
        self.providers = providers
        self.config = config
        self._report = report
        self._receive = receive
        self._clock = clock
        self._max_body = max_body
        self._log = structlog.get_logger("callback")
        self._lines = Throttle(1, burst=60)
        #: Refused since the last line about it.
        self._silent = 0
        #: The same of those that could not be kept. While the disk is full every provider comes again and again, and
        #: the log may be on the same disk.
        self._unkept_lines = Throttle(1, burst=60)
        self._unkept = 0
        #: Counted for /metrics.
        self.taken = 0
        self.refused = 0

    def routes(self) -> list[Route]:
        paths = ("/callback/{name}/{token}", "/callback/{name}/{token}/{rest:path}")
        return [Route(path, self.answer, methods=[*_METHODS, *_NOT]) for path in paths]

    async def answer(self, request: Request) -> Response:
        """One callback, from the door to the answer."""
        if request.method not in _METHODS:
            self.refused += 1
            return Response(status_code=405, headers={"allow": ", ".join(_METHODS)})
        name = request.path_params["name"]
        peer = request.client.host if request.client else ""
        provider = self.providers.get(name)
        if provider is None or (why := self._closed(name, request.path_params["token"], peer)):
            self._refuse(name[:64], peer, why if provider else "no such provider")
            return Response(status_code=404)
        try:
            callback = Callback(
                method=request.method,
                path=request.path_params.get("rest", ""),
                query=request.scope["query_string"],
                headers=dict(request.headers),
                body=await _body(request, self._max_body),
                peer=peer,
            )
            return await self.take(provider, callback)
        except TooLarge:
            self._refuse(name, peer, f"more than {self._max_body} octets")
            return Response(status_code=413)
        except BrokenOff:
            self._refuse(name, peer, "it broke off")
            # Nobody reads it.
            return Response(status_code=400)

    def _refuse(self, name: str, peer: str, reason: str) -> None:
        self.refused += 1
        self._silent += 1
        if self._lines.take(self._clock()):
            times, self._silent = self._silent, 0
            self._log.warning("callback refused", provider=name, peer=peer, reason=reason, times=times)

    async def take(self, provider: Provider[Any], callback: Callback) -> Response:
        """What a provider's callback leads to; also the way in for a provider that lives in this process."""
        try:
            reply = provider.callback(callback, self._clock())
        except BadCallback as bad:
            self._refuse(provider.name, callback.peer, str(bad))
            return Response(status_code=bad.status)
        try:
            if reply.reports:
                await self._report(provider.name, reply.reports)
            if reply.incoming:
                await self._receive(provider.name, reply.incoming)
        except (StoreFailed, NobodyReceives) as failed:
            # Not kept: the provider is to come again.
            self._unkept += 1
            if self._unkept_lines.take(self._clock()):
                times, self._unkept = self._unkept, 0
                self._log.error("callback not kept", provider=provider.name, reason=str(failed), times=times)
            return Response(status_code=503)
        self.taken += 1
        return Response(reply.body, reply.status, media_type=reply.content_type)

    def _closed(self, name: str, token: str, peer: str) -> str:
        """Why this peer with this token may not come in; empty if it may."""
        config = self.config[name]
        if not config.callback_token:
            return "no callback_token configured"
        if not hmac.compare_digest(config.callback_token.encode(), token.encode()):
            return "wrong token"
        if config.callback_networks and not within(plain(peer), config.callback_networks):
            return "not in callback_networks"
        return ""


async def _body(request: Request, limit: int) -> bytes:
    body = bytearray()
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise BrokenOff
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise TooLarge
    return bytes(body)
