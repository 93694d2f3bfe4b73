"""The adapter that is told in the configuration: requests, answers, callbacks, as tables."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Binary, Call, Hlr, Incoming, Mail, Progress, Sms, Stage, StatusReport, TelegramCode
from smppbridge.providers import registry
from smppbridge.providers.base import BadCallback, Callback, InDoubt, NotFound, Refused, Sent, Temporary, Unable
from smppbridge.providers.http import Http, documents

SEND = {"url": "https://api.example.com/send", "json": {"to": "{{ destination }}"}}


def http(**settings: Any) -> Http:
    own = {"kinds": ["sms"], "send": SEND, "answer": {"id": "$.id"}, **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "http", **own}))
    assert isinstance(provider, Http)
    return provider


def sending(**send: Any) -> Http:
    return http(send={"url": "https://api.example.com/send", **send}, secret={"token": "hush"})


# Requests ------------------------------------------------------------------------------------------------------------


def test_a_json_body_holds_values(message):
    provider = sending(
        json={
            "to": "{{ destination | digits }}",
            "text": "{{ text }}",
            "from": "{{ source | optional }}",
            "ttl": "{{ validity | divided(60) | number }}",
            "flash": "{{ flash | boolean }}",
            "nested": {"list": ["{{ kind }}", 1, True, {"id": "{{ id }}"}], "gone": "{{ voice | optional }}"},
        }
    )
    request = provider.send([message(7, command=Sms(text='He said "hi"\\\n{{ id }}'), source="")])
    assert (request.method, str(request.url)) == ("POST", "https://api.example.com/send")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {
        "to": "79000075555",
        "text": 'He said "hi"\\\n{{ id }}',
        "ttl": 1440,
        "flash": False,
        "nested": {"list": ["sms", 1, True, {"id": "7"}]},
    }


def test_a_form_and_a_query_repeat_names_and_leave_out(message):
    provider = sending(
        query={"v": 2, "debug": False}, form={"to": ["{{ destination }}", "+1"], "x": "{{ voice | optional }}"}
    )
    request = provider.send([message(7)])
    assert str(request.url) == "https://api.example.com/send?v=2&debug=false"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    assert request.content == b"to=79000075555&to=%2B1"


def test_an_xml_body_and_a_text_body_in_another_charset(message):
    said = message(7, command=Sms(text="Привет <&>"))
    request = sending(xml="<sms to='{{ destination }}'>{{ text }}</sms>", charset="windows-1251").send([said])
    assert request.headers["content-type"] == "application/xml; charset=windows-1251"
    assert request.content == "<sms to='79000075555'>Привет &lt;&amp;&gt;</sms>".encode("windows-1251")
    request = sending(text="{{ destination }};{{ text }}", charset="windows-1251", method="PUT").send([said])
    assert (request.method, request.content) == ("PUT", "79000075555;Привет <&>".encode("windows-1251"))


def test_a_get_has_everything_in_its_address(message):
    provider = http(
        send={
            "url": "https://api.example.com/{{ account }}/{{ destination }}?v=1",
            "query": {"text": "{{ text }}"},
            "headers": {"X-Key": "{{ secret.token }}", "x-id": "{{ id }}", "x-text": "{{ text | url }}"},
        },
        secret={"token": "hush"},
    )
    request = provider.send([message(7, command=Sms(text="a&b"), destination="../x?y#z", account="a b")])
    assert request.method == "GET"
    assert request.content == b""
    assert request.url.raw_path == b"/a%20b/..%2Fx%3Fy%23z?v=1&text=a%26b"
    assert request.headers["x-key"] == "hush"
    assert request.headers["x-text"] == "a%26b"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Sms(text="hi", flash=True), {"kind": "sms", "text": "hi", "flash": "1"}),
        (Sms(text="Привет"), {"kind": "sms", "text": "Привет", "unicode": "1"}),
        (Sms(text="lone \ud800"), {"kind": "sms", "text": "lone ?", "unicode": "1"}),
        (
            Binary(data=b"\x05\xff", data_coding=245, has_udh=True),
            {"kind": "binary", "data": "05ff", "data_base64": "Bf8=", "data_coding": "245", "udh": "1"},
        ),
        (Mail(text="t", subject="s", to="a@b.c"), {"kind": "mail", "text": "t", "subject": "s", "to": "a@b.c"}),
        (Call(text="t", voice="w"), {"kind": "call", "text": "t", "voice": "w"}),
        (TelegramCode(code="1234"), {"kind": "telegram", "text": "1234"}),
        (Hlr(), {"kind": "hlr"}),
    ],
)
def test_what_templates_see_of_a_command(message, command, expected):
    names = [
        "kind",
        "text",
        "flash",
        "unicode",
        "data",
        "data_base64",
        "data_coding",
        "udh",
        "subject",
        "to",
        "voice",
        "bot",
    ]
    provider = http(
        kinds=["sms", "binary", "mail", "call", "telegram", "hlr"],
        send={"url": "https://x.example", "form": {name: f"{{{{ {name} | optional }}}}" for name in names}},
    )
    assert dict(parse_qsl(provider.send([message(command=command)]).content.decode())) == expected


def test_what_templates_see_of_a_message(message):
    names = ["id", "source", "destination", "account", "validity", "accepted", "expires", "priority", "report"]
    provider = http(send={"url": "https://x.example", "form": {name: f"{{{{ {name} }}}}" for name in names}})
    one = message(7, priority=2, progress=Progress(due=1_800_000_060_000, leg=1))
    assert dict(parse_qsl(provider.send([one]).content.decode())) == {
        "id": "1000000000000000007",
        "source": "SENDER",
        "destination": "79000075555",
        "account": "demo",
        "validity": str(86_400 - 60),
        "accepted": "1800000000",
        "expires": "1800086400",
        "priority": "2",
        "report": "1",
    }


_FIELDS = {"t": "{{ text }}", "s": "{{ source }}", "d": "{{ destination }}"}
_IN_JSON = sending(json=_FIELDS)
_IN_FORM = sending(form=_FIELDS, query=_FIELDS)
_IN_XML = sending(xml="<m><t>{{ text }}</t><s a='{{ source }}'/></m>")
_texts = st.text().map(lambda text: text.encode("utf-8", "replace").decode())


@given(text=_texts, source=_texts, destination=_texts)
def test_whatever_a_client_writes_stays_the_value_that_it_is(message, text, source, destination):
    """The whole request, in every place at once."""
    one = message(command=Sms(text=text), source=source, destination=destination)
    expected = {"t": text, "s": source, "d": destination}
    assert json.loads(_IN_JSON.send([one]).content) == expected
    form = _IN_FORM.send([one])
    assert dict(parse_qsl(form.content.decode(), keep_blank_values=True)) == expected
    assert dict(parse_qsl(form.url.query.decode(), keep_blank_values=True)) == expected
    assert form.url.host == "api.example.com"
    root = etree.fromstring(_IN_XML.send([one]).content)
    assert [child.tag for child in root] == ["t", "s"]
    assert [len(child) for child in root] == [0, 0]


def test_a_header_never_takes_more_than_a_line(message):
    """Should the rules for templates ever miss something, no request comes of it."""
    provider = sending(headers={"x-id": "{{ id }}"})
    provider._wording.values = lambda _: {"id": "1\r\nx-evil: 1", "callback_url": ""}  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="a header is one line of ASCII characters"):
        provider.send([message()])


@pytest.mark.parametrize(("text", "outcome"), [("Привет", None), ("你好", Unable)])
def test_what_a_charset_cannot_write_is_not_sent_as_question_marks(message, text, outcome):
    one = message(command=Sms(text=text))
    objection = sending(form={"text": "{{ text }}"}, charset="windows-1251").objection(one)
    assert (objection and type(objection)) == outcome
    assert sending(json={"text": "{{ text }}"}).objection(one) is None
    assert sending(xml="<t>{{ text }}</t>", charset="windows-1251").objection(one) is None


# Answers -------------------------------------------------------------------------------------------------------------

ERRORS = [
    {"where": {"$.error.code": [1, 2]}, "outcome": "refused", "err": 249},
    {"where": {"$.error.code": "limit*"}, "outcome": "temporary"},
    {"where": {"$.error.code": "9*"}, "outcome": "unable"},
    {"status": [403], "where": {"$.error.fatal": True}, "outcome": "everything"},
    {"status": ["5xx"], "where": {"$.error": ""}, "outcome": "temporary"},
    {"where": {"$.error.code": "lost"}, "outcome": "doubt"},
]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, '{"id": 7, "price": -0.05, "n": "2"}', Sent(ref="7", cost="0.05", parts=2)),
        (200, '{"id": "a", "price": "free", "n": 1000}', Sent(ref="a")),
        (
            200,
            '{"id": "a", "state": "done"}',
            Sent(ref="a", report=StatusReport(state=MessageState.DELIVERED, ref="a", raw="done")),
        ),
        (200, '{"id": "a", "state": "unheard of"}', Sent(ref="a")),
        (200, '{"id": ""}', InDoubt(reason="success without an id")),
        (200, '{"id": "a\\u0000b"}', InDoubt(reason="success without an id")),
        (200, '{"said": "no such thing"}', InDoubt(reason="success without an id: no such thing")),
        (200, '{"id": 7, "error": {"code": 1}}', Refused(reason="1", err=249)),
        (400, '{"error": {"code": 2}, "said": "bad  number"}', Refused(reason="2: bad number", err=249)),
        (400, '{"error": {"code": "limit of the day"}}', Temporary(reason="limit of the day", retry_after=7)),
        (400, '{"error": {"code": 950}}', Unable(reason="950", err=950)),
        (400, '{"error": {"code": 9000}}', Unable(reason="9000", err=99)),
        (400, '{"error": {"code": "9z"}}', Unable(reason="9z", err=5)),
        (403, '{"error": {"fatal": true}}', Unable(reason="HTTP 403", everything=True)),
        (403, '{"error": {"fatal": false}}', Unable(reason="HTTP 403 without a readable answer", everything=True)),
        (500, "{}", Temporary(reason="HTTP 500", retry_after=7)),
        (500, '{"error": {"code": 5}}', InDoubt(reason="HTTP 500: 5")),
        (200, '{"error": {"code": "lost"}}', InDoubt(reason="lost")),
        (422, '{"said": "what?"}', Unable(reason="HTTP 422: what?")),
        (429, '{"said": "slow"}', Temporary(reason="HTTP 429: slow", retry_after=7)),
        (200, "<html>", InDoubt(reason="HTTP 200 without a readable answer")),
        (200, "[]", InDoubt(reason="success without an id")),
    ],
)  # fmt: skip
def test_an_answer_is_read(message, status, body, expected):
    provider = http(
        answer={
            "id": "$.id", "cost": "$.price", "parts": "$.n", "state": "$.state", "err": "$.error.code",
            "reason": ["$.error.text", "$.said"], "errors": ERRORS,
        },
        states={"done": "DELIVERED"},
        errs={"9z": 5},
    )  # fmt: skip
    response = httpx.Response(status, content=body.encode(), headers={"retry-after": "7"})
    assert list(provider.sent([message()], response)) == [expected]


@pytest.mark.parametrize(
    ("answer", "body", "expected"),
    [
        ({"format": "xml", "id": "$.response.message.@id"}, "<response><message id='5'>x</message></response>", "5"),
        ({"format": "xml", "id": "$.r.m[0].id"}, "<r><m><id>5</id></m></r>", "5"),
        ({"format": "xml", "id": "$.r.m[1].id"}, "<r><m><id>5</id></m><m><id>6</id></m></r>", "6"),
        ({"format": "xml", "id": "$.r.id"}, "<r xmlns='urn:x'><id n='1'>5</id></r>", "5"),
        ({"format": "form", "id": "$.id"}, "status=ok&id=a%2Fb&id=2", "a/b"),
        ({"format": "text", "separator": ":", "id": "$[1]", "success": {"where": {"$[0]": "OK"}}}, "OK: 5\r\n", "5"),
        ({"format": "text", "id": "$[0]"}, "5\n", "5"),
        ({"id": '$["message id"]'}, '{"message id": "5"}', "5"),
        ({"id": "$.a[-1]"}, '{"a": ["4", "5"]}', "5"),
    ],
)
def test_other_formats(message, answer, body, expected):
    (outcome,) = http(answer=answer).sent([message()], httpx.Response(200, content=body.encode()))
    assert outcome == Sent(ref=expected)


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("xml", "<!DOCTYPE r [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><r><id>&e;</id></r>"),
        ("xml", "<r><id>5</id>"),
        ("form", ""),
        ("json", "{"),
    ],
)
def test_what_cannot_be_read_is_in_doubt(message, format, body):
    provider = http(answer={"format": format, "id": "$.r.id"})
    (outcome,) = provider.sent([message()], httpx.Response(200, content=body.encode()))
    assert outcome == InDoubt(reason="HTTP 200 without a readable answer")


# Several messages in a request ---------------------------------------------------------------------------------------


def several(**answer: Any) -> Http:
    return http(
        reference="m{{ id }}",
        send={
            "url": "https://api.example.com/send",
            "json": {"batch": {"items": [{"to": "{{ destination }}", "ref": "m{{ id }}"}]}, "v": 1},
            "each": "$.batch.items",
            "most": 3,
        },
        answer={
            "each": "$.items",
            "success": {"where": {"$.ok": True}},
            "reason": "$.said",
            "errors": [{"where": {"$.ok": False}, "outcome": "refused"}],
            **answer,
        },
    )


def test_one_item_is_written_for_each_message(message):
    provider = several(match="$.ref")
    assert provider.batch == 3
    assert provider.rides_with(message(1)) == provider.rides_with(message(2))
    assert json.loads(provider.send([message(1), message(2)]).content) == {
        "batch": {"items": [{"to": "79000015555", "ref": "m1"}, {"to": "79000025555", "ref": "m2"}]},
        "v": 1,
    }


def test_the_whole_body_may_be_the_list(message):
    provider = http(
        send={"url": "https://api.example.com/send", "json": [{"to": "{{ destination }}"}], "each": "$"},
        answer={"each": "$", "in_order": True, "id": "$.id"},
    )
    request = provider.send([message(1), message(2)])
    assert json.loads(request.content) == [{"to": "79000015555"}, {"to": "79000025555"}]
    outcomes = provider.sent([message(1), message(2)], httpx.Response(200, json=[{"id": "a"}, {"id": "b"}]))
    assert list(outcomes) == [Sent(ref="a"), Sent(ref="b")]


NOT_MENTIONED = InDoubt(reason="the answer does not mention it, or more than once")


def test_items_belong_to_messages_by_what_identifies_them(message):
    body = {"items": [{"ref": "m3", "ok": True}, {"ref": "m1", "ok": False, "said": "bad"}, {"ref": "m9", "ok": True}]}
    outcomes = several(match="$.ref").sent([message(n) for n in (1, 2, 3)], httpx.Response(200, json=body))
    assert list(outcomes) == [Refused(reason="bad"), NOT_MENTIONED, Sent(ref="m3")]


def test_two_items_for_one_message_are_doubt(message):
    body = {"items": [{"ref": "m1", "ok": True}, {"ref": "m2", "ok": True}, {"ref": "m1", "ok": False, "said": "bad"}]}
    outcomes = several(match="$.ref").sent([message(1), message(2)], httpx.Response(200, json=body))
    assert list(outcomes) == [NOT_MENTIONED, Sent(ref="m2")]


def test_items_belong_to_messages_by_their_order_where_that_is_promised(message):
    provider = several(in_order=True)
    told = {"items": [{"ok": True}, {"ok": False}]}
    assert [type(one) for one in provider.sent([message(1), message(2)], httpx.Response(200, json=told))] == [
        Sent,
        Refused,
    ]
    lost = InDoubt(reason="the answer has another number of items than the request")
    assert list(provider.sent([message(1)], httpx.Response(200, json=told))) == [lost]


def test_a_request_that_is_refused_whole(message):
    provider = several(match="$.ref")
    outcomes = provider.sent([message(1), message(2)], httpx.Response(200, json={"ok": False, "said": "no"}))
    assert list(outcomes) == [Refused(reason="no")] * 2
    outcomes = provider.sent([message(1), message(2)], httpx.Response(401, json={"said": "who?"}))
    assert list(outcomes) == [Unable(reason="HTTP 401: who?", everything=True)] * 2


# Asking --------------------------------------------------------------------------------------------------------------

ASKING: Mapping[str, Any] = {
    "reference": "m{{ id }}",
    "answer": {"success": {"where": {"$.ok": True}}},
    "status": {"url": "https://api.example.com/status/{{ ref }}"},
    "status_answer": {"state": "$.state", "err": "$.code", "not_found": {"where": {"$.error": "never heard of it"}}},
    "states": {"done": "DELIVERED", "dead": "UNDELIVERABLE"},
    "errs": {"absent": 6},
}


def test_a_message_is_asked_for_by_its_id(message):
    provider = http(**ASKING)
    assert provider.ask_batch == 1
    sent = message(7, progress=Progress(stage=Stage.SENT, ref="a/b"))
    assert str(provider.ask([sent]).url) == "https://api.example.com/status/a%2Fb"
    doubt = message(7, progress=Progress(stage=Stage.DOUBT))
    assert str(provider.ask([doubt]).url) == "https://api.example.com/status/m7"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"state": "done"}, StatusReport(state=MessageState.DELIVERED, ref="m7", raw="done")),
        (200, {"state": "dead", "code": "absent"},
            StatusReport(state=MessageState.UNDELIVERABLE, ref="m7", err=6, raw="dead absent")),
        (200, {"state": "unheard of"}, StatusReport(state=MessageState.UNKNOWN, ref="m7", raw="unheard of")),
        (200, {}, None),
        (404, {"state": "done"}, None),
        (404, {"error": "never heard of it"}, NotFound()),
        (404, {"error": "not found"}, None),
        (500, {}, None),
    ],
)  # fmt: skip
def test_what_the_provider_says_when_it_is_asked(message, status, body, expected):
    (answer,) = http(**ASKING).asked([message(7)], httpx.Response(status, json=body))
    assert answer == expected


def test_of_a_list_the_item_of_the_message_counts(message):
    told = {"state": "$.state", "each": "$.all", "match": "$.ref"}
    provider = http(**{**ASKING, "status_answer": told})
    body = {"all": [{"ref": "m8", "state": "dead"}, {"ref": "m7", "state": "done"}]}
    (answer,) = provider.asked([message(7)], httpx.Response(200, json=body))
    assert answer == StatusReport(state=MessageState.DELIVERED, ref="m7", raw="done")
    assert list(provider.asked([message(9)], httpx.Response(200, json=body))) == [None]


def test_who_has_no_status_is_never_asked(message):
    provider = http()
    assert provider.ask_batch == 0
    assert provider.reference(message()) == ""
    with pytest.raises(NotImplementedError):
        provider.ask([message()])
    with pytest.raises(BadCallback) as refused:
        provider.callback(called(b""), 0)
    assert refused.value.status == 404


def test_the_balance_is_asked_for_and_read():
    asked = {
        "url": "https://api.example.com/balance", "headers": {"x-key": "{{ secret.key }}"},
        "value": ["$.balance", "$.currency"],
    }  # fmt: skip
    provider = http(balance=asked, secret={"key": "hush"})
    request = provider.balance()
    assert request is not None
    assert (request.method, str(request.url)) == ("GET", "https://api.example.com/balance")
    assert request.headers["x-key"] == "hush"
    assert provider.balance_read(httpx.Response(200, json={"balance": 47.79, "currency": "EUR"})) == "47.79 EUR"
    assert provider.balance_read(httpx.Response(200, json={"balance": 0})) == "0"
    for answer in (httpx.Response(401, json={"balance": 1}), httpx.Response(200, text="<html>")):
        with pytest.raises(ValueError, match="without a balance"):
            provider.balance_read(answer)
    assert http().balance() is None


@pytest.mark.parametrize(
    ("path", "source", "steps"),
    [
        ("senders/{{ source }}/messages", "..", True),
        ("senders/{{ source }}/messages", ".", True),
        ("senders/{{ source }}", "..", True),
        ("senders/.{{ source }}/messages", ".", True),
        ("senders/{{ source }}./messages", ".", True),
        ("senders/{{ source }}{{ source }}/messages", ".", True),
        ("senders/{{ source ~ '/' }}messages", "..", True),
        ("senders/%2{% if source %}E{% endif %}{{ source }}/messages", ".", True),
        ("senders/{{ source }}/messages", "a/../../b", True),
        ("senders/{{ source }}/messages", "..\\b", True),
        ("senders/{{ source }}?from={{ source }}", "..", True),
        ("senders/{{ source }}/messages", "...", False),
        ("senders/{{ source }}/messages", "a.b..", False),
        ("senders/a{{ source }}/messages", "..", False),
        ("senders/{{ source | default('a') }}?from=/../{{ text }}/..", "", False),
        ("senders?from=/{{ source }}/", "..", False),
        ("senders", "..", False),
    ],
)
def test_a_message_that_would_step_up_the_path_goes_to_another_provider(message, path, source, steps):
    provider = sending(json={"to": "{{ destination }}"}, url=f"https://api.example.com/v1/{path}")
    objection = provider.objection(message(7, source=source))
    assert isinstance(objection, Unable) if steps else objection is None
    if steps:
        assert objection.reason == 'it would make "." or ".." of a part of the address'


# Callbacks -----------------------------------------------------------------------------------------------------------

TOKEN = "0123456789abcdef"


def called(body: bytes, query: bytes = b"", path: str = "", **headers: str) -> Callback:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Callback(method="POST", path=path, query=query, headers=headers, body=body, peer="192.0.2.1")


def calling(proof: Mapping[str, Any] | None = None, **callback: Any) -> Http:
    proved = {"unsigned": True} if proof is None else {"proof": dict(proof)}
    return http(
        callback_token=TOKEN,
        callback_url="https://sms.example.com/callback/main/{{ callback_token }}",
        secret={"key": "hush"},
        callback={
            "ref": "$.id", "state": "$.state", "err": "$.code", "at": "$.at", "cost": "$.cost", "parts": "$.n",
            "channel": "$.by", "ignore": [{"where": {"$.type": "hello"}}], **proved, **callback,
        },
        incoming={
            "when": {"where": {"$.type": "mo"}}, "ref": "$.id", "from": "$.from", "to": "$.to", "text": "$.text",
            "at": "$.at",
        },
        states={"done": "DELIVERED"},
    )  # fmt: skip


def test_a_state_is_read():
    body = {"id": 7, "state": "done", "code": 5, "at": 1_800_000_000, "cost": "0.1", "n": 2, "by": "viber"}
    reply = calling().callback(called(json.dumps(body).encode()), 0)
    assert list(reply.reports) == [
        StatusReport(
            state=MessageState.DELIVERED, ref="7", err=5, at=1_800_000_000_000, cost="0.1", parts=2, channel="viber",
            raw="done 5",
        )
    ]  # fmt: skip
    assert (reply.status, reply.body) == (200, b"OK")


def test_a_word_that_nobody_knows_is_unknown():
    (report,) = calling().callback(called(b'{"id": "7", "state": "odd"}'), 0).reports
    assert (report.state, report.raw) == (MessageState.UNKNOWN, "odd")


def test_an_incoming_message_is_read():
    body = {"type": "mo", "id": "i1", "from": "+79991234567", "to": "4711", "text": "Да", "at": "2027-01-15T08:00:00Z"}
    reply = calling(answer="<Response/>", answer_type="text/xml").callback(called(json.dumps(body).encode()), 0)
    assert list(reply.incoming) == [
        Incoming(provider="main", ref="i1", source="79991234567", destination="4711", text="Да", at=1_800_000_000_000)
    ]
    assert (reply.body, reply.content_type) == (b"<Response/>", "text/xml")


def test_forms_queries_and_xml_are_read():
    form = urlencode({"id": "7", "state": "done"}).encode()
    assert calling(format="form").callback(called(form), 0).reports
    assert calling(format="query").callback(called(b"", query=form), 0).reports
    xml = calling(format="xml", ref="$.dlr.@id", state="$.dlr.state")
    assert xml.callback(called(b"<dlr id='7'><state>done</state></dlr>"), 0).reports


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"id": "7"}', b'{"state": "done"}', b'{"id": {}, "state": "done"}',
        b'{"type": "mo", "text": "x"}', b'{"type": "mo", "id": "1", "text": "x"}',
    ],
)  # fmt: skip
def test_nothing_is_acknowledged_that_is_not_kept(body):
    with pytest.raises(BadCallback) as refused:
        calling().callback(called(body), 0)
    assert refused.value.status == 400


def test_what_is_to_be_ignored_is_acknowledged():
    reply = calling().callback(called(b'{"type": "hello"}'), 0)
    assert (reply.reports, reply.incoming, reply.status) == ([], [], 200)


def test_what_does_not_fit_is_refused_where_states_have_a_sign():
    provider = calling(when={"where": {"$.type": "dlr"}})
    assert provider.callback(called(b'{"type": "dlr", "id": "7", "state": "done"}'), 0).reports
    with pytest.raises(BadCallback, match="neither a state nor a message nor one to ignore"):
        provider.callback(called(b'{"type": "x", "id": "7", "state": "done"}'), 0)


def test_of_several_those_are_kept_that_can_be_read():
    body = {"all": [{"id": "1", "state": "done"}, {"id": "2"}, {"type": "mo", "id": "3", "from": "4", "text": "x"}]}
    provider = calling(each="$.all")
    reply = provider.callback(called(json.dumps(body).encode()), 0)
    assert [report.ref for report in reply.reports] == ["1"]
    assert [one.ref for one in reply.incoming] == ["3"]
    # So that the provider comes again with the one that was not kept.
    assert reply.status == 400


BODY = b'{"id": "7", "state": "done"}'


def _digest(signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.digest(b"hush", signed, algorithm)


@pytest.mark.parametrize(
    ("proof", "headers"),
    [
        ({"header": "X-Key", "equals": "{{ secret.key }}"}, {"x-key": "hush"}),
        (
            {"header": "authorization", "equals": "Basic {{ ('me:' ~ secret.key) | base64 }}"},
            {"authorization": "Basic " + base64.b64encode(b"me:hush").decode()},
        ),
        ({"header": "x-sign", "hmac": "sha256", "key": "{{ secret.key }}"}, {"x-sign": _digest(BODY).hex()}),
        (
            {"header": "x-sign", "hmac": "sha1", "key": "{{ secret.key }}", "prefix": "sha1="},
            {"x-sign": "sha1=" + _digest(BODY, "sha1").hex()},
        ),
        (
            {
                "header": "x-sign", "hmac": "sha256", "key": "{{ secret.key }}", "written": "base64",
                "over": ["header:X-Time", "text:.", "url", "query", "body"],
            },
            {
                "x-time": "5",
                "x-sign": base64.b64encode(
                    _digest(b"5.https://sms.example.com/callback/main/" + TOKEN.encode() + b"/in?a=1" + b"a=1" + BODY)
                ).decode(),
            },
        ),
    ],
)  # fmt: skip
def test_a_callback_proves_where_it_comes_from(proof, headers):
    provider = calling(proof)
    genuine = called(BODY, b"a=1", "in", **headers)
    assert provider.callback(genuine, 0).reports
    for forged in (
        called(BODY, b"a=1", "in"),
        called(BODY, b"a=1", "in", **{name: value[:-1] + "é" for name, value in headers.items()}),
        called(BODY, b"a=1", "in", **dict.fromkeys(headers, "")),
    ):
        with pytest.raises(BadCallback) as refused:
            provider.callback(forged, 0)
        assert refused.value.status == 403
        assert "hush" not in str(refused.value)
    if proof.get("hmac"):
        with pytest.raises(BadCallback):
            provider.callback(called(BODY + b" ", b"a=1", "in", **headers), 0)


def test_the_signature_of_a_sorted_form_is_that_of_the_documentation():
    """https://www.twilio.com/docs/usage/security, older edition: its example with the auth token 12345."""
    provider = http(
        callback_token=TOKEN,
        callback_url="https://mycompany.com/myapp.php",
        secret={"token": "12345"},
        callback={
            "format": "form", "ref": "$.CallSid", "state": "$.Digits",
            "proof": {
                "header": "X-Twilio-Signature", "hmac": "sha1", "key": "{{ secret.token }}", "written": "base64",
                "over": ["url", "sorted_form"],
            },
        },
        states={"1234": "DELIVERED"},
    )  # fmt: skip
    form = {
        "Digits": "1234", "To": "+18005551212", "From": "+14158675309", "Caller": "+14158675309",
        "CallSid": "CA1234567890ABCDE",
    }  # fmt: skip
    callback = called(
        urlencode(form).encode(), b"foo=1&bar=2", **{"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}
    )
    assert provider.callback(callback, 0).reports[0].ref == "CA1234567890ABCDE"


def test_secrets_are_what_the_engine_has_to_hide():
    provider = http(
        callback_token=TOKEN,
        secret={"sid": "AC1", "key": "hush hush"},
        send={**SEND, "headers": {"x-auth": "Basic {{ (secret.sid ~ ':' ~ secret.key) | base64 }}"}},
    )
    encoded = base64.b64encode(b"AC1:hush hush").decode()
    assert set(provider.secrets()) == {"AC1", "hush hush", TOKEN, f"Basic {encoded}", encoded}
    assert "hush" not in repr(provider.settings)


# Paths and times -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "steps"),
    [("$", ()), ("$.a.b-c[0]", ("a", "b-c", 0)), ('$["a b"].@c[-1]', ("a b", "@c", -1)), ("$[12]", (12,))],
)
def test_a_path_is_read(path, steps):
    assert documents.parse(path) == steps


