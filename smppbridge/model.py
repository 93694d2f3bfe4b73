"""The nouns that travel between the stations of the road (ARCHITECTURE.md, "The road of a message").

Everything here is data: no I/O, no clock, no rule. Times are whole milliseconds since 1970-01-01 UTC
(`Millis`), because they are compared, stored and sent far more often than they are shown.
The classes are msgspec structs: typed, cheap to make (a message is made 70,000 times a second), and
`msgspec.json` writes them down and reads them back without a line of ours.
"""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from typing import TypeAlias

import msgspec

from pdu import CommandId, MessageState

Millis: TypeAlias = int
"""Whole milliseconds since 1970-01-01 UTC."""


class Kind(StrEnum):
    """What a message asks for. The names are what routes and providers are configured with."""

    #: A text message.
    SMS = "sms"
    #: A short message whose data is not text (data_coding 8-bit, or a user data header with ports).
    BINARY = "binary"
    MAIL = "mail"
    CALL = "call"
    VIBER = "viber"
    #: "Odnoklassniki", "VKontakte" or "Mail.Ru Agent" (smsc.ru, SMPP and HTTP API).
    SOCIAL = "soc"
    #: A confirmation code in Telegram.
    TELEGRAM = "telegram"
    #: A message from a Telegram bot (or, with `bot:wa:…`, a WhatsApp number).
    BOT = "bot"
    #: A look-up in the home location register: sends nothing to the subscriber.
    HLR = "hlr"
    #: An invisible message that tests whether the subscriber is reachable.
    PING = "ping"


# What a message means: one struct a kind, made by `smppbridge.commands` and by nothing else. --------------------------


