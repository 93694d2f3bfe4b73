"""A delivery in a DATA_SM instead of a DELIVER_SM, for clients that want it so."""

from __future__ import annotations

from typing import TypeAlias

from pdu import DataSm, DeliverSm, Tag, Tlv, recast

from ..config import Dialect

Delivery: TypeAlias = DeliverSm | DataSm


def carries_data_sm(dialect: Dialect, interface_version: int) -> bool:
    """Whether it goes so over this bind; SMPP 3.3 has no DATA_SM."""
    return dialect.deliver_with == "data_sm" and interface_version >= 0x34


def as_data_sm(pdu: DeliverSm) -> DataSm:
    """What says the same (SMPP 3.4 §4.7.1); the text is always in message_payload."""
    tlvs = pdu.tlvs
    if pdu.tlv(Tag.MESSAGE_PAYLOAD) is None:
        tlvs = [*tlvs, Tlv(Tag.MESSAGE_PAYLOAD, pdu.short_message)]
    return recast(pdu, DataSm, tlvs=tlvs)
