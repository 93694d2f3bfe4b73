"""Naimar text421 API v6 (Slovakia): billed SMS that answer a subscriber's message, and plain ones.

Requests are XML (smsSendBillXML, smsSendXML); statuses and subscribers' messages are called back by GET
(deliveryGetPush, 2wayGet) and answered `OK`.

**Billed or plain.** A message whose source is `short_number` is billed to the subscriber under `billkey`; any other is
plain. A billed one has to name the message it answers: `rcv_msg_id`, which came with the subscriber's message as its
`Incoming.ref` and is `message.progress.answers` here. Without one nothing is sent: the message ends as REJECTD with
the provider's own words, "missing incoming msg".

**What a message is known by.** The recipient's `id` is ours, unique and at most 14 characters long; `Message.number`
has up to 19 digits, so it is written in base 36 (13 characters).

**In doubt** a message waits (`WhenInDoubt.WAIT`): the provider cannot be asked and does not promise to recognise an id
that comes twice, but it tells the status of whatever it took under that id. Sending again could bill the subscriber
twice; giving up at once would call a message unknown whose status is on its way. Statuses come only where the
callback's address is entered with the provider: without it every message ends as UNKNOWN.

**Several recipients.** An answer tells how many recipients were taken and not which, so a request carries one message
unless `recipients` allows more. Then a number that is not that of the request is doubt for all of them, and their
statuses tell; an error that may be the fault of one lets the others go alone where the answer says that none was taken,
and is doubt where it does not.

**The answer** is documented by its fields (status, description, recipients) and not by its shape: they are looked for
under whatever root, in XML or JSON; an error may also be its description alone. Only HTTP 2xx with the status 200 says
that a message was taken.

What can go wrong: login or password are wrong (401): the provider is left alone for `breaker_pause`. Text beyond one
short message is not sent, because the documents name its length and no way to go beyond it. Nobody signs the
callbacks: their token and `callback_networks` are all that guards them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import msgspec
from lxml import etree
from pydantic import Field, SecretStr, model_validator

from pdu import MessageState, gsm0338

from ..config import Table
from ..model import Binary, Incoming, Kind, Message, Millis, StatusReport, bare, digits, text_of
from . import reading
from .base import (
    BadCallback,
    Callback,
    InDoubt,
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

#: deliveryGetPush, `status`.
STATES = {
    2: MessageState.DELIVERED,
    3: MessageState.EXPIRED,
    5: MessageState.UNDELIVERABLE,
    8: MessageState.REJECTED,
    127: MessageState.UNDELIVERABLE,  # error
}

#: `err` of receipts, from the smsc list that clients know.
NO_ROUTE = 248
WRONG_NUMBER = 249
UNKNOWN_SENDER = 254
REJECTED_BY_OPERATOR = 255

#: smsSendBillXML and smsSendXML, descriptions of errors by how they begin. What is missing here goes by its status.
ERRORS: Mapping[str, Callable[[str], Outcome]] = {
    "unknown prefix": lambda said: Unable(reason=said, err=WRONG_NUMBER),
    "unknown network": lambda said: Unable(reason=said, err=NO_ROUTE),
    "missing incoming msg": lambda said: Refused(reason=said, err=REJECTED_BY_OPERATOR),
    "missing parameter rcv_msg_id": lambda said: Refused(reason=said, err=REJECTED_BY_OPERATOR),
    "missing parameter id": lambda said: Unable(reason=said),
    "missing parameter text": lambda said: Refused(reason=said),
    "missing parameter recipients": lambda said: Unable(reason=said),
    "unknown type": lambda said: Unable(reason=said),
    "sender must have 11 characters or less": lambda said: Unable(reason=said, err=UNKNOWN_SENDER),
    "unknown sender": lambda said: Unable(reason=said, err=UNKNOWN_SENDER),
    "unknown username/password": lambda said: Unable(reason=said, everything=True),
    "unknown error": lambda said: InDoubt(reason=said),
}

#: These are the fault of what all recipients of a request have in common.
OF_THE_REQUEST = frozenset(
    {
        "missing parameter text",
        "missing parameter recipients",
        "unknown type",
        "sender must have 11 characters or less",
        "unknown sender",
        "unknown username/password",
        "unknown error",
    }
)

NO_INCOMING = "missing incoming msg"

#: smsSendBillXML: what holds for binary messages where nothing is said; 2wayGet says it the same way.
BINARY_DCS = 245
BINARY_ESM = 64
#: SMPP 3.4 §5.2.12, user data header indicator; §5.2.19, UCS2.
_UDHI = 0x40
_UCS2 = 8

#: smsSendBillXML, `text`: 160 characters, or 280 hexadecimal digits.
_SEPTETS = 160
_OCTETS = 140
#: smsSendXML, `sender`: 11 characters out of these, or 15 digits.
_SENDER = re.compile(r"([0-9]{1,15}|[a-zA-Z0-9/+!_*&%@$.#]{1,11})?")
_MSISDN = re.compile(r"[1-9][0-9]{4,14}")
_RCV_MSG_ID = re.compile(r"[0-9]{1,18}")
_ID = re.compile(r"[0-9A-Za-z]{1,20}")
_HEX = re.compile(r"([0-9A-Fa-f]{2})+")
#: What was taken for blanks is not tried again as a part of the description: there may be a megabyte of them.
_SENTENCE = re.compile(
    r"(?:ERROR\s++)?(?:(?P<status>[45][0-9]{2})[\s,:]++)?(?P<description>[^<>]{1,400})", re.IGNORECASE
)

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class NaimarSettings(Table):
    base_url: str = Field(default="http://text421.naimar.sk/api/v6/", pattern=r"^https?://[^/@\s]+/(.*/)?$")
    username: str = Field(min_length=1)
    password: SecretStr
    #: Messages from this short number are billed, …
    short_number: str = Field(default="", pattern=r"^[0-9]*$")
    #: … under this key. Other short numbers and keys are other providers.
    billkey: SecretStr = SecretStr("")
    #: The sender of plain messages without a source address; empty: as the provider chooses.
    sender: str = Field(default="", pattern=rf"^{_SENDER.pattern}$")
    #: In one request. Beyond one, the provider tells how many it took and not which.
    recipients: int = Field(default=1, ge=1, le=100)
    #: Of the times in callbacks.
    timezone: ZoneInfo = ZoneInfo("Europe/Bratislava")

    @model_validator(mode="after")
    def _billed_with_both_or_not_at_all(self) -> NaimarSettings:
        if bool(self.billkey.get_secret_value()) != bool(self.short_number):
            raise ValueError("expected short_number and billkey, or neither")
        return self


class Naimar(Provider[NaimarSettings]):
    """See the head of the module."""

    Settings = NaimarSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.BINARY})
    when_in_doubt = WhenInDoubt.WAIT

    def __init__(self, name: str, settings: NaimarSettings) -> None:
        super().__init__(name, settings)
        self.batch = settings.recipients

    # Sending

    def answers(self, message: Message) -> bool:
        """Billed messages do."""
        return bool(self.settings.short_number) and bare(message.source) == self.settings.short_number

    def reference(self, message: Message) -> str:
        return base36(message.number)

    def rides_with(self, message: Message) -> Hashable:
        # What was turned away here in company goes alone, so that its own cause is heard.
        if message.progress.attempts and message.progress.provider == self.name:
            return message.id
        billed = self.answers(message)
        text, how = _content(message, billed=billed)
        # Each recipient of a plain request may have a text of its own.
        return (billed, text if billed else self._sender(message), *how.items())

    def objection(self, message: Message) -> Refused | Unable | None:
        billed = self.answers(message)
        if billed and not _RCV_MSG_ID.fullmatch(message.progress.answers):
            return Refused(reason=NO_INCOMING, err=REJECTED_BY_OPERATOR)
        if not _MSISDN.fullmatch(_msisdn(message)):
            return Refused(reason="not an international number", err=WRONG_NUMBER)
        if not billed and not _SENDER.fullmatch(self._sender(message)):
            return Unable(
                reason="the sender is neither 1 to 11 characters that may be used nor digits", err=UNKNOWN_SENDER
            )
        if not _fits(message):
            return Unable(reason="longer than one short message")
        return None

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        first, settings = messages[0], self.settings
        billed = self.answers(first)
        text, how = _content(first, billed=billed)
        sender = "" if billed else self._sender(first)
        root = etree.Element("sms")
        _fill(root, {"username": settings.username, "password": settings.password.get_secret_value()})
        if billed:
            _fill(
                etree.SubElement(root, "billing"),
                {"billkey": settings.billkey.get_secret_value(), "from": settings.short_number},
            )
        _fill(etree.SubElement(root, "message"), {"text": text, **({"sender": sender} if sender else {}), **how})
        recipients = etree.SubElement(root, "recipients")
        for message in messages:
            _fill(etree.SubElement(recipients, "recipient"), self._recipient(message, text, billed=billed))
        body = etree.tostring(root, encoding="utf-8")
        headers = {"content-type": "application/xml; charset=utf-8"}
        path = "rest/billsms/xml" if billed else "rest/sms/xml/"
        return httpx.Request("POST", fixed(settings.base_url + path), content=body, headers=headers)

    def _recipient(self, message: Message, text: str, *, billed: bool) -> dict[str, str]:
        """The elements of `recipient`; `text`: that of the whole request."""
        answers = {"rcv_msg_id": message.progress.answers} if billed else {}
        own, _ = _content(message, billed=billed)
        other = {"text": own} if own != text else {}
        return {"id": self.reference(message), **answers, "msisdn": _msisdn(message), **other}

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        answer = _read(response.content)
        if answer is None or response.status_code in (408, 429, 503):
            return [_unread(response, len(messages))] * len(messages)
        if response.is_success and answer.status == 200:
            return self._taken(messages, answer)
        return [_failed(answer, response, len(messages))] * len(messages)

    def _taken(self, messages: Sequence[Message], answer: _Answer) -> Sequence[Outcome]:
        told = answer.recipients
        # The status alone says it of a request with one.
        if told == len(messages) or (told is None and len(messages) == 1):
            return [Sent(ref=self.reference(message)) for message in messages]
        count = "an untold number" if told is None else str(told)
        return [InDoubt(reason=f"{count} of {len(messages)} recipients taken")] * len(messages)

    def _sender(self, message: Message) -> str:
        source = message.source or self.settings.sender
        return bare(source) if source[1:].isdecimal() else source

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        fields = {name: value.decode(errors="replace") for name, value in reading.pairs(callback.query).items()}
        match callback.path.strip("/"):
            case "delivery":
                is_status = True
            case "2way":
                is_status = False
            case _:
                is_status = "status" in fields
        if is_status:
            return Reply(reports=[self._report(fields)], body=b"OK")
        return Reply(incoming=[self._incoming(fields)], body=b"OK")

    def _report(self, fields: Mapping[str, str]) -> StatusReport:
        """deliveryGetPush."""
        id, status = fields.get("id", ""), reading.number(fields.get("status"))
        if not _ID.fullmatch(id) or status is None:
            raise BadCallback("a status without an id or without a number")
        return StatusReport(
            state=STATES.get(status, MessageState.UNKNOWN),
            ref=id.lower(),
            at=self._at(fields),
            raw=f"status {status}",
        )

    def _incoming(self, fields: Mapping[str, str]) -> Incoming:
        """2wayGet."""
        missing = [name for name in ("id", "msisdn", "text", "source") if name not in fields]
        if missing:
            raise BadCallback(f"neither a status nor a message: {', '.join(missing)} missing")
        id, answerable = fields["id"], fields.get("rcv_msg_id", "")
        if not _ID.fullmatch(id) or not re.fullmatch(rf"({_RCV_MSG_ID.pattern})?", answerable):
            raise BadCallback("a message without an id, or with a rcv_msg_id that is no number")
        data, dcs, esm = _binary(fields) if fields.get("type") == "binsms" else (b"", 4, 0)
        return Incoming(
            provider=self.name,
            # Only a message with a rcv_msg_id can be answered by a billed one: no other looks like a number.
            ref=answerable or f"id{id}",
            source=bare(fields["msisdn"]),
            destination=bare(fields["source"]),
            text="" if data else fields["text"],
            at=self._at(fields),
            data=data,
            data_coding=dcs,
            has_udh=bool(esm & _UDHI),
        )

    def _at(self, fields: Mapping[str, str]) -> Millis:
        return reading.at(fields.get("time", ""), self.settings.timezone)


# Message → XML -------------------------------------------------------------------------------------------------------


def base36(number: int) -> str:
    """A number in digits and small letters; `int(text, 36)` reads it back. 13 characters hold 63 bits."""
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def _fill(parent: etree._Element, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        parent.append(reading.element(name, text))


def _content(message: Message, *, billed: bool) -> tuple[str, dict[str, str]]:
    """What is sent: the text, and the elements of `message` that say how to read it.

    Binary data brings its coding and its esm_class along, for the provider's own (245 and 64) stand for one kind of it.
    The billed request has no type for text beyond GSM 03.38; its octets in UCS2, named by their coding, are what the
    type utf8 of the plain one becomes on the air.
    """
    match message.command:
        case Binary(data=data, data_coding=coding, has_udh=has_udh):
            return _hex(data, coding, _UDHI if has_udh else 0)
    text = text_of(message.command)
    if gsm0338.fits(text):
        return text, {}
    return _hex(_ucs2(text), _UCS2, 0) if billed else (text, {"type": "utf8"})


def _hex(data: bytes, dcs: int, esm: int) -> tuple[str, dict[str, str]]:
    return data.hex().upper(), {"type": "binary", "dcs": str(dcs), "esm": str(esm)}


def _ucs2(text: str) -> bytes:
    return text.encode("utf-16-be", "replace")


def _fits(message: Message) -> bool:
    if isinstance(message.command, Binary):
        return len(message.command.data) <= _OCTETS
    text = text_of(message.command)
    return len(gsm0338.encode(text)) <= _SEPTETS if gsm0338.fits(text) else len(_ucs2(text)) <= _OCTETS


def _msisdn(message: Message) -> str:
    return digits(message.destination)


# Answers → outcomes --------------------------------------------------------------------------------------------------


class _Answer(NamedTuple):
    """smsSendBillXML, Response; None: not told."""

    status: int | None
    description: str
    recipients: int | None


def _read(body: bytes) -> _Answer | None:
    """The documented fields, wherever they stand, or an error that is a plain sentence; None where there is neither."""
    found: dict[str, str] = {}
    if body.lstrip()[:1] == b"{":
        _leaves_of_json(body, found)
    elif (root := reading.xml(body)) is not None:
        for one in root.iter("*"):
            found.setdefault(etree.QName(one).localname.lower(), (one.text or "").strip())
    else:
        return _sentence(body)
    if "status" not in found and "description" not in found:
        return None
    status, recipients = reading.number(found.get("status")), reading.number(found.get("recipients"))
    return _Answer(status, found.get("description", ""), recipients)


def _sentence(body: bytes) -> _Answer | None:
    """A description by itself, or as smsSendGet writes it: `ERROR 400, unknown prefix 42199`."""
    said = _SENTENCE.fullmatch(body.decode(errors="replace").strip())
    if said is None or not _error(said["description"]):
        return None
    return _Answer(reading.number(said["status"]), said["description"], None)


def _leaves_of_json(body: bytes, found: dict[str, str]) -> None:
    try:
        waiting: list[Any] = [msgspec.json.decode(body)]
    except reading.UNREADABLE:
        return
    while waiting:
        for name, value in waiting.pop(0).items():
            if isinstance(value, dict):
                waiting.append(value)
            else:
                found.setdefault(name.lower(), reading.text(value))


def _error(description: str) -> str:
    """Which one of ERRORS it is; empty: none of them."""
    words = " ".join(description.lower().split()).replace("unknwon", "unknown")
    return next((error for error in ERRORS if words.startswith(error)), "")


def _unread(response: httpx.Response, count: int) -> Outcome:
    """What is left of an answer without the documented fields: its HTTP status."""
    outcome = reading.by_status(response)
    if count > 1 and isinstance(outcome, Unable) and not outcome.everything:
        return InDoubt(reason=f"{outcome.reason}, to {count} recipients, of which some may have been taken")
    return outcome


def _failed(answer: _Answer, response: httpx.Response, count: int) -> Outcome:
    """What an error means for each of `count` recipients."""
    error = _error(answer.description)
    said = f"{answer.status or response.status_code} {reading.cut(answer.description)}"
    outcome = ERRORS[error](said) if error else _by_its_status(said, answer, response)
    if count == 1 or error in OF_THE_REQUEST or isinstance(outcome, InDoubt):
        return outcome
    if answer.recipients == 0:
        return Temporary(reason=f"{said}, to {count} recipients; each goes alone")
    return InDoubt(reason=f"{said}, to {count} recipients, of which some may have been taken")


def _by_its_status(said: str, answer: _Answer, response: httpx.Response) -> Outcome:
    """An error of which only the status is known: 4xx says that the provider did not take the message."""
    http = response.status_code
    told = {http if answer.status is None else answer.status} | ({http} if response.is_error else set())
    if all(400 <= status < 500 for status in told):
        return Unable(reason=said, everything=400 not in told)
    return InDoubt(reason=said)


# Callbacks → messages ------------------------------------------------------------------------------------------------


def _binary(fields: Mapping[str, str]) -> tuple[bytes, int, int]:
    """Data, its coding and its esm_class."""
    if not _HEX.fullmatch(fields["text"]):
        raise BadCallback("a binary message that is not hexadecimal")
    dcs, esm = reading.number(fields.get("dcs")), reading.number(fields.get("esm"))
    return bytes.fromhex(fields["text"]), BINARY_DCS if dcs is None else dcs & 0xFF, BINARY_ESM if esm is None else esm
