"""smsc.ru, smsc.kz, smscentre.com and the others of that house, by their HTTP API: send.php, status.php, balance.php.

Their SMPP side has the same text conventions as ours, so every kind of message has its parameter here. Requests are
forms in UTF-8 (`fmt=3`: answers are JSON), so that the password stands in no URL. An answer is read whatever its HTTP
status, because the service answers errors with 200.

**What a message is known by.** send.php takes an `id` of ours and asks for no uniqueness; a status is asked for by that
id *and* the phone. So `id:phone` is the reference, and it can be worked out from the message alone, before any answer
and after a crash: that is why `WhenInDoubt.ASK` is safe. Messages with the same text, sender and options, accepted for
one account within the same minute, share the id (a digest of just that) and may share a request. The one-minute rule
keeps two of them from going to the same phone; where it does not hold, and for texts of their own, each message has an
id of its own and a request of its own (the `list` parameter would put different texts under one id, where two for the
same phone could not be told apart).

Numbers are sent with a plus, which tells the service not to "correct" them: a corrected number is found under another
phone, and a message that is not found would be sent a second time. So national numbers (8 926 …) are refused.

What can go wrong: login, password or address of the gateway are not accepted (error 2) or money is short (error 3):
the provider is left alone for `breaker_pause`. Many wrong requests get the address blocked (error 4). The validity
with the service ends after 24 hours at the latest. A text that begins like a convention (`__HLR__`), from an account
with conventions off, is taken for one by the service. The backup host (www2.smsc.ru) is a second provider with another
`base_url`, named after the first in the route; one that took a message is the one that is asked for it.

Callbacks: set the handler's address in the cabinet to that of the callback with `?md5` (or what `callback_signature`
says) and, if you like, `&charset=utf-8` behind it, without `fmt`; the signature is required.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

import httpx
import msgspec
from pydantic import Field, SecretStr, model_validator

from pdu import MessageState

from ..config import Table
from ..model import (
    Binary,
    Bot,
    Call,
    Hlr,
    HlrResult,
    Incoming,
    Kind,
    Mail,
    Message,
    Millis,
    Ping,
    Sms,
    Social,
    Stage,
    StatusReport,
    TelegramCode,
    Viber,
    bare,
    digits,
)
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
    fixed,
)

# https://smsc.ru/api/http/status_messages/statuses/
STATES = {
    -2: MessageState.ENROUTE,  # the mailing is paused
    -1: MessageState.ENROUTE,  # waits to be sent
    0: MessageState.ENROUTE,  # handed to the operator
    1: MessageState.DELIVERED,
    2: MessageState.DELIVERED,  # and read
    3: MessageState.EXPIRED,
    4: MessageState.DELIVERED,  # and the link in it was followed
    20: MessageState.UNDELIVERABLE,
    22: MessageState.UNDELIVERABLE,  # wrong number
    23: MessageState.REJECTED,  # forbidden
    24: MessageState.REJECTED,  # no funds
    25: MessageState.UNDELIVERABLE,  # number cannot be reached by this service
}
NOT_FOUND = -3
NO_FUNDS = 24

#: https://smsc.ru/api/http/status_messages/errors/: what keeps this service from it, and perhaps no other. 238 no
#: template, 239 forbidden address, 243 no contract, 244 mailings forbidden, 247 client's limit, 248 no route,
#: 254 sender not registered.
OURS_TO_MEND = frozenset({238, 239, 243, 244, 247, 248, 254})
WRONG_NUMBER = 249
NO_ROUTE = 248

#: Seconds after which a request that was "sent more than once a minute" may go again.
A_MINUTE = 60.0

#: https://smsc.ru/api/http/send/: what an error of send.php means for every message in the request. `said` is the
#: service's own sentence. 9 is not here: see `_repeated`.
ERRORS: Mapping[int, Callable[[str], Outcome]] = {
    1: lambda said: Unable(reason=said),
    # Login, password, or the address that we come from.
    2: lambda said: Unable(reason=said, everything=True),
    # Going on asking without money only leads to error 4.
    3: lambda said: Unable(reason=said, everything=True),
    4: lambda said: Temporary(reason=said, retry_after=2 * A_MINUTE),
    5: lambda said: Refused(reason=said),
    6: lambda said: Refused(reason=said),
    7: lambda said: Refused(reason=said, err=WRONG_NUMBER),
    8: lambda said: Unable(reason=said, err=NO_ROUTE),
}
REPEATED = 9

#: `type` of a status: a call.
CALL = 7

#: Fields that are signed, in their order, by what tells the kind of callback: a status, a message from a subscriber, a
#: call that was waited for.
SIGNED: Mapping[str, tuple[str, ...]] = {
    "status": ("id", "phone", "status"),
    "mes": ("phone", "mes", "to"),
    "waitcall": ("phone", "ts"),
}

#: Messages that many people get alike.
_TOGETHER = frozenset({Kind.SMS, Kind.BINARY, Kind.CALL, Kind.VIBER, Kind.SOCIAL, Kind.HLR, Kind.PING})
_EXPIRING = frozenset({Kind.SMS, Kind.BINARY, Kind.VIBER, Kind.PING})
_WITHOUT_SENDER = frozenset({Kind.HLR, Kind.TELEGRAM, Kind.BOT})
_PLAIN_NUMBER = re.compile(r"\+?[1-9][0-9]{4,19}")
_HLR_FIELDS = HlrResult.__struct_fields__
_BUCKET = 60_000

#: What the service takes for missing call parameters: seconds to wait, seconds between attempts, attempts.
_CALL_DEFAULTS = (22, 20, 5)


class SmscSettings(Table):
    #: Another house of the family: https://smsc.kz/sys/, https://smscentre.com/sys/, …
    base_url: str = Field(default="https://smsc.ru/sys/", pattern=r"^https?://[^/@\s]+/(.*/)?$")
    #: Login and password, or …
    login: str = ""
    password: SecretStr = SecretStr("")
    #: … a key from the cabinet.
    apikey: SecretStr = SecretStr("")
    #: For messages without a source address; empty or ".": without a sender name, not even the account's default.
    sender: str = Field(default="", max_length=15)
    #: The address that mail comes from where the source address is none.
    mail_sender: str = ""
    #: Binary data without a user data header gets an empty one, because the service reads the header first.
    empty_udh: bool = True
    #: From the cabinet; callbacks are refused without.
    callback_secret: SecretStr = SecretStr("")
    #: Believe callbacks that nobody signed: whoever knows the address can make up statuses.
    callback_unsigned: bool = False
    #: The word in the handler's address. crc32 is easily forged.
    callback_signature: Literal["md5", "sha1", "crc32"] = "md5"
    #: The `charset` in the handler's address; the service's own default is windows-1251.
    callback_charset: Literal["windows-1251", "utf-8", "koi8-r"] = "windows-1251"

    @model_validator(mode="after")
    def _known_to_the_service(self) -> SmscSettings:
        if not (self.apikey.get_secret_value() or (self.login and self.password.get_secret_value())):
            raise ValueError("expected login and password, or apikey")
        return self


class Smsc(Provider[SmscSettings]):
    """See the head of the module."""

    Settings = SmscSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    when_in_doubt = WhenInDoubt.ASK
    #: How many phones the service takes at once is not documented; a hundred keeps a lost answer small.
    batch = 100
    ask_batch = 100

    # Sending

    def rides_with(self, message: Message) -> Hashable:
        # What failed twice in company goes alone, so that one bad number cannot keep the others for ever.
        if not _in_company(message) or message.progress.attempts > 1:
            return message.id
        return _shared(message), message.kind, _valid(message)

    def reference(self, message: Message) -> str:
        return f"{_id(message)}:{_phone(message)}"

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        first = messages[0]
        fields = _fields(first, self.settings)
        if first.kind not in _WITHOUT_SENDER and (sender := self._sender(first)):
            fields["sender"] = sender
        if first.kind in _EXPIRING:
            fields["valid"] = _valid(first)
        phones = ",".join(_written(_phone(message)) for message in messages)
        # cost=2: the price, op=1: what became of each phone.
        return self._form("send", phones=phones, id=_id(first), cost="2", op="1", **fields)

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        answer = reading.json(response)
        if not isinstance(answer, dict):
            return [reading.by_status(response)] * len(messages)
        id = reading.text(answer.get("id"))
        if code := reading.number(answer.get("error_code")):
            return [_failed(message, code, id, answer) for message in messages]
        if not id:
            return [reading.by_status(response)] * len(messages)
        return _taken(messages, id, answer)

    def _sender(self, message: Message) -> str:
        if message.kind is Kind.MAIL:
            return message.source if "@" in message.source else self.settings.mail_sender
        # smsc.ru SMPP and HTTP alike: "." stands for no name, not even the default one.
        return message.source or self.settings.sender or "."

    # Asking

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        asked = [self._asked_by(message) for message in messages]
        # A comma at the end keeps the answer a list even for one.
        return self._form(
            "status", id="".join(f"{id}," for id, _ in asked), phone="".join(f"{phone}," for _, phone in asked)
        )

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        answer = reading.json(response)
        keys = [self._asked_by(message) for message in messages]
        if isinstance(answer, dict) and len(messages) == 1:
            return [_status(answer, ":".join(keys[0]))]
        items = [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []
        by_key = {(reading.text(item.get("id")), bare(reading.text(item.get("phone")))): item for item in items}
        return [_status(by_key.get(key, {}), ":".join(key)) for key in keys]

    def _asked_by(self, message: Message) -> tuple[str, str]:
        id, colon, phone = message.progress.ref.partition(":")
        if not colon:
            # In doubt, so that no answer has told a reference.
            id, _, phone = self.reference(message).partition(":")
        return id, phone

    # Balance

    def balance(self) -> httpx.Request:
        return self._form("balance", cur="1")

    def balance_read(self, response: httpx.Response) -> str:
        answer = reading.json(response)
        if not isinstance(answer, dict):
            raise ValueError(f"HTTP {response.status_code} without a readable answer")
        if "balance" not in answer:
            raise ValueError(_said(answer, reading.number(answer.get("error_code")) or 0))
        return f"{answer['balance']} {reading.text(answer.get('currency'))}".strip()

    def _form(self, page: str, **fields: str) -> httpx.Request:
        settings = self.settings
        if key := settings.apikey.get_secret_value():
            who = {"apikey": key}
        else:
            who = {"login": settings.login, "psw": settings.password.get_secret_value()}
        form = urlencode({**who, "fmt": "3", "charset": "utf-8", **fields}, errors="replace").encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        return httpx.Request("POST", fixed(f"{settings.base_url}{page}.php"), content=form, headers=headers)

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        fields = {**reading.pairs(callback.query), **reading.pairs(callback.body)}
        kind = next((kind for kind in SIGNED if kind in fields), None)
        if kind is None:
            raise BadCallback("neither a status nor a message; the handler's address must not have fmt in it")
        self._prove(fields, SIGNED[kind])
        texts = {name: value.decode(self.settings.callback_charset, "replace") for name, value in fields.items()}
        match kind:
            case "status":
                return Reply(reports=[_called_back(texts)], body=b"OK")
            case "mes":
                return Reply(incoming=[self._incoming(texts, now)], body=b"OK")
        # We never ask the service to wait for a call; one that it reports is taken note of and nothing else.
        return Reply(body=b"OK")

    def _prove(self, fields: Mapping[str, bytes], signed: tuple[str, ...]) -> None:
        """The signature covers the octets as they were sent, before they are read in any charset."""
        if self.settings.callback_unsigned:
            return
        secret = self.settings.callback_secret.get_secret_value().encode()
        if not secret:
            raise BadCallback("there is no callback_secret to hold the signature against", 403)
        given = fields.get(self.settings.callback_signature, b"").lower()
        base = b":".join([*(fields.get(name, b"") for name in signed), secret])
        if not any(hmac.compare_digest(given, right) for right in _digests(self.settings.callback_signature, base)):
            raise BadCallback("the signature is missing or wrong", 403)

    def _incoming(self, texts: Mapping[str, str], now: Millis) -> Incoming:
        if "phone" not in texts:
            raise BadCallback("an incoming message without phone")
        when = texts.get("ts") or texts.get("time")
        # Without an id or a time, the same words on the same day are a repetition of the callback.
        told = [texts["phone"], texts["mes"], texts.get("to", ""), when or str(now // 86_400_000)]
        ref = texts.get("id") or hashlib.blake2b("\0".join(told).encode(), digest_size=16).hexdigest()
        return Incoming(
            provider=self.name,
            ref=ref,
            source=bare(texts["phone"]),
            destination=bare(texts.get("to", "")),
            text=texts["mes"],
            at=_at(texts.get("ts")),
        )


# Message → form ------------------------------------------------------------------------------------------------------


def _fields(message: Message, settings: SmscSettings) -> dict[str, str]:
    """The parameters that say what to send (https://smsc.ru/api/http/send/)."""
    match message.command:
        case Sms(text=text, flash=flash):
            return {"mes": text, "flash": "1"} if flash else {"mes": text}
        case Binary() as binary:
            return {"mes": _hex(binary, settings), "bin": "2"}
        case Mail(text=text, subject=subject):
            return {"mes": text, "mail": "1", "subj": subject}
        case Call() as call:
            return {"mes": call.text, "call": "1", **_call(call)}
        case Viber(text=text):
            return {"mes": text, "viber": "1"}
        case Social(text=text):
            return {"mes": text, "soc": "1"}
        case TelegramCode(code=code):
            return {"mes": code, "tg": "1"}
        case Bot(text=text, bot=bot):
            return {"mes": text, "bot": bot}
        case Hlr():
            return {"mes": "", "hlr": "1"}
        case Ping():
            return {"mes": "", "ping": "1"}


def _hex(binary: Binary, settings: SmscSettings) -> str:
    header = "" if binary.has_udh or not settings.empty_udh else "00"
    # 4 (8-bit data) is what the service takes for binary data anyway; anything else stands behind the data.
    behind = "" if binary.data_coding == 4 else f"\n~~~\npid: 0, dcs: {binary.data_coding}"
    return f"{header}{binary.data.hex().upper()}{behind}"


def _call(call: Call) -> dict[str, str]:
    fields = {"voice": call.voice} if call.voice else {}
    said = (call.wait, call.interval, call.attempts)
    if said != (None, None, None):
        numbers = (default if n is None else n for n, default in zip(said, _CALL_DEFAULTS, strict=True))
        fields["param"] = ",".join(map(str, numbers))
    return fields


def _phone(message: Message) -> str:
    """The recipient as a status names it. Nothing that separates recipients or names a group may stay in it."""
    match message.command:
        case Mail(to=to):
            return re.sub(r"[,;:\s]", "", to)
        case TelegramCode() | Bot() if message.destination.startswith("#"):
            return "#" + re.sub(r"[^0-9]", "", message.destination)
    return digits(message.destination)


def _written(phone: str) -> str:
    """The recipient as send.php is to have it: with a plus it is not "corrected"."""
    return phone if "@" in phone or phone.startswith("#") else f"+{phone}"


def _valid(message: Message) -> str:
    """How long it is good for, as hh:mm from 00:01 to 24:00, from the moment it was due."""
    minutes = message.lifetime // 60_000
    hours, minutes = divmod(min(max(minutes, 1), 24 * 60), 60)
    return f"{hours:02}:{minutes:02}"


def _in_company(message: Message) -> bool:
    """Whether the message may share its id with others; see the head of the module."""
    return (
        message.kind in _TOGETHER
        and message.duplicate_window >= _BUCKET
        and _PLAIN_NUMBER.fullmatch(message.destination) is not None
    )


def _shared(message: Message) -> tuple[Hashable, ...]:
    """What messages with one id have in common. A plus makes two destinations of one phone, hence the last."""
    minute = message.accepted_at // _BUCKET
    return (message.account, message.source, message.command, minute, message.destination.startswith("+"))


def _id(message: Message) -> str:
    """The id that the service is told: at most 40 letters and digits."""
    if not _in_company(message):
        return f"m{message.number}"
    shared = msgspec.msgpack.encode(_shared(message))
    return f"b{hashlib.blake2b(shared, digest_size=16).hexdigest()}"


# Answers → outcomes --------------------------------------------------------------------------------------------------


def _failed(message: Message, code: int, id: str, answer: Mapping[str, Any]) -> Outcome:
    said = _said(answer, code)
    outcome = _repeated(message, said) if code == REPEATED else ERRORS.get(code, _unheard_of)(said)
    if id not in ("", "0") and not isinstance(outcome, Refused):
        # An id beside the error: a message was made of it all the same, so that its status decides.
        return InDoubt(reason=f"{said}, yet it has the id {reading.cut(id, 40)}")
    return outcome


def _repeated(message: Message, said: str) -> Outcome:
    """Error 9: the same request more than once a minute. The second time this means that the first one arrived."""
    before = message.progress.attempts - (1 if message.progress.stage is Stage.SENDING else 0)
    return InDoubt(reason=said) if before > 0 else Temporary(reason=said, retry_after=A_MINUTE)


def _unheard_of(said: str) -> Outcome:
    return InDoubt(reason=said)


def _taken(messages: Sequence[Message], id: str, answer: Mapping[str, Any]) -> Sequence[Outcome]:
    phones = answer.get("phones")
    items = [item for item in phones if isinstance(item, dict)] if isinstance(phones, list) else []
    failed = sum(1 for item in items if reading.number(item.get("status")) in _FAILED)
    count, rest = divmod(reading.number(answer.get("cnt")) or 0, max(len(messages) - failed, 1))
    # Of a call it is seconds.
    parts = 0 if rest or messages[0].kind is Kind.CALL else reading.parts(count)
    if len(messages) == 1:
        item = items[0] if len(items) == 1 else {}
        return [_one(messages[0], id, {"cost": answer.get("cost"), **item}, parts)]
    if not items:
        return [_one(message, id, {}, parts) for message in messages]
    by_phone = {bare(reading.text(item.get("phone"))): item for item in items}
    return [
        _one(message, id, by_phone[phone], parts)
        if (phone := _phone(message)) in by_phone
        else InDoubt(reason="not among the phones of the answer")
        for message in messages
    ]


_FAILED = frozenset(
    code for code, state in STATES.items() if state not in (MessageState.ENROUTE, MessageState.DELIVERED)
)


def _one(message: Message, id: str, item: Mapping[str, Any], parts: int) -> Outcome:
    """What became of one phone: `status` and `error` of it are those of the lists of statuses and their errors."""
    status, err = reading.number(item.get("status")), reading.err(item.get("error"))
    if status in _FAILED:
        reason = f"status {status} err {err}"
        if err in OURS_TO_MEND or status == NO_FUNDS:
            return Unable(reason=reason, err=err)
        return Refused(reason=reason, state=STATES[status], err=err)
    return Sent(ref=f"{id}:{_phone(message)}", cost=reading.cost(item.get("cost")), parts=parts)


def _status(item: Mapping[str, Any], ref: str) -> StatusReport | NotFound | None:
    status = reading.number(item.get("status"))
    if status is None:
        return None
    if status == NOT_FOUND:
        return NotFound()
    return _report(status, item, ref, _at(item.get("last_timestamp")))


def _called_back(texts: Mapping[str, str]) -> StatusReport:
    status = reading.number(texts["status"])
    if status is None or not texts.get("id"):
        raise BadCallback("a status without an id or without a number")
    ref = f"{texts['id']}:{bare(texts.get('phone', ''))}"
    return _report(status, texts, ref, _at(texts.get("ts")))


def _report(status: int, told: Mapping[str, Any], ref: str, at: Millis) -> StatusReport:
    err = reading.err(told.get("err"))
    found = {name: reading.text(told.get(name)) for name in _HLR_FIELDS if name in told}
    return StatusReport(
        state=STATES.get(status, MessageState.UNKNOWN),
        ref=ref,
        err=err,
        at=at,
        cost=reading.cost(told.get("cost")),
        # Of a call it is seconds.
        parts=0 if reading.number(told.get("type")) == CALL else reading.parts(told.get("cnt")),
        hlr=HlrResult(**found) if found else None,
        raw=f"status {status} err {err}",
    )


# Reading -------------------------------------------------------------------------------------------------------------


def _at(timestamp: object) -> Millis:
    seconds = reading.number(timestamp) or 0
    return seconds * 1000 if 0 < seconds < 10**10 else 0


def _said(answer: Mapping[str, Any], code: int) -> str:
    return f"error {code}: {reading.cut(reading.text(answer.get('error')))}"


def _digests(algorithm: str, base: bytes) -> Sequence[bytes]:
    """How the signature may look."""
    match algorithm:
        case "md5":
            return [hashlib.md5(base, usedforsecurity=False).hexdigest().encode()]
        case "sha1":
            return [hashlib.sha1(base, usedforsecurity=False).hexdigest().encode()]
    # Whether it is written in decimal or in hexadecimal is not documented.
    crc = zlib.crc32(base)
    return [str(crc).encode(), f"{crc:08x}".encode()]
