"""Octets → text: the byte form, the data_coding, what is no text, and what only nearly begins with a prefix."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from pdu import Alphabet, CommandStatus, gsm0338
from smppbridge.commands import CONVENTIONS, Malformed, Reader, read, read_text
from smppbridge.commands.viber import ViberText
from smppbridge.model import Binary, Bot, Call, Command, Mail, Sms, Social, TelegramCode, Viber

NUMBER = "79991234567"


def take(
    body: bytes,
    data_coding: int = 0,
    alphabet: Alphabet = Alphabet.GSM,
    *,
    has_udh: bool = False,
    conventions: bool = True,
) -> Command:
    return read(
        body,
        data_coding=data_coding,
        has_udh=has_udh,
        destination=NUMBER,
        alphabet=alphabet,
        conventions=conventions,
    )


def attempt(reading: Callable[[], Command]) -> Command | Malformed:
    try:
        return reading()
    except Malformed as refused:
        return refused


# The byte form -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "alphabet", "command"),
    [
        # A prefix decides for the whole text: `@`, `_`, `$` and letters with accents are what its sender wrote.
        (b"__VIBER__: a_b@c $5 caf\xe9", Alphabet.GSM, Viber(text="a_b@c $5 café")),
        (gsm0338.encode("__VIBER__: a_b@c $5 café €"), Alphabet.ISO, Viber(text="a_b@c $5 café €")),
        # A prefix wins over a separator in the other form.
        (b"\x11\x11VIBER\x11\x11: a\n~~~\nb", Alphabet.GSM, Viber(text="a\nüüü\nb")),
        # Without a prefix the separator decides, the first one in either form.
        (b"a_b@c\n~~~\nnote_1", Alphabet.GSM, Sms(text="a_b@c", comment="note_1")),
        (gsm0338.encode("a_b@c\n~~~\nnote_1"), Alphabet.ISO, Sms(text="a_b@c", comment="note_1")),
        (b"a_b\r\n~~~\r\nnote", Alphabet.GSM, Sms(text="a_b", comment="note")),
        # Without either the alphabet decides.
        (b"a_b@c", Alphabet.GSM, Sms(text="a§b¡c")),
        (b"a\x11b\x00c", Alphabet.GSM, Sms(text="a_b@c")),
        (b"a_b@c", Alphabet.ISO, Sms(text="a_b@c")),
        (b"caf\x05", Alphabet.GSM, Sms(text="café")),
        (b"caf\xe9", Alphabet.ISO, Sms(text="café")),
        # Octets above 0x7F are no GSM 03.38, so the text was meant as ISO-8859-1.
        (b"caf\xe9 a_b@c", Alphabet.GSM, Sms(text="café a_b@c")),
        # What only looks like a mark in the wrong form is text.
        (b"__ 14, 15 BGB", Alphabet.GSM, Sms(text="§§ 14, 15 BGB")),
        (b"__FLASH__: Hi", Alphabet.GSM, Sms(text="§§FLASH§§: Hi")),
        (b"__FLASH__: Hi", Alphabet.ISO, Sms(text="__FLASH__: Hi")),
        (b"\x11\x11FLASH\x11\x11: Hi", Alphabet.GSM, Sms(text="__FLASH__: Hi")),
        (b"Hi ~~~ there", Alphabet.GSM, Sms(text="Hi üüü there")),
        (b"__BOTTLE__: Hi", Alphabet.GSM, Sms(text="§§BOTTLE§§: Hi")),
    ],
)
def test_what_says_the_form(body, alphabet, command):
    assert take(body, alphabet=alphabet) == command


@pytest.mark.parametrize(
    "body", [b"__VIBER__: 5 \x1be", b"__BOT__: Hi\nbot:\x00my_bot", b"a\n~~~\n\x95", b"__HLR__\x00"]
)
@pytest.mark.parametrize("data_coding", [0, 1])
def test_two_forms_in_one_text_are_refused(body, data_coding):
    with pytest.raises(Malformed, match="raw ASCII but other octets are not"):
        take(body, data_coding)


def test_a_gsm_prefix_before_octets_that_gsm_does_not_have_is_refused():
    with pytest.raises(Malformed, match="0xE9 at position 14 is no GSM"):
        take(b"\x11\x11VIBER\x11\x11: caf\xe9")


@pytest.mark.parametrize("body", ["Привет".encode(), "“Hi”".encode("cp1252"), "€5".encode("cp1252"), b"Hi\x00\xff"])
def test_other_charsets_under_data_coding_0_are_refused(body):
    with pytest.raises(Malformed, match=r"neither GSM 03\.38 nor ISO-8859-1"):
        take(body)


# The data_coding -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data_coding", [0x10, 0xF0])
def test_class_0_is_flash(data_coding):
    assert take(b"Hi\n\x1b=\x1b=\x1b=\nnote", data_coding) == Sms(text="Hi", comment="note", flash=True)
    assert take(b"Hi", data_coding, conventions=False) == Sms(text="Hi", flash=True)
    assert take("Привет".encode("utf-16-be"), 0x18) == Sms(text="Привет", flash=True)


def test_flash_is_for_sms_alone():
    assert take(b"__VIBER__: Hi", 0xF0) == Viber(text="Hi")


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (b"a_b@c caf\xe9\t\r\n\x0c", Sms(text="a_b@c café\t\r\n\f")),
        (b"a\n~~~\nnote", Sms(text="a", comment="note")),
        (b"\x00\x01\x02", Binary(data=b"\x00\x01\x02", data_coding=4)),
        (b"Hi\x00", Binary(data=b"Hi\x00", data_coding=4)),
        (b"Hi\x80", Binary(data=b"Hi\x80", data_coding=4)),
        (b"\x01\n~~~\nnote", Binary(data=b"\x01\n~~~\nnote", data_coding=4)),
    ],
)
def test_eight_bits_are_text_when_they_can_be(body, command):
    assert take(body, 4) == command


@pytest.mark.parametrize(
    ("body", "data_coding"),
    [
        (b"\x11\x11VIBER\x11\x11: Hi", 3),
        (b"\x11\x11VIBER\x11\x11: Hi", 4),
        (b"__VIBER__: Hi\x00", 3),
        # Or the comment would be sent.
        (b"Hi\n\x1b=\x1b=\x1b=\nnote", 3),
        (b"Hi\n\x1b=\x1b=\x1b=\nnote", 4),
        (b"__VIBER__: Hi\x00", 4),
    ],
)
def test_a_prefix_or_separator_among_control_octets_is_refused(body, data_coding):
    with pytest.raises(Malformed, match=r"GSM 03\.38 goes with data_coding 0"):
        take(body, data_coding)


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (b"\x11\x11VIBER\x11\x11: Hi\x00", Viber(text="Hi@")),
        (b"a\n\x1b=\x1b=\x1b=\nnote", Sms(text="a", comment="note")),
        (b"\x02 5", Sms(text="$ 5")),
        (b"@ {_} $ 5", Sms(text="@ {_} $ 5")),
    ],
)
def test_gsm_03_38_under_the_name_of_ascii(body, command):
    """node-smpp encodes so: data_coding 1, and octets of GSM 03.38."""
    assert take(body, 1) == command


@pytest.mark.parametrize("data_coding", [0x02, 0x14, 0x15, 0xF4, 0xF5, 0xF7])
@pytest.mark.parametrize("body", [b"\x06\x05\x04", b"__VIBER__: Hi"])
def test_binary_says_so_itself(body, data_coding):
    assert take(body, data_coding) == Binary(data=body, data_coding=data_coding)


@pytest.mark.parametrize("data_coding", [0x00, 0x04, 0x08, 0xF5, 0x05])
def test_a_header_that_is_not_of_concatenation_makes_it_binary(data_coding):
    body = b"\x06\x05\x04\x15\x81\x00\x00__HLR__"
    assert take(body, data_coding, has_udh=True) == Binary(data=body, data_coding=data_coding, has_udh=True)


@pytest.mark.parametrize(("data_coding", "codec"), [(1, "ascii"), (3, "latin-1"), (6, "iso8859-5"), (7, "iso8859-8")])
def test_codings_of_one_octet_are_read_as_they_say(data_coding, codec):
    text = "".join(letter for letter in "Hi_@ é Привет שלום" if letter.encode(codec, "ignore"))
    assert take(text.encode(codec), data_coding) == Sms(text=text)


@pytest.mark.parametrize(
    ("body", "data_coding", "status", "reason"),
    [
        (b"", 0, CommandStatus.ESME_RINVMSGLEN, "no text"),
        (b"", 8, CommandStatus.ESME_RINVMSGLEN, "no text"),
        (b"\xfe\xff", 8, CommandStatus.ESME_RINVMSGLEN, "no text"),
        (b"\x0a~~~\x0anote", 0, CommandStatus.ESME_RINVMSGLEN, "no text"),
        (b"\x04\x1f\x04", 8, CommandStatus.ESME_RINVMSGLEN, "half a character"),
        (b"\xd8\x3d", 8, CommandStatus.ESME_RSUBMITFAIL, "half of a surrogate pair"),
        (b"\xff\xfeH\x00i\x00", 8, CommandStatus.ESME_RSUBMITFAIL, "high octet first"),
        (b"caf\xe9", 1, CommandStatus.ESME_RSUBMITFAIL, "send UCS2"),
        (b"Hi", 5, CommandStatus.ESME_RSUBMITFAIL, "data_coding 0x05"),
        (b"Hi", 0x8F, CommandStatus.ESME_RSUBMITFAIL, "data_coding 0x8F"),
    ],
)
def test_what_cannot_be_read_is_refused(body, data_coding, status, reason):
    with pytest.raises(Malformed, match=reason) as refused:
        take(body, data_coding)
    assert refused.value.status is status


# Conventions off -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["__VIBER__: Hi", "__HLR__", "__viber__", "Hi\n~~~\nnote", "\n~~~\n"])
def test_switched_off_every_text_is_an_sms(text):
    plain = Sms(text=text)
    assert take(gsm0338.encode(text), conventions=False) == plain
    assert take(text.encode(), alphabet=Alphabet.ISO, conventions=False) == plain
    assert take(text.encode(), 4, conventions=False) == plain
    assert take(text.encode("utf-16-be"), 8, conventions=False) == plain


def test_switched_off_a_prefix_says_nothing_about_the_form():
    assert take(b"__HLR__", conventions=False) == Sms(text="§§HLR§§")
    assert take(b"\x11\x11HLR\x11\x11", 4, conventions=False) == Binary(data=b"\x11\x11HLR\x11\x11", data_coding=4)


# Nearly a prefix -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "__viber__: Hi",
        "__Viber__:Hi",
        "__VIBER_: Hi",
        "__VIBER: Hi",
        "__VIBER : Hi",
        "___VIBER___: Hi",
        "__ VIBER __: Hi",
        "__VIBER __: Hi",
        " __VIBER__: Hi",
        "\r\n__VIBER__: Hi",
        " __VIBER__ Hi",
        "__hlr__",
        "__HLR",
        "__hlr__\n~~~\nnote",
        " __PING__ ",
        "__mail__: Hi\nsubj:S",
    ],
)
def test_a_mistyped_prefix_is_refused_in_every_form(text):
    for body, data_coding in (
        (gsm0338.encode(text), 0),
        (text.encode(), 0),
        (text.encode(), 4),
        (text.encode("utf-16-be"), 8),
    ):
        with pytest.raises(Malformed, match="nearly begins with a prefix"):
            take(body, data_coding)


@pytest.mark.parametrize(
    "text",
    [
        "__WA__: Hi",
        "__MAX__: Hi",
        "__VIBR__: Hi",
        "__call__ is a method",
        "__init__",
        "__",
        "_VIBER_: Hi",
        "VIBER: Hi",
        "Hi __VIBER__: Hi",
        "__PINGPONG__: Hi",
        "__SOC1__: Hi",
        " Hi",
        "\nHi",
    ],
)
def test_names_that_nobody_knows_are_text(text):
    assert read_text(text, NUMBER) == Sms(text=text)
    assert take(gsm0338.encode(text)) == Sms(text=text)


def test_a_reader_knows_its_own_conventions_only():
    reader = Reader([ViberText()])
    assert reader.read_text("__VIBER__: Hi", NUMBER) == Viber(text="Hi")
    with pytest.raises(Malformed, match="no text"):
        reader.read_text("__HLR__", NUMBER)


def test_a_prefix_is_two_underscores_a_name_two_underscores():
    class Short(ViberText):
        prefix = "_V_"

    with pytest.raises(ValueError, match="two underscores"):
        Reader([Short()])


# For any text --------------------------------------------------------------------------------------------------------

_MARKED = re.compile(r"\s*_{2}|\s*§{2}|.*\n~~~|.*\nüüü", re.DOTALL)
GSM_LETTERS = gsm0338.BASIC.replace("\x1b", "") + "".join(gsm0338.EXTENSION.values())
LATIN_LETTERS = "".join(map(chr, [9, 10, 12, 13, *range(0x20, 0x7F), *range(0xA0, 0x100)]))


@given(st.text(GSM_LETTERS, min_size=1))
@example("_")
@example("~~~")
def test_gsm_text_comes_back_unchanged(text):
    assume(not _MARKED.match(text))
    assert take(gsm0338.encode(text)) == Sms(text=text)


@given(st.text(LATIN_LETTERS, min_size=1))
def test_iso_text_comes_back_unchanged(text):
    assume(not _MARKED.match(text))
    for data_coding in (0, 3, 4):
        assert take(text.encode("latin-1"), data_coding, Alphabet.ISO) == Sms(text=text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff\ufffe"), min_size=1))
def test_ucs2_text_comes_back_unchanged(text):
    assume(not _MARKED.match(text))
    assert take(text.encode("utf-16-be"), 8) == Sms(text=text)
    assert read_text(text, NUMBER) == Sms(text=text)


PIECES = [
    *(convention.prefix for convention in CONVENTIONS),
    ": ",
    ":",
    " ",
    "\n~~~\n",
    "\r\n~~~\r\n",
    "\nsubj:",
    "\nto:",
    "a@example.com",
    "\nvoice:",
    "w2",
    "\nbot:",
    "@my_bot",
    "param:",
    "25,60,3",
    "4829",
    "Hi é",
    "__",
    "_",
    "viber",
]


@settings(max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=6),
            st.sampled_from([piece.encode("latin-1") for piece in PIECES]),
            st.sampled_from([gsm0338.encode(piece) for piece in PIECES]),
            st.sampled_from([piece.encode("utf-16-be") for piece in PIECES]),
        ),
        max_size=8,
    ).map(b"".join),
    st.sampled_from([0, 0, 0, 1, 3, 4, 8, 8, 0xF0, 0xF5]) | st.integers(0, 255),
    st.sampled_from(Alphabet),
    st.booleans(),
)
def test_nothing_but_malformed_is_raised(body, data_coding, alphabet, conventions):
    answer = attempt(lambda: take(body, data_coding, alphabet, conventions=conventions))
    if isinstance(answer, Malformed):
        assert 0 < len(answer.reason.encode("ascii")) <= 255
        assert answer.status is not CommandStatus.ESME_ROK


@settings(max_examples=300)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=10).map("".join))
@example("__CALL__: Hi\nvoice:w2\n~~~\nparam:25,60,3\nnote")
@example("__MAIL__: Hi\nto:a@example.com\nsubj:S\n~~~\nnote")
@example("__BOT__: Hi\nbot:@my_bot\n~~~\nnote")
def test_nothing_of_a_text_is_lost(text):
    command = attempt(lambda: read_text(text, "a@example.com"))
    if isinstance(command, Malformed):
        return
    blanks, separator, said = r"[ \t\r\n]*", r"\r?\n~~~\r?\n", re.escape(getattr(command, "text", ""))
    match command:
        case Sms():
            written = said
        case Viber() | Social():
            written = f"__(VIBER|SOC)__: ?{said}"
        case Mail():
            to = rf"(\r?\nto:{blanks}{re.escape(command.to)}{blanks})?"
            written = rf"__MAIL__: ?{said}{to}\r?\nsubj:{blanks}{re.escape(command.subject)}{blanks}{to}"
        case Call():
            written = rf"__CALL__: ?{said}(\r?\nvoice:{blanks}{command.voice}{blanks})?"
            separator += "" if command.wait is None else r"[^\n]*\n?"
        case Bot():
            written = rf"__BOT__: ?{said}\r?\nbot:{blanks}{re.escape(command.bot)}{blanks}"
        case TelegramCode():
            written = f"__TGM__:{blanks}{command.code}{blanks}"
        case _:
            written = f"__(HLR|PING)__{blanks}"
    assert re.fullmatch(f"{written}({separator}{re.escape(command.comment)})?", text)
