"""What every adapter has to keep, whatever its provider. A new one needs a `Case` below and passes, or is not ready.

The engine relies on each of these: an adapter that raises, forgets a message or tells a secret does it for every
message of every client.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import SecretStr

from pdu import MessageState
from smppbridge.config import ProviderConfig, is_secret, mask
from smppbridge.model import Kind, Progress, Stage, StatusReport
from smppbridge.providers import registry
from smppbridge.providers.base import (
    BadCallback,
    Callback,
    InDoubt,
    NotFound,
    Provider,
    Refused,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)

SECRET = 'S3cret/ with &?=+ "quotes"'

Answer = Callable[[httpx.Request], httpx.Response]


def smsc_server(request: httpx.Request) -> httpx.Response:
    form = {name: values[0] for name, values in parse_qs(request.content.decode(), keep_blank_values=True).items()}
    if request.url.path.endswith("send.php"):
        phones = form["phones"].split(",")
        items = [{"phone": p.lstrip("+"), "cost": "1.40", "status": "0", "error": "0"} for p in phones]
        return httpx.Response(200, json={"id": form["id"], "cnt": len(phones), "cost": "1.40", "phones": items})
    pairs = zip(form["id"].split(",")[:-1], form["phone"].split(",")[:-1], strict=True)
    return httpx.Response(200, json=[{"status": 1, "err": 0, "id": id, "phone": phone} for id, phone in pairs])


def skeleton_server(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    if request.url.path == "/v1/messages":
        results = [{"client_id": item["client_id"], "id": "x", "price": "0.05"} for item in body["messages"]]
        return httpx.Response(200, json={"results": results})
    states = [{"client_id": id, "state": "delivered"} for id in body["client_ids"]]
    return httpx.Response(200, json={"messages": states})


def omnicell_server(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/ip2sms-request/":
        (id,) = re.findall(rb'<request id="([^"]+)">status</request>', request.content)
        return httpx.Response(200, content=b'<status id="%b"><state>Delivered</state></status>' % id)
    phones = re.findall(rb"<to>([0-9]+)</to>", request.content)
    if b'<service id="single"' in request.content:
        return httpx.Response(200, content=b'<status id="661%b"><state>Accepted</state></status>' % phones[0])
    told = b"".join(b"<id>661%b</id>" % phone for phone in phones) + b"<state>Accepted</state>" * len(phones)
    return httpx.Response(200, content=b'<status groupid="593589">%b</status>' % told)


def iba_server(request: httpx.Request) -> httpx.Response:
    if "smsid" in request.url.params:
        return httpx.Response(200, content=b"deliver")
    # An id for each number, in their order.
    phones = request.url.params["dadr"].split(",")
    return httpx.Response(200, content=",".join(f"8{phone[-9:]}" for phone in phones).encode())


def naimar_server(request: httpx.Request) -> httpx.Response:
    count = request.content.count(b"<recipient>")
    body = f"<response><status>200</status><description>OK</description><recipients>{count}</recipients></response>"
    return httpx.Response(200, content=body.encode())


def smsgate_json_server(request: httpx.Request) -> httpx.Response:
    body = json.loads(request.content)
    if "state" in body:
        states = [{**item, "state": "deliver", "state_sms": "deliver", "price_sms": "1.4"} for item in body["state"]]
        return httpx.Response(200, json={"state": states})
    taken = [
        [{**one, "id_message": f"5{one['client_id_message']}", "count_message": 1} for one in message["phones"]]
        for message in body["message"]
    ]
    return httpx.Response(200, json={"message": taken})


def smsgate_xml_server(request: httpx.Request) -> httpx.Response:
    root = etree.fromstring(request.content)
    answer = etree.Element("response")
    for id in root.iter("id_message"):
        etree.SubElement(answer, "state", id_message=str(id.text)).text = "deliver"
    for message in root.iter("message"):
        taken = etree.SubElement(answer, "message")
        for one in message.iter("abonent"):
            id = f"5{one.get('client_id_message')}"
            etree.SubElement(taken, "information", {**one.attrib, "id_message": id}).text = "send"
    return httpx.Response(200, content=etree.tostring(answer))


def smsgate_get_server(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="deliver" if "id_message" in request.url.params else request.url.params["phone"])


def http_server(request: httpx.Request) -> httpx.Response:
    if request.method == "GET":
        return httpx.Response(200, json={"results": [{"messageId": request.url.params["id"], "state": "DELIVERED"}]})
    told = [{"messageId": one["messageId"], "state": "PENDING"} for one in json.loads(request.content)["messages"]]
    return httpx.Response(200, json={"messages": told})


def sandbox_server(request: httpx.Request) -> httpx.Response:
    async def talk() -> httpx.Response:
        async def deliver(callback: Callback) -> None:
            raise AssertionError("nothing is called back before the loop ends")

        server = registry.build("x", ProviderConfig(adapter="sandbox")).transport(deliver)
        assert server is not None
        response = await server.handle_async_request(request)
        await server.aclose()
        return response

    return asyncio.run(talk())


@dataclass
class Case:
    """An adapter, its settings, and a stand-in for its provider that takes and delivers everything."""

    settings: Mapping[str, Any]
    server: Answer
    #: Keys that occur in the provider's answers and callbacks, so that the fuzzing gets past the first check.
    keys: Sequence[str]
    #: What the provider calls back, signed: that something was delivered, or a subscriber's message.
    callback: Callable[[Provider[Any]], Callback]
    #: Fuzzed callbacks are signed with this, where there is a way to.
    sign: Callable[[bytes], dict[str, str]] = field(default=lambda body: {})
    #: Where an adapter has several cases: its name; empty: that of the case.
    adapter: str = ""
    #: The provider has statuses called back, not only messages.
    calls_statuses: bool = True
    #: The provider knows no proof: nothing but the token and the networks guards its callbacks.
    unproven: bool = False
    #: The provider wants its password in the address, so that the engine has to hide it there.
    password_in_url: bool = False


def _called(body: bytes, **headers: str) -> Callback:
    return Callback(method="POST", path="", query=b"", headers=headers, body=body, peer="192.0.2.1")


def _queried(query: bytes) -> Callback:
    return Callback(method="GET", path="", query=query, headers={}, body=b"", peer="192.0.2.1")


def _hmac(body: bytes) -> dict[str, str]:
    return {"x-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}


_SKELETON_EVENT = b'{"messages":[{"client_id":"1","state":"delivered"}]}'
_OMNICELL_EVENT = b"<response><msisdn>380918490114</msisdn><response_message>Yes</response_message></response>"
_SMSGATE_KEYS = [
    "message",
    "id_message",
    "client_id_message",
    "count_message",
    "error",
    "state",
    "state_sms",
    "price_sms",
]
_SMSGATE_MESSAGE = Callback(
    method="GET", path="", query=b"smsid=543&sender=79995000001&receiver=7401&text=Yes", headers={}, body=b"", peer=""
)
_SANDBOX_EVENT = b'{"statuses":[{"state":2,"id":1}]}'

#: An API that was told in the configuration: an id of ours, several messages in a request, a signature.
_HTTP = {
    "kinds": list(Kind),
    "callback_token": "0123456789abcdef",
    "secret": {"token": SECRET},
    "reference": "{{ id }}",
    "send": {
        "url": "https://api.example.com/messages",
        "headers": {"authorization": "Bearer {{ secret.token }}"},
        "json": {"messages": [{"to": "{{ destination }}", "text": "{{ text }}", "messageId": "{{ id }}"}]},
        "each": "$.messages",
    },
    "answer": {
        "each": "$.messages", "match": "$.messageId", "success": {"where": {"$.state": "*"}}, "cost": "$.price",
        "reason": "$.error",
    },
    "status": {"url": "https://api.example.com/logs", "query": {"id": "{{ ref }}", "key": "{{ secret.token }}"}},
    "status_answer": {"each": "$.results", "match": "$.messageId", "state": "$.state", "err": "$.err"},
    "callback": {
        "each": "$.results",
        "ref": "$.messageId",
        "state": "$.state",
        "proof": {"header": "x-signature", "hmac": "sha256", "key": "{{ secret.token }}"},
    },
    "incoming": {
        "when": {"where": {"$.text": "*"}}, "ref": "$.id", "from": "$.from", "to": "$.to", "text": "$.text",
    },
    "states": {"DELIVERED": "DELIVERED", "PENDING": "ENROUTE"},
}  # fmt: skip
_HTTP_EVENT = b'{"results":[{"messageId":"1","state":"DELIVERED"}]}'

CASES = {
    "http": Case(
        settings=_HTTP,
        server=http_server,
        keys=["messages", "messageId", "results", "state", "err", "error", "price", "id", "from", "to", "text"],
        callback=lambda _: _called(_HTTP_EVENT, **_hmac(_HTTP_EVENT)),
        sign=_hmac,
        password_in_url=True,
    ),
    "iba": Case(
        settings={"user": "me", "password": SECRET},
        server=iba_server,
        keys=["date", "text", "smsid", "sender", "receiver", "prefix"],
        callback=lambda _: _queried(b"smsid=5094&sender=79031234567&receiver=4444&text=yes"),
        calls_statuses=False,
        unproven=True,
        password_in_url=True,
    ),
    "naimar": Case(
        settings={"username": "me", "password": SECRET, "recipients": 20},
        server=naimar_server,
        keys=["status", "description", "recipients", "id", "rcv_msg_id", "msisdn", "text", "source", "type", "dcs"],
        callback=lambda _: _queried(b"id=122231&time=2012-10-18%2022:10:11&status=2"),
        unproven=True,
    ),
    "omnicell": Case(
        settings={"login": "me", "password": SECRET, "interactive_number": "4711"},
        server=omnicell_server,
        keys=["status", "id", "groupid", "state", "error", "detail", "response", "msisdn", "response_message"],
        callback=lambda _: _called(_OMNICELL_EVENT),
        calls_statuses=False,
        unproven=True,
    ),
    "omnicell, a key for each message": Case(
        adapter="omnicell",
        settings={"login": "me", "password": SECRET, "interactive_number": "4711", "uniq_key": "message"},
        server=omnicell_server,
        keys=[],
        callback=lambda _: _called(_OMNICELL_EVENT),
        calls_statuses=False,
        unproven=True,
    ),
    "sandbox": Case(
        settings={"callback_key": SECRET},
        server=sandbox_server,
        keys=["statuses", "state", "ref", "id", "err", "cost", "parts", "report", "fault", "hlr"],
        callback=lambda _: _called(_SANDBOX_EVENT, **{"x-sandbox-key": SECRET}),
        sign=lambda _: {"x-sandbox-key": SECRET},
    ),
    "skeleton": Case(
        settings={"token": SECRET, "callback_secret": SECRET},
        server=skeleton_server,
        keys=["results", "messages", "inbound", "client_id", "id", "state", "error", "code", "text", "price", "parts"],
        callback=lambda _: _called(_SKELETON_EVENT, **_hmac(_SKELETON_EVENT)),
        sign=_hmac,
    ),
    "smsc": Case(
        settings={"login": "me", "password": SECRET, "callback_unsigned": True},
        server=smsc_server,
        keys=["id", "cnt", "cost", "error", "error_code", "phones", "phone", "status", "err", "last_timestamp", "imsi"],
        callback=lambda _: _called(b"id=m1&phone=79995000001&status=1"),
    ),
    **{
        name: Case(
            adapter="smsgate",
            settings={
                "base_url": "https://lk.example.com/",
                "door": door,
                "login": "me",
                "password": SECRET,
                "channels": {"viber": ["viber", "sms"], "soc": ["vk"]},
                "template_id": "100",
            },
            server=server,
            keys=_SMSGATE_KEYS,
            callback=lambda _: _SMSGATE_MESSAGE,
            calls_statuses=False,
            unproven=True,
            password_in_url=door == "get",
        )
        for name, door, server in (
            ("smsgate", "json", smsgate_json_server),
            ("smsgate-xml", "xml", smsgate_xml_server),
            ("smsgate-get", "get", smsgate_get_server),
        )
    },
}

ADAPTERS = pytest.mark.parametrize("name", CASES)


def adapter_of(name: str) -> str:
    return CASES[name].adapter or name


def provider_of(name: str) -> Provider[Any]:
    return registry.build(name, ProviderConfig.model_validate({"adapter": adapter_of(name), **CASES[name].settings}))


#: Those that can be asked for a status.
ASKABLE = sorted(name for name in CASES if provider_of(name).ask_batch)


def outcomes_are_sound(outcomes: Sequence[object], count: int) -> None:
    assert len(outcomes) == count
    for outcome in outcomes:
        assert isinstance(outcome, Sent | Refused | Unable | Temporary | InDoubt)
        if isinstance(outcome, Sent):
            assert outcome.ref
            assert 0 <= outcome.parts <= 255
            reports_are_sound([outcome.report])
        elif isinstance(outcome, Refused | Unable):
            assert 0 <= outcome.err <= 999
        elif isinstance(outcome, Temporary):
            assert outcome.retry_after is None or 0 <= outcome.retry_after <= 86_400


def reports_are_sound(reports: Sequence[object]) -> None:
    for report in reports:
        assert report is None or isinstance(report, StatusReport | NotFound)
        if isinstance(report, StatusReport):
            assert 0 <= report.err <= 999
            assert isinstance(report.state, MessageState)


# Settings and secrets ------------------------------------------------------------------------------------------------


def test_every_adapter_has_a_case():
    assert set(registry.names()) == {adapter_of(name) for name in CASES}


@ADAPTERS
def test_what_is_secret_by_its_name_is_a_secret(name):
    fields = registry.adapter_class(adapter_of(name)).Settings.model_fields
    secret = {key for key, one in fields.items() if is_secret(key) and one.annotation is not bool}
    assert {key for key in secret if fields[key].annotation not in (SecretStr, dict[str, SecretStr])} <= {
        "callback_signature"
    }


@ADAPTERS
def test_unknown_keys_are_refused_by_name(name):
    own = {**CASES[name].settings, "no_such_key": 1}
    config = ProviderConfig.model_validate({"adapter": adapter_of(name), **own})
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", config)
    assert list(bad.value.problems) == ["no_such_key"]
    assert SECRET not in str(bad.value)


@ADAPTERS
def test_no_secret_shows(name, message, commands):
    provider = provider_of(name)
    assert SECRET in provider.secrets()
    shown = [repr(provider), str(provider), repr(provider.settings), str(provider.settings)]
    for kind in provider.kinds:
        request = provider.send([message(command=commands[kind])])
        shown += [str(request.url), repr(request)]
    if provider.ask_batch:
        shown.append(str(provider.ask([message()]).url))
    if (question := provider.balance()) is not None:
        shown.append(str(question.url))
    if CASES[name].password_in_url:
        shown = [mask(text, provider.secrets()) for text in shown]
    # Letters and digits look the same however they are encoded.
    assert not [text for text in shown if SECRET[:6] in text]


@ADAPTERS
def test_what_happens_in_doubt_is_possible_and_explained(name):
    adapter = registry.adapter_class(adapter_of(name))
    assert adapter.batch >= 1
    assert adapter.when_in_doubt is not WhenInDoubt.ASK or adapter.ask_batch >= 1
    module = __import__(adapter.__module__, fromlist=["x"])
    assert "doubt" in f"{module.__doc__}{adapter.__doc__}".lower()


# Sending -------------------------------------------------------------------------------------------------------------


@ADAPTERS
def test_nothing_stands_against_an_ordinary_message(name, message, commands):
    provider = provider_of(name)
    for kind in provider.kinds:
        assert provider.objection(message(command=commands[kind])) is None, kind


@given(
    name=st.sampled_from(sorted(CASES)),
    kind=st.sampled_from(sorted(Kind)),
    source=st.text(max_size=21),
    destination=st.text(max_size=21),
    text=st.text(max_size=400),
)
def test_an_objection_is_an_outcome_for_any_message(message, commands, name, kind, source, destination, text):
    provider = provider_of(name)
    command = commands[kind]
    if hasattr(command, "text"):
        command = msgspec.structs.replace(command, text=text)
    if kind in provider.kinds:
        objection = provider.objection(message(command=command, source=source, destination=destination))
        outcomes_are_sound([objection] if objection else [], 1 if objection else 0)
        assert objection is None or isinstance(objection, Refused | Unable)


@ADAPTERS
def test_every_kind_it_claims_travels(name, message, commands):
    provider = provider_of(name)
    for kind in provider.kinds:
        one = message(command=commands[kind])
        outcomes = provider.sent([one], CASES[name].server(provider.send([one])))
        assert isinstance(outcomes[0], Sent), kind
        outcomes_are_sound(outcomes, 1)


@ADAPTERS
def test_a_full_batch_of_riders_travels_in_one_request(name, message):
    provider = provider_of(name)
    several = [message(n) for n in range(1, provider.batch + 1)]
    assert len({provider.rides_with(one) for one in several}) == 1
    outcomes = provider.sent(several, CASES[name].server(provider.send(several)))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    refs = [outcome.ref for outcome in outcomes if isinstance(outcome, Sent)]
    assert len(set(refs)) == len(several)


@ADAPTERS
def test_the_reference_is_known_beforehand_or_not_at_all(name, message):
    """What a message in doubt is asked by has to be what the answer would have said, also after a crash. What it is
    repeated by need not be: that is an id of ours, and the provider may go on with one of its own."""
    provider = provider_of(name)
    one = message()
    (outcome,) = provider.sent([one], CASES[name].server(provider.send([one])))
    assert isinstance(outcome, Sent)
    crashed = msgspec.structs.replace(one, progress=Progress(stage=Stage.DOUBT, due=5, attempts=3))
    if provider.when_in_doubt is not WhenInDoubt.REPEAT:
        assert provider.reference(crashed) in ("", outcome.ref)
    if provider.when_in_doubt is not WhenInDoubt.GIVE_UP:
        assert provider.reference(crashed)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(sorted({key for case in CASES.values() for key in case.keys}))
_likely = st.recursive(
    st.integers(-5, 260) | st.sampled_from(["", "1", "-3", "79995000001", "delivered", "m1", "0.10"]) | _json,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=8),
    max_leaves=16,
)
_bodies = (
    st.binary(max_size=200)
    | _json.map(lambda x: json.dumps(x).encode())
    | _likely.map(lambda x: json.dumps(x).encode())
)
_values = st.text(max_size=9) | st.sampled_from(["1", "7", "380671234567", "binsms", "sms", "0605", "65"])
_forms = st.dictionaries(_keys, _values, max_size=9).map(lambda form: str(httpx.QueryParams(form)).encode())
_statuses = st.sampled_from([200, 200, 200, 201, 204, 301, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504])
_waits = st.sampled_from([None, "0", "7", "-1", "99999999999", "Wed, 21 Oct 2026 07:28:00 GMT", "é"])


@given(name=st.sampled_from(sorted(CASES)), status=_statuses, body=_bodies, wait=_waits, count=st.integers(1, 3))
def test_any_answer_gives_one_outcome_a_message(message, name, status, body, wait, count):
    headers = {} if wait is None else {"retry-after": wait.encode()}
    response = httpx.Response(status, content=body, headers=headers)
    outcomes_are_sound(provider_of(name).sent([message(n + 1) for n in range(count)], response), count)


@given(name=st.sampled_from(ASKABLE), status=_statuses, body=_bodies, count=st.integers(1, 3))
def test_any_answer_to_a_question_gives_one_answer_a_message(message, name, status, body, count):
    response = httpx.Response(status, content=body)
    asked = provider_of(name).asked([message(n + 1) for n in range(count)], response)
    assert len(asked) == count
    reports_are_sound(asked)


@ADAPTERS
@pytest.mark.parametrize("status", [200, 201, 500, 502, 504])
def test_what_may_have_been_taken_is_in_doubt(name, status, message):
    provider = provider_of(name)
    response = httpx.Response(status, content=b"<html>Something came between us</html>")
    assert [type(outcome) for outcome in provider.sent([message(1), message(2)], response)] == [InDoubt, InDoubt]


@ADAPTERS
@pytest.mark.parametrize("status", [429, 503])
def test_what_was_turned_away_goes_again_when_it_may(name, status, message):
    provider = provider_of(name)
    response = httpx.Response(status, content=b"", headers={"retry-after": "7"})
    (outcome,) = provider.sent([message()], response)
    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == 7


@ADAPTERS
@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_will_pass_opens_the_breaker(name, status, message):
    (outcome,) = provider_of(name).sent([message()], httpx.Response(status))
    assert isinstance(outcome, Unable)
    assert outcome.everything


@pytest.mark.parametrize("name", ASKABLE)
def test_a_page_instead_of_an_answer_never_says_that_a_message_is_unknown(name, message):
    """NotFound makes a message go out again: only the provider's own words may."""
    for status in (200, 404, 500):
        (answer,) = provider_of(name).asked([message()], httpx.Response(status, content=b"<html>Not found</html>"))
        assert answer is None


