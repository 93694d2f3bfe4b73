"""Twilio, by the pages of its Messages resource and of its security."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from smppbridge.simulator.twilio import ERRORS, UNDELIVERED, Twilio
from smppbridge.simulator.vendor import Asked, Reply, Settings

from .conftest import NOON, asked, form

SID = "AC" + "0" * 32
PATH = f"/2010-04-01/Accounts/{SID}/Messages.json"
MESSAGE = {"To": "+79991234567", "From": "+15005550006", "Body": "Hello", "StatusCallback": "http://gateway.example/x"}


@pytest.fixture
def twilio() -> Twilio:
    return Twilio(Settings(delay=10, callback="http://gateway.example"))


def authorized(request: Asked, password: str = "demo") -> Asked:
    basic = base64.b64encode(f"{SID}:{password}".encode()).decode()
    return asked(
        request.method,
        request.path,
        at=request.now - NOON,
        body=request.body,
        headers={**request.headers, "authorization": f"Basic {basic}"},
    )


def send(twilio: Twilio, password: str = "demo", **fields: str) -> tuple[int, dict[str, Any]]:
    answer = twilio.answer(authorized(form(PATH, **{**MESSAGE, **fields}), password))
    return answer.status, json.loads(answer.body)


def look(twilio: Twilio, id: str, at: float) -> dict[str, Any]:
    answer = twilio.answer(authorized(asked("GET", PATH.replace(".json", f"/{id}.json"), at=at)))
    return dict(json.loads(answer.body))


def test_a_message_goes_its_course(twilio: Twilio) -> None:
    status, told = send(twilio)
    assert (status, told["status"], told["num_segments"], told["price"]) == (201, "queued", "1", None)
    assert [look(twilio, told["sid"], at)["status"] for at in (0, 5, 10)] == ["queued", "sent", "delivered"]
    told = look(twilio, told["sid"], 10)
    assert (told["price"], told["date_updated"]) == ("-0.0500", "Sun, 22 Nov 2026 12:00:10 +0000")
    send(twilio)
    assert twilio.counts.processed == 2


@pytest.mark.parametrize(("place", "code"), [*enumerate(ERRORS, 101)])
def test_every_error_by_its_ending(twilio: Twilio, place: int, code: int) -> None:
    status, told = send(twilio, To=f"+7999123{place:04}")
    assert (status, told["code"], told["message"], told["status"]) == (ERRORS[code][0], code, ERRORS[code][1], status)
    assert (twilio.counts.processed, twilio.counts.refused) == (0, 1)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"To": "79991234567"}, 21211),
        ({"From": ""}, 21603),
        ({"From": "TwelveLetter"}, 21606),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
    ],
)
def test_mistakes(twilio: Twilio, fields: dict[str, str], code: int) -> None:
    assert send(twilio, **fields)[1]["code"] == code


def test_who_asks_and_what_for(twilio: Twilio) -> None:
    assert send(twilio, password="wrong")[0] == 401
    assert twilio.answer(form(PATH, **MESSAGE)).status == 401
    assert twilio.answer(authorized(asked("DELETE", PATH))).status == 404
    assert twilio.answer(asked("GET", "/other")).status == 404
    assert look(twilio, "SM" + "9" * 32, 0)["code"] == 20404


@pytest.mark.parametrize(("place", "code"), [*enumerate(UNDELIVERED, 201)])
def test_what_is_not_delivered_says_why(twilio: Twilio, place: int, code: int) -> None:
    _, told = send(twilio, To=f"+7999123{place:04}")
    assert [push.url for push in twilio.pushes] == ["http://gateway.example/x"] * 2
    fields = parse_qs(twilio.pushes[-1].body.decode())
    assert (fields["MessageSid"], fields["MessageStatus"], fields["ErrorCode"]) == (
        [told["sid"]],
        ["undelivered"],
        [str(code)],
    )
    assert look(twilio, told["sid"], 10)["error_code"] == code


def test_an_incoming_message_is_signed(twilio: Twilio) -> None:
    push = twilio.incoming(Reply(source="79991234567", destination="15005550006", text="Yes"), NOON)
    assert push.url == "http://gateway.example/callback/twilio/demo-callback-token"
    # printf '%s' "$url" "ApiVersion2010-04-01" "BodyYes" … | openssl dgst -sha1 -hmac demo -binary | base64
    assert push.headers == {"x-twilio-signature": "RQ76xG9b44gYZSZeo4tvgkULCl8="}
    assert push.taken(204, b"")
    assert not push.taken(403, b"")
