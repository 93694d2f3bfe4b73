"""Omnicell IP2SMS, by the samples of its documents."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from lxml import etree

from smppbridge.simulator.omnicell import ASK, SEND, Omnicell
from smppbridge.simulator.vendor import Answer, Reply, Settings

from .conftest import NOON, asked

#: Interactive SMS, as the vendor shows it.
SAMPLE = """<message>
<service id="single" type="SMS" interactiveSms="true" source="TESTBMSAST" validity="+1 min" >
</service>
<to>380631111111</to>
<body content-type="text/plain">SMS only!Have a nice day2!</body>
</message>"""

BULK = (
    '<message><service id="bulk" source="SHOP" uniq_key="k1"/><to>380631111111</to><to>380631110003</to>'
    '<body content-type="text/plain">one for all</body></message>'
)
INDIVIDUAL = (
    '<message><service id="individual" source="SHOP" uniq_key="k2"/>'
    '<to>380631111111</to><body content-type="text/plain">one</body>'
    '<to>380631111112</to><body content-type="text/plain">two</body></message>'
)


@pytest.fixture
def omnicell(settings: Settings) -> Omnicell:
    return Omnicell(settings)


def post(omnicell: Omnicell, body: str, path: str = SEND, *, at: float = 0, login: str = "demo:demo") -> Answer:
    headers = {
        "authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
        "content-type": "text/xml; charset=utf-8",
    }
    return omnicell.answer(asked("POST", path, at=at, body=body.encode(), headers=headers))


def read(answer: Answer) -> Any:
    assert answer.status == 200
    return etree.fromstring(answer.body)


def state(omnicell: Omnicell, id: str, at: float) -> str:
    text = read(post(omnicell, f'<request id="{id}">status</request>', ASK, at=at)).findtext("state")
    assert text is not None
    return str(text)


def test_the_sample_is_answered_like_the_sample(omnicell: Omnicell) -> None:
    root = read(post(omnicell, SAMPLE))
    assert root.attrib == {"date": "Sun, 22 Nov 2026 12:00:00 +0000", "reports": "waiting"}
    assert [(child.tag, child.text) for child in root if child.tag != "detail"] == [
        ("state", "sending"),
        ("total", "1"),
        ("queued", "0"),
        ("accepted", "1"),
        ("enroute", "0"),
        ("delivered", "0"),
        ("expired", "0"),
        ("undeliverable", "0"),
        ("unknown", "0"),
    ]
    assert root.findtext("detail/id") == "6615134392391"
    assert root.findtext("detail/state") == "Accepted"


def test_a_plain_single_goes_its_course(omnicell: Omnicell) -> None:
    root = read(post(omnicell, SAMPLE.replace(' interactiveSms="true"', "")))
    assert (root.findtext("state"), root.get("id")) == ("Accepted", "6615134392391")
    assert [state(omnicell, root.get("id"), at) for at in (0, 5, 10)] == ["Accepted", "Enroute", "Delivered"]


def test_bulk_names_ids_of_those_that_are_taken(omnicell: Omnicell) -> None:
    root = read(post(omnicell, BULK))
    assert len(root.findall("id")) == 1
    assert [(one.text, one.get("error")) for one in root.findall("state")] == [
        ("Accepted", None),
        ("Accepted", "Invalid message"),
    ]
    group = read(post(omnicell, f'<request groupid="{root.get("groupid")}">status</request>', ASK, at=10))
    assert (group.findtext("state"), group.findtext("delivered"), group.findtext("detail/state")) == (
        "sent",
        "1",
        "Delivered",
    )


def test_uniq_key_is_sent_once(omnicell: Omnicell) -> None:
    first, second = post(omnicell, INDIVIDUAL), post(omnicell, INDIVIDUAL, at=1)
    assert first.body == second.body
    assert (omnicell.counts.processed, omnicell.counts.repeated) == (2, 2)
    assert [message.text for message in omnicell.messages.values()] == ["one", "two"]


def test_a_single_is_sent_as_often_as_it_is_told(omnicell: Omnicell) -> None:
    post(omnicell, SAMPLE)
    post(omnicell, SAMPLE)
    assert omnicell.counts.processed == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<to>380631111111</to>", ""),
        ("<to>", "<two>1</two><to>"),
        ("<to>", "<to>380631111112</to><to>"),
        ('type="SMS"', 'type="MMS"'),
        ('type="SMS"', 'type="OTT"'),
        ('type="SMS"', 'ottImageUri="x"'),
        ('id="single"', 'id="bulk"'),
        ('id="single"', 'id="single" uniq_key="k"'),
        ('interactiveSms="true"', 'interactiveSms="yes"'),
        ('validity="+1 min"', 'validity="60"'),
        ('validity="+1 min"', 'desired_date="x"'),
        (' content-type="text/plain"', ""),
        ("<message>", "<sms>"),
        ("<message>", '<!DOCTYPE message [<!ENTITY x "y">]><message>'),
    ],
)
def test_what_the_documents_do_not_have_is_refused(omnicell: Omnicell, old: str, new: str) -> None:
    assert old in SAMPLE
    assert post(omnicell, SAMPLE.replace(old, new)).status == 400
    assert omnicell.counts.processed == 0


def test_who_asks_and_how(omnicell: Omnicell) -> None:
    assert post(omnicell, SAMPLE, login="demo:wrong").status == 401
    assert omnicell.answer(asked("POST", SEND, body=SAMPLE.encode())).status == 401
    assert omnicell.answer(asked("GET", SEND)).status == 405
    assert post(omnicell, SAMPLE, "/other/").status == 404


def test_viber_with_a_fallback(omnicell: Omnicell) -> None:
    body = SAMPLE.replace('interactiveSms="true"', "").replace(
        'type="SMS"', 'type="OTTSMS" ott="VIBER" ottSource="Shop" ottActionUri="https://x" ottActionTitle="Go"'
    )
    root = read(post(omnicell, body))
    assert omnicell.messages[root.get("id")].what == "OTTSMS"


@pytest.mark.parametrize(
    ("ending", "word"),
    [("0004", "Undeliverable"), ("0005", "Expired"), ("0010", "Unknown"), ("0018", "Deleted"), ("0023", "Rejected")],
)
def test_endings(omnicell: Omnicell, ending: str, word: str) -> None:
    body = SAMPLE.replace("380631111111", f"38063111{ending}").replace(' interactiveSms="true"', "")
    assert state(omnicell, read(post(omnicell, body)).get("id"), 10) == word


def test_an_id_that_nobody_has(omnicell: Omnicell) -> None:
    root = read(post(omnicell, '<request id="1">status</request>', ASK))
    assert root.find("state").get("error")
    assert post(omnicell, '<request id="1">state</request>', ASK).status == 400


def test_the_answer_of_a_subscriber_names_what_was_sent(omnicell: Omnicell) -> None:
    post(omnicell, SAMPLE)
    push = omnicell.incoming(Reply(source="380631111111", destination="4321", text="Test <resp>"), NOON)
    root = etree.fromstring(push.body)
    assert [child.tag for child in root] == [
        "distribution_id",
        "profile_id",
        "msisdn",
        "response_message",
        "response_time",
    ]
    assert root.findtext("distribution_id") == "6615134392391"
    assert root.findtext("response_message") == "Test <resp>"
    assert root.findtext("response_time") == "2026-11-22T12:00:00.000+00:00"
    assert push.taken(200, b"anything")
    assert not push.taken(503, b"")
