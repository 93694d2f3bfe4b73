"""IBA Telecom and other houses on the smsgate engine, by their plain GET interface: sendsms.php.

One page does everything, told apart by its parameters: send (`dadr`, `text`), ask for a status (`smsid`), ask for the
balance (`balance`). Answers are plain words: ids of the messages in the order of the recipients, or an error; IBA
Telecom's error is `0` and tells no cause, others of the engine write sentences (smsgate httpGateDoc), and both are read
here. Where the two documents differ, that of IBA Telecom (GET guide) holds.

**In doubt** a message ends as UNKNOWN (`WhenInDoubt.GIVE_UP`): a request carries no id of ours, a status is asked for
by the id that only the answer tells, and that the engine refuses the same request within a minute says nothing of what
became of the first one. What had no answer may have been paid for.

**Several recipients.** Every message that was made has an id, so an answer without any id means that none was made. An
error that may be the fault of one number sends each of the others alone. An answer with ids for some and known errors
for the rest is read place by place; one whose length does not fit is doubt for all. Messages ride together when text
and sender are the same and it is certain that their numbers differ: the engine could make one message of a number that
stands there twice.

**The password stands in the address of the request**, because there is no other place for it. The engine hides it in
whatever is logged (`secrets`), and nothing here quotes an address. With `http://`, as the guide has it, it travels in
the clear; take `https://` where the house offers it.

What can go wrong: `0` stands for a wrong password as well as for a wrong number, so it opens no breaker where it
answers one message; a login that has stopped working shows as messages that are rejected one after the other with err
99. A Cyrillic letter takes 6 octets of the address in UTF-8 and 3 in windows-1251 (the engine's guide asks for no more
than 2,000); a server that finds it too long says HTTP 414, and the next provider of the route gets the message.

Incoming messages are called back by GET and answered with their `smsid`. Nobody signs them: the token of the callback
and `callback_networks` are all that guards them.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import ClassVar, Literal
from urllib.parse import quote_plus
from zoneinfo import ZoneInfo

import httpx
from pydantic import Field, SecretStr, model_validator

from pdu import MessageState

from ..config import Table
from ..model import Incoming, Kind, Message, Millis, StatusReport, bare, digits, text_of
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
    Temporary,
    Unable,
    WhenInDoubt,
)
from .smsgate import answers as engine

#: IBA Telecom GET guide, `Send` and `deliver`; smsgate httpGateDoc has the others. Read in capitals and small letters.
STATES = {
    "send": MessageState.ENROUTE,
    "deliver": MessageState.DELIVERED,
    "not_deliver": MessageState.UNDELIVERABLE,
    "expired": MessageState.EXPIRED,
    "partly_deliver": MessageState.UNKNOWN,  # sent, and no status ever came
}

#: What an error in place of an id means: IBA Telecom GET guide; smsgate httpGateDoc, errors.
ERRORS: Mapping[str, Callable[[str], Outcome]] = {
    "0": lambda said: Unable(reason=f"answered {said}", err=reading.UNKNOWN_ERROR),
    **engine.ERRORS,
    engine.REPEATED: lambda said: Temporary(reason=said, retry_after=engine.A_MINUTE),
    engine.SENT_BEFORE: lambda said: InDoubt(reason=said),
}

_BY_SENTENCE = {engine.sentence(error): error for error in ERRORS}

#: Of several recipients one alone may be the cause.
OF_ONE_NUMBER = frozenset(
    {
        "0",
        "Укажите номер телефона.",
        "Номер телефона должен быть меньше 15 символов.",
        "Номер телефона присутствует в стоп-листе.",
        "Данное направление закрыто для вас.",
        "Данное направление закрыто.",
    }
)

_ID = re.compile(r"[1-9][0-9]{0,19}")
#: Of an incoming message, answered as it was written.
_SMSID = re.compile(r"(?!0+$)[0-9]{1,20}")
_BUCKET = 60_000
#: Two such destinations are the same number only if they are the same text, but for the plus.
_PLAIN_NUMBER = re.compile(r"\+?[1-9][0-9]{4,14}")
#: IBA Telecom GET guide: up to 11 Latin characters or 15 digits.
_SENDER = re.compile(r"[0-9]{1,15}|[!-~][ -~]{0,10}")


class IbaSettings(Table):
    #: Another house on the same engine has another address.
    base_url: str = Field(default="http://smpp.ibatele.com/", pattern=r"^https?://[^/@\s]+/(.*/)?$")
    user: str = Field(min_length=1)
    password: SecretStr
    #: For messages without a source address.
    sender: str = Field(default="", pattern=rf"^({_SENDER.pattern})?$")
    #: Of the texts in requests. What windows-1251 cannot hold is not sent: the platform does not say how it tells the
    #: two apart, so an account has one of them.
    charset: Literal["utf-8", "windows-1251"] = "utf-8"
    #: What `sender` of an incoming message is; `receiver` is the other one.
    incoming_sender: Literal["subscriber", "number"] = "subscriber"
    #: Of the dates in incoming messages.
    timezone: ZoneInfo = ZoneInfo("Europe/Moscow")

    @model_validator(mode="after")
    def _login_can_be_written(self) -> IbaSettings:
        try:
            f"{self.user}{self.password.get_secret_value()}".encode(self.charset)
        except UnicodeEncodeError:
            # From None: the error holds what could not be written.
            raise ValueError(f"expected user and password of characters that {self.charset} has") from None
        return self


class Iba(Provider[IbaSettings]):
    """See the head of the module."""

    Settings = IbaSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS})
    when_in_doubt = WhenInDoubt.GIVE_UP
    #: IBA Telecom GET guide: up to 10 numbers in a request.
    batch = 10
    ask_batch = 1

    def secrets(self) -> Sequence[str]:
        return (*super().secrets(), self._written(self.settings.password.get_secret_value()))

    # Sending

    def rides_with(self, message: Message) -> Hashable:
        # What was turned away here in company goes alone, so that its own cause is heard.
        turned_away = message.progress.attempts and message.progress.provider == self.name
        if turned_away or message.duplicate_window < _BUCKET or not _PLAIN_NUMBER.fullmatch(message.destination):
            return message.id
        # Within the minute and the account nothing goes to a number twice; see `Message.duplicate_window`.
        minute = message.accepted_at // _BUCKET
        return message.account, message.source, message.command, minute, message.destination.startswith("+")

    def objection(self, message: Message) -> Refused | Unable | None:
        if not _PLAIN_NUMBER.fullmatch(_phone(message)):
            return Refused(reason="not an international number", err=engine.WRONG_NUMBER)
        if not _SENDER.fullmatch(self._sender(message)):
            return Unable(reason="the sender is neither 1 to 11 Latin characters nor digits", err=engine.NO_SENDER)
        try:
            text_of(message.command).encode(self.settings.charset)
        except UnicodeEncodeError:
            return Unable(reason=f"the text has characters that {self.settings.charset} has not")
        return None

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        first = messages[0]
        phones = ",".join(_phone(message) for message in messages)
        return self._get(f"sadr={self._written(self._sender(first))}&dadr={phones}&text={self._text(first)}")

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        if not response.is_success:
            return [reading.by_status(response)] * len(messages)
        return _outcomes(_said(response), len(messages))

    def _sender(self, message: Message) -> str:
        source = message.source or self.settings.sender
        return source.removeprefix("+") if source[1:].isdecimal() else source

    def _text(self, message: Message) -> str:
        return self._written(text_of(message.command))

    # Asking

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        (message,) = messages
        return self._get(f"smsid={self._written(message.progress.ref)}")

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        # An id that is not known is no NotFound: a message in doubt has no id to be asked for by.
        word = _said(response).lower() if response.is_success else ""
        if word not in STATES:
            return [None] * len(messages)
        never = word == engine.NEVER_KNOWN
        err = engine.NO_STATUS if never else 0
        return [
            StatusReport(state=STATES[word], final=never, ref=message.progress.ref, err=err, raw=word)
            for message in messages
        ]

    def balance(self) -> httpx.Request:
        return self._get("balance=1")

    def balance_read(self, response: httpx.Response) -> str:
        answer = _said(response) if response.is_success else ""
        # An account without money has a currency beside its 0; alone it is the sign of an error.
        if "<" in answer or not re.search(r"[0-9]", answer) or engine.sentence(answer) in _BY_SENTENCE:
            raise ValueError(f"HTTP {response.status_code}, {_quoted(answer)} instead of a balance")
        # What follows the sum and the currency are sums by direction.
        return " ".join(answer.split()[:2])

    def _get(self, parameters: str) -> httpx.Request:
        user, password = self.settings.user, self.settings.password.get_secret_value()
        who = f"user={self._written(user)}&pwd={self._written(password)}"
        return httpx.Request("GET", f"{self.settings.base_url}sendsms.php?{who}&{parameters}")

    def _written(self, value: str) -> str:
        """A value as it stands in the address. Raises UnicodeEncodeError where the charset has no such character."""
        return quote_plus(value, encoding=self.settings.charset, errors="strict")

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        fields = {name: _decoded(value) for name, value in reading.pairs(callback.query).items()}
        id = fields.get("smsid", "")
        sender, receiver = (bare(fields.get(name, "")) for name in ("sender", "receiver"))
        subscriber, number = (sender, receiver) if self.settings.incoming_sender == "subscriber" else (receiver, sender)
        if not _SMSID.fullmatch(id) or not subscriber or "text" not in fields:
            raise BadCallback("no incoming message: smsid, text or the subscriber is missing")
        incoming = Incoming(
            provider=self.name,
            ref=id,
            source=subscriber,
            destination=number,
            text=fields["text"],
            at=reading.at(fields.get("date", ""), self.settings.timezone),
            prefix=fields.get("prefix", ""),
        )
        return Reply(incoming=[incoming], body=f"smsid={id}".encode())


# Message → parameters ------------------------------------------------------------------------------------------------


def _phone(message: Message) -> str:
    """Digits alone: a comma would name one more recipient."""
    return digits(message.destination)


# Answers → outcomes --------------------------------------------------------------------------------------------------


def _outcomes(answer: str, count: int) -> Sequence[Outcome]:
    if count == 1:
        return [_outcome(answer)]
    if (error := _BY_SENTENCE.get(engine.sentence(answer))) is not None:
        if error in OF_ONE_NUMBER:
            return [Temporary(reason=f"{error}, to {count} numbers; each goes alone")] * count
        return [ERRORS[error](error)] * count
    places = [place.strip() for place in answer.split(",")]
    if len(places) != count:
        return [InDoubt(reason=f"{len(places)} answers for {count} numbers")] * count
    ids = [place for place in places if _ID.fullmatch(place)]
    if len(set(ids)) < len(ids):
        return [InDoubt(reason="an id stands for two numbers")] * count
    return [_outcome(place) for place in places]


def _outcome(answer: str) -> Outcome:
    """What stands in the place of one recipient."""
    if (error := _BY_SENTENCE.get(engine.sentence(answer))) is not None:
        return ERRORS[error](error)
    if _ID.fullmatch(answer):
        return Sent(ref=answer)
    return InDoubt(reason=f"{_quoted(answer)} is neither an id nor an error that is known")


def _quoted(answer: str) -> str:
    """An answer for the log if it is a sentence. A page may repeat the request, and with it the text of a message."""
    if not answer:
        return "an empty answer"
    return f'"{answer}"' if re.fullmatch(r"[^<>=/\n]{1,200}", answer) else "a page"


def _said(response: httpx.Response) -> str:
    """A plain answer. A byte order mark is a habit of pages, and nothing that was said."""
    return _decoded(response.content.removeprefix(BOM_UTF8)).strip()


def _decoded(octets: bytes) -> str:
    """The guide names both charsets and not how to tell them apart; what is UTF-8 is hardly ever anything else."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("windows-1251", "replace")
