"""A provider that lives in this process: for the first five minutes, for tests and for measuring.

It carries every kind, needs nothing outside and sends nothing to anybody. `Sandbox` is an ordinary adapter; `Server`
is the provider behind it, reached by an `httpx` transport instead of a socket: it answers requests, remembers what it
took, and calls back with statuses. HLR look-ups are answered with data made up from the number. Ordinary destinations
are delivered after `status_delay`; some endings of a destination meet with something else (`ENDINGS` says it in full;
of an e-mail address the last four characters before the @ count):

    0001  at once         0006  overloaded      0011  early           0016  no route
    0002  late            0007  unanswered      0012  step by step    0017  garbled
    0003  rejected        0008  lost            0013  mute            0018  deleted
    0004  absent          0009  silent          0014  contradiction   0019  busy
    0005  expired         0010  unknown         0015  twice           0020  roaming
    0021  not on Viber

When in doubt a message is sent again (`WhenInDoubt.REPEAT`), and that is safe: the server knows a message by our id and
answers the second request like the first. What it remembers is bounded (`memory`) and gone with the process; asked for
a message that it handed out a reference for and has forgotten, it says what the destination says.

What can go wrong: HTTP 503 while more than `max_waiting` statuses wait for the gateway to take them.
"""

from __future__ import annotations

import asyncio
import hmac
import math
import random
import secrets
from collections.abc import Awaitable, Callable, Hashable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import httpx
import msgspec
from pydantic import Field, SecretStr

from pdu import MessageState

from ..config import Seconds, Table
from ..model import KIND_OF, Command, Hlr, HlrResult, Kind, Message, Millis, Progress, Sms, Stage, StatusReport
from .base import (
    BadCallback,
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
    WhenInDoubt,
)
from .reading import UNREADABLE, by_status

# Magic destinations --------------------------------------------------------------------------------------------------


class Wait(StrEnum):
    """When a status comes."""

    #: By callback, before the request is answered; it names the message by the reference alone.
    BEFORE = "before"
    #: In the answer to the request.
    ANSWER = "answer"
    #: After `status_delay`.
    STATUS = "status"
    #: After `status_delay` and `late`.
    LATE = "late"


class Fault(StrEnum):
    """What is wrong with an answer. The first three hit the whole request, so such messages ride alone."""

    #: HTTP 503 with Retry-After, `tries` times.
    OVERLOADED = "overloaded"
    #: No answer.
    SILENT = "silent"
    #: HTTP 200 and a page instead of JSON, the first time.
    GARBLED = "garbled"
    #: The message is refused, no provider would take it.
    REFUSED = "refused"
    #: This provider cannot do it, another may.
    UNABLE = "unable"
    #: The message is put off, `tries` times.
    BUSY = "busy"


