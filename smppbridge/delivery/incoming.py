"""A message from a subscriber (MO): for which account it is, and the DELIVER_SM in which that account reads it. Pure.

The vendor documents no form of its own (smsc.ru SMPP, incoming messages), so it is the plain one of SMPP 3.4 §4.6.1:
esm_class 0, from the subscriber, to the number that it wrote to, the text in the account's default alphabet where every
character fits and in UCS2 where one does not. What is longer than one short message goes as the account reads long
messages: parts with a user data header, parts with the SAR parameters, or message_payload. Its dialect may mean other
octets by a data_coding (`charset`), and may want a DATA_SM, whose text is always in message_payload.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pdu import (
    Alphabet,
    DeliverSm,
    EsmClass,
    Npi,
    Tag,
    Tlv,
    Ton,
    VendorTag,
    encode_text,
    split_sar,
    split_text,
    tlv,
)

from ..charset import Writing
from ..config import AccountConfig, IncomingRoute, Patterns
from ..model import Incoming, bare

#: SMPP 3.4 §4.6.1: source_addr and destination_addr have 21 octets with the NUL.
_ADDRESS_MAX = 20
#: Digits from which a number is an international one (ITU-T E.164) and not a short one.
_INTERNATIONAL = 9
#: SMPP 3.4 §4.6.1: octets of short_message; 5.0 has one more.
_SHORT_MESSAGE_MAX = 254
#: A TLV's length is an integer of two octets (SMPP 3.4 §3.2.4). A little less than that holds, so that the whole PDU
#: stays below 64 KiB: a client that takes a longer one for a lost framing would break off at the same one for ever.
_PAYLOAD_MAX = 65_000
#: Octets of a TLV for an id, without the NUL; see `VendorTag.INCOMING_ID`.
_ID_MAX = 64
#: data_coding 3 is ISO-8859-1, 8 is UCS2 (SMPP 3.4 §5.2.19); None prefers the default alphabet.
_PREFER = {"auto": None, "latin1": 3, "ucs2": 8}


# For whom ------------------------------------------------------------------------------------------------------------


def account_for(incoming: Incoming, routes: Sequence[IncomingRoute]) -> str:
    """The account of the first `[[incoming]]` that fits; empty if none does."""
    return next((route.account for route in routes if _fits(incoming, route)), "")


def _fits(incoming: Incoming, route: IncomingRoute) -> bool:
    if route.provider not in ("", incoming.provider):
        return False
    if route.destination and not Patterns(route.destination).fit(incoming.destination):
        return False
    return not route.prefix or any(_begins(incoming, word.casefold()) for word in route.prefix)


def _begins(incoming: Incoming, word: str) -> bool:
    """The provider names the word, or it is the first of the text."""
    if incoming.prefix:
        return incoming.prefix.casefold() == word
    words = incoming.text.split(maxsplit=1)
    return bool(words) and words[0].casefold() == word


# In which words ------------------------------------------------------------------------------------------------------


def deliver_sms(
    incoming: Incoming, reference: int, account: AccountConfig, alphabet: Alphabet, interface_version: int
) -> list[DeliverSm]:
    """The DELIVER_SM that carry a message, one for each part. `reference` is what the parts have in common: the same
    for the same message, so that parts that are sent again join those that the client has. Raises nothing."""
    options = _options(incoming, account, interface_version)
    source_ton, source_npi, source = _address(incoming.source)
    dest_ton, dest_npi, destination = _address(incoming.destination)
    return [
        DeliverSm(
            source_addr_ton=source_ton,
            source_addr_npi=source_npi,
            source_addr=source,
            dest_addr_ton=dest_ton,
            dest_addr_npi=dest_npi,
            destination_addr=destination,
            esm_class=esm_class,
            data_coding=data_coding,
            short_message=short,
            tlvs=[*tlvs, *options],
        )
        for esm_class, data_coding, short, tlvs in _pieces(incoming, reference, account, alphabet, interface_version)
    ]


_Piece = tuple[int, int, bytes, list[Tlv]]


def _pieces(
    incoming: Incoming, reference: int, account: AccountConfig, alphabet: Alphabet, interface_version: int
) -> Iterator[_Piece]:
    if incoming.data:
        yield _whole(EsmClass.UDHI if incoming.has_udh else 0, incoming.data_coding, incoming.data, interface_version)
        return
    text = _encodable(incoming.text)
    writing = Writing(account.dialect.data_codings, alphabet, _PREFER[account.incoming_coding])
    prefer, alphabet = writing.data_coding, writing.alphabet
    # SMPP 3.3 has no optional parameters.
    way = account.incoming_long if interface_version >= 0x34 else "parts"
    try:
        if way == "payload":
            if len(split_text(text, reference=reference, alphabet=alphabet, prefer=prefer)) > 1:
                yield _payload(*writing.told(*encode_text(text, alphabet=alphabet, prefer=prefer)))
                return
        elif way == "sar":
            for data_coding, short, segment in split_sar(text, reference=reference, alphabet=alphabet, prefer=prefer):
                tlvs = [] if segment is None else [
                    tlv(Tag.SAR_MSG_REF_NUM, segment.reference),
                    tlv(Tag.SAR_TOTAL_SEGMENTS, segment.total),
                    tlv(Tag.SAR_SEGMENT_SEQNUM, segment.number),
                ]  # fmt: skip
                yield 0, *writing.told(data_coding, short), tlvs
            return
        parts = split_text(text, reference=reference, alphabet=alphabet, prefer=prefer)
    except ValueError:
        # More than 255 parts: no short message, and no telephone wrote it.
        yield _payload(*writing.told(*encode_text(text, alphabet=alphabet, prefer=prefer)))
        return
    if len(parts) == 1:
        yield 0, *writing.told(*parts[0]), []
        return
    for data_coding, short in parts:
        # The first octet says how long the rest of the header is.
        yield EsmClass.UDHI, *writing.told(data_coding, short, short[0] + 1), []


def _whole(esm_class: int, data_coding: int, data: bytes, interface_version: int) -> _Piece:
    if len(data) <= _SHORT_MESSAGE_MAX or interface_version < 0x34:
        return esm_class, data_coding, data[:_SHORT_MESSAGE_MAX], []
    return esm_class, data_coding, b"", [Tlv(Tag.MESSAGE_PAYLOAD, data[:_PAYLOAD_MAX])]


def _payload(data_coding: int, data: bytes) -> _Piece:
    # An even number of octets, so that no UCS2 character is cut in two.
    return 0, data_coding, b"", [Tlv(Tag.MESSAGE_PAYLOAD, data[:_PAYLOAD_MAX])]


def _encodable(text: str) -> str:
    """With what no coding has (half a surrogate pair, out of a JSON escape) as a question mark."""
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _HALVES.sub("?", joined)


_HALVES = re.compile("[\ud800-\udfff]")


def _options(incoming: Incoming, account: AccountConfig, interface_version: int) -> list[Tlv]:
    """The provider's id of it, by which the client may answer it."""
    ref = incoming.ref
    # What fits no C string is told by no TLV: rows that an older version has kept may have anything.
    fits = 0 < len(ref) <= _ID_MAX and ref.isascii() and ref.isprintable()
    if interface_version < 0x34 or not account.tells_vendor_tlvs or not fits:
        return []
    return [tlv(VendorTag.INCOMING_ID, ref)]


def _address(written: str) -> tuple[int, int, str]:
    """TON, NPI and address (SMPP 3.4 §5.2.5, §5.2.6)."""
    number = bare(written)
    if number.isascii() and number.isdigit():
        ton = Ton.INTERNATIONAL if len(number) >= _INTERNATIONAL else Ton.UNKNOWN
        return ton, Npi.ISDN, number[:_ADDRESS_MAX]
    name = "".join(character for character in number if character.isascii() and character.isprintable())
    return Ton.ALPHANUMERIC if name else Ton.UNKNOWN, Npi.UNKNOWN, name[:_ADDRESS_MAX]
