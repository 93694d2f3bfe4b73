"""The PDUs of one message, as far as the store can tell: those that came, and those that we said about it.

What came is kept octet by octet. What we said is not kept, but follows from what is: the response from the id and the
sequence_number, the receipts from the state and the settings of the account. Each of these says that it was rebuilt,
and what it cannot know. A response went out as it stands here; a receipt is worded by today's settings, for SMPP 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pdu import PDUS, Pdu, SubmitMultiResp, encode

from ..config import AccountConfig
from ..delivery.data_sm import as_data_sm, carries_data_sm
from ..delivery.receipts import deliver_sm
from ..lifecycle import wanted
from ..model import Kind, Message, Notify, Part, Receipt, Stage

_RESPONSE = 0x8000_0000
#: What a receipt is worded for, where the client's version is not known any more.
_VERSION = 0x34


class Exchanged(NamedTuple):
    """One PDU of a message."""

    frame: bytes
    #: From the client; else to it.
    received: bool
    #: Empty: as it was. Else that it was rebuilt, and from what.
    note: str = ""


def exchanged(
    message: Message, parts: Sequence[Part], waiting: Sequence[Receipt], account: AccountConfig | None
) -> list[Exchanged]:
    """All PDUs of a message, made of the `parts` of a long one, receipts that wait, and the settings of its account
    (None: not to be had)."""
    config = AccountConfig(allowed_networks=()) if account is None else account
    by = "" if account is not None else ", by default settings because the account's are not to be had"
    came = [(part.pdu, part.id) for part in parts] or [(message.pdu, message.known_as)]
    found = []
    for frame, id in came:
        found.append(Exchanged(frame, True))
        if (response := _response(frame, config.dialect.write_response_id(id))) is not None:
            note = f"rebuilt from id, sequence_number and status{by}"
            if isinstance(response, SubmitMultiResp):
                note += "; unsuccess_sme is not kept"
            found.append(Exchanged(encode(response), False, note))
    receipts = [receipt for receipt in waiting if receipt.channel is Notify.SMPP]
    told = f"rebuilt from what waits in the outbox{by}"
    if not receipts and (ended := _ended(message)):
        receipts, told = [ended], f"rebuilt from the state it ended in{by}"
        if message.kind is Kind.HLR:
            told += "; what the look-up found is not kept"
    for receipt in receipts:
        for id in receipt.ids:
            delivery: Pdu = deliver_sm(receipt, id, config, _VERSION)
            if carries_data_sm(config.dialect, _VERSION):
                delivery = as_data_sm(deliver_sm(receipt, id, config, _VERSION))
            found.append(Exchanged(encode(delivery), False, f"{told}; its sequence_number is not known"))
    return found


def _response(frame: bytes, id: str) -> Pdu | None:
    """The answer with status 0 to a request that was taken."""
    response: Any = PDUS.get(int.from_bytes(frame[4:8]) | _RESPONSE)
    if response is None:
        return None
    pdu: Pdu = response(sequence_number=int.from_bytes(frame[12:16]), message_id=id)
    return pdu


def _ended(message: Message) -> Receipt | None:
    """The receipt that left the outbox, if one was due."""
    progress = message.progress
    if progress.stage is not Stage.FINAL or message.notify is not Notify.SMPP:
        return None
    if not wanted(message.registered_delivery, progress.state):
        return None
    return Receipt(
        seq=0,
        account=message.account,
        channel=Notify.SMPP,
        message=message,
        state=progress.state,
        err=progress.err,
        done_at=progress.done_at,
        ids=message.part_ids or (message.id,),
    )
