"""Nouns ↔ rows of the database: which field stands in which column, and nothing else.

The columns of a message are its fields in their order, its progress spread out at the end, and the comment of its
command once more for looking it up. So writing one is a copy of the struct with three fields put otherwise, which
matters 70,000 times a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pdu import MessageState

from ..lifecycle import Reported
from ..model import Command, HlrResult, Incoming, Kind, Message, Millis, Notify, Onward, Part, Progress, Receipt, Stage
from .base import Absent, Arrival

MESSAGE = (*Message.__struct_fields__[:-1], *Progress.__struct_fields__, "comment")
#: What a message has from the first; the other columns have defaults, which saves a quarter of the hot path's binding.
NEW_MESSAGE = (*Message.__struct_fields__[:-1], "stage", "state", "due", "provider", "attempts", "comment")
PROGRESS = Progress.__struct_fields__
PART = Part.__struct_fields__
ABSENT = Absent.__struct_fields__
#: Of the outbox, in the order in which `receipt` reads them before the message's own.
OUTBOX = ("seq", "account", "channel", "message", "state", "err", "done_at", "hlr", "ids", "attempts", "incoming")

_fields = msgspec.structs.astuple
_encode = msgspec.json.Encoder().encode
command = msgspec.json.Decoder(Command).decode
_ids = msgspec.json.Decoder(tuple[int, ...]).decode
_hlr = msgspec.json.Decoder(HlrResult).decode
_incoming = msgspec.json.Decoder(Incoming).decode
_reported = msgspec.json.Decoder(Reported).decode

_COMMAND = Message.__struct_fields__.index("command")
_PART_IDS = Message.__struct_fields__.index("part_ids")
_PROGRESS = Message.__struct_fields__.index("progress")
_KINDS = {kind.value: kind for kind in Kind}
_STAGES = {stage.value: stage for stage in Stage}
_STATES = {state.value: state for state in MessageState}
_NOTIFY = {notify.value: notify for notify in Notify}
_ONWARD = tuple(Onward)


def of_new_message(message: Message) -> list[Any]:
    row = list(_fields(message))
    row[_COMMAND] = _encode(message.command).decode()
    row[_PART_IDS] = _encode(message.part_ids).decode() if message.part_ids else None
    progress = message.progress
    row[_PROGRESS:] = (
        progress.stage,
        progress.state,
        progress.due,
        progress.provider,
        progress.attempts,
        message.command.comment or None,
    )
    return row


def of_progress(message: Message) -> list[Any]:
    return [message.id, *_fields(message.progress)]


def of_content(message: Message) -> list[Any]:
    """What `Store.replace` puts in the place of what was accepted."""
    return [
        message.kind,
        _encode(message.command).decode(),
        message.command.comment or None,
        message.registered_delivery,
        message.notify,
        message.expires,
        message.id,
    ]


def message(row: Sequence[Any]) -> Message:
    return Message(
        id=row[0],
        account=row[1],
        bind=row[2],
        sequence=row[3],
        kind=_KINDS[row[4]],
        command=command(row[5]),
        source=row[6],
        source_ton=row[7],
        source_npi=row[8],
        destination=row[9],
        destination_ton=row[10],
        destination_npi=row[11],
        priority=row[12],
        registered_delivery=row[13],
        notify=_NOTIFY[row[14]],
        data_coding=row[15],
        pdu=row[16],
        accepted_at=row[17],
        expires=row[18],
        duplicate_window=row[19],
        part_ids=_ids(row[20]) if row[20] else (),
        progress=Progress(_STAGES[row[21]], _STATES[row[22]], *(*row[23:37], _ONWARD[row[37]])),
    )


def of_part(part: Part, round: int) -> list[Any]:
    return [*_fields(part), round]


def part(row: Sequence[Any]) -> Part:
    fields = dict(zip(PART, row, strict=False))
    fields["notify"] = _NOTIFY[fields["notify"]]
    return Part(**fields)


def of_absent(absent: Absent) -> list[Any]:
    return list(_fields(absent))


def absent(row: Sequence[Any]) -> Absent:
    return Absent(**dict(zip(ABSENT, row, strict=True)))


def of_receipt(receipt: Receipt, due: Millis, now: Millis) -> list[Any]:
    own = receipt.ids == (receipt.message.id,)
    return [
        receipt.seq,
        receipt.account,
        receipt.channel,
        receipt.message.id,
        receipt.state,
        receipt.err,
        receipt.done_at,
        _encode(receipt.hlr).decode() if receipt.hlr else None,
        None if own else _encode(receipt.ids).decode(),
        receipt.attempts,
        due,
        now,
        None,
    ]


def of_arrival(arrival: Arrival, now: Millis) -> list[Any]:
    incoming = _encode(arrival.incoming).decode()
    empty = [None] * 6
    return [arrival.seq, arrival.account, Notify.SMPP, *empty, 0, now, now, incoming]


def receipt(row: Sequence[Any]) -> Receipt:
    """From the columns of `OUTBOX` and, after them, those of the message."""
    return Receipt(
        seq=row[0],
        account=row[1],
        channel=_NOTIFY[row[2]],
        message=message(row[len(OUTBOX) :]),
        state=_STATES[row[4]],
        err=row[5],
        done_at=row[6],
        hlr=_hlr(row[7]) if row[7] else None,
        ids=_ids(row[8]) if row[8] else (row[3],),
        attempts=row[9],
    )


def queued(row: Sequence[Any]) -> Receipt | Arrival:
    """A row of the outbox, whichever it is: one that speaks of no message carries one from a subscriber."""
    if row[3] is None:
        return Arrival(seq=row[0], account=row[1], incoming=_incoming(row[10]))
    return receipt(row)


def of_parked(change: Reported, now: Millis) -> list[Any]:
    return [change.provider, change.report.ref, now, _encode(change).decode()]


def parked(text: str) -> Reported:
    return _reported(text)
