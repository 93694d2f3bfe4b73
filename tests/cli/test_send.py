from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from pdu import CommandStatus, DeliverSm, EsmClass, SubmitSmResp, Tag, Tlv

TO = ("--to", "79991234567")


def where(gateway: Any) -> tuple[str, ...]:
    return ("--host", "127.0.0.1", "--port", str(gateway.port), "--system-id", "demo", "--password", "demo")


def test_delivered(run: Any, gateway: Any) -> None:
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 0, result.output
    assert "accepted  id 1001 after" in result.stdout
    assert "receipt   id:1001 sub:001" in result.stdout
    assert "1 of 1 delivered" in result.stdout
    [pdu] = gateway.submitted()
    assert (pdu.short_message, pdu.data_coding, pdu.destination_addr) == (b"Hello", 0, "79991234567")
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.registered_delivery) == ("Example", 5, 1)
    assert gateway.received[0].system_id == "demo"
    assert type(gateway.received[-1]).__name__ == "Unbind"


def test_everything_else_is_exit_code_1(run: Any, gateway: Any, answering: Any) -> None:
    gateway.answers = answering["accept_and"]("UNDELIV")
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 1
    assert "0 of 1 delivered" in result.stdout


def test_refused_with_the_reason(run: Any, gateway: Any, answering: Any) -> None:
    gateway.answers = answering["refuse"](CommandStatus.ESME_RTHROTTLED, "more than 5 a second")
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 1
    assert "refused   ESME_RTHROTTLED (0x00000058): more than 5 a second" in result.stdout


@pytest.mark.parametrize(("told", "version"), [([], 0x50), (["--smpp", "3.4"], 0x34)])
def test_it_binds_as_it_is_told(run: Any, gateway: Any, told: list[str], version: int) -> None:
    run("send", "Hello", *TO, *where(gateway), *told)
    assert gateway.received[0].interface_version == version


def test_parameters_it_does_not_know_are_no_matter(
    run: Any, gateway: Any, answering: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answers(pdu: Any, id: str) -> list[Any]:
        return [
            SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id),
            answering["receipt"](id, "DELIVRD", tlvs=[Tlv(0x2000, b"0.10\0")]),
        ]

    gateway.answers = answers
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 0
    assert (result.stderr, caplog.text) == ("", "")


def test_no_receipt_in_time(run: Any, gateway: Any) -> None:
    gateway.answers = lambda pdu, id: [SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id)]
    result = run("send", "Hello", *TO, *where(gateway), "--wait", "50ms")
    assert result.exit_code == 1
    assert "no receipt within 50ms for 1001" in result.stderr


def test_no_receipt_asked_for(run: Any, gateway: Any) -> None:
    gateway.answers = lambda pdu, id: [SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id)]
    result = run("send", "Hello", *TO, *where(gateway), "--registered-delivery", "0")
    assert result.exit_code == 0
    assert "1 of 1 accepted" in result.stdout


def test_an_intermediate_notification_is_not_the_end(run: Any, gateway: Any, answering: Any) -> None:
    receipt = answering["receipt"]

    def answers(pdu: Any, id: str) -> list[Any]:
        return [
            SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id),
            receipt(id, "ENROUTE", esm_class=EsmClass.INTERMEDIATE),
            receipt("4711", "UNDELIV"),
            receipt(id, "DELIVRD"),
        ]

    gateway.answers = answers
    result = run("send", "Hello", *TO, *where(gateway), "--registered-delivery", "17")
    assert result.exit_code == 0
    assert result.stdout.count("receipt") == 3


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"short_message": b"GO @".replace(b"@", b"\x00")}, "GO @"),
        ({"short_message": "так".encode("utf-16-be"), "data_coding": 8}, "так"),
        ({"short_message": "né".encode("latin-1"), "data_coding": 3}, "né"),
        (
            {"short_message": b"\x05\x00\x03\x07\x02\x01\x04\x42", "data_coding": 8, "esm_class": EsmClass.UDHI},
            "т",
        ),
        ({"tlvs": [Tlv(Tag.MESSAGE_PAYLOAD, "так".encode("utf-16-be"))], "data_coding": 8}, "так"),
        # What is no text, or cannot be read.
        ({"short_message": b"\x01\x02", "data_coding": 4}, "0102"),
        ({"short_message": b"\x06\x05\x04\x0b\x84\x23\xf0\xff", "esm_class": EsmClass.UDHI}, "0605040b8423f0ff"),
        ({"short_message": b"\x04", "data_coding": 8}, "04"),
        (
            {"short_message": b"\x09", "esm_class": EsmClass.UDHI},
            "(the header has 10 octets, the user data 1)",
        ),
    ],
)
def test_a_subscribers_message_is_read_by_its_coding(
    run: Any, gateway: Any, answering: Any, fields: dict[str, Any], shown: str
) -> None:
    def answers(pdu: Any, id: str) -> list[Any]:
        return [
            DeliverSm(sequence_number=77, source_addr="380631111111", destination_addr="4321", **fields),
            SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id),
            answering["receipt"](id, "DELIVRD"),
        ]

    gateway.answers = answers
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 0, result.output
    assert f"incoming  from 380631111111: {shown}\n" in result.stdout


