"""What every vendor is made of.

A vendor is pure: `answer` reads one request and says what goes back; what it wants to tell of its own accord it leaves
in `pushes`. Time comes with the request (`Asked.now`, seconds since 1970-01-01 UTC) and nothing is random, so that the
same requests at the same times have the same answers.

`Counts.processed` is what would have been charged. A test that breaks an answer on its way proves by it that nothing
was sent, and so paid, a second time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from lxml import etree

from pdu import split_text

from .mischief import Mischief

#: Who may send, with every vendor.
LOGIN = "demo"
PASSWORD = "demo"  # noqa: S105 - a login that everybody knows is no secret
#: What the vendor that signs signs with.
SECRET = "demo-secret"  # noqa: S105 - the same


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the rehearsal goes. Times are seconds."""

    #: The gateway's HTTP listener; empty: nothing is pushed.
    callback: str = ""
    #: The `callback_token` of every provider in conf/rehearsal.toml.
    token: str = "demo-callback-token"  # noqa: S105 - the same
    #: From the acceptance of a message to its delivery; half of it until it is on its way.
    delay: float = 1.0
    #: How long the smsgate platform and smsc refuse a request that is identical to one before.
    minute: float = 60.0
    #: Until a push that was not answered is made again (the vendors: minutes to an hour), and how often at most.
    retry: float = 2.0
    tries: int = 24
    #: Messages and requests that each vendor remembers.
    memory: int = 10_000
    shown: int = 200

    def handler(self, vendor: str) -> str:
        """The address that one would enter with the vendor."""
        return f"{self.callback.rstrip('/')}/callback/{vendor}/{self.token}"


# What travels --------------------------------------------------------------------------------------------------------


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request, its body read whole. `path` begins behind the vendor's own part of the address."""

    method: str
    path: str
    now: float
    query: bytes = b""
    #: Names in lower case.
    headers: Mapping[str, str] = {}
    body: bytes = b""
    #: Length of the whole address, for the vendor that limits it.
    url_length: int = 0

    def pairs(self) -> dict[str, bytes]:
        """Query and form, not decoded into text yet."""
        form = self.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        return {**read_pairs(self.query), **(read_pairs(self.body) if form else {})}


class Answer(msgspec.Struct, kw_only=True):
    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: dict[str, str] = {}


