"""Omnicell IP2SMS: SMS and Viber by XML over POST with HTTP Basic, `/ip2sms/` to send and `/ip2sms-request/` to ask.

One message goes as `single`, several go as `bulk` where they have one text and as `individual` where each has its own.
A request has one sender, validity and type for all of them, so these are what has to be equal. An SMS that wants an
answer of the subscriber (`interactiveSms`) is always a `single`. A Viber message has the type `OTT`, or `OTTSMS` where
SMS is to take over; its button and picture stand in the settings, because the text conventions have no form for them.

**Which answer is whose.** An answer holds ids and states and nothing else, no numbers, no id of ours. So the ids belong
to the messages in the order of the request; the service's own samples show that order and do not promise it. Where the
counts do not fit, every message of the request is in doubt: nobody can say which of them has which id.

**In doubt.** `uniq_key` makes a repeated request harmless, but it belongs to a whole request, and after a crash the
messages come again in other company. `uniq_key = "request"`, the default, sends up to a hundred messages at once and
gives up on those in doubt: they end as UNKNOWN and nothing is paid twice. `uniq_key = "message"` sends each alone, as
an `individual` of one whose key is the number of the message, and repeats that request until it is answered. It is not
the default, because what the service answers to a key that it knows is not documented. A `single` takes no key, so
interactive messages cannot be had with "message": they need a provider of their own.

**Errors.** A message that was not taken has a state with an attribute `error` and no id, though the state still says
Accepted. The texts are not documented, except for one sample. Without an id nothing was taken; whether the number, the
text, the sender or the account is at fault is not known, so that another provider of the route may try (`Unable`). An
error beside an id contradicts itself and is doubt. A request that repeats one in doubt stays in doubt with an error,
which may be about the key.

What can go wrong: wrong credentials are an HTTP 401, and the provider is left alone for `breaker_pause`. The service
sends no statuses of its own accord and is asked for one message a request. Data that is not text is not carried, and a
flash SMS goes as an ordinary one.

Callbacks: the profile at Omnicell holds the interactive number and the address for notifications, which has to be
reachable on port 80 or 443. Notifications are not signed and come without credentials, so the token in the address and
`callback_networks` are all that guards it; `profile_id` holds off those that are for somebody else.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, Literal, NamedTuple

import httpx
import msgspec
from lxml import etree
from pydantic import Field, SecretStr, model_validator

from pdu import MessageState

from ..config import Seconds, Table
from ..model import Incoming, Kind, Message, Millis, StatusReport, Viber, digits, text_of
from . import reading
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
    Unable,
    WhenInDoubt,
    fixed,
)

#: Omnicell IP2SMS, states: first those of a message, then those of a campaign, which say nothing final about a message.
#: Written in any case. What is missing here becomes UNKNOWN and is asked for again. "Accepted" says that the service
#: has it, and not what ACCEPTED is in SMPP, where clients take it for an end (SMPP 3.4 §5.2.28).
STATES = {
    "accepted": MessageState.ENROUTE,
    "enroute": MessageState.ENROUTE,
    "delivered": MessageState.DELIVERED,
    "expired": MessageState.EXPIRED,
    "deleted": MessageState.DELETED,
    "undeliverable": MessageState.UNDELIVERABLE,
    "rejected": MessageState.REJECTED,
    "unknown": MessageState.UNKNOWN,
    "waiting": MessageState.ENROUTE,
    "sending": MessageState.ENROUTE,
    "sent": MessageState.ENROUTE,
    "paused": MessageState.ENROUTE,
    "canceled": MessageState.ENROUTE,
    "completed": MessageState.ENROUTE,
}
#: States that an answer to sending need not report: the message is on its way.
_UNDER_WAY = frozenset({MessageState.ENROUTE, MessageState.UNKNOWN})

#: Omnicell IP2SMS, Interactive SMS: the fields of a notification that tell one from another.
_NOTIFIED = ("distribution_id", "msisdn", "response_time", "response_message")

_ID = re.compile(r"[!-~]{1,64}")
#: E.164: 15 digits at most.
_NUMBER = re.compile(r"[0-9]{3,15}")

#: `err` of a receipt, from the smsc list.
WRONG_NUMBER = 249

Form = Literal["single", "bulk", "individual"]


class OmnicellSettings(Table):
    #: Where `ip2sms/` and `ip2sms-request/` are.
    base_url: str = Field(default="https://api.omnicell.com.ua/", pattern=r"^https?://[^/@\s]+/(.*/)?$")
    #: HTTP Basic, which ends a login at its first colon.
    login: str = Field(pattern=r"^[^:]+$")
    password: SecretStr = Field(min_length=1)
    #: For messages without a source address.
    sender: str = ""
    #: The description of a campaign in the cabinet.
    desc: str = ""
    #: How long the service itself waits before it sends, in whole minutes; 0: not at all.
    start: Seconds = 0
    #: What a `uniq_key` stands for; see the head of the module.
    uniq_key: Literal["request", "message"] = "request"
    #: Which SMS ask for an answer of the subscriber: all, those of some accounts, those with some source addresses.
    interactive: bool = False
    interactive_accounts: tuple[str, ...] = ()
    interactive_sources: tuple[str, ...] = ()
    #: The number that subscribers answer to, which a notification does not name: refused without.
    interactive_number: str = ""
    #: Notifications of another profile are refused; empty: not looked at.
    profile_id: str = ""
    #: The sender in Viber; empty: the same as for SMS.
    viber_sender: str = ""
    #: Whether an SMS is sent where Viber does not deliver …
    viber_sms: bool = False
    #: … and its text; empty: that of the Viber message.
    viber_sms_text: str = ""
    #: How long Viber is tried. 0: as the service chooses where SMS takes over, else as long as the message is valid.
    viber_validity: Seconds = 0
    #: A button and a picture for every Viber message; `viber://keypad?Number=380…` calls a number.
    viber_button_title: str = ""
    viber_button_url: str = Field(default="", pattern=r"^((https?|viber)://\S+)?$")
    viber_image_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    #: Marks every Viber message as advertising.
    viber_promo: bool = False

    @model_validator(mode="after")
    def _known_to_the_service(self) -> OmnicellSettings:
        if bool(self.viber_button_title) != bool(self.viber_button_url):
            raise ValueError("expected viber_button_title and viber_button_url together")
        if self.viber_image_url and not self.viber_button_url:
            raise ValueError("expected viber_button_title and viber_button_url beside viber_image_url")
        if self.viber_sms_text and not self.viber_sms:
            raise ValueError("expected viber_sms = true beside viber_sms_text")
        if self.uniq_key == "message" and (self.interactive or self.interactive_accounts or self.interactive_sources):
            raise ValueError('expected uniq_key = "request": interactive messages take no key')
        return self


class Omnicell(Provider[OmnicellSettings]):
    """See the head of the module."""

    Settings = OmnicellSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.VIBER})
    when_in_doubt = WhenInDoubt.GIVE_UP
    #: How many recipients the service takes at once is not documented; a hundred keeps a lost answer small.
    batch = 100
    #: A request asks for one id, or for one group, which the messages to ask for need not belong to.
    ask_batch = 1

    def __init__(self, name: str, settings: OmnicellSettings) -> None:
        super().__init__(name, settings)
        if settings.uniq_key == "message":
            # A key that stands for one message is the same after a crash, whatever else is sent then.
            self.batch = 1
            self.when_in_doubt = WhenInDoubt.REPEAT

    # Sending

    def objection(self, message: Message) -> Refused | None:
        # In a request for many, one `<to>` that nobody can read may cost the others.
        if not _NUMBER.fullmatch(_phone(message)):
            return Refused(reason="the destination is no number in the international form", err=WRONG_NUMBER)
        return None

    def rides_with(self, message: Message) -> Hashable:
        if self._interactive(message):
            return message.id
        return message.kind, self._sender(message), _validity(message)

    def reference(self, message: Message) -> str:
        """What a message in doubt is repeated by. Not an id of the service: no other message has one like it."""
        return f"uniq_key:{message.number}" if self.settings.uniq_key == "message" else ""

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        form = self._form(messages)
        document = reading.element("message", "\n")
        document.append(reading.element("service", "\n", **self._service(form, messages)))
        if form == "individual":
            for message in messages:
                document.append(_to(message))
                document.extend(self._bodies(message))
        else:
            document.extend([_to(message) for message in messages])
            document.extend(self._bodies(messages[0]))
        return self._post("ip2sms/", _lines(document))

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        status = _status(response)
        told = [] if status is None else _told(status)
        if told is not None and len(told) == len(messages):
            return [_outcome(one) for one in told]
        if told is None or any(one.id for one in told):
            return [InDoubt(reason=f"the answer does not fit the {len(messages)} messages asked for")] * len(messages)
        # Not one id in it: the request as a whole was refused, or this is no answer of the service.
        outcome = reading.by_status(response)
        if said := next((one.error for one in told if one.error), ""):
            outcome = msgspec.structs.replace(outcome, reason=f"HTTP {response.status_code}: {reading.cut(said)}")
        return [outcome] * len(messages)

    def _form(self, messages: Sequence[Message]) -> Form:
        """A list of recipients for one text holds each of them once, so that each can have an id."""
        if len(messages) == 1:
            return "individual" if self.settings.uniq_key == "message" else "single"
        if len({text_of(message.command) for message in messages}) > 1:
            return "individual"
        return "bulk" if len({_phone(message) for message in messages}) == len(messages) else "individual"

    def _service(self, form: Form, messages: Sequence[Message]) -> dict[str, str]:
        """The attributes of `<service>`, in the order of the service's samples."""
        settings, first = self.settings, messages[0]
        said = {
            "id": form,
            "type": "SMS" if first.kind is Kind.SMS else "OTTSMS" if settings.viber_sms else "OTT",
            "interactiveSms": "true" if self._interactive(first) else "",
            "source": self._sender(first),
            "uniq_key": "" if form == "single" else _key(messages),
            "desc": settings.desc,
            "start": _relative(settings.start) if settings.start else "",
            "validity": _validity(first),
        }
        if first.kind is Kind.VIBER:
            said |= self._ott(first)
        return {name: value for name, value in said.items() if value}

    def _ott(self, message: Message) -> dict[str, str]:
        settings = self.settings
        if settings.viber_validity:
            validity = _relative(min(settings.viber_validity, _seconds(message)))
        else:
            validity = "" if settings.viber_sms else _validity(message)
        return {
            "ott": "VIBER",
            "ottSource": settings.viber_sender or self._sender(message),
            "ottValidity": validity,
            "ottImageUri": settings.viber_image_url,
            "ottActionUri": settings.viber_button_url,
            "ottActionTitle": settings.viber_button_title,
            "promo": "true" if settings.viber_promo else "",
        }

    def _bodies(self, message: Message) -> Iterator[etree._Element]:
        """The text; where Viber and SMS have different ones, that of the SMS first."""
        text = text_of(message.command)
        if isinstance(message.command, Viber) and self.settings.viber_sms_text:
            yield reading.element("body", self.settings.viber_sms_text, **_PLAIN)
            yield reading.element("ottBody", text, **_PLAIN)
        else:
            yield reading.element("body", text, **_PLAIN)

    def _sender(self, message: Message) -> str:
        return message.source or self.settings.sender

    def _interactive(self, message: Message) -> bool:
        settings = self.settings
        return message.kind is Kind.SMS and (
            settings.interactive
            or message.account in settings.interactive_accounts
            or message.source in settings.interactive_sources
        )

    # Asking

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        (message,) = messages
        return self._post("ip2sms-request/", reading.element("request", "status", id=message.progress.ref))

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        status = _status(response)
        told = (_told(status) if status is not None else None) or []
        states = {one.id: one.state for one in told if not one.error}
        if len(messages) == 1 and len(told) == 1:
            # There was one question, so a state without an id is the answer to it.
            states.setdefault(messages[0].progress.ref, states.get("", ""))
        refs = [message.progress.ref for message in messages]
        return [_report(ref, states[ref]) if states.get(ref) else None for ref in refs]

    def _post(self, path: str, document: etree._Element) -> httpx.Request:
        # In UTF-8, which is what XML without a declaration is in (XML 1.0 §4.3.3).
        headers = {"content-type": "text/xml", "authorization": f"Basic {self._credentials()}"}
        content = etree.tostring(document, encoding="utf-8")
        return httpx.Request("POST", fixed(self.settings.base_url + path), content=content, headers=headers)

    def _credentials(self) -> str:
        settings = self.settings
        return b64encode(f"{settings.login}:{settings.password.get_secret_value()}".encode()).decode()

    def secrets(self) -> Sequence[str]:
        return (*super().secrets(), self._credentials())

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        if not self.settings.interactive_number:
            raise BadCallback("there is no interactive_number that a notification could be for", 403)
        root = reading.xml(callback.body)
        if root is None or root.tag != "response":
            raise BadCallback("not an interactive notification")
        expected, profile = self.settings.profile_id, _field(root, "profile_id")
        if expected and not hmac.compare_digest(expected.encode(), profile.encode()):
            raise BadCallback("the notification is for another profile", 403)
        # What to answer is not documented; this does no harm.
        return Reply(incoming=[self._incoming(root)], body=b"OK")

    def _incoming(self, root: etree._Element) -> Incoming:
        if not _NUMBER.fullmatch(phone := _field(root, "msisdn").removeprefix("+")):
            raise BadCallback("a notification without a readable msisdn")
        if (text := root.findtext("response_message")) is None:
            raise BadCallback("a notification without response_message")
        # It has no id of its own; the same fields again are the same notification again.
        told = "\0".join(root.findtext(name) or "" for name in _NOTIFIED)
        return Incoming(
            provider=self.name,
            ref=hashlib.blake2b(told.encode(), digest_size=16).hexdigest(),
            source=phone,
            destination=self.settings.interactive_number,
            text=text,
            at=_at(_field(root, "response_time")),
            reply_to=_field(root, "distribution_id"),
        )


