"""The HTTP server around the vendors: `/NAME/…` is a vendor, everything else is for whoever rehearses.

    GET  /                      what was sent, and forms to write as a subscriber and to misbehave
    GET  /requests.json         the last requests, newest first; ?vendor=NAME for one vendor
    GET  /messages.json         the messages that were processed, and the counts
    GET  /counts/NAME           the counts of one vendor
    POST /incoming/NAME         {"source", "destination", "text", "prefix", "data"}: a subscriber writes
    PUT  /misbehave/NAME        {"fault", "times", "requests", "processed", "seconds"}: see mischief.py

It listens on this machine and asks nobody who he is: what it holds is a rehearsal. Passwords are hidden all the same,
because somebody will aim a real configuration at it some day.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from . import page
from .iba import Iba
from .infobip import Infobip
from .mischief import Fault, Misbehaviour
from .naimar import Naimar
from .omnicell import Omnicell
from .pushes import Pusher
from .smsc import Smsc
from .smsgate import Smsgate
from .twilio import Twilio
from .vendor import Answer, Asked, Push, Reply, Settings, Vendor, remember

VENDORS: tuple[type[Vendor], ...] = (Smsc, Omnicell, Smsgate, Iba, Naimar, Twilio, Infobip)

#: Octets of a request that are read.
MAX_BODY = 1_048_576

#: Characters of a field or an answer that are kept for the page, and fields of a request.
SHOWN = 2000
SHOWN_FIELDS = 100

_SECRET = re.compile(r"pass|pwd|psw|apikey|token|authorization|billkey", re.IGNORECASE)
_GARBLED = b"<html><body>OK<br></html>"


class Seen(msgspec.Struct, kw_only=True):
    """A request, and what came of it."""

    vendor: str
    at: float
    method: str
    path: str
    purpose: str
    fields: dict[str, str]
    status: int = 0
    answer: str = ""
    fault: str = ""


class Simulator:
    """An ASGI application. `close` ends what is under way."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.vendors: dict[str, Vendor] = {kind.name: kind(settings) for kind in VENDORS}
        self._seen: dict[str, deque[Seen]] = {kind.name: deque(maxlen=settings.shown) for kind in VENDORS}
        self.pushes: dict[str, Push] = {}
        self._clock = clock
        self._pusher = Pusher(settings)
        self._last: dict[str, Answer] = {}
        self._closing = asyncio.Event()
        self._pages = self._build_pages()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, _, path = scope.get("path", "").lstrip("/").partition("/")
        vendor = self.vendors.get(name)
        if vendor is None or scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        await self._play(vendor, f"/{path}", scope, receive, send)

    async def close(self) -> None:
        """Let go of requests that are never answered, and stop pushing."""
        self._closing.set()
        await self._pusher.close()

    async def settled(self) -> None:
        """Until every push has been taken or given up."""
        await self._pusher.settled()

    # A vendor

    async def _play(self, vendor: Vendor, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        asked = await self._read(path, scope, receive)
        if asked is None:
            await Response(status_code=413)(scope, receive, send)
            return
        purpose = vendor.purpose(asked)
        vendor.counts.requests += 1
        order = vendor.mischief.next(purpose)
        seen = Seen(
            vendor=vendor.name,
            at=asked.now,
            method=asked.method,
            path=path,
            purpose=purpose.value,
            fields=_shown(vendor.fields(asked)),
            fault=order.fault.value if order and order.fault else "",
        )
        self._seen[vendor.name].append(seen)
        answer = Answer(status=500, body=b"Internal Server Error")
        if order is None or order.processes:
            answer = self._processed(vendor, asked, partial=order is not None and order.fault is Fault.PARTIAL)
        if order is not None:
            spoiled = await self._spoil(vendor, order, answer, receive)
            if spoiled is None:
                seen.answer = "none"
                return
            answer = spoiled
        self._last[vendor.name] = answer
        seen.status, seen.answer = answer.status, answer.body.decode("utf-8", "replace")[:SHOWN]
        headers = {**answer.headers, "content-type": answer.content_type}
        await Response(answer.body, answer.status, headers)(scope, receive, send)

    def _processed(self, vendor: Vendor, asked: Asked, *, partial: bool) -> Answer:
        vendor.partial = partial
        answer = vendor.answer(asked)
        vendor.partial = False
        for push in vendor.pushes:
            self.push(push)
        vendor.pushes.clear()
        return answer

    async def _spoil(self, vendor: Vendor, order: Misbehaviour, answer: Answer, receive: Receive) -> Answer | None:
        """What goes out instead; None: nothing does, and the connection is gone."""
        match order.fault:
            case Fault.ERROR:
                return Answer(status=500, body=b"Internal Server Error")
            case Fault.BUSY:
                return Answer(status=429, headers={"retry-after": f"{order.seconds:.0f}"})
            case Fault.RESET:
                _reset(receive)
                return None
            case Fault.TIMEOUT:
                await self._keep_waiting(receive)
                return None
            case Fault.SLOW:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), order.seconds)
                return answer
            case Fault.GARBLED:
                return Answer(body=_GARBLED, content_type="text/html")
            case Fault.EMPTY:
                return Answer()
            case Fault.WRONG:
                return self._last.get(vendor.name, Answer())
        return answer

    async def _keep_waiting(self, receive: Receive) -> None:
        """Until the other side goes away, or we do."""
        gone, closing = asyncio.ensure_future(receive()), asyncio.ensure_future(self._closing.wait())
        await asyncio.wait((gone, closing), return_when=asyncio.FIRST_COMPLETED)
        for one in (gone, closing):
            one.cancel()
        await asyncio.gather(gone, closing, return_exceptions=True)
        _reset(receive)

    async def _read(self, path: str, scope: Scope, receive: Receive) -> Asked | None:
        """The request, whole; None: it is too long, or it broke off and nobody reads the answer."""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                return None
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        address = f"http://{headers.get('host', '')}{scope.get('raw_path', b'').decode('latin-1')}"
        return Asked(
            method=scope["method"],
            path=path,
            now=self._clock(),
            query=scope["query_string"],
            headers=headers,
            body=bytes(body),
            url_length=len(address) + 1 + len(scope["query_string"]),
        )

    def push(self, push: Push) -> None:
        """Make it, in the background."""
        remember(self.pushes, f"{push.vendor} {push.what} {push.ref} {push.query}", push, self.settings.shown)
        self._pusher.push(push)

    # For whoever rehearses

    def write(self, name: str, reply: Reply) -> Push | None:
        """A subscriber writes; None: the vendor has no such thing."""
        push = self.vendors[name].incoming(reply, self._clock())
        if push is not None:
            self.push(push)
        return push

    def seen(self, name: str = "") -> list[Seen]:
        """The last requests, newest first: of one vendor or of all."""
        found = self._seen.get(name, ()) if name else (one for some in self._seen.values() for one in some)
        return sorted(found, key=lambda one: one.at, reverse=True)

    def messages(self) -> dict[str, Any]:
        """What /messages.json says."""
        now = self._clock()
        return {
            "counts": {name: msgspec.to_builtins(vendor.counts) for name, vendor in self.vendors.items()},
            "messages": [
                {
                    "vendor": name,
                    "id": message.id,
                    "client_id": message.client_id,
                    "to": message.to,
                    "source": message.source,
                    "what": message.what,
                    "text": message.text,
                    "at": message.at,
                    "state": message.state(now),
                }
                for name, vendor in self.vendors.items()
                for message in list(vendor.messages.values())[-self.settings.shown :]
            ],
            "pushes": [
                {"vendor": push.vendor, "what": push.what, "ref": push.ref, "tries": push.tries, "taken": push.done}
                for push in self.pushes.values()
            ],
        }

    def _build_pages(self) -> FastAPI:
        web = FastAPI(title="smppbridge simulate", openapi_url=None)

        @web.get("/", response_class=HTMLResponse)
        async def look() -> str:
            return page.render(self.vendors, self.seen(), self.pushes.values(), self._clock())

        @web.get("/requests.json")
        async def requests(vendor: str = "") -> JSONResponse:
            return JSONResponse([msgspec.to_builtins(one) for one in self.seen(vendor)])

        @web.get("/messages.json")
        async def messages() -> JSONResponse:
            return JSONResponse(self.messages())

        @web.get("/counts/{name}")
        async def counts(name: str) -> JSONResponse:
            self._known(name)
            return JSONResponse(msgspec.to_builtins(self.vendors[name].counts))

        @web.post("/incoming/{name}")
        async def incoming(name: str, request: Request) -> Response:
            self._known(name)
            by_form, values = await _values(request)
            try:
                push = self.write(name, msgspec.convert(values, Reply))
            except msgspec.ValidationError as error:
                raise HTTPException(422, str(error)) from None
            if push is None:
                raise HTTPException(404, "this vendor has no messages of subscribers")
            return _back() if by_form else JSONResponse({"ref": push.ref}, 202)

        @web.api_route("/misbehave/{name}", methods=["PUT", "POST"])
        async def misbehave(name: str, request: Request) -> Response:
            self._known(name)
            by_form, values = await _values(request)
            try:
                # An empty field of a form is one that was not filled in.
                order = Misbehaviour.model_validate({"fault": None, **values} if by_form else values)
            except ValidationError as error:
                raise HTTPException(422, str(error)) from None
            self.vendors[name].mischief.set(order)
            return _back() if by_form else Response(status_code=204)

        return web

    def _known(self, name: str) -> None:
        if name not in self.vendors:
            raise HTTPException(404, f"there is no vendor {name[:40]}; there are: {', '.join(self.vendors)}")


def _shown(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        name[:SHOWN]: "***" if _SECRET.search(name) else text[:SHOWN]
        for name, text in islice(fields.items(), SHOWN_FIELDS)
    }


def _reset(receive: Receive) -> None:
    """End the connection with an RST. An application is told nothing of its connection; uvicorn's `receive` is a method
    of the object that has it."""
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None or transport.is_closing():
        return
    with contextlib.suppress(OSError):
        # Lingering for no time at all is what makes an RST of it.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _values(request: Request) -> tuple[bool, dict[str, Any]]:
    """What was sent, and whether a form sent it."""
    body = await request.body()
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    # curl -d calls everything a form.
    if form and not body.lstrip().startswith(b"{"):
        return True, {name: value for name, value in parse_qsl(body.decode("utf-8", "replace")) if value}
    try:
        values = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise HTTPException(400, "JSON is expected") from None
    if not isinstance(values, dict):
        raise HTTPException(400, "an object is expected")
    return False, values


def _back() -> Response:
    return RedirectResponse("/", 303)