def test_long_texts_go_in_parts(run: Any, gateway: Any) -> None:
    result = run("send", "й" * 100, *TO, *where(gateway))
    assert result.exit_code == 0
    pdus = gateway.submitted()
    assert len(pdus) == 2
    assert all(pdu.esm_class == EsmClass.UDHI and pdu.data_coding == 8 for pdu in pdus)
    assert b"".join(pdu.short_message[7:] for pdu in pdus).decode("utf-16-be") == "й" * 100
    assert "2 of 2 delivered" in result.stdout


def test_many_go_to_consecutive_numbers(run: Any, gateway: Any) -> None:
    result = run("send", "Hello", "--to", "+0998", "--count", "3", *where(gateway))
    assert result.exit_code == 0
    assert [pdu.destination_addr for pdu in gateway.submitted()] == ["+0998", "+0999", "+1000"]


def test_text_options(run: Any, gateway: Any) -> None:
    result = run("send", "-", "-e", *TO, *where(gateway), "--ucs2", "--from", "+380501234567", input="a\\nb\n")
    assert result.exit_code == 0
    [pdu] = gateway.submitted()
    assert pdu.short_message.decode("utf-16-be") == "a\nb"
    assert (pdu.data_coding, pdu.source_addr_ton) == (8, 1)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (CommandStatus.ESME_RINVPASWD, "8 characters at most"),
        (CommandStatus.ESME_RBINDFAIL, "allowed_networks"),
        (CommandStatus.ESME_RSYSERR, "ESME_RSYSERR (0x00000008)"),
    ],
)
def test_a_refused_bind_says_what_it_may_be(run: Any, gateway: Any, status: CommandStatus, hint: str) -> None:
    gateway.bind_status = status
    result = run("send", "Hello", *TO, *where(gateway))
    assert result.exit_code == 1
    assert status.name in result.stderr
    assert hint in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_nobody_listens(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = run("send", "Hello", *TO, "--host", "127.0.0.1", "--port", port, "--system-id", "x", "--password", "x")
    assert result.exit_code == 1
    assert f"cannot connect to 127.0.0.1:{port}" in result.stderr
    assert "Connection refused" in result.stderr


def test_where_and_who_come_from_the_configuration(run: Any, gateway: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace(":2775", f":{gateway.port}")
    config.write_text(text.replace("127.0.0.1:", "0.0.0.0:"), encoding="utf-8")
    result = run("send", "Hello", *TO, "--config", config)
    assert result.exit_code == 0, result.output
    assert (gateway.received[0].system_id, gateway.received[0].password) == ("demo", "demo")


def test_a_password_that_cannot_be_read_is_asked_for(run: Any, gateway: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace(":2775", f":{gateway.port}")
    config.write_text(text.replace('"demo"', '{ credential = "demo" }'), encoding="utf-8")
    result = run("send", "Hello", *TO, "--config", config, input="typed\n")
    assert result.exit_code == 0, result.output
    assert gateway.received[0].password == "typed"
    assert "typed" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--wait", "soon"], "--wait soon: expected a duration"),
        (["--count", "2", "--to", "#chat"], "--count takes consecutive numbers, and #chat is none"),
        (["--gsm", "--ucs2"], "exclude each other"),
    ],
)
def test_a_wrong_command_line(run: Any, arguments: list[str], sentence: str) -> None:
    result = run("send", "Hello", *TO, "--host", "127.0.0.1", "--system-id", "x", "--password", "x", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_an_account_that_is_not_there(run: Any, config: Path) -> None:
    result = run("send", "Hello", *TO, "--system-id", "nobody", "--config", config)
    assert result.exit_code == 1
    assert "there is no account with the system_id nobody; there are: demo" in result.stderr