class Status(msgspec.Struct, frozen=True):
    wait: Wait
    state: MessageState
    err: int = 0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination ending in `digits` meets with."""

    digits: str
    name: str
    says: str
    statuses: tuple[Status, ...] = (Status(Wait.STATUS, MessageState.DELIVERED),)
    fault: Fault | None = None
    #: Whether the message is taken in spite of the fault.
    taken: bool = False
    #: Whether the fault never ends.
    always: bool = False
    err: int = 0
    roaming: bool = False
    #: Messages of this kind alone meet with it; the others are delivered.
    only: Kind | None = None


#: Every magic destination. Error codes are those of smsc.ru's list: 6 absent subscriber, 248 no route.
ENDINGS: tuple[Ending, ...] = (
    Ending(
        digits="0001",
        name="at once",
        says="delivered, and the answer to the request says so already",
        statuses=(Status(Wait.ANSWER, MessageState.DELIVERED),),
    ),
    Ending(
        digits="0002",
        name="late",
        says="delivered after `late` more seconds",
        statuses=(Status(Wait.LATE, MessageState.DELIVERED),),
    ),
    Ending(digits="0003", name="rejected", says="refused by the answer: REJECTD", fault=Fault.REFUSED, always=True),
    Ending(
        digits="0004",
        name="absent",
        says="the subscriber is offline: UNDELIV, err 6",
        statuses=(Status(Wait.STATUS, MessageState.UNDELIVERABLE, 6),),
    ),
    Ending(
        digits="0005",
        name="expired",
        says="expires with the provider: EXPIRED",
        statuses=(Status(Wait.STATUS, MessageState.EXPIRED),),
    ),
    Ending(
        digits="0006",
        name="overloaded",
        says="HTTP 503 to the first `tries` requests, then delivered",
        fault=Fault.OVERLOADED,
    ),
    Ending(
        digits="0007",
        name="unanswered",
        says="taken, but the first request is never answered; a repetition is recognised; delivered once",
        fault=Fault.SILENT,
        taken=True,
    ),
    Ending(
        digits="0008",
        name="lost",
        says="the first request is never answered and the message is not taken; the next one is",
        fault=Fault.SILENT,
    ),
    Ending(digits="0009", name="silent", says="no request is ever answered", fault=Fault.SILENT, always=True),
    Ending(
        digits="0010",
        name="unknown",
        says="the status is UNKNOWN",
        statuses=(Status(Wait.STATUS, MessageState.UNKNOWN),),
    ),
    Ending(
        digits="0011",
        name="early",
        says="the callback that says delivered overtakes the answer to the request",
        statuses=(Status(Wait.BEFORE, MessageState.DELIVERED),),
    ),
    Ending(
        digits="0012",
        name="step by step",
        says="ENROUTE and ACCEPTD first, delivered after `late` more seconds",
        statuses=(
            Status(Wait.STATUS, MessageState.ENROUTE),
            Status(Wait.STATUS, MessageState.ACCEPTED),
            Status(Wait.LATE, MessageState.DELIVERED),
        ),
    ),
    Ending(digits="0013", name="mute", says="taken, and no status ever comes", statuses=()),
    Ending(
        digits="0014",
        name="contradiction",
        says="delivered, and after `late` seconds undeliverable",
        statuses=(Status(Wait.STATUS, MessageState.DELIVERED), Status(Wait.LATE, MessageState.UNDELIVERABLE, 6)),
    ),
    Ending(
        digits="0015",
        name="twice",
        says="delivered, and the status comes twice",
        statuses=(Status(Wait.STATUS, MessageState.DELIVERED), Status(Wait.STATUS, MessageState.DELIVERED)),
    ),
    Ending(
        digits="0016",
        name="no route",
        says="this provider cannot do it (err 248), another may",
        fault=Fault.UNABLE,
        always=True,
        err=248,
    ),
    Ending(
        digits="0017",
        name="garbled",
        says="taken, but the first answer is HTTP 200 with a page nobody can read; a repetition is recognised",
        fault=Fault.GARBLED,
        taken=True,
    ),
    Ending(
        digits="0018",
        name="deleted",
        says="deleted by the provider: DELETED",
        statuses=(Status(Wait.STATUS, MessageState.DELETED),),
    ),
    Ending(
        digits="0019",
        name="busy",
        says="this message alone is put off by the first `tries` answers, then delivered",
        fault=Fault.BUSY,
    ),
    Ending(digits="0020", name="roaming", says="delivered; an HLR look-up finds the subscriber abroad", roaming=True),
    Ending(
        digits="0021",
        name="not on Viber",
        says="undeliverable by Viber, delivered by any other channel",
        statuses=(Status(Wait.STATUS, MessageState.UNDELIVERABLE),),
        only=Kind.VIBER,
    ),
)

_ENDINGS = {ending.digits: ending for ending in ENDINGS}
_ALONE = {
    ending.digits for ending in ENDINGS if ending.fault in (Fault.OVERLOADED, Fault.SILENT, Fault.GARBLED)
}  # what hits the whole request must not hit the others in it


def ending_of(destination: str, kind: Kind) -> Ending | None:
    """What a destination meets with; None: it is delivered like any other."""
    ending = _ENDINGS.get(_last_four(destination))
    return None if ending is not None and ending.only not in (None, kind) else ending


def _last_four(destination: str) -> str:
    at = destination.find("@")
    return destination[-4:] if at < 0 else destination[:at][-4:]


# What travels between the two ----------------------------------------------------------------------------------------


class _Item(msgspec.Struct, gc=False):
    """A message in a request to send. `id` is `Message.number`, the key by which a repetition is recognised."""

    id: int
    to: str
    source: str
    priority: int
    command: Command


class _Answer(msgspec.Struct, gc=False, omit_defaults=True):
    """What became of an item: taken, if there is a reference, or what is wrong with it."""

    ref: str = ""
    cost: str = ""
    parts: int = 0
    report: StatusReport | None = None
    fault: Fault | None = None
    err: int = 0
    retry_after: float | None = None


class _Question(msgspec.Struct, gc=False, omit_defaults=True):
    """`ref` is empty where the answer that told it never came."""

    id: int
    to: str
    kind: Kind = Kind.SMS
    ref: str = ""


class _Statuses(msgspec.Struct, gc=False):
    """The body of a callback; the statuses are written as `StatusReport` is. None: not known."""

    statuses: list[StatusReport | None]


_encode = msgspec.json.Encoder().encode
_items = msgspec.json.Decoder(list[_Item]).decode
_answers = msgspec.json.Decoder(list[_Answer]).decode
_questions = msgspec.json.Decoder(list[_Question]).decode
_statuses = msgspec.json.Decoder(_Statuses).decode
_KEY = "x-sandbox-key"


# The adapter ---------------------------------------------------------------------------------------------------------


State: TypeAlias = Literal["delivered", "undeliverable", "expired", "rejected", "deleted", "unknown"]


class SandboxSettings(Table):
    #: How long the server thinks before it answers a request to send.
    accept_delay: Seconds = 0
    #: How long after the answer the status comes.
    status_delay: Seconds = 0.2
    #: What the late endings wait beyond that.
    late: Seconds = 30
    #: What becomes of ordinary destinations.
    state: State = "delivered"
    err: int = Field(default=0, ge=0, le=999)
    #: The share of ordinary destinations, 0 to 1, that end as `failure_state` instead; the same for the same `seed`.
    failures: float = Field(default=0, ge=0, le=1)
    failure_state: State = "undeliverable"
    failure_err: int = Field(default=6, ge=0, le=999)
    seed: int = 0
    #: Whether the destinations in `ENDINGS` are special.
    magic: bool = True
    #: How often the endings that get better fail first.
    tries: int = Field(default=2, ge=1)
    #: What one short message costs.
    price: str = Field(default="0.10", pattern=r"^\d{1,3}(\.\d{1,4})?$")
    #: Messages that are remembered, for repetitions and questions.
    memory: int = Field(default=50_000, ge=2)
    #: Statuses that have not been called back yet.
    max_waiting: int = Field(default=200_000, ge=1)
    #: Statuses in one callback.
    callback_size: int = Field(default=500, ge=1)
    #: What callbacks prove their origin with; empty: a key of this process that nobody else knows.
    callback_key: SecretStr = SecretStr("")


class Sandbox(Provider[SandboxSettings]):
    """Translates for the server below. See the head of the module."""

    Settings = SandboxSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    when_in_doubt = WhenInDoubt.REPEAT
    batch = 100
    ask_batch = 100

    _SEND = httpx.URL("http://sandbox.invalid/messages")
    _ASK = httpx.URL("http://sandbox.invalid/statuses")
    _BALANCE = httpx.URL("http://sandbox.invalid/balance")
    _JSON = httpx.Headers({"content-type": "application/json"})

    def __init__(self, name: str, settings: SandboxSettings) -> None:
        super().__init__(name, settings)
        self._key = settings.callback_key.get_secret_value() or secrets.token_hex(16)
        self._alone = _ALONE if settings.magic else frozenset[str]()

    def rides_with(self, message: Message) -> Hashable:
        return message.id if _last_four(message.destination) in self._alone else 0

    def reference(self, message: Message) -> str:
        return f"sb-{message.number}"

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        items = [_Item(m.number, m.destination, m.source, m.priority, m.command) for m in messages]
        return httpx.Request("POST", self._SEND, content=_encode(items), headers=self._JSON)

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        if response.status_code == 200:
            try:
                answers = _answers(response.content)
            except UNREADABLE:
                answers = []
            if len(answers) == len(messages):
                return [
                    Sent(ref=a.ref, cost=a.cost, parts=a.parts)
                    if a.ref and a.report is None and a.fault is None
                    else _special(a)
                    for a in answers
                ]
        return [by_status(response)] * len(messages)

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        questions = [_Question(m.number, m.destination, m.kind, _handed_out(m.progress)) for m in messages]
        return httpx.Request("POST", self._ASK, content=_encode(questions), headers=self._JSON)

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        if response.status_code == 200:
            try:
                statuses = _statuses(response.content).statuses
            except UNREADABLE:
                statuses = []
            if len(statuses) == len(messages):
                return [NotFound() if s is None else _sound(s) for s in statuses]
        return [None] * len(messages)

    def balance(self) -> httpx.Request:
        return httpx.Request("GET", self._BALANCE)

    def balance_read(self, response: httpx.Response) -> str:
        if response.status_code != 200:
            raise ValueError(f"HTTP {response.status_code}")
        return response.text

    def callback(self, callback: Callback, now: Millis) -> Reply:
        if not hmac.compare_digest(callback.headers.get(_KEY, "").encode(), self._key.encode()):
            raise BadCallback(f"without the right {_KEY}", 403)
        try:
            reports = [report for report in _statuses(callback.body).statuses if report is not None]
        except UNREADABLE as error:
            raise BadCallback("not a list of statuses") from error
        return Reply(reports=reports, body=b"OK")

    def transport(self, deliver: Deliver) -> Server:
        return Server(self.settings, deliver, self._key)

    def secrets(self) -> Sequence[str]:
        return (self._key,)


def _handed_out(progress: Progress) -> str:
    """The reference, if an answer told it: of a message in doubt it is only what the answer would have said."""
    return "" if progress.stage is Stage.DOUBT else progress.ref


def _special(answer: _Answer) -> Outcome:
    err = min(max(answer.err, 0), 999)
    match answer.fault:
        case Fault.REFUSED:
            return Refused(reason="refused by the sandbox", err=err)
        case Fault.UNABLE:
            return Unable(reason="the sandbox has no route", err=err)
        case Fault.BUSY:
            return Temporary(reason="put off by the sandbox", retry_after=answer.retry_after)
        case None if answer.ref:
            report = _sound(answer.report) if answer.report else None
            return Sent(ref=answer.ref, report=report, cost=answer.cost, parts=answer.parts)
    return InDoubt(reason="an answer without a reference")


def _sound(report: StatusReport) -> StatusReport | None:
    return report if 0 <= report.err <= 999 else None


# The server ----------------------------------------------------------------------------------------------------------

#: Takes a callback into the gateway; what it returns may tell an HTTP status by `status_code`.
Deliver = Callable[[Callback], Awaitable[Any]]

V = TypeVar("V")


class _Memory(Generic[V]):
    """The last `size` things by message id, at least half of them: two generations, the older one goes as a whole."""

    def __init__(self, size: int) -> None:
        self._half = max(size // 2, 1)
        self._young: dict[int, V] = {}
        self._old: dict[int, V] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, id: int) -> V | None:
        found = self._young.get(id)
        return self._old.get(id) if found is None else found

    def put(self, id: int, thing: V) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[id] = thing


class _Taken(msgspec.Struct, gc=False):
    """A message that the server took: what it answered, and what it says when asked, and from when on."""

    answer: _Answer
    statuses: Sequence[tuple[float, StatusReport]]


#: Statuses that fall into the same slot of this many seconds ride in one callback.
SLOT = 0.01
#: A callback that is not taken is made this often in all, a second apart, as other providers do.
CALLS = 5


class Server(httpx.AsyncBaseTransport):
    """Plays the provider's server. Time is the running loop's; nothing runs between a request and its callbacks."""

    def __init__(self, settings: SandboxSettings, deliver: Deliver, key: str) -> None:
        self.settings = settings
        self._deliver = deliver
        self._headers = {"content-type": "application/json", _KEY: key}
        self._taken: _Memory[_Taken] = _Memory(settings.memory)
        self._tries: _Memory[int] = _Memory(settings.memory)
        self._random = random.Random(settings.seed)  # noqa: S311 (a share of failures is no secret)
        self._state = MessageState[settings.state.upper()]
        self._failure_state = MessageState[settings.failure_state.upper()]
        self._costs: dict[int, str] = {}
        self._slots: dict[int, tuple[list[StatusReport], asyncio.TimerHandle]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        #: Statuses that the gateway has not taken yet.
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<sandbox Server {len(self._taken)} remembered, {self.waiting} statuses waiting>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        match request.url.path:
            case "/messages":
                return await self._send(_items(body), request)
            case "/statuses":
                now = asyncio.get_running_loop().time()
                found = [self._status(question, now) for question in _questions(body)]
                return httpx.Response(200, content=_encode(_Statuses(found)))
            case "/balance":
                return httpx.Response(200, content=b"1000000.00")
        return httpx.Response(404)

    async def aclose(self) -> None:
        """Statuses that have not been called back are gone, as after a crash of a real provider's notifier."""
        for _, timer in self._slots.values():
            timer.cancel()
        self._slots.clear()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    # Requests

    async def _send(self, items: list[_Item], request: httpx.Request) -> httpx.Response:
        if self.waiting + len(items) > self.settings.max_waiting:
            return httpx.Response(503, headers={"retry-after": "1"})
        if self.settings.accept_delay:
            await asyncio.sleep(self.settings.accept_delay)
        if len(items) == 1 and self.settings.magic:
            ending = _ending(items[0])
            if ending and ending.digits in _ALONE and self._fails(items[0], ending):
                return await self._break(items[0], ending, request)
        now = asyncio.get_running_loop().time()
        # Most messages of a request share the slot of their status: it is looked up once.
        slot = self._slot(now + self.settings.status_delay)
        answers = []
        for item in items:
            known = self._taken.get(item.id)
            ending = _ending(item) if self.settings.magic else None
            if known is not None:
                answers.append(known.answer)
            elif ending is None:
                answers.append(self._ordinary(item, now, slot))
            elif ending.fault and ending.digits not in _ALONE and self._fails(item, ending):
                retry_after = 1.0 if ending.fault is Fault.BUSY else None
                answers.append(_Answer(fault=ending.fault, err=ending.err, retry_after=retry_after))
            else:
                answers.append(await self._take(item, ending, now))
        return httpx.Response(200, content=_encode(answers))

    def _ordinary(self, item: _Item, now: float, slot: list[StatusReport]) -> _Answer:
        settings = self.settings
        state, err = self._state, settings.err
        if settings.failures and self._random.random() < settings.failures:
            state, err = self._failure_state, settings.failure_err
        answer = self._answer(item)
        hlr = _looked_up(item.to, state) if type(item.command) is Hlr else None
        report = StatusReport(state=state, ref=answer.ref, id=item.id, err=err, hlr=hlr)
        slot.append(report)
        self.waiting += 1
        self._taken.put(item.id, _Taken(answer, ((now + settings.status_delay, report),)))
        return answer

    async def _take(self, item: _Item, ending: Ending, now: float) -> _Answer:
        """Take a message with a magic destination, and see to its statuses."""
        answer = self._answer(item)
        statuses = []
        for status in ending.statuses:
            report = _report(item.id, item.to, answer.ref, type(item.command) is Hlr, status, ending)
            due = now + self._wait(status.wait)
            statuses.append((due, report))
            if status.wait is Wait.ANSWER:
                answer = msgspec.structs.replace(answer, report=report)
            elif status.wait is Wait.BEFORE:
                await self._call_back([msgspec.structs.replace(report, id=0)])
            else:
                self._slot(due).append(report)
                self.waiting += 1
        self._taken.put(item.id, _Taken(answer, statuses))
        return answer

    async def _break(self, item: _Item, ending: Ending, request: httpx.Request) -> httpx.Response:
        if ending.taken and self._taken.get(item.id) is None:
            await self._take(item, ending, asyncio.get_running_loop().time())
        match ending.fault:
            case Fault.OVERLOADED:
                return httpx.Response(503, headers={"retry-after": "1"})
            case Fault.GARBLED:
                return httpx.Response(200, content=b"<html>OK</html>")
        # httpx leaves its time-outs to the transport; without one the caller has its own.
        read = request.extensions.get("timeout", {}).get("read")
        if read is None:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(read)
        raise httpx.ReadTimeout("the sandbox does not answer", request=request)

    def _fails(self, item: _Item, ending: Ending) -> bool:
        """Whether this request for the message still meets with the ending's fault; counts it."""
        if ending.always:
            return True
        so_far = self._tries.get(item.id) or 0
        self._tries.put(item.id, so_far + 1)
        often = self.settings.tries if ending.fault in (Fault.OVERLOADED, Fault.BUSY) else 1
        return so_far < often

    def _status(self, question: _Question, now: float) -> StatusReport | None:
        """What the server says when asked; None: it never got that."""
        taken = self._taken.get(question.id)
        if taken is not None:
            statuses = taken.statuses
        elif not question.ref:
            return None
        else:
            ending = ending_of(question.to, question.kind) if self.settings.magic else None
            asked = ending.statuses if ending else (Status(Wait.STATUS, self._state, self.settings.err),)
            statuses = [
                (now, _report(question.id, question.to, question.ref, question.kind is Kind.HLR, status, ending))
                for status in asked
            ]
        reached = [report for due, report in statuses if due <= now]
        ref = taken.answer.ref if taken else question.ref
        return reached[-1] if reached else StatusReport(state=MessageState.ENROUTE, ref=ref, id=question.id)

    def _answer(self, item: _Item) -> _Answer:
        parts = _parts(item.command.text) if type(item.command) is Sms else 1
        cost = self._costs.get(parts)
        if cost is None:
            cost = self._costs[parts] = str(Decimal(self.settings.price) * parts)
        return _Answer(f"sb-{item.id}", cost, parts)

    def _wait(self, wait: Wait) -> float:
        match wait:
            case Wait.BEFORE | Wait.ANSWER:
                return 0
            case Wait.STATUS:
                return self.settings.status_delay
            case Wait.LATE:
                return self.settings.status_delay + self.settings.late

    # Callbacks

    def _slot(self, due: float) -> list[StatusReport]:
        """The statuses that are called back together at about `due`."""
        number = math.ceil(due / SLOT)
        found = self._slots.get(number)
        if found is None:
            timer = asyncio.get_running_loop().call_at(number * SLOT, self._ring, number)
            found = self._slots[number] = ([], timer)
        return found[0]

    def _ring(self, number: int) -> None:
        reports, _ = self._slots.pop(number)
        if reports:
            call = asyncio.get_running_loop().create_task(self._call_all(reports))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _call_all(self, reports: list[StatusReport]) -> None:
        size = self.settings.callback_size
        for start in range(0, len(reports), size):
            some = reports[start : start + size]
            try:
                await self._call_back(some)
            finally:
                self.waiting -= len(some)

    async def _call_back(self, reports: Sequence[StatusReport]) -> None:
        """One callback, made again while it is not taken. In the end the gateway still has its questions."""
        body = _encode(_Statuses(list(reports)))
        callback = Callback(method="POST", path="", query=b"", headers=self._headers, body=body, peer="sandbox")
        for call in range(CALLS):
            if call:
                await asyncio.sleep(1)
            try:
                answer = await self._deliver(callback)
            except Exception:  # noqa: S112 (the gateway logs its own errors; a caller only sees that it failed)
                continue
            if getattr(answer, "status_code", 200) < 500:
                return


