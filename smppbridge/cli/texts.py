"""Texts from the command line, as an SMPP client would put them into a SUBMIT_SM."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from pdu import Alphabet, SubmitSm, Tag, Ton, Unencodable, encode_as, encode_text, split_text, tlv
from pdu.constants import Npi

from ..charset import Writing
from ..config.dialects import Meaning
from .console import Trouble

#: SMPP 3.4 §5.2.22: what short_message can hold.
_SHORT_MESSAGE_MAX = 254


class Encoded(NamedTuple):
    """A text as octets."""

    data_coding: int
    data: bytes
    #: Short messages that a client needs for it.
    parts: int


def read_text(given: str, escapes: bool) -> str:
    """The argument, or standard input for `-`; with `escapes`, \\n and \\t are what they are in a program."""
    text = sys.stdin.read().removesuffix("\n") if given == "-" else given
    if escapes:
        for written, meant in (("\\n", "\n"), ("\\t", "\t")):
            text = text.replace(written, meant)
    return text


def encode(
    text: str,
    *,
    data_coding: int | None,
    alphabet: Alphabet = Alphabet.GSM,
    codings: Mapping[int, Meaning] | None = None,
) -> Encoded:
    """GSM 03.38 where it fits, else UCS2; or as it was asked for. `codings` is what data_codings mean to the client
    where that is not what SMPP says. Raises Trouble."""
    writing = Writing(codings or {}, alphabet, data_coding)
    try:
        if writing.data_coding is None or data_coding is None:
            coding, data = encode_text(text, alphabet=writing.alphabet, prefer=writing.data_coding)
        else:
            coding, data = writing.data_coding, encode_as(text, writing.data_coding, writing.alphabet)
        parts = len(split_text(text, reference=0, alphabet=writing.alphabet, prefer=coding))
        coding, data = writing.told(coding, data)
    except Unencodable as error:
        raise Trouble(f"{error}; leave --data-coding out and UCS2 is taken where it is needed") from None
    except ValueError as error:
        raise Trouble(str(error)) from None
    return Encoded(coding, data, parts)


def asked_coding(data_coding: int | None, gsm: bool, ucs2: bool) -> int | None:
    """The three options for one thing. Raises Trouble if they contradict each other."""
    asked = [value for value, wanted in ((0, gsm), (8, ucs2)) if wanted]
    if data_coding is not None:
        asked.append(data_coding)
    if len(asked) > 1:
        raise Trouble("--data-coding, --gsm and --ucs2 exclude each other", 2)
    return asked[0] if asked else None


def submit_sm(source: str, destination: str, encoded: Encoded, *, registered_delivery: int = 1) -> SubmitSm:
    """One SUBMIT_SM for the whole text, in message_payload where it is long, as the client library of smsc.ru does."""
    numeric = source.lstrip("+").isdigit()
    pdu = SubmitSm(
        sequence_number=1,
        source_addr_ton=Ton.INTERNATIONAL if numeric else Ton.ALPHANUMERIC,
        source_addr_npi=Npi.ISDN if numeric else Npi.UNKNOWN,
        source_addr=source,
        dest_addr_ton=Ton.INTERNATIONAL,
        dest_addr_npi=Npi.ISDN,
        destination_addr=destination,
        registered_delivery=registered_delivery,
        data_coding=encoded.data_coding,
    )
    if len(encoded.data) <= _SHORT_MESSAGE_MAX:
        pdu.short_message = encoded.data
    else:
        pdu.tlvs.append(tlv(Tag.MESSAGE_PAYLOAD, encoded.data))
    return pdu
