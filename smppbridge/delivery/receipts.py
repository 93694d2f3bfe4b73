"""A receipt → the DELIVER_SM an account's client already parses. Pure; the only place with the wording.

SMPP 3.4 Appendix B leaves the text to the SMSC. Ours is what public clients of smsc.ru match: the Appendix-B line, and
for an HLR look-up the documented line with its ten keys in their order, empty ones included. An account whose client
parses something else has a dialect with that: the line, how ids and dates stand in it, which TLVs there are. The line
of an HLR look-up is the same in all of them, because what was found has no place in any other.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from pdu import STAT, DeliverSm, HlrReceiptText, MessageState, ReceiptText, Tag, Tlv, VendorTag, state_for, tlv
from pdu.receipt import readable

from ..config import AccountConfig, Dialect
from ..config.dialects import APPENDIX_B, DateForm
from ..lifecycle import FINAL_STATES
from ..model import HlrResult, Kind, Message, Receipt, Sms, text_of
from .data_sm import carries_data_sm

#: SMPP 3.4 §5.2.12: bits 5-2 of esm_class.
_ESM_RECEIPT = 0x04
_ESM_INTERMEDIATE = 0x20

#: SMPP 3.4 §4.6.1: short_message holds 254 octets; what is longer goes into message_payload.
_SHORT_MESSAGE_MAX = 254

#: SMPP 3.4 §4.6.1: source_addr holds 20 characters, that of a DATA_SM 64 (§4.7.1).
_ADDRESS_MAX = 20

#: First octet of network_error_code: 3 is GSM (SMPP 3.4 §5.3.2.31).
_GSM_NETWORK = b"\x03"

#: Bits 0-3 of the vendor's flags TLV (smsc.ru, SMPP statuses). Telegram and bots have no number of their own there.
VENDOR_TYPE: dict[Kind, int] = {
    Kind.SMS: 0,
    Kind.BINARY: 2,
    Kind.HLR: 4,
    Kind.PING: 5,
    Kind.CALL: 7,
    Kind.MAIL: 8,
    Kind.VIBER: 10,
    Kind.SOCIAL: 12,
    Kind.TELEGRAM: 0,
    Kind.BOT: 0,
}
_VENDOR_FLASH = 1


def deliver_sm(receipt: Receipt, id: int, account: AccountConfig, interface_version: int) -> DeliverSm:
    """The DELIVER_SM that tells `receipt` under `id`: addresses swapped, esm_class 0x04 (0x20 while not final)."""
    message, dialect = receipt.message, account.dialect
    by_data_sm = carries_data_sm(dialect, interface_version)
    state = state_for(interface_version, receipt.state)
    if state is not receipt.state:
        receipt = msgspec.structs.replace(receipt, state=state)
    text = receipt_text(receipt, id, account.timezone, dialect).encode("ascii")
    tlvs: list[Tlv] = []
    # SMPP 3.3 has no optional parameters.
    if interface_version >= 0x34:
        if dialect.receipt_tlvs:
            tlvs = _tlvs(receipt, dialect.write_receipt_id(id), account.tells_vendor_tlvs)
        if len(text) > _SHORT_MESSAGE_MAX and (dialect.receipt_tlvs or by_data_sm):
            tlvs.append(Tlv(Tag.MESSAGE_PAYLOAD, text))
            text = b""
    # Only an e-mail address that came in a DATA_SM is longer; the message is known by its id.
    address_max = None if by_data_sm else _ADDRESS_MAX
    return DeliverSm(
        source_addr_ton=message.destination_ton,
        source_addr_npi=message.destination_npi,
        source_addr=message.destination[:address_max],
        dest_addr_ton=message.source_ton,
        dest_addr_npi=message.source_npi,
        destination_addr=message.source,
        esm_class=_ESM_RECEIPT if receipt.state in FINAL_STATES else _ESM_INTERMEDIATE,
        short_message=text[:_SHORT_MESSAGE_MAX],
        tlvs=tlvs,
    )


def receipt_text(receipt: Receipt, id: int, timezone: str, dialect: Dialect) -> str:
    """The line itself; ASCII, so that it reads the same in every default alphabet."""
    message = receipt.message
    told, dates = dialect.write_receipt_id(id), dialect.receipt_dates
    step = _STEPS[dates]
    if message.kind is Kind.HLR and receipt.state in FINAL_STATES:
        found = receipt.hlr or HlrResult()
        return HlrReceiptText(
            id=told,
            stat=STAT[receipt.state],
            err=receipt.err,
            imsi=found.imsi,
            msc=found.msc,
            mcc=found.mcc,
            mnc=found.mnc,
            cn=found.cn,
            net=found.net,
            rcn=found.rcn,
            rnet=found.rnet,
        ).format()
    parts = message.progress.parts or 1
    line = ReceiptText(
        id=told,
        sub=parts,
        dlvrd=parts if receipt.state is MessageState.DELIVERED else 0,
        submit_date=_date(message.accepted_at // step, timezone, dates),
        done_date=_date(receipt.done_at // step, timezone, dates),
        stat=STAT[receipt.state],
        err=receipt.err,
        text=text_of(message.command),
    )
    if dialect.receipt_text == APPENDIX_B:
        return line.format()
    return _layout(dialect.receipt_text) % {
        **line.words(),
        "state": str(int(receipt.state)),
        "source": readable(message.source),
        "destination": readable(message.destination),
        "cost": readable(message.progress.cost),
    }


@lru_cache(maxsize=64)
def _layout(template: str) -> str:
    """`{name}` as the operator % fills it in: names and nothing else, whatever stands in the values."""
    return re.sub(r"\{(\w+)\}", r"%(\1)s", template.replace("%", "%%"))


def _tlvs(receipt: Receipt, id: str, vendor: bool) -> list[Tlv]:
    message, progress = receipt.message, receipt.message.progress
    found = [
        Tlv(Tag.RECEIPTED_MESSAGE_ID, id.encode("ascii") + b"\0"),
        _known(Tag.MESSAGE_STATE, receipt.state),
        _known(Tag.NETWORK_ERROR_CODE, _GSM_NETWORK + receipt.err.to_bytes(2, "big")),
    ]
    if vendor:
        if cost := _cost(progress.cost):
            found.append(_known(VendorTag.SMSC_COST, cost))
        found.append(_known(VendorTag.SMSC_FLAGS, vendor_type(message)))
        if progress.parts:
            found.append(_known(VendorTag.SMSC_PARTS, progress.parts))
    return found


def _cost(cost: str) -> str:
    """A price as far as the parameter has room for it, five characters beside the NUL: fewer decimals, and none at all
    rather than one that has lost its last digits before the point."""
    return "" if len(cost.partition(".")[0]) > 5 else cost[:5].rstrip(".")


#: A few values make up nearly all receipts: each is worded once.
_known = lru_cache(maxsize=4096)(tlv)


def vendor_type(message: Message) -> int:
    """The vendor's number of a message type."""
    if type(message.command) is Sms and message.command.flash:
        return _VENDOR_FLASH
    return VENDOR_TYPE[message.kind]