def _ending(item: _Item) -> Ending | None:
    return ending_of(item.to, KIND_OF[type(item.command)])


def _report(id: int, to: str, ref: str, hlr: bool, status: Status, ending: Ending | None) -> StatusReport:
    roaming = ending is not None and ending.roaming
    found = _looked_up(to, status.state, roaming=roaming) if hlr else None
    return StatusReport(state=status.state, ref=ref, id=id, err=status.err, hlr=found)


def _parts(text: str) -> int:
    """Short messages that a text takes, near enough for a sandbox: ASCII stands for the GSM alphabet."""
    one, each = (160, 153) if text.isascii() else (70, 67)
    return 1 if len(text) <= one else -(-len(text) // each)


# HLR data ------------------------------------------------------------------------------------------------------------

#: Country code of the number → MCC, MNC, country, network. The longest that fits counts.
_NETWORKS = {
    "375": ("257", "01", "Belarus", "Unitary enterprise A1"),
    "380": ("255", "01", "Ukraine", "VF Ukraine"),
    "421": ("231", "01", "Slovakia", "Orange Slovensko"),
    "77": ("401", "02", "Kazakhstan", "Kcell"),
    "7": ("250", "02", "Russian Federation", "MegaFON open Joint Stock Company"),
}
_ELSEWHERE = ("001", "01", "Test country", "Test network")
_ABROAD = ("Slovakia", "Orange Slovensko", "421905")


def _looked_up(number: str, state: MessageState, *, roaming: bool = False) -> HlrResult:
    """What an HLR could say of a number: the same for the same number. Nothing is known of one that was not found."""
    if state is not MessageState.DELIVERED:
        return HlrResult()
    digits = "".join(d for d in number if d in "0123456789")
    code = next((code for code in sorted(_NETWORKS, key=len, reverse=True) if digits.startswith(code)), "")
    mcc, mnc, country, network = _NETWORKS.get(code, _ELSEWHERE)
    subscriber = digits[-10:].rjust(10, "0")
    rcn, rnet, exchange = _ABROAD if roaming else ("", "", f"{code or '999'}{subscriber[:3]}")
    return HlrResult(
        imsi=f"{mcc}{mnc}{subscriber}",
        msc=f"{exchange}{subscriber[-10:-5]}",
        mcc=mcc,
        mnc=mnc,
        cn=country,
        net=network,
        rcn=rcn,
        rnet=rnet,
    )