# Message → XML -------------------------------------------------------------------------------------------------------

_PLAIN = {"content-type": "text/plain"}


def _to(message: Message) -> etree._Element:
    return reading.element("to", _phone(message))


def _phone(message: Message) -> str:
    """In the international form, digits alone."""
    return digits(message.destination)


def _lines(document: etree._Element) -> etree._Element:
    """Each element on a line of its own, as in the service's samples."""
    for element in document:
        element.tail = "\n"
    return document


def _key(messages: Sequence[Message]) -> str:
    """A number, as in the service's samples, and the same for the same messages: that of the message where it is alone
    under the key."""
    if len(messages) == 1:
        return str(messages[0].number)
    numbers = ",".join(str(message.number) for message in messages)
    digest = hashlib.blake2b(numbers.encode(), digest_size=8).digest()
    return str(int.from_bytes(digest, "big") >> 1)


def _validity(message: Message) -> str:
    return _relative(_seconds(message))


def _seconds(message: Message) -> float:
    """How long it is good for, from the moment it was due."""
    return message.lifetime / 1000


def _relative(seconds: float) -> str:
    """A time from now, at least a minute, in no other units than the service's samples: min, hours, 1 day."""
    minutes = max(int(seconds // 60), 1)
    if minutes == 24 * 60:
        return "+1 day"
    hours, rest = divmod(minutes, 60)
    return f"+{hours} hours" if hours > 1 and not rest else f"+{minutes} min"


# XML → outcomes ------------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """What an answer says of one message. An error goes without an id."""

    id: str
    state: str
    error: str


def _status(response: httpx.Response) -> etree._Element | None:
    """The root of an answer that tells at least one state, whatever its HTTP status."""
    root = reading.xml(response.content)
    return root if root is not None and root.tag == "status" and root.find(".//state") is not None else None


def _told(status: etree._Element) -> list[_Told] | None:
    """One message after the other; None where it cannot be said which id has which state.

    A plain single has its id as an attribute, bulk and individual have them as elements, and what is asked for in
    detail has them in a `<detail>`, with the state of the campaign outside.
    """
    told: list[_Told] = []
    for place in status.findall("detail") or [status]:
        attribute = [place.get("id", "").strip()] if place is status else []
        ids = [id for id in (*attribute, *(_text(element) for element in place.findall("id"))) if _ID.fullmatch(id)]
        paired = _paired(ids, place.findall("state"))
        if paired is None:
            return None
        told += paired
    named = [one.id for one in told if one.id]
    return told if len(set(named)) == len(named) else None


def _paired(ids: Sequence[str], states: Sequence[etree._Element]) -> list[_Told] | None:
    """Ids and states in their order: an id for every state, or for every state without an error, or none at all."""
    errors = [(state.get("error") or "").strip() for state in states]
    if len(ids) == errors.count("") < len(states):
        left = iter(ids)
        ids = ["" if error else next(left) for error in errors]
    elif not ids:
        ids = [""] * len(states)
    if len(ids) != len(states):
        return None
    return [_Told(id, _text(state), error) for id, state, error in zip(ids, states, errors, strict=True)]


def _outcome(told: _Told) -> Outcome:
    if told.error and told.id:
        return InDoubt(reason=f"error {reading.cut(told.error)}, yet it has the id {told.id}")
    if told.error:
        return Unable(reason=reading.cut(told.error), err=reading.UNKNOWN_ERROR)
    if not told.id:
        return InDoubt(reason="neither an id nor an error")
    report = _report(told.id, told.state)
    return Sent(ref=told.id, report=None if report.state in _UNDER_WAY else report)


def _report(ref: str, state: str) -> StatusReport:
    return StatusReport(state=STATES.get(state.lower(), MessageState.UNKNOWN), ref=ref, raw=reading.cut(state, 50))


# Reading -------------------------------------------------------------------------------------------------------------


def _text(element: etree._Element) -> str:
    return (element.text or "").strip()


def _field(root: etree._Element, name: str) -> str:
    return (root.findtext(name) or "").strip()


def _at(time: str) -> Millis:
    """`2020-03-05T12:23:58.686+02:00`; 0 where it is not written like that, with its zone."""
    try:
        when = datetime.fromisoformat(time)
    except ValueError:
        return 0
    return max(int(when.timestamp() * 1000), 0) if when.tzinfo else 0
