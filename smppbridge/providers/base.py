"""The contract between the engine and a provider's adapter.

An adapter is pure: messages → `httpx.Request`, `httpx.Response` → outcomes, callback → reports. It keeps no
connection, reads no clock, writes no log and retries nothing: pools, rate limits, retries, breakers and logs belong to
`smppbridge.dispatch`. An exception out of an adapter is a bug that loses nothing: the engine treats it as `InDoubt`
when it came after the request was written, and as `Temporary` before.

Writing one: copy `skeleton.py`, read `docs/adding-a-provider.md`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import httpx
import msgspec
from pydantic import BaseModel, SecretStr

from pdu import MessageState

from ..model import Incoming, Kind, Message, Millis, StatusReport

# What became of a message in a request -------------------------------------------------------------------------------


class Sent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The provider has it. `state` may already be final (an HLR answered at once)."""

    ref: str
    report: StatusReport | None = None
    cost: str = ""
    parts: int = 0


class Refused(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Not processed, and no provider would: the message itself is at fault (a bad number, a forbidden text)."""

    reason: str
    state: MessageState = MessageState.REJECTED
    err: int = 0


class Unable(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Not processed, and asking this provider again will not help; another may (no funds, no route, login)."""

    reason: str
    #: The `err` of the receipt if no other provider takes it either.
    err: int = 0
    #: True where the provider refuses everything (login, blocked): its breaker opens.
    everything: bool = False


class Temporary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Certainly not processed; worth another try later (overload, HTTP 429 or 503)."""

    reason: str
    #: Seconds the provider asked us to wait.
    retry_after: float | None = None


class InDoubt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """May have been processed (an unreadable 2xx, a time-out after the request was written)."""

    reason: str


Outcome: TypeAlias = Sent | Refused | Unable | Temporary | InDoubt


class NotFound(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Answer to a status question: the provider never got it. For a message in doubt: safe to send again."""

    reason: str = "not known to the provider"


class WhenInDoubt(StrEnum):
    """What to do with a message that may have been processed (ARCHITECTURE.md, promise 4)."""

    #: Send again: the provider recognises the idempotency key and will not do it twice.
    REPEAT = "repeat"
    #: Ask for its status; if the provider never got it, send again.
    ASK = "ask"
    #: It cannot be asked, but tells of its own accord, by a reference that is known before the answer: wait for that
    #: until validity and grace are over, then end as UNKNOWN.
    WAIT = "wait"
    #: Neither is possible: end as UNKNOWN. Never a second paid message by reflex.
    GIVE_UP = "give_up"


# Addresses -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def fixed(url: str) -> httpx.URL:
    """An address that is the same for every request, read once: httpx spends half of a request's time on that."""
    return httpx.URL(url)


# Callbacks -----------------------------------------------------------------------------------------------------------


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A request that a provider made to us, its body read whole (limited in size) and nothing else done to it."""

    method: str
    #: What stood after the provider's own path.
    path: str
    #: Raw, undecoded: some providers are not UTF-8.
    query: bytes
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    peer: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What to answer, once everything read from the callback is durable. No control character gets from the numbers and
    ids of an incoming message into the store or a PDU: a NUL ends a text in both."""

    reports: Sequence[StatusReport] = ()
    incoming: Sequence[Incoming] = ()
    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"

    def __post_init__(self) -> None:
        if self.incoming:
            msgspec.structs.force_setattr(self, "incoming", list(map(_named, self.incoming)))


def _named(one: Incoming) -> Incoming:
    names = {name: getattr(one, name) for name in ("ref", "source", "destination", "prefix", "reply_to")}
    wrong = {name: _NOT_IN_NAMES.sub("", value) for name, value in names.items() if _NOT_IN_NAMES.search(value)}
    return msgspec.structs.replace(one, **wrong) if wrong else one


_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f]")


class BadCallback(Exception):
    """Not one of the provider's: wrong signature, unreadable. Answered with `status`, kept nowhere."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


# The adapter ---------------------------------------------------------------------------------------------------------

S = TypeVar("S", bound=BaseModel)


class Provider(ABC, Generic[S]):
    """One configured provider. Below "what to override" is what an adapter writes; the rest it inherits."""

    #: The settings of `[providers.NAME]` beyond those every provider has (`config.ProviderConfig`).
    Settings: ClassVar[type[BaseModel]]
    #: What it can carry.
    kinds: ClassVar[frozenset[Kind]]
    # The next three may depend on the settings: then `__init__` says what holds for this one provider.
    #: What happens when an outcome is unknown, and why that is safe: say it in the adapter's docstring.
    when_in_doubt: WhenInDoubt = WhenInDoubt.GIVE_UP
    #: How many messages one request may carry at most.
    batch: int = 1
    #: How many status questions one request may carry; 0: the provider cannot be asked.
    ask_batch: int = 0

    def __init__(self, name: str, settings: S) -> None:
        self.name = name
        self.settings = settings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # What to override

    @abstractmethod
    def send(self, messages: Sequence[Message]) -> httpx.Request:
        """One request for all of them (as many as `batch`, all with the same `rides_with`)."""

    @abstractmethod
    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        """One outcome a message, in their order. The body is read, of any status and any content."""

    def rides_with(self, message: Message) -> Hashable:
        """Messages with an equal value may share a request. The default: none may."""
        return message.id

    def reference(self, message: Message) -> str:
        """What the provider will know it by, where that is known before the answer; empty where it is not."""
        return ""

    def answers(self, message: Message) -> bool:
        """Whether the provider sends this one only in answer to a message of the subscriber. If so, the engine looks
        for it before `send`: `message.progress.answers` is its `Incoming.ref`, empty if there is none."""
        return False

    def objection(self, message: Message) -> Refused | Unable | None:
        """What stands against a message before anything is sent: what the provider's documents rule out, so that no
        request has to be made to hear it. None: nothing. Asked after the engine has looked for what it `answers`."""
        return None

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        """Ask for the status of messages (by `progress.ref`, or `reference` for those in doubt)."""
        raise NotImplementedError(f"{type(self).__name__} cannot be asked")

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        """One answer a message, in their order; None where the answer tells nothing."""
        raise NotImplementedError(f"{type(self).__name__} cannot be asked")

    def balance(self) -> httpx.Request | None:
        """The cheapest question that proves login and reachability; None: there is none."""
        return None

    def balance_read(self, response: httpx.Response) -> str:
        """The balance in the provider's words. Raises ValueError with the provider's error."""
        return response.text

    def callback(self, callback: Callback, now: Millis) -> Reply:
        """Read what the provider sent us. Raises BadCallback."""
        raise BadCallback("this provider has no callback", 404)

    def transport(self, deliver: Any) -> httpx.AsyncBaseTransport | None:
        """A transport of its own, for a provider that lives in this process; `deliver(Callback)` calls us back."""
        return None

    def secrets(self) -> Sequence[str]:
        """Every value of the settings that must never be seen: masked in logs, errors and `explain`.

        The default: each `SecretStr`. Add what is made of them and looks different, such as the value of a Basic
        authorization header; forms of URL, JSON and XML need not be named.
        """
        values = (v.get_secret_value() for v in dict(self.settings).values() if isinstance(v, SecretStr))
        return tuple(value for value in values if value)
