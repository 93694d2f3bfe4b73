"""Messages, a clock to turn, a provider that does as it is told, and a dispatcher between them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from random import Random
from typing import Any, ClassVar, TypeAlias

import httpx
import msgspec
import pytest

from pdu import MessageState
from smppbridge.config import ProviderConfig, Route, Table
from smppbridge.dispatch.dispatcher import Dispatcher
from smppbridge.dispatch.routing import Router, carries
from smppbridge.lifecycle import Change
from smppbridge.model import Kind, Message, Millis, Notify, Progress, Receipt, Sms, Stage, StatusReport
from smppbridge.providers.base import (
    Callback,
    InDoubt,
    NotFound,
    Outcome,
    Provider,
    Refused,
    Reply,
    Sent,
    Temporary,
    Unable,
)
from smppbridge.store.base import Applied, StoreFailed
from smppbridge.store.memory import MemoryStore

START: Millis = 1_700_000_000_000
DAY: Millis = 86_400_000


def make_message(id: int = 1, *, stage: Stage = Stage.READY, due: Millis = START, **fields: Any) -> Message:
    """An accepted message; ordinary in everything that is not said."""
    defaults: dict[str, Any] = {
        "account": "demo",
        "bind": 1,
        "sequence": id,
        "kind": Kind.SMS,
        "command": Sms(text=f"a text nobody may see {id}"),
        "source": "SENDER",
        "source_ton": 5,
        "source_npi": 1,
        "destination": f"7999{id:07}",
        "destination_ton": 1,
        "destination_npi": 1,
        "priority": 0,
        "registered_delivery": 1,
        "notify": Notify.SMPP,
        "data_coding": 0,
        "pdu": b"",
        "accepted_at": START,
        "expires": START + DAY,
        "progress": Progress(stage=stage, due=due),
    }
    return Message(id=id, **(defaults | fields))


@pytest.fixture
def message() -> Callable[..., Message]:
    return make_message


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> Millis:
        return self.now


# The provider --------------------------------------------------------------------------------------------------------

#: A word for each message in a request, in their order, or one for all; a status; an exception; or something to await.
Answer: TypeAlias = str | Sequence[str] | httpx.Response | Exception | Awaitable[Any]

OUTCOMES: dict[str, Outcome] = {
    "refused": Refused(reason="a bad number", err=1, state=MessageState.UNDELIVERABLE),
    "unable": Unable(reason="no money", err=247),
    "everything": Unable(reason="wrong login with topsecret", everything=True),
    "temporary": Temporary(reason="overload"),
    "later": Temporary(reason="overload", retry_after=60),
    "doubt": InDoubt(reason="cannot be read"),
}
STATUSES: dict[str, StatusReport | NotFound | None] = {
    "delivered": StatusReport(state=MessageState.DELIVERED),
    "enroute": StatusReport(state=MessageState.ENROUTE),
    "unknown": StatusReport(state=MessageState.UNKNOWN),
    "not found": NotFound(),
    "nothing": None,
}


class Told(Provider[Table]):
    """Answers as it is told, one answer a request; when it was told nothing, it takes everything."""

    Settings = Table
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.VIBER})

    def __init__(self, name: str, **own: Any) -> None:
        super().__init__(name, Table())
        #: What is otherwise said by the class.
        self.__dict__.update(own)
        self.replies: list[Answer] = []
        self.answers_to_ask: list[Answer] = []
        self.balances: list[Answer] = []
        #: Ids of each request, in order.
        self.requests: list[list[int]] = []
        self.questions: list[list[int]] = []
        #: Messages as they were to be sent, and to be asked about, in order.
        self.views: list[Message] = []
        self.asked_about: list[Message] = []
        self.balance_asked = 0
        #: Called while a request is at the provider.
        self.meanwhile: Callable[[list[int]], Awaitable[None]] | None = None

    def rides_with(self, message: Message) -> Hashable:
        return message.kind

    def reference(self, message: Message) -> str:
        return f"key-{message.number}"

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        if any(message.source == "POISON" for message in messages):
            raise KeyError("a text nobody may see")
        self.views += messages
        return httpx.Request("POST", "http://told.test/send", json=[message.id for message in messages])

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        if response.status_code in (429, 503):
            after = response.headers.get("retry-after")
            return [Temporary(reason="busy", retry_after=float(after) if after else None)] * len(messages)
        words = response.json()
        return [
            Sent(ref=f"{self.name}-{message.number}") if word == "sent" else OUTCOMES[word]
            for message, word in zip(messages, words, strict=True)
        ]

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        self.asked_about += messages
        return httpx.Request("POST", "http://told.test/ask", json=[message.id for message in messages])

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        return [STATUSES[word] for word in response.json()]

    def balance(self) -> httpx.Request | None:
        return httpx.Request("GET", "http://told.test/balance") if self.balances else None

    def balance_read(self, response: httpx.Response) -> str:
        if response.json() != ["rich"]:
            raise ValueError("no balance")
        return "rich"

    def callback(self, callback: Callback, now: Millis) -> Reply:
        return Reply(reports=msgspec.json.decode(callback.body, type=list[StatusReport]))

    def transport(self, deliver: Any) -> httpx.AsyncBaseTransport | None:
        self.deliver = deliver
        return httpx.MockTransport(self._answer)

    def secrets(self) -> Sequence[str]:
        return ("topsecret",)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/balance":
            self.balance_asked += 1
            return await _as_told(self.balances, ["rich"], 1)
        ids = msgspec.json.decode(request.content, type=list[int])
        if request.url.path == "/ask":
            self.questions.append(ids)
            return await _as_told(self.answers_to_ask, "nothing", len(ids))
        self.requests.append(ids)
        if self.meanwhile:
            await self.meanwhile(ids)
        return await _as_told(self.replies, "sent", len(ids))


async def _as_told(answers: list[Answer], otherwise: Answer, count: int) -> httpx.Response:
    answer = answers.pop(0) if answers else otherwise
    if isinstance(answer, Awaitable):
        answer = await answer
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, httpx.Response):
        return answer
    return httpx.Response(200, json=[answer] * count if isinstance(answer, str) else list(answer))


# The store -----------------------------------------------------------------------------------------------------------


class Fragile(MemoryStore):
    """The memory store, but it can be told to fail."""

    def __init__(self) -> None:
        super().__init__()
        #: Whether this set of changes cannot be kept.
        self.fails: Callable[[Sequence[Change]], bool] = lambda changes: False
        self.applied: list[Change] = []

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        if self.fails(changes):
            raise StoreFailed("the disk is full", temporary=True)
        applied = await super().apply(changes, now)
        self.applied.extend(changes)
        return applied


# The road ------------------------------------------------------------------------------------------------------------


class Road:
    """A dispatcher with all that it needs. Use as `async with`."""

    def __init__(
        self,
        *providers: Told,
        config: dict[str, dict[str, Any]] | None = None,
        routes: Sequence[Route] = (),
        store: Fragile | None = None,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.store = store or Fragile()
        self.providers = {provider.name: provider for provider in providers}
        self.tables = {name: table(**(config or {}).get(name, {})) for name in self.providers}
        self.routes = routes or (Route(providers=tuple(self.providers)),)
        self.receipts: list[Receipt] = []
        self.options = options

    async def __aenter__(self) -> Road:
        await self.store.open()
        self.dispatcher = Dispatcher(
            config=self.tables,
            store=self.store,
            router=self.router(),
            providers=self.providers,
            clock=self.clock,
            on_receipts=self.receipts.extend,
            random=Random(1),  # noqa: S311
            **{"store_pause": 0.01} | self.options,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.dispatcher.close(0.1)
        await self.store.close()

    def router(self) -> Router:
        return Router(self.routes, carries(self.tables, self.providers))

    async def accept(self, *messages: Message, offer: bool = True) -> None:
        """As submission does it: durable first, then offered."""
        left = len(messages)
        done = asyncio.Event()

        def arrived(batch: Sequence[tuple[Message, Any]]) -> None:
            nonlocal left
            for message, verdict in batch:
                assert verdict is None
                if offer:
                    self.dispatcher.offer(message)
            left -= len(batch)
            if not left:
                done.set()

        for message in messages:
            self.store.accept(message, arrived)
        await done.wait()

    async def pass_time(self, milliseconds: int) -> None:
        """Turn the clock, and let happen what then happens."""
        self.clock.now += milliseconds
        self.dispatcher.wake()
        await self.quiet()

    async def quiet(self) -> None:
        """Let everything happen that needs nothing but turns of the loop."""
        for _ in range(200):
            await asyncio.sleep(0)

    async def progress(self, id: int) -> Progress:
        found = await self.store.find(id)
        assert found is not None
        return found.progress

    async def stage(self, id: int) -> Stage:
        return (await self.progress(id)).stage

    async def told(self, id: int) -> list[str]:
        """The events of the time-line."""
        return [entry.event for entry in await self.store.timeline(id)]

    async def why(self, id: int) -> str:
        """The last line of the time-line."""
        return (await self.store.timeline(id))[-1].detail


def table(**keys: Any) -> ProviderConfig:
    defaults = {"adapter": "told", "retry_first": 5, "retry_max": 600, "poll_first": 10, "grace": 3600, "batch_wait": 0}
    return ProviderConfig.model_validate(defaults | keys)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


@pytest.fixture
def road() -> type[Road]:
    return Road


@pytest.fixture
def told() -> type[Told]:
    return Told
