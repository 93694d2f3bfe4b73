"""Infobip, by the pages of its SMS API, version 3."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from smppbridge.simulator.infobip import LOGS, SEND, Infobip
from smppbridge.simulator.vendor import Answer, Reply, Settings

from .conftest import NOON, asked

HEADERS = {"authorization": "App demo", "content-type": "application/json"}


@pytest.fixture
def infobip() -> Infobip:
    return Infobip(Settings(delay=10, callback="http://gateway.example"))


def message(to: str = "79991234567", id: str = "m1", **more: Any) -> dict[str, Any]:
    return {"sender": "SHOP", "destinations": [{"to": to, "messageId": id}], "content": {"text": "Hello"}, **more}


def post(infobip: Infobip, *messages: dict[str, Any], headers: dict[str, str] = HEADERS) -> Answer:
    return infobip.answer(asked("POST", SEND, body=json.dumps({"messages": messages}).encode(), headers=headers))


def statuses(answer: Answer) -> list[tuple[str, str]]:
    assert answer.status == 200
    return [(one["messageId"], one["status"]["name"]) for one in json.loads(answer.body)["messages"]]


def log(infobip: Infobip, id: str, at: float) -> list[dict[str, Any]]:
    request = asked("GET", LOGS, at=at, query=f"messageId={id}".encode(), headers=HEADERS)
    return list(json.loads(infobip.answer(request).body)["results"])


def test_several_messages_each_with_a_status(infobip: Infobip) -> None:
    told = statuses(post(infobip, message(), message("79991230003", "m2"), message("79991230016", "m3")))
    assert told == [("m1", "PENDING_ACCEPTED"), ("m2", "REJECTED_DESTINATION"), ("m3", "REJECTED_NETWORK")]
    assert (infobip.counts.processed, infobip.counts.refused) == (1, 2)


def test_an_id_is_taken_once(infobip: Infobip) -> None:
    post(infobip, message())
    assert statuses(post(infobip, message())) == [("m1", "REJECTED_DUPLICATE_MESSAGE_ID")]
    assert (infobip.counts.processed, infobip.counts.repeated) == (1, 1)


@pytest.mark.parametrize(
    ("ending", "name", "error"),
    [
        ("4567", "DELIVERED_TO_HANDSET", 0),
        ("0004", "UNDELIVERABLE_NOT_DELIVERED", 27),
        ("0005", "EXPIRED_EXPIRED", 0),
        ("0201", "UNDELIVERABLE_NOT_DELIVERED", 1),
    ],
)
def test_the_log_and_the_report_say_the_same(infobip: Infobip, ending: str, name: str, error: int) -> None:
    webhooks = {"delivery": {"url": "http://gateway.example/x"}, "contentType": "application/json"}
    post(infobip, message(f"7999123{ending}", webhooks=webhooks))
    [early], [late] = log(infobip, "m1", 9), log(infobip, "m1", 10)
    assert (early["status"]["name"], late["status"]["name"], late["error"]["id"]) == ("PENDING_ACCEPTED", name, error)
    [push] = infobip.pushes
    assert (push.url, push.after) == ("http://gateway.example/x", 10)
    assert json.loads(push.body)["results"] == [late]
    assert push.headers == {"authorization": f"Basic {base64.b64encode(b'gateway:demo').decode()}"}
    assert late["doneAt"] == "2026-11-22T12:00:10.000+0000"


def test_a_log_of_nothing(infobip: Infobip) -> None:
    assert log(infobip, "m1", 0) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"messages":[{}]}', b'{"messages":[{"text":"x"}]}', b"\xff"],
)
def test_what_nobody_can_read(infobip: Infobip, body: bytes) -> None:
    assert infobip.answer(asked("POST", SEND, body=body, headers=HEADERS)).status == 400


def test_who_asks_and_what_for(infobip: Infobip) -> None:
    assert post(infobip, message(), headers={"authorization": "App wrong"}).status == 401
    assert infobip.answer(asked("GET", SEND, headers=HEADERS)).status == 405
    assert infobip.answer(asked("GET", "/other", headers=HEADERS)).status == 404


def test_an_incoming_message(infobip: Infobip) -> None:
    push = infobip.incoming(Reply(source="79991234567", destination="15005550006", text="Да", prefix="GO"), NOON)
    assert push.url == "http://gateway.example/callback/infobip/demo-callback-token"
    [result] = json.loads(push.body)["results"]
    assert (result["from"], result["to"], result["text"], result["keyword"]) == (
        "79991234567",
        "15005550006",
        "Да",
        "GO",
    )
    assert result["receivedAt"] == "2026-11-22T12:00:00.000+0000"
    assert push.taken(200, b"")
    assert not push.taken(500, b"")
