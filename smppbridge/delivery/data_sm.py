"""A delivery in a DATA_SM instead of a DELIVER_SM, for clients that want it so."""

from __future__ import annotations

from typing import TypeAlias

from pdu import DataSm, DeliverSm, Tag, Tlv

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
    return DataSm(
        service_type=pdu.service_type,
        source_addr_ton=pdu.source_addr_ton,
        source_addr_npi=pdu.source_addr_npi,
        source_addr=pdu.source_addr,
        dest_addr_ton=pdu.dest_addr_ton,
        dest_addr_npi=pdu.dest_addr_npi,
        destination_addr=pdu.destination_addr,
        esm_class=pdu.esm_class,
        registered_delivery=pdu.registered_delivery,
        data_coding=pdu.data_coding,
        tlvs=tlvs,
    )
