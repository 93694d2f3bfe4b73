"""conf/http-twilio.toml and conf/http-infobip.toml hold the conversations that the services document."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest

from pdu import MessageState
from smppbridge.config import load
from smppbridge.model import Incoming, Progress, Sms, Stage, StatusReport
from smppbridge.providers import registry
from smppbridge.providers.base import (
    BadCallback,
    Callback,
    InDoubt,
    Provider,
    Refused,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def provider(monkeypatch) -> Any:
    for name in ("TWILIO_AUTH_TOKEN", "INFOBIP_API_KEY", "INFOBIP_WEBHOOK_PASSWORD"):
        monkeypatch.setenv(name, f"{name.lower()}-hush")
    for name in ("TWILIO_CALLBACK_TOKEN", "INFOBIP_CALLBACK_TOKEN"):
        monkeypatch.setenv(name, "0123456789abcdef0123")

    def built(name: str) -> Provider[Any]:
        return registry.build(name, load(CONF / f"http-{name}.toml", registry.adapter_class).providers[name])

    return built


def called(body: bytes, **headers: str) -> Callback:
    return Callback(
        method="POST", path="", query=b"", headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body, peer="192.0.2.1",
    )  # fmt: skip


# Twilio: https://www.twilio.com/docs/messaging/api/message-resource --------------------------------------------------

SID = "SMaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
ACCOUNT = "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"

MESSAGE = {
    "account_sid": ACCOUNT, "api_version": "2010-04-01", "body": "Hi there",
    "date_created": "Fri, 15 Jan 2027 08:00:00 +0000", "date_sent": None,
    "date_updated": "Fri, 15 Jan 2027 08:00:00 +0000", "direction": "outbound-api", "error_code": None,
    "error_message": None, "from": "+15557122661", "num_media": "0", "num_segments": "1", "price": None,
    "price_unit": None, "messaging_service_sid": None, "sid": SID, "status": "queued", "to": "+15558675310",
    "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json",
}  # fmt: skip


def test_twilio_is_sent_a_form(provider, message):
    twilio = provider("twilio")
    one = message(7, command=Sms(text="Hi there & hello"), source="15557122661", destination="15558675310")
    request = twilio.send([one])
    assert request.method == "POST"
    assert str(request.url) == f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    basic = base64.b64encode(f"{ACCOUNT}:twilio_auth_token-hush".encode()).decode()
    assert request.headers["authorization"] == f"Basic {basic}"
    assert basic in twilio.secrets()
    assert dict(parse_qsl(request.content.decode(), strict_parsing=True)) == {
        "To": "+15558675310",
        "From": "+15557122661",
        "Body": "Hi there & hello",
        "ValidityPeriod": "36000",
        "StatusCallback": "https://sms.example.com/callback/twilio/0123456789abcdef0123",
    }


def _error(code: int, status: int, said: str = "why") -> dict[str, Any]:
    return {"code": code, "message": said, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (201, MESSAGE, Sent(ref=SID, parts=1)),
        (401, _error(20003, 401, "Authenticate"), Unable(reason="20003: Authenticate", err=99, everything=True)),
        (429, _error(20429, 429), Temporary(reason="20429: why", retry_after=None)),
        (429, _error(21611, 429), Temporary(reason="21611: why", retry_after=None)),
        (400, _error(21211, 400), Refused(reason="21211: why", err=249)),
        (400, _error(21614, 400), Refused(reason="21614: why", err=249)),
        (400, _error(21610, 400), Refused(reason="21610: why", err=99)),
        (400, _error(21408, 400), Unable(reason="21408: why", err=248)),
        (400, _error(21606, 400), Unable(reason="21606: why", err=254)),
        (400, _error(29999, 400), Unable(reason="HTTP 400: 29999: why")),
        (500, _error(20500, 500), InDoubt(reason="HTTP 500: 20500: why")),
        (200, MESSAGE, InDoubt(reason="HTTP 200 without a readable answer")),
    ],
)
def test_what_twilio_answers(provider, message, status, body, expected):
    (outcome,) = provider("twilio").sent([message()], httpx.Response(status, json=body))
    assert outcome == expected


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("accepted", MessageState.ENROUTE), ("scheduled", MessageState.ENROUTE), ("queued", MessageState.ENROUTE),
        ("sending", MessageState.ENROUTE), ("sent", MessageState.ENROUTE), ("delivered", MessageState.DELIVERED),
        ("read", MessageState.DELIVERED), ("undelivered", MessageState.UNDELIVERABLE),
        ("failed", MessageState.UNDELIVERABLE), ("canceled", MessageState.DELETED),
        ("partially_delivered", MessageState.UNKNOWN),
    ],
)  # fmt: skip
def test_twilio_is_asked(provider, message, state, expected):
    twilio = provider("twilio")
    one = message(progress=Progress(stage=Stage.SENT, ref=SID))
    request = twilio.ask([one])
    assert (request.method, str(request.url)) == ("GET", f"https://api.twilio.com{MESSAGE['uri']}")
    answer = {**MESSAGE, "status": state, "price": "-0.00750", "error_code": 30003}
    (report,) = twilio.asked([one], httpx.Response(200, json=answer))
    assert report == StatusReport(
        state=expected, ref=SID, err=6, at=1_800_000_000_000, cost="0.00750", parts=1, raw=f"{state} 30003"
    )
    gone = httpx.Response(404, json=_error(20404, 404))
    assert list(twilio.asked([one], gone)) == [None]


def _signed(form: Mapping[str, str]) -> Callback:
    url = "https://sms.example.com/callback/twilio/0123456789abcdef0123"
    signed = url + "".join(name + form[name] for name in sorted(form))
    signature = base64.b64encode(hmac.digest(b"twilio_auth_token-hush", signed.encode(), "sha1")).decode()
    return called(urlencode(form).encode(), x_twilio_signature=signature)


@pytest.mark.parametrize(("code", "err"), [("30003", 6), ("30005", 1), ("30006", 249), ("30007", 253), ("30008", 99)])
def test_twilio_calls_back(provider, code, err):
    form = {
        "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "From": "+15557122661", "MessageSid": SID,
        "MessageStatus": "undelivered", "SmsSid": SID, "SmsStatus": "undelivered", "To": "+15558675310",
        "ErrorCode": code,
    }  # fmt: skip
    reply = provider("twilio").callback(_signed(form), 0)
    assert list(reply.reports) == [
        StatusReport(state=MessageState.UNDELIVERABLE, ref=SID, err=err, raw=f"undelivered {code}")
    ]
    with pytest.raises(BadCallback) as refused:
        provider("twilio").callback(called(urlencode(form).encode(), x_twilio_signature="AAAA"), 0)
    assert refused.value.status == 403


def test_twilio_brings_a_message(provider):
    form = {
        "AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "Body": "Да, + & ж", "From": "+15558675310",
        "MessageSid": "SMbbbb", "NumMedia": "0", "NumSegments": "1", "SmsMessageSid": "SMbbbb", "SmsSid": "SMbbbb",
        "SmsStatus": "received", "To": "+15557122661",
    }  # fmt: skip
    reply = provider("twilio").callback(_signed(form), 0)
    assert list(reply.incoming) == [
        Incoming(provider="twilio", ref="SMbbbb", source="15558675310", destination="15557122661", text="Да, + & ж")
    ]
    assert (reply.body, reply.content_type) == (b"<Response/>", "text/xml")


# Infobip: https://www.infobip.com/docs/api/channels/sms --------------------------------------------------------------

PENDING = {
    "groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED",
    "description": "Message sent to next instance",
}  # fmt: skip
DELIVERED = {
    "groupId": 3, "groupName": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET",
    "description": "Message delivered to handset",
}  # fmt: skip
NO_ERROR = {
    "groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "description": "No Error", "permanent": False,
}  # fmt: skip


def _told(id: str, status: Mapping[str, Any]) -> dict[str, Any]:
    return {"messageId": id, "status": status, "destination": "41793026727", "details": {"messageCount": 2}}


def _rejected(name: str) -> dict[str, Any]:
    return {"groupId": 5, "groupName": "REJECTED", "id": 6, "name": name, "description": "why"}


def test_infobip_is_sent_several_messages(provider, message):
    infobip = provider("infobip")
    assert (infobip.batch, infobip.ask_batch, infobip.when_in_doubt) == (100, 1, WhenInDoubt.GIVE_UP)
    several = [
        message(7, command=Sms(text="This is a sample message"), source="InfoSMS", destination="+41793026727"),
        message(8, command=Sms(text="Привет", flash=True), source="", destination="41793026834"),
    ]
    request = infobip.send(several)
    assert str(request.url) == "https://example.api.infobip.com/sms/3/messages"
    assert request.headers["authorization"] == "App infobip_api_key-hush"
    webhooks = {
        "delivery": {"url": "https://sms.example.com/callback/infobip/0123456789abcdef0123"},
        "contentType": "application/json",
    }
    validity = {"amount": 1440, "timeUnit": "MINUTES"}
    assert json.loads(request.content) == {
        "messages": [
            {
                "sender": "InfoSMS",
                "destinations": [{"to": "41793026727", "messageId": "7"}],
                "content": {"text": "This is a sample message"},
                "options": {"validityPeriod": validity, "flash": False},
                "webhooks": webhooks,
            },
            {
                "destinations": [{"to": "41793026834", "messageId": "8"}],
                "content": {"text": "Привет"},
                "options": {"validityPeriod": validity, "flash": True},
                "webhooks": webhooks,
            },
        ]
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (PENDING, Sent(ref="7", parts=2)),
        (_rejected("REJECTED_NOT_ENOUGH_CREDITS"), Unable(reason="6: why", err=6, everything=True)),
        (_rejected("REJECTED_DESTINATION"), Refused(reason="6: why", err=249)),
        (_rejected("REJECTED_SENDER"), Unable(reason="6: why", err=254)),
        (_rejected("REJECTED_DUPLICATE_MESSAGE_ID"), InDoubt(reason="6: why")),
        (_rejected("REJECTED_NETWORK"), Unable(reason="6: why", err=248)),
        ({**PENDING, "groupName": "NEW"}, InDoubt(reason="HTTP 200: 26: Message sent to next instance")),
    ],
)
def test_what_infobip_answers(provider, message, status, expected):
    answer = {"bulkId": "2034072219640523072", "messages": [_told("8", PENDING), _told("7", status)]}
    outcomes = provider("infobip").sent([message(7), message(8)], httpx.Response(200, json=answer))
    assert list(outcomes) == [expected, Sent(ref="8", parts=2)]


def test_what_infobip_refuses_whole(provider, message):
    body = {"errorCode": "E401", "description": "The request lacks valid authentication credentials.", "violations": []}
    outcomes = provider("infobip").sent([message(7), message(8)], httpx.Response(401, json=body))
    said = "HTTP 401: The request lacks valid authentication credentials."
    assert list(outcomes) == [Unable(reason=said, everything=True)] * 2


def _report(id: str, **more: Any) -> dict[str, Any]:
    return {
        "bulkId": "BULK-ID-123-xyz", "messageId": id, "to": "41793026727", "sender": "InfoSMS",
        "sentAt": "2027-01-15T13:30:00.000+0530", "doneAt": "2027-01-15T13:30:00.000+0530", "messageCount": 1,
        "price": {"pricePerMessage": 0.01, "currency": "EUR"}, "status": DELIVERED, "error": NO_ERROR, **more,
    }  # fmt: skip


REPORTED = StatusReport(
    state=MessageState.DELIVERED, ref="7", at=1_800_000_000_000, cost="0.01", parts=1,
    raw="DELIVERED 0: DELIVERED_TO_HANDSET",
)  # fmt: skip


def test_infobip_is_asked_by_an_id_of_ours_also_in_doubt(provider, message):
    infobip = provider("infobip")
    doubt = message(7, progress=Progress(stage=Stage.DOUBT))
    assert infobip.reference(doubt) == "7"
    assert str(infobip.ask([doubt]).url) == "https://example.api.infobip.com/sms/3/logs?messageId=7"
    (answer,) = infobip.asked([doubt], httpx.Response(200, json={"results": [_report("7", destination="4179")]}))
    assert answer == REPORTED
    # Not in the logs, perhaps not yet: nothing that would send it again.
    assert list(infobip.asked([doubt], httpx.Response(200, json={"results": []}))) == [None]


BASIC = "Basic " + base64.b64encode(b"gateway:infobip_webhook_password-hush").decode()


def test_infobip_reports_several_at_once(provider):
    absent = {**NO_ERROR, "id": 27, "name": "EC_ABSENT_SUBSCRIBER"}
    failed = {"groupId": 2, "groupName": "UNDELIVERABLE", "id": 9, "name": "UNDELIVERABLE_NOT_DELIVERED"}
    body = json.dumps({"results": [_report("7"), _report("8", status=failed, error=absent)]}).encode()
    first, second = provider("infobip").callback(called(body, authorization=BASIC), 0).reports
    assert first == REPORTED
    assert (second.state, second.ref, second.err) == (MessageState.UNDELIVERABLE, "8", 6)
    with pytest.raises(BadCallback) as refused:
        provider("infobip").callback(called(body, authorization="Basic AAAA"), 0)
    assert refused.value.status == 403


def test_infobip_brings_a_message(provider):
    body = {
        "results": [
            {
                "messageId": "817790313235066447", "from": "385916242493", "to": "385921004026",
                "text": "QUIZ Correct answer is Paris", "cleanText": "Correct answer is Paris", "keyword": "QUIZ",
                "receivedAt": "2027-01-15T08:00:00.000+0000", "smsCount": 1,
                "price": {"pricePerMessage": 0, "currency": "EUR"}, "callbackData": "callbackData",
            }
        ],
        "messageCount": 1, "pendingMessageCount": 0,
    }  # fmt: skip
    reply = provider("infobip").callback(called(json.dumps(body).encode(), authorization=BASIC), 0)
    assert list(reply.incoming) == [
        Incoming(
            provider="infobip", ref="817790313235066447", source="385916242493", destination="385921004026",
            text="QUIZ Correct answer is Paris", at=1_800_000_000_000,
        )
    ]  # fmt: skip
