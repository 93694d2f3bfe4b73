"""IBA Telecom, by the samples of its GET guide."""

from __future__ import annotations

from urllib.parse import parse_qs, quote

import pytest

from smppbridge.simulator.iba import Iba
from smppbridge.simulator.vendor import Reply, Settings

from .conftest import NOON, asked, get, words

LOGIN = {"user": "demo", "pwd": "demo"}


@pytest.fixture
def iba(settings: Settings) -> Iba:
    return Iba(settings)


def send(iba: Iba, to: str = "79083730330", *, at: float = 0, **fields: str) -> str:
    given = {**LOGIN, "sadr": "IBATelecom", "dadr": to, "text": "ибателеком"} | fields
    return words(iba, get("/sendsms.php", at=at, **given))


def status(iba: Iba, id: str, at: float) -> str:
    return words(iba, get("/sendsms.php", at=at, **LOGIN, smsid=id))


def test_a_message_has_an_id_and_a_course(iba: Iba) -> None:
    id = send(iba)
    assert id.isdigit()
    assert [status(iba, id, at) for at in (0, 9, 10)] == ["Send", "Send", "deliver"]
    assert iba.messages[id].text == "ибателеком"


def test_windows_1251_is_read_too(iba: Iba) -> None:
    query = "user=demo&pwd=demo&sadr=IBATelecom&dadr=79083730330&text=" + quote("ибателеком".encode("windows-1251"))
    id = words(iba, asked("GET", "/sendsms.php", query=query.encode()))
    assert iba.messages[id].text == "ибателеком"


def test_ten_recipients_and_no_more(iba: Iba) -> None:
    numbers = [f"7908373{n:04}" for n in range(300, 311)]
    ids = send(iba, ",".join(numbers[:10])).split(",")
    assert len(set(ids)) == 10
    assert send(iba, ",".join(numbers)) == "0"
    assert (iba.counts.processed, iba.counts.refused) == (10, 11)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": "test"},
        {"pwd": "test"},
        {"text": ""},
        {"sadr": ""},
        {"sadr": "TwelveLetter"},
        {"sadr": "Магазин"},
        {"sadr": "1" * 16},
        {"dadr": ""},
        {"dadr": "79083730330,x"},
        {"dadr": "79083730330,79083730003"},
    ],
)
def test_every_mistake_is_a_nought_and_costs_nothing(iba: Iba, fields: dict[str, str]) -> None:
    assert send(iba, **fields) == "0"
    assert iba.counts.processed == 0


@pytest.mark.parametrize(
    ("to", "state"),
    [("79080000004", "not_deliver"), ("79080000005", "expired"), ("79080000010", "partly_deliver")],
)
def test_endings(iba: Iba, to: str, state: str) -> None:
    assert status(iba, send(iba, to), 10) == state


def test_endings_of_the_answer(iba: Iba) -> None:
    assert send(iba, "79080000101") == ""
    assert send(iba, "79080000102") == "Данное направление закрыто."


def test_the_balance_falls_with_every_message(iba: Iba) -> None:
    def balance(**login: str) -> str:
        return words(iba, get("/sendsms.php", **{**LOGIN, **login}, balance="1"))

    assert balance().splitlines() == ["1000.00", "RUR", "Россия: 833"]
    send(iba)
    assert balance().startswith("998.80")
    assert balance(pwd="wrong") == ""


def test_unknown_ids_and_other_pages(iba: Iba) -> None:
    assert status(iba, "1", 0) == "0"
    assert iba.answer(get("/other.php")).status == 404
    assert iba.answer(asked("POST", "/sendsms.php")).status == 405


def test_a_subscriber_is_heard_when_his_id_is_answered(iba: Iba) -> None:
    push = iba.incoming(Reply(source="79083730330", destination="7401", text="Да & нет", prefix="iba"), NOON)
    query = {name: values[0] for name, values in parse_qs(push.query, strict_parsing=True).items()}
    assert (query["sender"], query["receiver"], query["text"]) == ("79083730330", "7401", "Да & нет")
    assert (query["prefix"], query["date"]) == ("iba", "2026-11-22 12:00:00")
    id = query["smsid"].encode()
    assert push.taken(200, b"smsid=" + id)
    assert push.taken(200, b"smsid=" + id + b"\n")
    for status, body in ((200, b""), (200, id), (200, b"id_sms=" + id), (200, b"smsid=1"), (500, b"smsid=" + id)):
        assert not push.taken(status, body)
