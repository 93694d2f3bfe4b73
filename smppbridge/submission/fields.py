"""What the fields of a SUBMIT_SM mean: pure pieces that every way in uses."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pdu import (
    BadHeader,
    CommandId,
    CommandStatus,
    DataSm,
    Segment,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    Tag,
    decode,
    format_relative,
    parse_time,
    recast,
    segment_of,
    user_data,
)

from ..model import KIND_OF, Binary, Command, Kind, Message, Millis, Notify, Progress, Stage
from .account import AccountState
from .refusal import Refusal

# `#id` names a Telegram chat (smsc HTTP API, `phones`).
_CHAT = re.compile(r"#[0-9A-Za-z_-]{1,19}\Z").match

#: Seconds that a relative time can say; no message lives so long (`max_validity`).
_LONGEST = 31 * 86400

#: SMPP 3.4 §5.2.8: 21 octets with the NUL, in all but DATA_SM.
_ADDRESS_MAX = 20

#: The operations that make messages, by the last octet of their command_id, which is enough to tell them apart: it is
#: asked for each message that is accepted (SMPP 3.4 §5.1.2.1).
_BY_OCTET = {one & 0xFF: one for one in (CommandId.SUBMIT_SM, CommandId.SUBMIT_MULTI, CommandId.DATA_SM)}


def message_of(
    pdu: SubmitSm,
    frame: bytes,
    id: int,
    account: AccountState,
    bind: int,
    command: Command,
    notify: Notify,
    now: Millis,
    expires: Millis,
    progress: Progress,
) -> Message:
    return Message(
        id=id,
        account=account.name,
        bind=bind,
        sequence=pdu.sequence_number,
        kind=KIND_OF[type(command)],
        command=command,
        source=pdu.source_addr,
        source_ton=pdu.source_addr_ton,
        source_npi=pdu.source_addr_npi,
        destination=pdu.destination_addr,
        destination_ton=pdu.dest_addr_ton,
        destination_npi=pdu.dest_addr_npi,
        priority=pdu.priority_flag,
        registered_delivery=pdu.registered_delivery,
        notify=notify,
        data_coding=pdu.data_coding,
        pdu=frame,
        accepted_at=now,
        expires=expires,
        duplicate_window=account.window,
        progress=progress,
    )


def request_of(frame: bytes) -> CommandId:
    """Which operation a message came by; its response is of the same kind."""
    return _BY_OCTET[frame[7]]


def decoded(frame: bytes, account: AccountState) -> SubmitSm:
    """The PDU that a message came in, or one of its parts, read again as its client means it. A SUBMIT_MULTI names no
    destination here: that stands in the message."""
    pdu = decode(frame)
    if isinstance(pdu, DataSm):
        pdu = as_submit(pdu)
    elif isinstance(pdu, SubmitMulti):
        pdu = undirected(pdu)
    assert isinstance(pdu, SubmitSm)
    if account.mend is not None:
        account.mend(pdu)
    return pdu


def stillborn(
    pdu: SubmitSm, frame: bytes, id: int, account: AccountState, bind: int, body: bytes, now: Millis, expires: Millis
) -> Message:
    """A message that was acknowledged and will never be sent: it is there to end, and to say so in its receipts."""
    message = message_of(
        pdu,
        frame,
        id,
        account,
        bind,
        Binary(data=body, data_coding=pdu.data_coding),
        account.notify(pdu.registered_delivery),
        now,
        expires,
        # Not due before it has ended: a dispatcher must never take it.
        Progress(stage=Stage.WAITING, due=expires + 86_400_000),
    )
    message.duplicate_window = 0
    return message


def as_submit(pdu: DataSm) -> SubmitSm:
    """A DATA_SM as the SUBMIT_SM that says the same (SMPP 3.4 §4.7.1): it has no times of its own but the parameter
    qos_time_to_live, in seconds (§5.3.2.9), and its text is always in message_payload. Its addresses have room for 64
    characters; more than the 20 of every other operation only the destination may have (`check_destination`). Raises
    BodyError and Refusal."""
    if len(pdu.source_addr) > _ADDRESS_MAX:
        raise Refusal(CommandStatus.ESME_RINVSRCADR, f"source_addr has {_ADDRESS_MAX} characters at most")
    seconds = pdu.option(Tag.QOS_TIME_TO_LIVE)
    validity = format_relative(min(seconds, _LONGEST)) if isinstance(seconds, int) else ""
    return recast(pdu, SubmitSm, validity_period=validity)


def undirected(pdu: SubmitMulti) -> SubmitSm:
    """A SUBMIT_MULTI as the SUBMIT_SM that says the same to nobody yet (SMPP 3.4 §4.5.1); `direct` it."""
    return recast(pdu, SubmitSm)


def direct(pdu: SubmitSm, to: SmeAddress) -> SubmitSm:
    """The same PDU with another destination: a thousand copies of it would cost more than what is done with them."""
    pdu.dest_addr_ton, pdu.dest_addr_npi = to.dest_addr_ton, to.dest_addr_npi
    pdu.destination_addr = to.destination_addr
    return pdu


def opened(pdu: SubmitSm) -> tuple[Segment | None, bytes, bytes]:
    """Which part it is (None: it is whole), what stands in its header besides, its data."""
    try:
        return segment_of(pdu), *user_data(pdu)
    except BadHeader as broken:
        raise Refusal(broken.status, str(broken)) from None


def check_destination(kind: Kind, destination: str) -> None:
    """What is no number is an e-mail address (its own convention checks it) or a chat of a bot, or a mistake."""
    if kind is Kind.MAIL or (kind is Kind.BOT and _CHAT(destination)):
        return
    raise Refusal(CommandStatus.ESME_RINVDSTADR, "destination_addr is 3 to 20 digits, with or without a plus")


def times(pdu: SubmitSm, account: AccountState, now: Millis) -> tuple[Millis, Millis]:
    """schedule_delivery_time and validity_period (SMPP 3.4 §7.1.1) → when it is due, when it expires.

    A schedule in the past means at once; one too far ahead is a mistake more often than a wish. A validity that ends
    before the message is due, or has ended, is refused.
    """
    due = now
    if pdu.schedule_delivery_time:
        due = max(now, _time(pdu.schedule_delivery_time, now, CommandStatus.ESME_RINVSCHED))
        if account.max_schedule and due - now > account.max_schedule:
            raise Refusal(CommandStatus.ESME_RINVSCHED, "schedule_delivery_time is further ahead than max_schedule")
    if not pdu.validity_period:
        return due, due + account.validity
    expires = _time(pdu.validity_period, now, CommandStatus.ESME_RINVEXPIRY)
    if expires <= due:
        raise Refusal(CommandStatus.ESME_RINVEXPIRY, "validity_period ends before the message is to be sent")
    return due, min(expires, due + account.max_validity)


def _time(value: str, now: Millis, status: CommandStatus) -> Millis:
    try:
        moment = parse_time(value, datetime.fromtimestamp(now / 1000, UTC))
    except ValueError as wrong:
        raise Refusal(status, str(wrong)) from None
    return int(moment.timestamp() * 1000)