class _Command(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind"):
    """The text after `\\n~~~\\n` stands in `comment`: kept, never sent (smsc.ru SMPP, text conventions)."""

    comment: str = ""


class Sms(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="sms"):
    text: str
    #: Shown at once and not kept by the handset (message class 0, GSM 03.38 §4).
    flash: bool = False


class Binary(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="binary"):
    #: User data header first when `has_udh`.
    data: bytes
    data_coding: int
    has_udh: bool = False


class Mail(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="mail"):
    text: str
    subject: str
    #: The address, from a `to:` line or from destination_addr.
    to: str


class Call(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="call"):
    text: str
    #: Empty means: as the provider chooses.
    voice: str = ""
    #: Seconds to wait for an answer, seconds between attempts, attempts (smsc.ru HTTP API); None means not said.
    wait: int | None = None
    interval: int | None = None
    attempts: int | None = None


class Viber(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="viber"):
    text: str


class Social(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="soc"):
    text: str


class TelegramCode(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="telegram"):
    #: 4 to 8 digits.
    code: str


class Bot(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="bot"):
    text: str
    #: `@name`, or `wa:<number>` (smsc.ru, SMPP and HTTP API).
    bot: str


class Hlr(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="hlr"):
    pass


class Ping(_Command, frozen=True, gc=False, omit_defaults=True, kw_only=True, tag_field="kind", tag="ping"):
    pass


Command: TypeAlias = Sms | Binary | Mail | Call | Viber | Social | TelegramCode | Bot | Hlr | Ping

KIND_OF: dict[type[Command], Kind] = {
    Sms: Kind.SMS,
    Binary: Kind.BINARY,
    Mail: Kind.MAIL,
    Call: Kind.CALL,
    Viber: Kind.VIBER,
    Social: Kind.SOCIAL,
    TelegramCode: Kind.TELEGRAM,
    Bot: Kind.BOT,
    Hlr: Kind.HLR,
    Ping: Kind.PING,
}

#: Kinds that are a plain text and nothing else, so that each can honestly be made of the others. (That an SMS is shown
#: at once and not kept is lost: other channels have no such thing.)
TEXTS: dict[Kind, type[Sms] | type[Viber] | type[Social]] = {
    Kind.SMS: Sms,
    Kind.VIBER: Viber,
    Kind.SOCIAL: Social,
}


def text_of(command: Command) -> str:
    """What is sent, where it is text; empty where it is data or nothing at all."""
    text: str = getattr(command, "text", "") or getattr(command, "code", "")
    return text


def bare(number: str) -> str:
    """A number as it is compared: clients and providers write the plus or not."""
    return number.strip().removeprefix("+")


def digits(number: str) -> str:
    """A number in the international form, digits alone: nothing that separates recipients stays in it."""
    return _NO_DIGIT.sub("", number).removeprefix("00")


_NO_DIGIT = re.compile("[^0-9]")


# A message and how far it has come. ----------------------------------------------------------------------------------


class Stage(IntEnum):
    """Where an accepted message stands with us (`MessageState` says where it stands with the subscriber)."""

    #: On disk only, until `due`: scheduled, waiting for another attempt, or more than memory takes.
    WAITING = 0
    #: Taken into memory by a dispatcher; nothing has been sent. After a crash the same as WAITING.
    READY = 1
    #: The request is about to be written or was written, its outcome is not recorded. After a crash: in doubt.
    SENDING = 2
    #: A provider has it; its status is asked for at `due`, unless a callback comes first.
    SENT = 3
    #: It may have been sent, nobody knows yet; the provider is asked at `due` (ARCHITECTURE.md, promise 4).
    DOUBT = 4
    #: One of the final states was reached, once and for all.
    FINAL = 5


class Onward(IntEnum):
    """Whether a message that is not delivered on this leg of its route goes on to the next one."""

    #: This is the last leg: what becomes of it is what becomes of the message.
    NO = 0
    #: Only once it is certain that this leg has not delivered it and will not: never by two channels.
    IF_CERTAIN = 1
    #: Also when nobody knows by the end of the leg.
    ALWAYS = 2


class Notify(IntEnum):
    """Who hears of the outcome, decided at acceptance: registered_delivery (SMPP 3.4 §5.2.17), else the account."""

    NOBODY = 0
    #: DELIVER_SM to a receiver of the account.
    SMPP = 1
    #: The account's own HTTP handler, because registered_delivery is not set.
    HTTP = 2


class HlrResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an HLR look-up found (smsc.ru SMPP, statuses of HLR requests); empty means not known."""

    imsi: str = ""
    msc: str = ""
    mcc: str = ""
    mnc: str = ""
    cn: str = ""
    net: str = ""
    rcn: str = ""
    rnet: str = ""


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a message has come. Never changed in place: `lifecycle.step` makes the next one."""

    stage: Stage = Stage.READY
    state: MessageState = MessageState.ENROUTE
    #: When the next thing is to be done with it (see `Stage`); not later than `Message.expires` while unsent.
    due: Millis = 0
    #: The provider that has it, or had it last.
    provider: str = ""
    #: The provider's own id of it, unique within the provider.
    ref: str = ""
    #: Requests made for it so far, over all providers.
    attempts: int = 0
    #: Providers that said they cannot do it, so that failover goes on to the next one; comma-separated.
    refused_by: str = ""
    #: The `err` of the receipt (smsc.ru, error codes in statuses), 0 to 999.
    err: int = 0
    done_at: Millis = 0
    #: Decimal, as the provider tells it ("1.40"); empty means not told.
    cost: str = ""
    #: Short messages it took; 0 means not told.
    parts: int = 0
    #: How often its status was asked for, for the schedule that backs off.
    polls: int = 0
    #: As what it went, or by which channel it was delivered, where that need not be `Message.kind`: the value of a
    #: `Kind`, or a word of the provider's ("whatsapp").
    channel: str = ""
    #: The subscriber's message that it answers (`Incoming.ref`), where the provider wants one (`Provider.answers`).
    answers: str = ""
    #: Which leg of its route it is on, from 0 (docs/configuration.md, cascades).
    leg: int = 0
    #: End of this leg; 0: that of the message, or nothing of this leg has been sent.
    leg_ends: Millis = 0
    onward: Onward = Onward.NO


_SUBMIT_MULTI = CommandId.SUBMIT_MULTI.to_bytes(4)

#: By how much the number of one leg is higher than that of the leg before (`Message.number`).
LEG = 10**18


class Message(msgspec.Struct, gc=False, kw_only=True):
    """An accepted message: what came in, what it means, and how far it has come.

    Only `progress` is ever replaced; everything else is settled with the SUBMIT_SM_RESP, but for what a REPLACE_SM puts
    in its place while it waits (`Store.replace`).
    """

    id: int
    account: str
    #: The bind it came over (`Link.id`), unique over restarts: tells a resend from a repetition.
    bind: int
    #: sequence_number of the SUBMIT_SM.
    sequence: int
    kind: Kind
    command: Command
    source: str
    source_ton: int
    source_npi: int
    destination: str
    destination_ton: int
    destination_npi: int
    #: priority_flag, 0 to 3 (5.0: to 4): higher goes first.
    priority: int
    registered_delivery: int
    notify: Notify
    data_coding: int
    #: The PDU as it came, header and all; of a joined message the first part's.
    pdu: bytes
    accepted_at: Millis
    #: End of the validity period.
    expires: Millis
    #: How long an identical message is refused, in milliseconds; 0 switches the one-minute rule off for it.
    duplicate_window: int = 0
    #: The ids under which receipts go out, where that is not the message's own: of a joined message those of the parts
    #: that asked for one, of a destination of a SUBMIT_MULTI the one id that the client was told.
    part_ids: tuple[int, ...] = ()
    progress: Progress = Progress()

    @property
    def known_as(self) -> int:
        """The id that the client was told: its own, and of a destination of a SUBMIT_MULTI that of the whole."""
        return self.part_ids[0] if self.pdu[4:8] == _SUBMIT_MULTI else self.id

    @property
    def number(self) -> int:
        """What providers are to know it by: its id, and from the second leg of its route on another one, so that an
        idempotency key of one leg is not taken for a repetition of the one before. Below 2 ** 63. An id as high as the
        number of a leg is given out seven and a half years later."""
        return self.id + self.progress.leg * LEG

    @property
    def lifetime(self) -> Millis:
        """How long it is good for, from the moment it was due; an adapter has no clock."""
        return self.expires - max(self.accepted_at, self.progress.due)

    def log_context(self) -> dict[str, object]:
        """How a message looks in a log line: never its text, never its addresses in full."""
        return {"id": str(self.id), "account": self.account, "kind": self.kind.value}


#: More parts than any message has: what is added to `Part.total` so that the set never is whole (`store.restore`).
NEVER_WHOLE = 256


class Part(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One part of a long message, acknowledged with an id of its own and held until all have come."""

    id: int
    account: str
    bind: int
    source: str
    destination: str
    #: Reference, how many, which (from 1): UDH 8/16-bit or SAR TLVs (3GPP TS 23.040 §9.2.3.24; SMPP 3.4 §5.3.2.22).
    reference: int
    total: int
    number: int
    registered_delivery: int
    notify: Notify
    #: What data_coding 0 means on the bind it came over: `pdu.Alphabet`.
    alphabet: str
    pdu: bytes
    accepted_at: Millis
    expires: Millis

    @property
    def announced(self) -> int:
        """How many parts the client has announced: `total`, unless that was made one that never comes."""
        return self.total % NEVER_WHOLE


# What comes back. ----------------------------------------------------------------------------------------------------


class StatusReport(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What a provider says has become of a message, in the words of SMPP. Which one: by `ref`, or by our own `id`."""

    state: MessageState
    #: Of UNKNOWN: the provider knows no more and never will. Without it, it is asked again.
    final: bool = False
    ref: str = ""
    id: int = 0
    err: int = 0
    #: When it happened at the provider; 0 means not told.
    at: Millis = 0
    cost: str = ""
    parts: int = 0
    #: Which channel delivered, where a provider tries several.
    channel: str = ""
    hlr: HlrResult | None = None
    #: The provider's own words, without secrets, for the time-line.
    raw: str = ""


class Incoming(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A message from a subscriber (MO)."""

    provider: str
    #: The provider's id of it: the same id again is the same message.
    ref: str
    source: str
    destination: str
    text: str
    at: Millis = 0
    #: Not empty: 8-bit data instead of text, with its data_coding and whether a user data header stands first in it.
    data: bytes = b""
    data_coding: int = 4
    has_udh: bool = False
    #: What it was sent to within the number, where one number serves several (a keyword).
    prefix: str = ""
    #: Of our message that it replies to: the provider's id, where the provider tells that.
    reply_to: str = ""
    #: No message at all: the subscriber `source` can be reached again, and the client behind `destination` wanted to
    #: know (ALERT_NOTIFICATION, SMPP 3.4 §4.12). TON and NPI of both, as they were in the SUBMIT_SM.
    alert: tuple[int, int, int, int] | None = None


class Receipt(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One outcome on its way to a client: a row of the outbox, with the message it speaks of."""

    #: Place in the outbox: receipts of an account leave in this order.
    seq: int
    account: str
    channel: Notify
    message: Message
    state: MessageState
    err: int
    done_at: Millis
    hlr: HlrResult | None = None
    #: Ids to report it under: the message's own, or those of the parts that asked.
    ids: tuple[int, ...] = ()
    #: Deliveries tried so far (HTTP handler).
    attempts: int = 0


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One line of a message's time-line (`smppbridge messages show ID`)."""

    message: int
    at: Millis
    #: A short word: accepted, sent, status, final, late, receipt, … (`lifecycle.EVENTS` lists them).
    event: str
    #: One sentence for a person; no secret, no text of the message.
    detail: str = ""
