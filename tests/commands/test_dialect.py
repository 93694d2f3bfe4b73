"""What a data_coding means to one client."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pdu import Alphabet, CommandStatus
from smppbridge.commands import Malformed, read, reader_for
from smppbridge.config import Dialect
from smppbridge.model import Binary, Command, Sms, Viber

TEXT = "Привет"


def reading(
    body: bytes,
    data_coding: int,
    *,
    alphabet: Alphabet = Alphabet.GSM,
    has_udh: bool = False,
    conventions: bool = True,
    **codings: Any,
) -> Command:
    dialect = Dialect(data_codings={int(number.lstrip("_")): meaning for number, meaning in codings.items()})
    return reader_for(dialect)(
        body,
        data_coding=data_coding,
        has_udh=has_udh,
        destination="79991234567",
        alphabet=alphabet,
        conventions=conventions,
    )


def test_who_means_what_smpp_means_has_the_common_reader() -> None:
    assert reader_for(Dialect()) is read


@pytest.mark.parametrize(
    ("meaning", "body", "text"),
    [
        ("gsm", b"a\x02\x11\x00", "a$_@"),
        # Its septets are unpacked before anybody reads them.
        ("gsm_packed", b"a\x02\x11\x00", "a$_@"),
        ("ascii", b"a$_@", "a$_@"),
        ("latin1", b"caf\xe9", "café"),
        ("ucs2", TEXT.encode("utf-16-be"), TEXT),
        ("ucs2_le", TEXT.encode("utf-16-le"), TEXT),
        ("ucs2_le", b"\xff\xfe" + TEXT.encode("utf-16-le"), TEXT),
        ("utf8", TEXT.encode(), TEXT),
        ("utf8", b"\xef\xbb\xbf" + "😀".encode(), "😀"),
        ("eight_bit", b"caf\xe9", "café"),
    ],
)
@pytest.mark.parametrize("number", [0, 1, 5, 8, 200])
def test_a_text(number: int, meaning: str, body: bytes, text: str) -> None:
    for alphabet in Alphabet:
        assert reading(body, number, alphabet=alphabet, **{f"_{number}": meaning}) == Sms(text=text)


def test_a_prefix_is_found_in_every_coding() -> None:
    viber = "__VIBER__: Привет"
    for meaning, codec in (("utf8", "utf-8"), ("ucs2_le", "utf-16-le")):
        assert reading(viber.encode(codec), 0, _0=meaning) == Viber(text=TEXT)
    assert reading(b"__VIBER__: hi", 1, _1="gsm") == Viber(text="hi")
    assert reading(b"\x11\x11VIBER\x11\x11: hi", 1, _1="gsm") == Viber(text="hi")
    assert reading(b"__VIBER__: hi", 1, _1="utf8", conventions=False) == Sms(text="__VIBER__: hi")


@pytest.mark.parametrize(("number", "told"), [(4, 4), (2, 2), (0xF5, 0xF5), (0, 4), (8, 4)])
def test_what_is_no_text(number: int, told: int) -> None:
    assert reading(b"text", number, **{f"_{number}": "binary"}) == Binary(data=b"text", data_coding=told)


def test_what_comes_under_4_is_data_to_who_keeps_to_the_specification() -> None:
    asked: dict[str, Any] = {"data_coding": 4, "has_udh": False, "destination": "79991234567"}
    asked |= {"alphabet": Alphabet.GSM, "conventions": True}
    for profile in ("smsc.ru", "kannel", "jasmin"):
        assert reader_for(Dialect(like=profile))(b"text", **asked) == Sms(text="text")
    assert reader_for(Dialect(like="spec"))(b"text", **asked) == Binary(data=b"text", data_coding=4)


@pytest.mark.parametrize(("number", "told"), [(0xF6, 0xF6), (2, 2), (0, 4), (8, 4)])
def test_data_in_eight_bits_keeps_a_number_that_says_data(number: int, told: int) -> None:
    assert reading(b"\x01\x02", number, **{f"_{number}": "eight_bit"}) == Binary(data=b"\x01\x02", data_coding=told)


def test_what_has_a_header_is_for_the_handset() -> None:
    data = Binary(data=b"header and data", data_coding=1, has_udh=True)
    assert reading(b"header and data", 1, has_udh=True, _1="utf8") == data


@pytest.mark.parametrize("number", [0x10, 0x18])
def test_a_message_class_still_holds(number: int) -> None:
    assert reading(b"hi", number, **{f"_{number}": "utf8"}) == Sms(text="hi", flash=True)
    assert reading(b"hi", 0x10, _1="gsm") == Sms(text="hi", flash=True)


def test_other_numbers_mean_what_they_mean() -> None:
    assert reading(TEXT.encode("utf-16-be"), 8, _1="gsm") == Sms(text=TEXT)


@pytest.mark.parametrize(
    ("meaning", "body", "reason", "status"),
    [
        ("utf8", b"caf\xe9", "octet 3 of 4 is not UTF-8", CommandStatus.ESME_RSUBMITFAIL),
        ("ucs2_le", b"abc", "half a character", CommandStatus.ESME_RINVMSGLEN),
        ("ascii", b"caf\xe9", "not ASCII", CommandStatus.ESME_RSUBMITFAIL),
        ("utf8", b"", "no text", CommandStatus.ESME_RINVMSGLEN),
        ("binary", b"", "no text", CommandStatus.ESME_RINVMSGLEN),
    ],
)
def test_what_cannot_be_read(meaning: str, body: bytes, reason: str, status: CommandStatus) -> None:
    with pytest.raises(Malformed, match=re.escape(reason)) as raised:
        reading(body, 5, _5=meaning)
    assert raised.value.status == status
