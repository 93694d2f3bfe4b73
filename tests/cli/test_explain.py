from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def explained(result: Any) -> str:
    assert "S3" not in result.output
    return " ".join(result.stdout.split())


def test_command_route_and_request(run: Any, config: Path) -> None:
    result = run("explain", "-e", r"__VIBER__: Hello\n~~~\norder 7", "--account", "demo", "--config", config)
    assert result.exit_code == 0
    said = explained(result)
    for part in (
        "data_coding 0, the default alphabet, GSM 03.38",
        "kind viber",
        "comment order 7",
        "text Hello",
        "route 1 (kinds hlr viber) to paid, then sandbox",
        "HTTP request to paid POST https://smsc.ru/sys/send.php",
        "login=me&psw=***&",
        "&viber=1",
        "which reads: login me psw *** fmt 3",
        "phones +79991234567",
    ):
        assert part in said


def test_another_provider_and_other_addresses(run: Any, config: Path) -> None:
    result = run("explain", "Привет", "--to", "79990000001", "--from", "Shop", "--provider", "paid", "--config", config)
    said = explained(result)
    assert "data_coding 8, UCS2" in said
    assert "over the air UCS2, 1 short message" in said
    assert "phones +79990000001" in said
    assert "sender Shop" in said
    assert "mes Привет" in said


def test_long_texts_are_counted_in_parts(run: Any, config: Path) -> None:
    said = explained(run("explain", "x" * 400, "--config", config))
    assert "SUBMIT_SM 400 octets in 3 parts" in said
    assert "over the air GSM 03.38, 3 short messages" in said


def test_from_standard_input(run: Any, config: Path) -> None:
    said = explained(run("explain", "-", "--config", config, input="__HLR__\n"))
    assert "kind hlr" in said
    assert "hlr=1" in said


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["__TGM__: 12"], "ESME_RSUBMITFAIL"),
        (["Hello", "--to", "nobody"], "ESME_RINVDSTADR"),
        (["Hello", "--to", "380501234567"], "ESME_RSUBMITFAIL"),
    ],
)
def test_what_would_be_refused_says_why(run: Any, config: Path, arguments: list[str], status: str) -> None:
    result = run("explain", *arguments, "--config", config)
    assert result.exit_code == 1
    assert f"Refused {status} 0x" in explained(result)
    assert "HTTP request" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--account", "nobody"], 1, "there is no account nobody; there are: demo"),
        (["--provider", "nobody"], 1, "there is no provider nobody; there are: sandbox, paid"),
        (["--gsm", "--ucs2"], 2, "--data-coding, --gsm and --ucs2 exclude each other"),
        (["--data-coding", "300"], 2, "data-coding"),
    ],
)
def test_what_cannot_be_explained(run: Any, config: Path, arguments: list[str], code: int, sentence: str) -> None:
    result = run("explain", "Hello", *arguments, "--config", config)
    assert result.exit_code == code
    assert sentence in result.stderr


def test_a_text_that_does_not_fit_the_coding(run: Any, config: Path) -> None:
    result = run("explain", "Привет", "--gsm", "--config", config)
    assert result.exit_code == 1
    assert "leave --data-coding out" in result.stderr


def test_secrets_need_not_be_readable(run: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace('"S3 CRET/&"', '{ credential = "smsc" }')
    config.write_text(text.replace('"demo"', '{ file = "/not/there" }'), encoding="utf-8")
    said = explained(run("explain", "__HLR__", "--config", config))
    assert "login=me&psw=***&" in said or "psw=%2A%2A%2A" in said


def test_an_account_without_conventions(run: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("[accounts.demo]", "[accounts.demo]\nconventions = false")
    config.write_text(text, encoding="utf-8")
    assert "kind sms text __HLR__" in explained(run("explain", "__HLR__", "--config", config))


def test_a_cascade_shows_its_legs_and_the_request_of_each(run: Any, config: Path) -> None:
    text = config.read_text()
    legs = """[[routes]]
account = "demo"
kinds = ["viber"]
cascade = [
  { kind = "viber", providers = ["paid"], wait = "90s" },
  { kind = "soc", providers = ["sandbox"], wait = "1m", unknown = "next" },
  { kind = "sms", providers = ["sandbox"], source = "SHOP" },
]

"""
    config.write_text(text.replace("[[routes]]", legs + "[[routes]]", 1))
    arguments = ["explain", "__VIBER__: Hello", "--account", "demo", "--config", config]
    said = explained(run(*arguments))
    for part in (
        "route 1 (account demo, kinds viber): viber by paid for 90 s, then soc by sandbox for 60 s, "
        "then sms by sandbox",
        "leg 1 viber by paid, to the next once it has certainly not delivered, at the latest asked after 90 s",
        "leg 2 soc by sandbox, to the next after 60 s at the latest, though nobody may know",
        "leg 3 sms by sandbox, from SHOP",
        "HTTP request to paid",
        "&viber=1",
    ):
        assert part in said
    said = explained(run(*arguments, "--provider", "sandbox"))
    assert "HTTP request to sandbox" in said
    assert '"kind":"soc"' in said


REHEARSAL = Path(__file__).parents[2] / "conf" / "rehearsal.toml"


def test_what_is_sent_only_in_answer_to_a_subscriber(run: Any) -> None:
    said = explained(run("explain", "Test SMS", "--from", "7401", "--to", "421901727051", "-c", REHEARSAL))
    assert "answers the subscriber's message 1234567" in said
    assert "<rcv_msg_id>1234567</rcv_msg_id><msisdn>421901727051</msisdn>" in said


def test_what_the_provider_is_never_asked_for(run: Any) -> None:
    said = explained(
        run("explain", "Hi", "--from", "TwelveLetter", "--to", "375291234567", "--provider", "iba", "-c", REHEARSAL)
    )
    assert "HTTP request to iba none" in said
    assert "POST" not in said
    assert "GET" not in said


def test_an_address_that_no_pdu_can_hold(run: Any, config: Path) -> None:
    result = run("explain", "Hi", "--account", "demo", "--from", "Я", "--config", config)
    assert result.exit_code == 2
    assert "source_addr" in result.output