@lru_cache(maxsize=256)
def _date(steps: int, timezone: str, form: DateForm) -> str:
    """Appendix B dates are YYMMDDhhmm, and some clients want more. One minute, or one second where that is told, is
    formatted once however many receipts it holds."""
    zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    return datetime.fromtimestamp(steps * _STEPS[form] // 1000, zone).strftime(_DATES[form])


_DATES: dict[DateForm, str] = {
    "YYMMDDhhmm": "%y%m%d%H%M",
    "YYMMDDhhmmss": "%y%m%d%H%M%S",
    "YYYYMMDDhhmm": "%Y%m%d%H%M",
    "YYYYMMDDhhmmss": "%Y%m%d%H%M%S",
}
#: Milliseconds after which a date reads otherwise.
_STEPS: dict[DateForm, int] = {form: 1000 if form.endswith("ss") else 60_000 for form in _DATES}


def vendor_status(state: MessageState) -> int:
    """The status number of the vendor's HTTP handler (smsc HTTP API, statuses) for a state."""
    return _VENDOR_STATUS[state]


_VENDOR_STATUS: dict[MessageState, int] = {
    MessageState.SCHEDULED: -1,
    MessageState.ENROUTE: 0,
    MessageState.ACCEPTED: 0,
    MessageState.DELIVERED: 1,
    MessageState.EXPIRED: 3,
    MessageState.DELETED: -2,
    MessageState.UNDELIVERABLE: 20,
    MessageState.REJECTED: 23,
    MessageState.UNKNOWN: -3,
    MessageState.SKIPPED: 20,
}
