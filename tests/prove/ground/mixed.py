"""A client that sends in every way there is, and once more what a lost link left unanswered, as real ones do.

How a number is sent stands in the number: one in sixteen is a SUBMIT_MULTI to all `subscribers`, one a DATA_SM, three
are the parts of one long message, by user data header or by SAR parameters, and the rest are plain SUBMIT_SM. Parts of
one message may so come from several clients, and before and after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pdu import (
    DataSm,
    DataSmResp,
    DeliverSm,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Tag,
    tlv,
)

from .esme import Esme
from .ledger import Ledger, text

_IN_ALL = 16
_MULTI, _DATA, _PARTS = 0, 4, (8, 9, 10)


def lacks_parts(number: int, last: int) -> bool:
    """Whether it is a part of a set whose rest nobody has sent, `last` being the last message of all."""
    return number % _IN_ALL in _PARTS and number - number % _IN_ALL + _PARTS[-1] > last


class Mixed(Esme):
    """One of them. `subscribers`: whom it sends to, one after the other."""

    def __init__(self, ledger: Ledger, *, subscribers: Sequence[str], **options: Any) -> None:
        super().__init__(ledger, **options)
        self.subscribers = subscribers

    def burst(self, count: int) -> None:
        """Send so many more, as the window takes them; nobody waits for the answers."""
        if not self.gone.is_set():
            self._left += count
            self._fill()

    def take(self, pdu: Pdu, out: list[bytes]) -> None:
        if isinstance(pdu, DataSmResp | SubmitMultiResp) and pdu.sequence_number in self._open:
            self._answered(SubmitSmResp(command_status=pdu.command_status, message_id=pdu.message_id,
                                        sequence_number=pdu.sequence_number))  # fmt: skip
        else:
            super().take(pdu, out)

    def told(self, pdu: DeliverSm, id: int, state: str) -> None:
        self.ledger.receipts_by[id, pdu.source_addr][state] += 1

    def message(self, number: int, sequence: int) -> Pdu:
        place, said = number % _IN_ALL, text(number).encode()
        to = self.subscribers[number // _IN_ALL % len(self.subscribers)]
        if place == _MULTI:
            self.ledger.several[number] = len(self.subscribers)
            every = [SmeAddress(destination_addr=one) for one in self.subscribers]
            return self._as(SubmitMulti, sequence, dest_addresses=every, short_message=said)
        if place == _DATA:
            return self._as(DataSm, sequence, destination_addr=to, tlvs=[tlv(Tag.MESSAGE_PAYLOAD, said)])
        if place not in _PARTS:
            return self._as(SubmitSm, sequence, destination_addr=to, short_message=said)
        reference, part = number // _IN_ALL & 0xFFFF, _PARTS.index(place) + 1
        if reference % 2:
            segment = [
                tlv(Tag.SAR_MSG_REF_NUM, reference),
                tlv(Tag.SAR_TOTAL_SEGMENTS, len(_PARTS)),
                tlv(Tag.SAR_SEGMENT_SEQNUM, part),
            ]
            return self._as(SubmitSm, sequence, destination_addr=to, short_message=said, tlvs=segment)
        header = bytes((6, 8, 4, *reference.to_bytes(2), len(_PARTS), part))
        return self._as(SubmitSm, sequence, destination_addr=to, short_message=header + said, esm_class=0x40)

    def _as(self, kind: Callable[..., Pdu], sequence: int, **fields: Any) -> Pdu:
        return kind(
            source_addr="PROOF", registered_delivery=self.registered_delivery, sequence_number=sequence, **fields
        )
