"""An adapter to copy, for an API that does not exist, with everything a real one has. It works and it is tested.

Copy this file to `smppbridge/providers/NAME.py` (`adapter = "NAME"` then finds it) or into a package of your own
(`adapter = "mycompany.sms.MyProvider"`), and go through it from the top; `docs/adding-a-provider.md` says what each
piece has to answer. In this place tell the next reader where the provider's documentation is, what `when_in_doubt`
is and why that is safe, and what the operator can do about the errors he will meet:

The imaginary service takes up to 50 messages in one JSON request and knows each by a `client_id` of ours: it answers a
second request with the same `client_id` like the first one and sends nothing, so in doubt a message is sent again. An
`unauthorized` or `no_credit` means that the provider is left alone for `breaker_pause`: mend the token or pay.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar

import httpx
import msgspec
from pydantic import Field, SecretStr

from pdu import MessageState

from ..config import Table
from ..model import Incoming, Kind, Message, Millis, Sms, StatusReport, Viber
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
    fixed,
)
from .reading import UNREADABLE, by_status, cost, cut, err, parts, retry_after

# Tables: literal, under the address of the provider's page that they come from. --------------------------------------

# https://docs.example.invalid/states: what is missing here becomes UNKNOWN.
STATES = {
    "queued": MessageState.ENROUTE,
    "sent": MessageState.ENROUTE,
    "delivered": MessageState.DELIVERED,
    "undelivered": MessageState.UNDELIVERABLE,
    "expired": MessageState.EXPIRED,
    "blocked": MessageState.REJECTED,
}

# https://docs.example.invalid/errors: what is missing here is doubt. `err` is what the client reads in the receipt.
ERRORS: Mapping[str, Callable[[str], Outcome]] = {
    "bad_number": lambda said: Refused(reason=said, err=249),
    "forbidden_text": lambda said: Refused(reason=said, err=253),
    "no_route": lambda said: Unable(reason=said, err=248),
    "no_credit": lambda said: Unable(reason=said, everything=True),
    "unauthorized": lambda said: Unable(reason=said, everything=True),
    "busy": lambda said: Temporary(reason=said),
}

# What travels: one struct for each object of the API. msgspec checks it while reading; what the provider may leave out
# has a default, what we do not need is left out here, and what only adorns the outcome may be anything. ---------------


class _Item(msgspec.Struct, omit_defaults=True):
    client_id: str
    to: str
    text: str
    channel: str
    sender: str = msgspec.field(default="", name="from")
    ttl: int = 0


class _Items(msgspec.Struct):
    messages: list[_Item]


class _Error(msgspec.Struct):
    code: str
    text: str = ""


class _Result(msgspec.Struct):
    client_id: str
    id: str = ""
    price: Any = None
    parts: Any = None
    error: _Error | None = None


class _Results(msgspec.Struct):
    results: list[_Result] = []
    #: Set when the request as a whole was refused.
    error: _Error | None = None


class _State(msgspec.Struct):
    client_id: str
    state: str
    id: str = ""
    error: Any = None
    time_ms: int = 0


class _Inbound(msgspec.Struct):
    id: str
    to: str
    text: str
    sender: str = msgspec.field(name="from")


class _Event(msgspec.Struct):
    """The body of a callback, and of an answer about states."""

    messages: list[_State] = []
    inbound: list[_Inbound] = []


class SkeletonSettings(Table):
    """The provider's own keys of `[providers.NAME]`.

    What is secret is a `SecretStr`: that is all it takes for it to be masked, and to be given as KEY_file or KEY_env.
    """

    base_url: str = Field(default="https://api.example.invalid", pattern=r"^https?://[^/\s]+$")
    token: SecretStr
    callback_secret: SecretStr = SecretStr("")


class Skeleton(Provider[SkeletonSettings]):
    """See the head of the module."""

    Settings = SkeletonSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.VIBER})
    when_in_doubt = WhenInDoubt.REPEAT
    batch = 50
    ask_batch = 50

    def rides_with(self, message: Message) -> Hashable:
        # Each message has its text, sender and channel to itself in a request, so all may share one.
        return 0

    def reference(self, message: Message) -> str:
        return str(message.number)

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        return self._post("/v1/messages", _Items([_item(message) for message in messages]))

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        try:
            answer = msgspec.json.decode(response.content, type=_Results)
        except UNREADABLE:
            return [by_status(response)] * len(messages)
        if answer.error:
            return [_failed(answer.error, response)] * len(messages)
        if not answer.results:
            return [by_status(response)] * len(messages)
        # By what identifies them, not by their order, unless the provider promises the order.
        results = {result.client_id: result for result in answer.results}
        return [_outcome(results.get(self.reference(message)), response) for message in messages]

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        return self._post("/v1/states", {"client_ids": [self.reference(message) for message in messages]})

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        # NotFound makes a message in doubt go out again: only an answer that certainly says so may become one.
        try:
            answer = msgspec.json.decode(response.content, type=_Event)
        except UNREADABLE:
            return [None] * len(messages)
        states = {state.client_id: state for state in answer.messages}
        found = [states.get(self.reference(message)) for message in messages]
        return [None if s is None else NotFound() if s.state == "never_seen" else _report(s) for s in found]

    def balance(self) -> httpx.Request:
        return self._post("/v1/balance", {})

    def balance_read(self, response: httpx.Response) -> str:
        if response.status_code != 200:
            raise ValueError(f"HTTP {response.status_code}")
        return response.text

    def callback(self, callback: Callback, now: Millis) -> Reply:
        # Fail closed: without a secret nobody can prove that he is the provider.
        secret = self.settings.callback_secret.get_secret_value().encode()
        right = hmac.new(secret, callback.body, hashlib.sha256).hexdigest()
        given = callback.headers.get("x-signature", "")
        if not secret or not hmac.compare_digest(given.encode(), right.encode()):
            raise BadCallback("the signature is missing or wrong", 403)
        try:
            event = msgspec.json.decode(callback.body, type=_Event)
        except UNREADABLE as error:
            raise BadCallback("not an event") from error
        incoming = [
            Incoming(provider=self.name, ref=one.id, source=one.sender, destination=one.to, text=one.text)
            for one in event.inbound
        ]
        return Reply(reports=[_report(state) for state in event.messages], incoming=incoming, body=b"OK")

    def _post(self, path: str, body: object) -> httpx.Request:
        headers = {
            "authorization": f"Bearer {self.settings.token.get_secret_value()}",
            "content-type": "application/json",
        }
        url = fixed(self.settings.base_url + path)
        return httpx.Request("POST", url, content=msgspec.json.encode(body), headers=headers)


def _item(message: Message) -> _Item:
    match message.command:
        case Sms(text=text):
            channel = "sms"
        case Viber(text=text):
            channel = "viber"
        case other:
            # Cannot happen: the engine gives an adapter only what stands in `kinds`.
            raise ValueError(f"{type(other).__name__} is not carried")
    return _Item(
        client_id=str(message.number),
        to=message.destination,
        text=text,
        channel=channel,
        sender=message.source,
        # Seconds, at least one.
        ttl=max(message.lifetime // 1000, 1),
    )


def _outcome(result: _Result | None, response: httpx.Response) -> Outcome:
    if result is None:
        return InDoubt(reason="the answer does not mention it")
    if result.error:
        return _failed(result.error, response)
    if not result.id:
        return InDoubt(reason="neither an id nor an error")
    return Sent(ref=result.client_id, cost=cost(result.price), parts=parts(result.parts))


def _failed(error: _Error, response: httpx.Response) -> Outcome:
    said = f"{cut(error.code, 50)}: {cut(error.text)}"
    meaning = ERRORS.get(error.code)
    outcome: Outcome = meaning(said) if meaning else InDoubt(reason=said)
    if isinstance(outcome, Temporary):
        return Temporary(reason=said, retry_after=retry_after(response))
    return outcome


def _report(state: _State) -> StatusReport:
    return StatusReport(
        state=STATES.get(state.state, MessageState.UNKNOWN),
        ref=state.client_id,
        err=err(state.error),
        at=state.time_ms,
        raw=cut(state.state, 50),
    )
