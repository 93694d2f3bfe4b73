"""Every PDU of SMPP 3.4, declared once: this is what the readers, the writers and the printer are made from.

The fields stand in the order of the wire, under their names in the specification. Each says how long it may be and
which command_status answers a longer one. A count (sm_length, number_of_dests, no_unsuccess) is no field of its own: it
is always the length of what it counts. Behind its fields every PDU may have TLVs, also where no operation defines one:
what is not expected is to be ignored (SMPP 3.4 §3.3), so it must be readable.

The versions a bound client may speak, and where their differences live:

* 3.3 (interface_version up to 0x33) has the same mandatory fields without TLVs. Nothing is different in reading. In
  writing, whoever answers such a client leaves the TLVs away. Its message ids have up to 8 characters.
* 5.0 (interface_version 0x50) gives TLVs to more PDUs (message_payload in replace_sm, congestion_state in every
  response …), which all have them here; sm_length up to 255 instead of 254 and number_of_dests up to 255, which are
  accepted from everybody; the states SCHEDULED and SKIPPED (`MessageState`); command_status from 0x100 on
  (`CommandStatus`). Its broadcast operations are known by name only (`CommandId`) and answered like an unknown command.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cache
from typing import Any, ClassVar, TypeVar, dataclass_transform

from .constants import CommandId, CommandStatus
from .errors import BodyError
from .tlv import Tlv, read
from .wire import Choice, Record, array, c_octets, integer, octet, octets, time

_T = TypeVar("_T")
_P = TypeVar("_P", bound="Pdu")


class EmptyBody(Enum):
    """When a PDU with mandatory fields may come without any."""

    NEVER = "never"
    #: A response that reports an error: "the body is not returned" (SMPP 3.4 §4.1.2, §4.4.2 and others).
    ON_ERROR = "on error"
    #: Its only field is unused and "set to NULL" (SMPP 3.4 §4.6.2); some clients leave it out altogether.
    ALWAYS = "always"


@dataclass(slots=True, kw_only=True, repr=False)
class Pdu:
    """What all PDUs have: the header (SMPP 3.4 §3.2) without what follows from the rest, and the TLVs."""

    command_id: ClassVar[CommandId]
    empty_body: ClassVar[EmptyBody] = EmptyBody.NEVER

    command_status: int = 0
    sequence_number: int = 0
    tlvs: list[Tlv] = field(default_factory=list)

    def tlv(self, tag: int) -> bytes | None:
        """Return the octets of the first TLV with this tag."""
        for known, value in self.tlvs:
            if known == tag:
                return value
        return None

    def option(self, tag: int) -> int | str | bytes | None:
        """Return the first TLV with this tag by its type: int, str, or bytes for octet strings and unknown tags.

        BodyError with ESME_RINVPARLEN where its length does not suit its type.
        """
        value = self.tlv(tag)
        if value is None:
            return None
        try:
            return read(tag, value)
        except ValueError as wrong:
            status = CommandStatus.ESME_RINVPARLEN
            raise BodyError(status, self.command_id, self.sequence_number, str(wrong)) from None

    def __repr__(self) -> str:
        """Show what differs from an empty PDU, never a password."""
        shown = []
        for each in fields(self):
            value = getattr(self, each.name)
            if value or each.name == "sequence_number":
                shown.append(f"{each.name}={'***' if each.name == 'password' else repr(value)}")
        return f"{type(self).__name__}({', '.join(shown)})"


#: The class of every command_id that can be read.
PDUS: dict[int, type[Pdu]] = {}


def recast(pdu: Pdu, kind: type[_P], **values: Any) -> _P:
    """The same request as another kind of PDU: what both have under one name, then `values`, and defaults for the rest.

    submit_sm, submit_multi, deliver_sm and data_sm call the same things by the same names (SMPP 3.4 §4.4 to §4.7).
    """
    return kind(**{name: getattr(pdu, name) for name in _shared(pdu.command_id, kind.command_id)} | values)


@cache
def _shared(one: CommandId, other: CommandId) -> tuple[str, ...]:
    names = {field.name for field in fields(PDUS[other])} - {"command_status"}
    return tuple(field.name for field in fields(PDUS[one]) if field.name in names)


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def _record(cls: type[_T]) -> type[_T]:
    return dataclass(slots=True, kw_only=True)(cls)


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def _pdu(cls: type[_P]) -> type[_P]:
    made = dataclass(slots=True, kw_only=True, repr=False)(cls)
    if "command_id" in vars(made):
        PDUS[made.command_id] = made
    return made


# Session management (SMPP 3.4 §4.1 to §4.3, §4.11, §4.12). ------------------------------------------------------------


@_pdu
class _Bind(Pdu):
    """The three binds have the same fields (SMPP 3.4 §4.1.1, §4.1.3, §4.1.5)."""

    system_id: str = c_octets(16, CommandStatus.ESME_RINVSYSID)
    password: str = c_octets(9, CommandStatus.ESME_RINVPASWD)
    system_type: str = c_octets(13, CommandStatus.ESME_RINVSYSTYP)
    interface_version: int = octet(0x34)
    addr_ton: int = octet()
    addr_npi: int = octet()
    #: No status is made for it; what cannot be bound to is a failed bind.
    address_range: str = c_octets(41, CommandStatus.ESME_RBINDFAIL)


@_pdu
class _BindResp(Pdu):
    """The answer to any bind (SMPP 3.4 §4.1.2, §4.1.4, §4.1.6); TLV sc_interface_version."""

    empty_body = EmptyBody.ON_ERROR

    system_id: str = c_octets(16, CommandStatus.ESME_RINVSYSID)


@_pdu
class BindTransmitter(_Bind):
    """bind_transmitter (SMPP 3.4 §4.1.1): submit only."""

    command_id = CommandId.BIND_TRANSMITTER


@_pdu
class BindTransmitterResp(_BindResp):
    """bind_transmitter_resp (SMPP 3.4 §4.1.2)."""

    command_id = CommandId.BIND_TRANSMITTER_RESP


@_pdu
class BindReceiver(_Bind):
    """bind_receiver (SMPP 3.4 §4.1.3): be delivered to only."""

    command_id = CommandId.BIND_RECEIVER


@_pdu
class BindReceiverResp(_BindResp):
    """bind_receiver_resp (SMPP 3.4 §4.1.4)."""

    command_id = CommandId.BIND_RECEIVER_RESP


@_pdu
class BindTransceiver(_Bind):
    """bind_transceiver (SMPP 3.4 §4.1.5): both; unknown to 3.3."""

    command_id = CommandId.BIND_TRANSCEIVER


@_pdu
class BindTransceiverResp(_BindResp):
    """bind_transceiver_resp (SMPP 3.4 §4.1.6)."""

    command_id = CommandId.BIND_TRANSCEIVER_RESP


@_pdu
class Outbind(Pdu):
    """outbind (SMPP 3.4 §4.1.7): a centre asks a client to bind as receiver."""

    command_id = CommandId.OUTBIND

    system_id: str = c_octets(16, CommandStatus.ESME_RINVSYSID)
    password: str = c_octets(9, CommandStatus.ESME_RINVPASWD)


@_pdu
class Unbind(Pdu):
    """unbind (SMPP 3.4 §4.2.1)."""

    command_id = CommandId.UNBIND


@_pdu
class UnbindResp(Pdu):
    """unbind_resp (SMPP 3.4 §4.2.2)."""

    command_id = CommandId.UNBIND_RESP


@_pdu
class GenericNack(Pdu):
    """generic_nack (SMPP 3.4 §4.3.1): the answer to what has no answer of its own."""

    command_id = CommandId.GENERIC_NACK


@_pdu
class EnquireLink(Pdu):
    """enquire_link (SMPP 3.4 §4.11.1)."""

    command_id = CommandId.ENQUIRE_LINK


@_pdu
class EnquireLinkResp(Pdu):
    """enquire_link_resp (SMPP 3.4 §4.11.2)."""

    command_id = CommandId.ENQUIRE_LINK_RESP


@_pdu
class AlertNotification(Pdu):
    """alert_notification (SMPP 3.4 §4.12.1): a subscriber became available.

    Has no response; TLV ms_availability_status.
    """

    command_id = CommandId.ALERT_NOTIFICATION

    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(65, CommandStatus.ESME_RINVSRCADR)
    esme_addr_ton: int = octet()
    esme_addr_npi: int = octet()
    esme_addr: str = c_octets(65, CommandStatus.ESME_RINVDSTADR)


# Messages (SMPP 3.4 §4.4 to §4.7). ------------------------------------------------------------------------------------


@_pdu
class _ShortMessage(Pdu):
    """submit_sm and deliver_sm have the same fields (SMPP 3.4 §4.4.1, §4.6.1)."""

    service_type: str = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = octet()
    dest_addr_npi: int = octet()
    destination_addr: str = c_octets(21, CommandStatus.ESME_RINVDSTADR)
    esm_class: int = octet()
    protocol_id: int = octet()
    priority_flag: int = octet()
    schedule_delivery_time: str = time(CommandStatus.ESME_RINVSCHED)
    validity_period: str = time(CommandStatus.ESME_RINVEXPIRY)
    registered_delivery: int = octet()
    replace_if_present_flag: int = octet()
    data_coding: int = octet()
    sm_default_msg_id: int = octet()
    short_message: bytes = octets("sm_length", CommandStatus.ESME_RINVMSGLEN)


@_pdu
class SubmitSm(_ShortMessage):
    """submit_sm (SMPP 3.4 §4.4.1)."""

    command_id = CommandId.SUBMIT_SM


@_pdu
class SubmitSmResp(Pdu):
    """submit_sm_resp (SMPP 3.4 §4.4.2).

    With an error it is written with an empty message_id, which is one NUL: the specification allows to leave the body
    away, but clients that always look for one are worse off without.
    """

    command_id = CommandId.SUBMIT_SM_RESP
    empty_body = EmptyBody.ON_ERROR

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)


@_record
class SmeAddress:
    """A destination of submit_multi that is a number (SMPP 3.4 §4.5.1.1, dest_flag 1)."""

    dest_addr_ton: int = octet()
    dest_addr_npi: int = octet()
    destination_addr: str = c_octets(21, CommandStatus.ESME_RINVDSTADR)


@_record
class DistributionList:
    """A destination of submit_multi that is a list kept at the centre (SMPP 3.4 §4.5.1.2, dest_flag 2)."""

    dl_name: str = c_octets(21, CommandStatus.ESME_RINVDLNAME)


DEST_ADDRESS = Choice("dest_flag", {1: SmeAddress, 2: DistributionList}, CommandStatus.ESME_RINVDESTFLAG)


@_record
class UnsuccessSme:
    """A destination to which submit_multi could not be submitted, and why (SMPP 3.4 §4.5.2.1)."""

    dest_addr_ton: int = octet()
    dest_addr_npi: int = octet()
    destination_addr: str = c_octets(21, CommandStatus.ESME_RINVDSTADR)
    error_status_code: int = integer()


@_pdu
class SubmitMulti(Pdu):
    """submit_multi (SMPP 3.4 §4.5.1)."""

    command_id = CommandId.SUBMIT_MULTI

    service_type: str = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addresses: list[SmeAddress | DistributionList] = array("number_of_dests", DEST_ADDRESS)
    esm_class: int = octet()
    protocol_id: int = octet()
    priority_flag: int = octet()
    schedule_delivery_time: str = time(CommandStatus.ESME_RINVSCHED)
    validity_period: str = time(CommandStatus.ESME_RINVEXPIRY)
    registered_delivery: int = octet()
    replace_if_present_flag: int = octet()
    data_coding: int = octet()
    sm_default_msg_id: int = octet()
    short_message: bytes = octets("sm_length", CommandStatus.ESME_RINVMSGLEN)


@_pdu
class SubmitMultiResp(Pdu):
    """submit_multi_resp (SMPP 3.4 §4.5.2)."""

    command_id = CommandId.SUBMIT_MULTI_RESP
    empty_body = EmptyBody.ON_ERROR

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)
    unsuccess_smes: list[UnsuccessSme] = array("no_unsuccess", Record(UnsuccessSme))


@_pdu
class DeliverSm(_ShortMessage):
    """deliver_sm (SMPP 3.4 §4.6.1): a message from a subscriber, or a receipt."""

    command_id = CommandId.DELIVER_SM


@_pdu
class DeliverSmResp(Pdu):
    """deliver_sm_resp (SMPP 3.4 §4.6.2)."""

    command_id = CommandId.DELIVER_SM_RESP
    empty_body = EmptyBody.ALWAYS

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)


@_pdu
class DataSm(Pdu):
    """data_sm (SMPP 3.4 §4.7.1): the text is in the TLV message_payload."""

    command_id = CommandId.DATA_SM

    service_type: str = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(65, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = octet()
    dest_addr_npi: int = octet()
    destination_addr: str = c_octets(65, CommandStatus.ESME_RINVDSTADR)
    esm_class: int = octet()
    registered_delivery: int = octet()
    data_coding: int = octet()


@_pdu
class DataSmResp(Pdu):
    """data_sm_resp (SMPP 3.4 §4.7.2)."""

    command_id = CommandId.DATA_SM_RESP
    empty_body = EmptyBody.ON_ERROR

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)


# What may be done with a message afterwards (SMPP 3.4 §4.8 to §4.10). -------------------------------------------------


@_pdu
class QuerySm(Pdu):
    """query_sm (SMPP 3.4 §4.8.1)."""

    command_id = CommandId.QUERY_SM

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(21, CommandStatus.ESME_RINVSRCADR)


@_pdu
class QuerySmResp(Pdu):
    """query_sm_resp (SMPP 3.4 §4.8.2)."""

    command_id = CommandId.QUERY_SM_RESP
    empty_body = EmptyBody.ON_ERROR

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)
    #: No status is made for it: a date nobody can read is a failed query.
    final_date: str = time(CommandStatus.ESME_RQUERYFAIL)
    message_state: int = octet()
    error_code: int = octet()


@_pdu
class CancelSm(Pdu):
    """cancel_sm (SMPP 3.4 §4.9.1)."""

    command_id = CommandId.CANCEL_SM

    service_type: str = c_octets(6, CommandStatus.ESME_RINVSERTYP)
    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    dest_addr_ton: int = octet()
    dest_addr_npi: int = octet()
    destination_addr: str = c_octets(21, CommandStatus.ESME_RINVDSTADR)


@_pdu
class CancelSmResp(Pdu):
    """cancel_sm_resp (SMPP 3.4 §4.9.2)."""

    command_id = CommandId.CANCEL_SM_RESP


@_pdu
class ReplaceSm(Pdu):
    """replace_sm (SMPP 3.4 §4.10.1)."""

    command_id = CommandId.REPLACE_SM

    message_id: str = c_octets(65, CommandStatus.ESME_RINVMSGID)
    source_addr_ton: int = octet()
    source_addr_npi: int = octet()
    source_addr: str = c_octets(21, CommandStatus.ESME_RINVSRCADR)
    schedule_delivery_time: str = time(CommandStatus.ESME_RINVSCHED)
    validity_period: str = time(CommandStatus.ESME_RINVEXPIRY)
    registered_delivery: int = octet()
    sm_default_msg_id: int = octet()
    short_message: bytes = octets("sm_length", CommandStatus.ESME_RINVMSGLEN)


@_pdu
class ReplaceSmResp(Pdu):
    """replace_sm_resp (SMPP 3.4 §4.10.2)."""

    command_id = CommandId.REPLACE_SM_RESP
