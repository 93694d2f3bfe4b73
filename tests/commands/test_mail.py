from __future__ import annotations

import pytest

from pdu import CommandStatus
from smppbridge.commands import Malformed
from smppbridge.commands.mail import MailText
from smppbridge.model import Mail

NUMBER = "79991234567"
parse = MailText().parse


@pytest.mark.parametrize(
    ("text", "destination", "mail"),
    [
        ("__MAIL__: Hi\nsubj:S\nto:a@b.cd", NUMBER, Mail(text="Hi", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nto:a@b.cd\nsubj:S", NUMBER, Mail(text="Hi", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\r\nto: a@b.cd\r\nsubj: S\r\n", NUMBER, Mail(text="Hi", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nsubj:S", "a@b.cd", Mail(text="Hi", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nsubj:S\nto:a@b.cd", "other@b.cd", Mail(text="Hi", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nsubj:", "a@b.cd", Mail(text="Hi", subject="", to="a@b.cd")),
        ("__MAIL__: Hi\nsubj:a: b\tc", "a@b.cd", Mail(text="Hi", subject="a: b\tc", to="a@b.cd")),
        ("__MAIL__: subj:x\nsubj:y\nsubj:S", "a@b.cd", Mail(text="subj:x\nsubj:y", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nTo: boss\nsubj:S", "a@b.cd", Mail(text="Hi\nTo: boss", subject="S", to="a@b.cd")),
        ("__MAIL__: Hi\nto:x\nyours\nsubj:S", "a@b.cd", Mail(text="Hi\nto:x\nyours", subject="S", to="a@b.cd")),
        (
            "__MAIL__: Привет\nsubj:Тема\nto:и.о@пример.рф",
            NUMBER,
            Mail(text="Привет", subject="Тема", to="и.о@пример.рф"),
        ),
    ],
)
def test_mail(text, destination, mail):
    assert parse(text, destination) == mail


@pytest.mark.parametrize(
    "address",
    [
        "a.b+c@d-e.example.com",
        "o'neil@example.com",
        "a_b=c@example.co.uk",
        "x@" + "a" * 240 + ".example.com",
    ],
)
def test_addresses(address):
    assert parse(f"__MAIL__: Hi\nsubj:S\nto:{address}", NUMBER).to == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.com",
        "a@",
        "a@example",
        "a@@example.com",
        "a@b@example.com",
        "a b@example.com",
        "a@exam ple.com",
        "a@example.com,b@example.com",
        "a@example.com;b@example.com",
        "Ann <a@example.com>",
        "a@example.com\rBcc: b@example.com",
        "a@example.com\x0b",
        "a@example.com\u2028b",
        ".a@example.com",
        "a.@example.com",
        "a@.example.com",
        "a@example..com",
        "a@example.com.",
        "mailto:a@example.com",
        "x@" + "a" * 241 + ".example.com",
    ],
)
def test_what_is_no_address_is_refused_wherever_it_stands(address):
    with pytest.raises(Malformed) as refused:
        parse(f"__MAIL__: Hi\nsubj:S\nto:{address}", NUMBER)
    assert refused.value.status is CommandStatus.ESME_RINVDSTADR
    with pytest.raises(Malformed) as refused:
        parse("__MAIL__: Hi\nsubj:S", address)
    assert refused.value.status is CommandStatus.ESME_RINVDSTADR


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"])
def test_nothing_is_smuggled_into_the_header(end):
    with pytest.raises(Malformed, match="control characters"):
        parse(f"__MAIL__: Hi\nsubj:S{end}Bcc: b@example.com", "a@b.cd")


def test_a_line_feed_ends_the_subject():
    with pytest.raises(Malformed, match="end the text with a line"):
        parse("__MAIL__: Hi\nsubj:S\nBcc: b@example.com", "a@b.cd")