class Push(msgspec.Struct, kw_only=True):
    """A request that a vendor makes to the gateway, until `taken` says that it was answered as it should be."""

    vendor: str
    #: "status" or "message".
    what: str
    ref: str
    method: str
    taken: Callable[[int, bytes], bool]
    #: Seconds from now.
    after: float = 0
    query: str = ""
    body: bytes = b""
    content_type: str = ""
    headers: dict[str, str] = {}
    #: Where to, if the request that was answered said so; empty: to the handler.
    url: str = ""
    tries: int = 0
    done: bool = False
    #: What came back last, for the page.
    last: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber sends to us (MO)."""

    source: str
    destination: str
    text: str
    prefix: str = ""
    #: Hexadecimal: binary data instead of a text, user data header first.
    data: str = ""


# What a vendor remembers ---------------------------------------------------------------------------------------------


class Step(msgspec.Struct, frozen=True):
    """A state in the vendor's own words, so many delays after the acceptance."""

    after: float
    state: str
    err: int = 0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a destination that ends in `digits` meets with: an error in the answer, or a course of its own."""

    digits: str
    says: str
    error: str = ""
    steps: tuple[Step, ...] = ()


class Taken(msgspec.Struct, kw_only=True):
    """A message that the vendor has processed."""

    id: str
    to: str
    source: str
    text: str
    at: float
    #: Seconds between two whole numbers of `Step.after`.
    delay: float
    steps: tuple[Step, ...]
    #: Our own id of it, where the vendor is told one.
    client_id: str = ""
    what: str = "sms"
    parts: int = 1

    def step(self, now: float) -> Step:
        """Where it stands."""
        reached = [step for step in self.steps if self.at + step.after * self.delay <= now]
        return reached[-1] if reached else self.steps[0]

    def state(self, now: float) -> str:
        """The same in a word, for a person."""
        return self.step(now).state

    def since(self, now: float) -> float:
        """When it came there."""
        return self.at + self.step(now).after * self.delay


class Counts(msgspec.Struct):
    requests: int = 0
    #: Messages that would have been charged.
    processed: int = 0
    #: Messages that were recognised as sent before, and not processed again.
    repeated: int = 0
    #: Messages that were refused.
    refused: int = 0
    asked: int = 0


class Purpose(StrEnum):
    """What a request is for."""

    SEND = "send"
    ASK = "ask"
    BALANCE = "balance"


V = TypeVar("V")


def remember(memory: dict[str, V], key: str, thing: V, most: int) -> None:
    """Keep it, and forget the oldest where there are too many."""
    memory.pop(key, None)
    memory[key] = thing
    while len(memory) > most:
        del memory[next(iter(memory))]


class Vendor(ABC):
    """One vendor. What a subclass writes stands first."""

    #: Its part of the address, and the provider of conf/rehearsal.toml that its pushes go to.
    name: ClassVar[str]
    title: ClassVar[str]
    #: Its addresses, for the text at the start.
    doors: ClassVar[tuple[str, ...]]
    endings: ClassVar[tuple[Ending, ...]]
    #: What becomes of every other destination.
    course: ClassVar[tuple[Step, ...]]
    #: Put behind the address of callbacks, as one enters it with the vendor.
    handler: ClassVar[str] = ""
    first_id: ClassVar[int] = 1

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.messages: dict[str, Taken] = {}
        self.pushes: list[Push] = []
        self.counts = Counts()
        self.mischief = Mischief()
        #: Whether the answer under way is to refuse every second message.
        self.partial = False
        self._next = self.first_id
        self._by_ending = {ending.digits: ending for ending in self.endings}

    @abstractmethod
    def purpose(self, asked: Asked) -> Purpose:
        """What it is for; never raises, whatever was sent."""

    @abstractmethod
    def answer(self, asked: Asked) -> Answer:
        """What goes back; never raises, whatever was sent."""

    @abstractmethod
    def fields(self, asked: Asked) -> dict[str, str]:
        """The request in words, for a person. Secrets are hidden by their names later."""

    def incoming(self, reply: Reply, now: float) -> Push | None:
        """What is pushed for a message of a subscriber; None: the vendor has no such thing."""
        return None

    # For the subclasses

    def new_id(self) -> int:
        self._next += 1
        return self._next - 1

    def ending(self, to: str) -> Ending | None:
        return self._by_ending.get(to.partition("@")[0][-4:])

    def spoiled(self, place: int) -> bool:
        """Whether this message of the request is refused only because the vendor misbehaves."""
        return self.partial and place % 2 == 1

    def take(self, key: str, message: Taken) -> Taken:
        self.counts.processed += 1
        remember(self.messages, key, message, self.settings.memory)
        return message

    def steps(self, to: str) -> tuple[Step, ...]:
        ending = self.ending(to)
        return ending.steps if ending and ending.steps else self.course


# Reading and writing -------------------------------------------------------------------------------------------------

#: Nothing outside is read, nothing is expanded.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


class Malformed(Exception):
    """A document that is not what the vendor describes; the text says why."""


def read_xml(body: bytes) -> Any:
    """The root of the document. Raises Malformed."""
    try:
        root = etree.fromstring(body, _PARSER)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Malformed(str(error)) from None
    if etree.ElementTree(root).docinfo.internalDTD is not None:
        raise Malformed("a document type is not allowed")
    return root


def only(element: Any, names: Sequence[str], attributes: Sequence[str] = ()) -> None:
    """Hold an element to what may stand in it. Raises Malformed."""
    for child in element:
        if child.tag not in names:
            raise Malformed(f"<{element.tag}> has an unknown element <{child.tag}>")
    for name in element.attrib:
        if name not in attributes:
            raise Malformed(f"<{element.tag}> has an unknown attribute {name}")
    if len(element) and (element.text or "").strip():
        raise Malformed(f"<{element.tag}> has text beside its elements")


def writable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(one for one in text if (one >= " " and one not in "\ufffe\uffff") or one in "\t\n\r")


def written(root: Any) -> bytes:
    data: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data


def read_pairs(form: bytes) -> dict[str, bytes]:
    """Names and values of a query or a form; a bare word has an empty value."""
    pairs = (pair.partition(b"=") for pair in form.split(b"&") if pair)
    return {
        unquote_to_bytes(name).decode("latin-1"): unquote_to_bytes(value.replace(b"+", b" "))
        for name, _, value in pairs
    }


def texts(pairs: Mapping[str, bytes], charset: str) -> dict[str, str]:
    """The same as text. Raises Malformed where it is not in that charset."""
    try:
        return {name: value.decode(charset) for name, value in pairs.items()}
    except UnicodeDecodeError:
        raise Malformed(f"not in {charset}") from None


def stamp(now: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return datetime.fromtimestamp(now, UTC).strftime(form)


def parts_of(text: str) -> int:
    """How many short messages a text takes."""
    return len(split_text(text, reference=0))


def number_like(text: str, least: int = 1, most: int = 20) -> bool:
    return text.isascii() and text.isdigit() and least <= len(text) <= most


def sender_like(source: str) -> bool:
    """Up to 11 Latin characters, or up to 15 digits (IBA Telecom GET guide, smsgate HTTP documentation)."""
    digits = source.removeprefix("+")
    return source.isascii() and 1 <= len(source) <= (15 if digits.isdigit() else 11)