# Asking --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKABLE)
def test_a_full_batch_of_questions_is_answered_in_order(name, message):
    provider = provider_of(name)
    several = [message(n) for n in range(1, provider.ask_batch + 1)]
    sent = [provider.sent([one], CASES[name].server(provider.send([one])))[0] for one in several]
    for one, outcome in zip(several, sent, strict=True):
        assert isinstance(outcome, Sent)
        one.progress = Progress(stage=Stage.SENT, ref=outcome.ref, provider=name)
    answers = provider.asked(several, CASES[name].server(provider.ask(several)))
    for outcome, answer in zip(sent, answers, strict=True):
        assert isinstance(outcome, Sent)
        assert isinstance(answer, StatusReport)
        assert answer.state is MessageState.DELIVERED
        assert answer.ref == outcome.ref


# Callbacks -----------------------------------------------------------------------------------------------------------


@ADAPTERS
def test_a_genuine_callback_is_read(name):
    provider = provider_of(name)
    reply = provider.callback(CASES[name].callback(provider), 1_800_000_000_000)
    statuses = [MessageState.DELIVERED] if CASES[name].calls_statuses else []
    assert [report.state for report in reply.reports] == statuses
    assert statuses or reply.incoming
    assert reply.status == 200


@given(
    name=st.sampled_from(sorted(CASES)),
    body=_bodies | _forms,
    query=st.binary(max_size=50) | _forms,
    signed=st.booleans(),
)
def test_any_callback_is_read_or_refused(name, body, query, signed):
    headers = CASES[name].sign(body) if signed else {}
    callback = Callback(method="POST", path="x", query=query, headers=headers, body=body, peer="192.0.2.1")
    try:
        reply = provider_of(name).callback(callback, 1_800_000_000_000)
    except BadCallback as refused:
        status = refused.status
    else:
        status = reply.status
        reports_are_sound(reply.reports)
    assert 200 <= status < 500


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.unproven])
@pytest.mark.parametrize("keys", [(), ("callback_secret", "callback_key")])
def test_nobody_is_believed_without_proof(name, keys):
    """As configured without the key, and with it but unsigned."""
    settings = {k: v for k, v in CASES[name].settings.items() if k not in ("callback_unsigned", *keys)}
    provider = registry.build(name, ProviderConfig.model_validate({"adapter": adapter_of(name), **settings}))
    genuine = CASES[name].callback(provider)
    with pytest.raises(BadCallback) as refused:
        provider.callback(msgspec.structs.replace(genuine, headers={}), 0)
    assert refused.value.status == 403