@pytest.mark.parametrize(
    "path", ["", "a", "$a", "$.", "$..a", "$.a[", "$.a[*]", "$.a[x]", "$.a b", "$[1.5]", "$.a.", "$ "]
)
def test_what_is_no_path(path):
    with pytest.raises(ValueError, match="expected a path such as"):
        documents.parse(path)


@pytest.mark.parametrize(
    ("told", "millis"),
    [
        (1_800_000_000, 1_800_000_000_000),
        ("1800000000123", 1_800_000_000_123),
        ("2027-01-15T08:00:00Z", 1_800_000_000_000),
        ("2027-01-15T10:00:00.000+0200", 1_800_000_000_000),
        ("2027-01-15 08:00:00", 1_800_000_000_000),
        ("Fri, 15 Jan 2027 08:00:00 +0000", 1_800_000_000_000),
        ("soon", 0), ("", 0), (None, 0), (-5, 0), ({}, 0), (True, 0), ("9" * 18, 999_999_999_999_999_999),
    ],
)  # fmt: skip
def test_times_as_services_write_them(told, millis):
    assert documents.at(told) == millis


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(_json, st.lists(st.sampled_from(["a", "b", 0, -1, 2]), max_size=4))
def test_a_path_finds_something_or_nothing(document, steps):
    found = documents.find(document, tuple(steps))
    assert isinstance(documents.text(found), str)
    assert documents.at(found) >= 0


@pytest.mark.parametrize(
    ("format", "said", "found"),
    [
        ("json", '{"id": 7}', {"id": 7}),
        ("xml", "<id>7</id>", {"id": "7"}),
        ("form", "id=7", {"id": "7"}),
        ("text", "7", ["7"]),
    ],
)
def test_a_byte_order_mark_says_nothing(format, said, found):
    assert documents.read(b"\xef\xbb\xbf" + said.encode(), format) == documents.read(said.encode(), format) == found
