"""A provider that outlives the gateway, remembers what it has processed, and misbehaves as told.

It is reached by `adapter = "http"` (`Provider.table`): one message a request, JSON, ids of its own or of ours, states
in the answer, when asked, or by callback. What is charged is counted by the number in the text (`ledger.number_in`).

A proof replaces `behave` by something worse; `take` is what an honest one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

from ..proof import Ground
from .cut import cut
from .ledger import number_in

TOKEN = "0123456789abcdef0123456789abcdef"
#: What signs the callbacks.
SECRET = "proof-of-the-provider"

TABLE = """
[providers.{name}]
adapter = "http"
kinds = ["sms"]
reference = "{{{{ id }}}}"
when_in_doubt = "{when_in_doubt}"
callback_token = "{token}"
timeout = "{timeout}"
retry_first = "100ms"
retry_max = "1s"
poll_first = "200ms"
poll_max = "1s"
breaker_pause = "1s"
max_in_flight = 32
secret = {{ key = "{secret}" }}
{more}

[providers.{name}.send]
url = "{scheme}://{host}:{port}/messages"
json = {{ id = "{{{{ id }}}}", to = "{{{{ destination | digits }}}}", text = "{{{{ text }}}}" }}

[providers.{name}.answer]
success.where = {{ "$.taken" = ["true"] }}
reason = "$.error"
state = "$.state"

[[providers.{name}.answer.errors]]
where = {{ "$.error" = ["busy"] }}
outcome = "temporary"

[[providers.{name}.answer.errors]]
where = {{ "$.error" = ["refused"] }}
outcome = "refused"

[providers.{name}.status]
url = "{scheme}://{host}:{port}/messages/{{{{ ref }}}}"

[providers.{name}.status_answer]
success.status = [200]
state = "$.state"
not_found.where = {{ "$.error" = ["unknown"] }}

[providers.{name}.callback]
ref = "$.id"
state = "$.state"
proof = {{ header = "x-signature", hmac = "sha256", key = "{{{{ secret.key }}}}" }}

[providers.{name}.states]
queued = "ENROUTE"
delivered = "DELIVERED"
failed = "UNDELIVERABLE"

[[routes]]
{route}
providers = ["{name}"]
"""


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def sends(self) -> bool:
        return self.method == "POST"

    async def answer(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection without a word."""
        cut(self.writer.transport)


@dataclass
class Taken:
    """A message that was processed."""

    id: str
    number: int
    #: How often the same id was sent; the first is charged.
    times: int = 1
    state: str = "delivered"


Behaviour: TypeAlias = "Callable[[Provider, Asked], Awaitable[None]]"


@dataclass
class Provider:
    """`recognises`: a second request with the same id is answered like the first one and not processed."""

    recognises: bool = True
    #: What the configuration calls it.
    name: str = "stub"
    behave: Behaviour = field(default=lambda provider, asked: provider.take(asked))
    #: What becomes of a message.
    state: str = "delivered"
    #: Where callbacks go; empty: nobody is told, and the state is asked for …
    callback: str = ""
    #: … if it does not stand in the answer.
    at_once: bool = False
    #: Number of the message → how often it was processed and charged.
    processed: Counter[int] = field(default_factory=Counter)
    messages: dict[str, Taken] = field(default_factory=dict)
    requests: int = 0
    repeated: int = 0
    asked: int = 0
    port: int = 0

    async def start(self, ground: Ground, port: int = 0, **options: Any) -> None:
        """Listen until the proof is over, or `close`."""
        ground.stack.push_async_callback(self.close)
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, **options)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        # It calls nobody by TLS; loading the authorities takes longer than everything else here.
        self._client = httpx.AsyncClient(trust_env=False, timeout=30, verify=False)  # noqa: S501

    async def close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await self._client.aclose()

    def table(
        self, *, when_in_doubt: str = "repeat", timeout: str = "3s", more: str = "", scheme: str = "http",
        host: str = "127.0.0.1", route: str = "",
    ) -> str:  # fmt: skip
        """The configuration that leads to it. `route`: lines for its route, which are to fit."""
        return TABLE.format(
            name=self.name,
            port=self.port,
            when_in_doubt=when_in_doubt,
            timeout=timeout,
            route=route,
            token=TOKEN,
            secret=SECRET,
            more=more,
            scheme=scheme,
            host=host,
        )

    # What an honest one does

    async def take(self, asked: Asked) -> None:
        if asked.sends:
            body = self.process(asked)
            await asked.answer(body)
        else:
            await asked.answer(*self.told(asked))

    def process(self, asked: Asked) -> bytes:
        """Do what a request says; the body of the answer."""
        return json.dumps(self.do(asked.json())).encode()

    def do(self, said: dict[str, Any]) -> dict[str, Any]:
        """Send one message, once where it is recognised; what is said of it."""
        id, number = str(said["id"]), number_in(said["text"])
        known = self.messages.get(id)
        if known and self.recognises:
            known.times += 1
            self.repeated += 1
        else:
            self.processed[number] += 1
            self.messages[id] = Taken(id, number, state=self.state)
            if self.callback:
                self.later(self.call(id, self.messages[id].state))
        said_at_once = {"state": self.messages[id].state} if self.at_once else {}
        return {"taken": True, "id": id, **said_at_once}

    def told(self, asked: Asked) -> tuple[bytes, str]:
        """The answer to a question for a status: its body, and the HTTP status."""
        self.asked += 1
        known = self.messages.get(asked.path.rpartition("/")[2])
        if known:
            return json.dumps({"id": known.id, "state": known.state}).encode(), "200 OK"
        return b'{"error": "unknown"}', "404 Not Found"

    async def call(self, id: str, state: str, *, path: str = "", key: str = SECRET) -> int:
        """A callback, once; the HTTP status, 0 where nobody answered."""
        path = path or f"/callback/{self.name}/{TOKEN}"
        body = json.dumps({"id": id, "state": state}).encode()
        signed = {"x-signature": hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}
        try:
            done = await self._client.post(self.callback + path, content=body, headers=signed)
        except httpx.TransportError:
            return 0
        return done.status_code

    def later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # How

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                request, *lines = head.rstrip().split("\r\n")
                method, path, _ = request.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.requests += 1
                await self.behave(self, Asked(method, path, headers, body, reader, writer))
        writer.close()
