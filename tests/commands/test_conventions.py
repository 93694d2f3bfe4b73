"""Every convention, in every form in which its octets arrive."""

from __future__ import annotations

import pytest

from pdu import Alphabet, gsm0338
from smppbridge.commands import CONVENTIONS, read, read_text
from smppbridge.model import (
    KIND_OF,
    Bot,
    Call,
    Command,
    Hlr,
    Kind,
    Mail,
    Ping,
    Sms,
    Social,
    TelegramCode,
    Viber,
)

NUMBER = "79991234567"

# Characters that differ between GSM 03.38 and ASCII stand in every text that has room for them.
CASES: list[tuple[str, str, Command]] = [
    ("Hello", NUMBER, Sms(text="Hello")),
    ("Hello\n~~~\norder_4711 @shop", NUMBER, Sms(text="Hello", comment="order_4711 @shop")),
    ("a_b@c {d} [e]\n~~~\n", NUMBER, Sms(text="a_b@c {d} [e]")),
    (
        "__MAIL__: Pay $5 @ shop_1\nsubj:Bill [4]\nto:first_last@example.com",
        NUMBER,
        Mail(text="Pay $5 @ shop_1", subject="Bill [4]", to="first_last@example.com"),
    ),
    (
        "__MAIL__: Pay\nnow\nsubj:Bill\n~~~\nno_4",
        "a_b@example.com",
        Mail(text="Pay\nnow", subject="Bill", to="a_b@example.com", comment="no_4"),
    ),
    ("__CALL__: Your code_1", NUMBER, Call(text="Your code_1")),
    ("__CALL__: Your code_1\nvoice:w2", NUMBER, Call(text="Your code_1", voice="w2")),
    (
        "__CALL__: Your code_1\nvoice:m\n~~~\nparam:25,60,3\nno_4",
        NUMBER,
        Call(text="Your code_1", voice="m", wait=25, interval=60, attempts=3, comment="no_4"),
    ),
    ("__VIBER__: Sale_1 <a@b> {x}", NUMBER, Viber(text="Sale_1 <a@b> {x}")),
    ("__VIBER__: Sale\n~~~\ncampaign_2", NUMBER, Viber(text="Sale", comment="campaign_2")),
    ("__SOC__: Hi @you_there", NUMBER, Social(text="Hi @you_there")),
    ("__TGM__: 482913", NUMBER, TelegramCode(code="482913")),
    ("__TGM__: 4829\n~~~\nlog_in", NUMBER, TelegramCode(code="4829", comment="log_in")),
    ("__BOT__: Hi @you\nbot:@my_bot", NUMBER, Bot(text="Hi @you", bot="@my_bot")),
    ("__BOT__: Hi\nbot:wa:79990000000\n~~~\nx_1", NUMBER, Bot(text="Hi", bot="wa:79990000000", comment="x_1")),
    ("__HLR__", NUMBER, Hlr()),
    ("__HLR__\n~~~\nclient_17", NUMBER, Hlr(comment="client_17")),
    ("__PING__", NUMBER, Ping()),
    ("__PING__\n~~~\nclient_17", NUMBER, Ping(comment="client_17")),
]


def ascii_octets(text: str) -> bytes:
    return text.encode("ascii")


def ucs2(text: str) -> bytes:
    return text.encode("utf-16-be")


def ucs2_with_mark(text: str) -> bytes:
    return ("\ufeff" + text).encode("utf-16-be")


FORMS = [
    pytest.param(gsm0338.encode, 0x00, Alphabet.GSM, id="GSM octets"),
    pytest.param(gsm0338.encode, 0x00, Alphabet.ISO, id="GSM octets although bound as ISO"),
    pytest.param(ascii_octets, 0x00, Alphabet.GSM, id="raw ASCII under data_coding 0"),
    pytest.param(ascii_octets, 0x00, Alphabet.ISO, id="ISO"),
    pytest.param(ascii_octets, 0x01, Alphabet.GSM, id="ASCII"),
    pytest.param(ascii_octets, 0x03, Alphabet.GSM, id="Latin-1"),
    pytest.param(ascii_octets, 0x04, Alphabet.GSM, id="eight bits"),
    pytest.param(ucs2, 0x08, Alphabet.GSM, id="UCS2"),
    pytest.param(ucs2_with_mark, 0x08, Alphabet.GSM, id="UCS2 with a byte order mark"),
    pytest.param(gsm0338.encode, 0xF1, Alphabet.GSM, id="GSM octets of class 1"),
    pytest.param(ucs2, 0x19, Alphabet.GSM, id="UCS2 of class 1"),
]


@pytest.mark.parametrize(("encode", "data_coding", "alphabet"), FORMS)
@pytest.mark.parametrize(("text", "destination", "command"), CASES, ids=[text for text, _, _ in CASES])
def test_the_same_command_in_every_form(text, destination, command, encode, data_coding, alphabet):
    found = read(
        encode(text),
        data_coding=data_coding,
        has_udh=False,
        destination=destination,
        alphabet=alphabet,
        conventions=True,
    )
    assert found == command


@pytest.mark.parametrize(("text", "destination", "command"), CASES, ids=[text for text, _, _ in CASES])
def test_decoded_text_reads_the_same(text, destination, command):
    assert read_text(text, destination) == command


@pytest.mark.parametrize(
    ("octets", "command"),
    [
        ("11 11 48 4c 52 11 11", Hlr()),
        ("5f 5f 48 4c 52 5f 5f", Hlr()),
        ("11 11 56 49 42 45 52 11 11 3a 20 68 69", Viber(text="hi")),
        ("5f 5f 56 49 42 45 52 5f 5f 3a 20 68 69", Viber(text="hi")),
        ("48 69 0a 1b 3d 1b 3d 1b 3d 0a 6e 6f 74 65", Sms(text="Hi", comment="note")),
        ("48 69 0a 7e 7e 7e 0a 6e 6f 74 65", Sms(text="Hi", comment="note")),
        ("11 11 42 4f 54 11 11 3a 20 68 69 0a 62 6f 74 3a 00 6d 79 11 62 6f 74", Bot(text="hi", bot="@my_bot")),
        ("5f 5f 42 4f 54 5f 5f 3a 20 68 69 0a 62 6f 74 3a 40 6d 79 5f 62 6f 74", Bot(text="hi", bot="@my_bot")),
    ],
)
def test_octets_from_the_wire(octets, command):
    found = read(
        bytes.fromhex(octets),
        data_coding=0,
        has_udh=False,
        destination=NUMBER,
        alphabet=Alphabet.GSM,
        conventions=True,
    )
    assert found == command


def test_every_kind_has_a_convention():
    kinds = {KIND_OF[type(convention.parse(convention.example, NUMBER))] for convention in CONVENTIONS}
    assert kinds == set(Kind) - {Kind.BINARY}


def test_every_example_reads_as_its_convention_says():
    for convention in CONVENTIONS:
        assert read_text(convention.example, NUMBER) == convention.parse(convention.example, NUMBER)


def test_text_without_a_prefix_comes_last():
    assert [convention.prefix for convention in CONVENTIONS if not convention.prefix] == [CONVENTIONS[-1].prefix]
