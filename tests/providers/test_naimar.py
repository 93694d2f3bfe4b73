"""Naimar text421 API v6: the sample request, every error and status, the callbacks, and docs/providers/naimar.md."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import smpplib.command
import smpplib.consts
import smpplib.smpp
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

import pdu
from pdu import STAT, MessageState, VendorTag
from smppbridge.config import ProviderConfig
from smppbridge.model import Binary, Incoming, Message, Progress, Sms, StatusReport
from smppbridge.providers import registry
from smppbridge.providers.base import (
    BadCallback,
    Callback,
    InDoubt,
    Outcome,
    Refused,
    Reply,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)
from smppbridge.providers.naimar import ERRORS, OF_THE_REQUEST, STATES, Naimar, base36

PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "naimar.md").read_text(encoding="utf-8")

NOW = 1_800_000_000_000


def naimar(**settings: Any) -> Naimar:
    own = {"username": "test", "password": "test", "short_number": "7401", "billkey": "1234", **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "naimar", **own}))
    assert isinstance(provider, Naimar)
    return provider


def read(request: httpx.Request) -> etree._Element:
    return etree.fromstring(request.content)


def fields(request: httpx.Request, path: str) -> dict[str, str]:
    (found,) = read(request).findall(path)
    return {child.tag: child.text or "" for child in found}


@pytest.fixture
def billed(message):
    """A message from the short number, in answer to one of the subscriber's."""

    def make(n: int = 1, answers: str = "25481978", **other: Any) -> Message:
        return message(n, **{"source": "7401", "progress": Progress(answers=answers), **other})

    return make


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"username": "me"}, "password"),
        ({"password": "hush"}, "username"),
        ({"username": "me", "password": "hush", "billkey": "1234"}, "(the table)"),
        ({"username": "me", "password": "hush", "short_number": "7401"}, "(the table)"),
        ({"username": "me", "password": "hush", "short_number": "+7401", "billkey": "1234"}, "short_number"),
        ({"username": "me", "password": "hush", "base_url": "http://text421.naimar.sk/api/v6"}, "base_url"),
        ({"username": "me", "password": "hush", "sender": "TwelveLetter"}, "sender"),
        ({"username": "me", "password": "hush", "recipients": 0}, "recipients"),
        ({"username": "me", "password": "hush", "timezone": "Europe/Nowhere"}, "timezone"),
    ],
)
def test_settings_that_do_not_fit_are_named(own, problem):
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", ProviderConfig.model_validate({"adapter": "naimar", **own}))
    assert list(bad.value.problems) == [problem]


def test_in_doubt_it_waits_for_what_the_provider_tells():
    assert (naimar().when_in_doubt, naimar().ask_batch, naimar().balance()) == (WhenInDoubt.WAIT, 0, None)


# Billed messages -----------------------------------------------------------------------------------------------------

#: smsSendBillXML, the body of the sample.
SAMPLE = b"""<sms>
  <username>test</username>
  <password>test</password>
  <billing>
   <billkey>1234</billkey>
   <from>7401</from>
  </billing> 
  <message>
   <text>Test SMS</text>
  </message>
  <recipients>
   <recipient>
     <id>123456</id>
     <rcv_msg_id>25481978</rcv_msg_id>
     <msisdn>421901727051</msisdn>
   </recipient>
   <recipient>
     <id>789412</id>
     <rcv_msg_id>25481979</rcv_msg_id>
     <msisdn>421901727053</msisdn>
   </recipient>
  </recipients>
</sms>    """  # noqa: W291


def canonical(body: bytes) -> str:
    """Without the blanks between elements."""
    parser = etree.XMLParser(remove_blank_text=True)
    return etree.tostring(etree.fromstring(body.strip(), parser), method="c14n").decode()


def test_the_sample_of_a_billed_request(billed):
    several = [
        billed(int("123456", 36), "25481978", destination="421901727051", command=Sms(text="Test SMS")),
        billed(int("789412", 36), "25481979", destination="+421901727053", command=Sms(text="Test SMS")),
    ]
    request = naimar(recipients=2).send(several)
    assert request.method == "POST"
    assert str(request.url) == "http://text421.naimar.sk/api/v6/rest/billsms/xml"
    assert request.headers["content-type"] == "application/xml; charset=utf-8"
    assert canonical(request.content) == canonical(SAMPLE)


@pytest.mark.parametrize(
    ("settings", "source", "is_billed"),
    [
        ({}, "7401", True),
        ({}, "+7401", True),
        ({}, "7402", False),
        ({}, "", False),
        ({}, "Shop", False),
        ({"short_number": "", "billkey": ""}, "7401", False),
        ({"short_number": "", "billkey": ""}, "", False),
    ],
)
def test_what_is_billed(message, settings, source, is_billed):
    provider = naimar(**settings)
    one = message(source=source)
    assert provider.answers(one) is is_billed
    request = provider.send([one])
    assert request.url.path == ("/api/v6/rest/billsms/xml" if is_billed else "/api/v6/rest/sms/xml/")
    assert (read(request).find("billing") is not None) is is_billed


@pytest.mark.parametrize("answers", ["", "id23", "-1", "25481978 ", "٧"])
def test_without_the_subscribers_message_nothing_is_sent(billed, answers):
    assert naimar().objection(billed(answers=answers)) == Refused(reason="missing incoming msg", err=255)


@given(number=st.integers(1, 2**63 - 1))
def test_the_id_is_short_unique_and_read_back(number):
    id = base36(number)
    assert re.fullmatch(r"[0-9a-z]{1,13}", id)
    assert int(id, 36) == number


def test_the_id_is_that_of_the_leg(message):
    one, again = message(5), message(5, progress=Progress(leg=1))
    assert naimar().reference(one) == "5"
    assert naimar().reference(again) == base36(again.number) != "5"


# Content -------------------------------------------------------------------------------------------------------------

UDH = b"\x06\x05\x04\x0b\x84\x23\xf0"


@pytest.mark.parametrize(
    ("command", "is_billed", "elements"),
    [
        (Sms(text="Test SMS"), True, {"text": "Test SMS"}),
        (Sms(text="<Ä & €>\nline"), True, {"text": "<Ä & €>\nline"}),
        (Sms(text="Ď"), True, {"text": "010E", "type": "binary", "dcs": "8", "esm": "0"}),
        (Sms(text="😀"), True, {"text": "D83DDE00", "type": "binary", "dcs": "8", "esm": "0"}),
        (Sms(text="Test SMS", flash=True), False, {"text": "Test SMS", "sender": "Shop"}),
        (Sms(text="Ďakujeme"), False, {"text": "Ďakujeme", "sender": "Shop", "type": "utf8"}),
        (
            Binary(data=UDH + b"\xff", data_coding=245, has_udh=True),
            True,
            {"text": "0605040B8423F0FF", "type": "binary", "dcs": "245", "esm": "64"},
        ),
        (Binary(data=b"\x01", data_coding=4), True, {"text": "01", "type": "binary", "dcs": "4", "esm": "0"}),
        (
            Binary(data=b"\x01", data_coding=4),
            False,
            {"text": "01", "sender": "Shop", "type": "binary", "dcs": "4", "esm": "0"},
        ),
    ],
)
def test_what_each_content_is_written_as(message, command, is_billed, elements):
    request = naimar().send([message(source="7401" if is_billed else "Shop", command=command)])
    assert list(fields(request, "message").items()) == list(elements.items())


def test_what_xml_cannot_hold_is_left_out(message):
    assert fields(naimar().send([message(command=Sms(text="a\x00b\x1bc"))]), "message")["text"] == "abc"


@pytest.mark.parametrize("source", ["Shop", "7401"])
@pytest.mark.parametrize(
    ("command", "fits"),
    [
        (Sms(text="x" * 160), True),
        (Sms(text="x" * 161), False),
        (Sms(text="€" * 80), True),
        (Sms(text="€" * 81), False),
        (Sms(text="ď" * 70), True),
        (Sms(text="ď" * 71), False),
        (Sms(text="😀" * 35), True),
        (Sms(text="😀" * 36), False),
        (Binary(data=bytes(140), data_coding=4), True),
        (Binary(data=bytes(141), data_coding=4), False),
    ],
)
def test_one_message_holds_as_much_as_the_documents_say(billed, command, fits, source):
    objection = naimar().objection(billed(source=source, command=command))
    assert objection == (None if fits else Unable(reason="longer than one short message"))


@pytest.mark.parametrize(
    ("change", "objection"),
    [
        ({"source": "Shop"}, None),
        ({"source": "a1/+!_*&%@$"}, None),
        ({"source": "#."}, None),
        ({"source": "+123456789012345"}, None),
        ({"source": ""}, None),
        ({"source": "TwelveLetter"}, Unable),
        ({"source": "1234567890123456"}, Unable),
        ({"source": "My shop"}, Unable),
        ({"source": "Čučo"}, Unable),
        ({"destination": "+421 901/727 051"}, None),
        ({"destination": "00421901727051"}, None),
        ({"destination": ""}, Refused),
        ({"destination": "nobody"}, Refused),
        ({"destination": "4219017270514219"}, Refused),
    ],
)
def test_what_the_documents_rule_out_is_not_sent(message, change, objection):
    found = naimar().objection(message(**change))
    assert type(found) is (type(None) if objection is None else objection)


# Plain messages ------------------------------------------------------------------------------------------------------


def test_a_plain_request_has_a_text_for_each_recipient(message):
    several = [
        message(1, source="Shop", destination="421901727051", command=Sms(text="one")),
        message(2, source="Shop", destination="421901727053", command=Sms(text="two & three")),
    ]
    request = naimar(recipients=2).send(several)
    assert canonical(request.content) == (
        "<sms><username>test</username><password>test</password>"
        "<message><text>one</text><sender>Shop</sender></message><recipients>"
        "<recipient><id>1</id><msisdn>421901727051</msisdn></recipient>"
        "<recipient><id>2</id><msisdn>421901727053</msisdn><text>two &amp; three</text></recipient>"
        "</recipients></sms>"
    )


@pytest.mark.parametrize(
    ("source", "setting", "sender"),
    [("Shop", "Default", "Shop"), ("", "Default", "Default"), ("", "", None), ("+421901727051", "", "421901727051")],
)
def test_the_sender_of_a_plain_message(message, source, setting, sender):
    request = naimar(sender=setting).send([message(source=source)])
    assert fields(request, "message").get("sender") == sender


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"source": "Shop"}, {"source": "Shop", "command": Sms(text="ďalší")}, True),
        ({"source": "Shop"}, {"source": "Other"}, False),
        ({"source": "Shop"}, {"source": "Shop", "command": Sms(text="plain")}, False),
        ({"source": "Shop"}, {"source": "7401"}, False),
        ({"source": "Shop"}, {"source": "Shop", "progress": Progress(attempts=1, provider="main")}, False),
        ({"source": "Shop"}, {"source": "Shop", "progress": Progress(attempts=1, provider="another")}, True),
        ({"source": "7401"}, {"source": "7401"}, True),
        ({"source": "7401"}, {"source": "7401", "command": Sms(text="ďalší")}, False),
    ],
)
def test_what_rides_together(message, one, other, together):
    provider = naimar(recipients=2)
    assert (provider.rides_with(message(1, **one)) == provider.rides_with(message(2, **other))) is together


def test_one_message_a_request_unless_the_settings_say_more():
    assert (naimar().batch, naimar(recipients=30).batch) == (1, 30)


# Answers -------------------------------------------------------------------------------------------------------------


def answer(status: object, description: str = "", recipients: object = None, http: int | None = None) -> httpx.Response:
    told = f"<status>{status}</status><description>{description}</description>"
    if recipients is not None:
        told += f"<recipients>{recipients}</recipients>"
    body = f"<response>{told}</response>".encode()
    return httpx.Response(http or int(str(status)), content=body)


TAKEN = [
    b"<response><status>200</status><description>OK</description><recipients>1</recipients></response>",
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<sms xmlns="urn:x"><a><Status> 200 </Status></a><RECIPIENTS>1</RECIPIENTS></sms>',
    b"<response><status>200</status></response>",
    # The first of a name counts, and what is nearer the root.
    b"<r><status>200</status><recipients>1</recipients><log><status>1</status><recipients>7</recipients></log></r>",
    b'{"log": {"status": 1, "recipients": 7}, "status": 200, "recipients": 1}',
    b'{"status": 200, "description": "OK", "recipients": 1}',
    b' {"response": {"Status": "200", "recipients": "1"}}',
]


@pytest.mark.parametrize("http", [200, 201])
@pytest.mark.parametrize("body", TAKEN)
def test_taken_whatever_the_answer_looks_like(message, body, http):
    assert naimar().sent([message(7)], httpx.Response(http, content=body)) == [Sent(ref="7")]


@pytest.mark.parametrize(
    "response",
    [
        answer(200, "OK", 0),
        answer(200, "OK", 2),
        answer("", "OK", 1, http=200),
        answer("OK", "OK", 1, http=200),
        answer(201, "OK", 1),
        answer(200, "OK", 1, http=400),
        answer(200, "OK", 1, http=500),
        answer(500, "whatever", 0),
        answer(400, "whatever", 0, http=500),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"OK"),
        httpx.Response(200, content=b"{"),
        httpx.Response(200, content=b'{"recipients": 1}'),
        httpx.Response(
            200, content=b'<!DOCTYPE r [<!ENTITY s "200">]><r><status>&s;</status><recipients>1</recipients></r>'
        ),
    ],
)
def test_everything_that_is_not_plainly_taken_is_doubt(message, response):
    (outcome,) = naimar().sent([message()], response)
    assert isinstance(outcome, InDoubt)


@pytest.mark.parametrize(
    ("recipients", "kind"), [(2, Sent), (1, InDoubt), (0, InDoubt), (3, InDoubt), (None, InDoubt), ("two", InDoubt)]
)
def test_of_several_recipients_all_are_taken_or_nobody_knows_which(message, recipients, kind):
    outcomes = naimar(recipients=2).sent([message(1), message(2)], answer(200, "OK", recipients))
    assert [type(outcome) for outcome in outcomes] == [kind, kind]
    if kind is Sent:
        assert outcomes == [Sent(ref="1"), Sent(ref="2")]


#: smsSendBillXML and smsSendXML, the tables of errors: what each is for one recipient.
TABLE: list[tuple[int, str, Outcome]] = [
    (400, "unknown prefix 42199", Unable(reason="400 unknown prefix 42199", err=249)),
    (400, "unknown network 23199", Unable(reason="400 unknown network 23199", err=248)),
    (400, "unknwon network 23199", Unable(reason="400 unknwon network 23199", err=248)),
    (400, "missing incoming msg", Refused(reason="400 missing incoming msg", err=255)),
    (400, "missing parameter rcv_msg_id", Refused(reason="400 missing parameter rcv_msg_id", err=255)),
    (400, "missing parameter id", Unable(reason="400 missing parameter id")),
    (400, "missing parameter text", Refused(reason="400 missing parameter text")),
    (400, "missing parameter recipients", Unable(reason="400 missing parameter recipients")),
    (400, "unknown type", Unable(reason="400 unknown type")),
    (
        400,
        "sender must have 11 characters or less",
        Unable(reason="400 sender must have 11 characters or less", err=254),
    ),
    (400, "unknown sender", Unable(reason="400 unknown sender", err=254)),
    (401, "unknown username/password", Unable(reason="401 unknown username/password", everything=True)),
    (500, "unknown error", InDoubt(reason="500 unknown error")),
    # Not in the tables.
    (400, "something else", Unable(reason="400 something else")),
    (400, "", Unable(reason="400 ")),
    (402, "no credit", Unable(reason="402 no credit", everything=True)),
    (500, "something else", InDoubt(reason="500 something else")),
]


@pytest.mark.parametrize("in_body_only", [False, True])
@pytest.mark.parametrize(("status", "description", "outcome"), TABLE)
def test_every_error(message, status, description, outcome, in_body_only):
    response = answer(status, description, 0, http=200 if in_body_only else status)
    assert naimar().sent([message()], response) == [outcome]
    shouted = answer(status, f" {description.upper()}  ", 0, http=200 if in_body_only else status)
    assert type(naimar().sent([message()], shouted)[0]) is type(outcome)


@pytest.mark.parametrize("form", ["{description}", "ERROR {status}, {description}", "{status} {description}\r\n"])
@pytest.mark.parametrize(
    ("status", "description", "outcome"), [row for row in TABLE if row[1].startswith(tuple(ERRORS))]
)
def test_every_error_as_a_plain_sentence(message, status, description, outcome, form):
    """smsSendBillXML: an error is an HTTP status, with the error in the answer; how it is written is open."""
    body = form.format(status=status, description=description).encode()
    assert naimar().sent([message()], httpx.Response(status, content=body)) == [outcome]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"unknown prefix 42199", InDoubt),
        (400, b"missing parameter text", Refused),
        (400, b"Bad Request", InDoubt),
        (413, b"", InDoubt),
        (401, b"", Unable),
        (404, b"<html/>", Unable),
        (429, b"", Temporary),
        (502, b"", InDoubt),
    ],
)
def test_several_recipients_and_no_field_that_says_how_many(message, status, body, kind):
    outcomes = naimar(recipients=2).sent([message(1), message(2)], httpx.Response(status, content=body))
    assert [type(one) for one in outcomes] == [kind, kind]


@pytest.mark.parametrize(("status", "description", "outcome"), TABLE)
@pytest.mark.parametrize("recipients", [0, 1, None])
def test_every_error_of_several_recipients(message, status, description, outcome, recipients):
    outcomes = naimar(recipients=2).sent([message(1), message(2)], answer(status, description, recipients))
    if isinstance(outcome, InDoubt) or any(description.startswith(error) for error in OF_THE_REQUEST):
        assert outcomes == [outcome, outcome]
    else:
        assert [type(one) for one in outcomes] == [Temporary if recipients == 0 else InDoubt] * 2


def test_every_error_of_the_adapter_is_in_the_table():
    described = [description.replace("unknwon", "unknown") for _, description, _ in TABLE]
    assert all(any(one.startswith(error) for one in described) for error in ERRORS)
    assert set(ERRORS) > OF_THE_REQUEST


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_gateway_in_between_that_turns_away_is_heard(message, status):
    response = answer(status, "unknown error", http=status)
    response.headers["retry-after"] = "7"
    (outcome,) = naimar().sent([message()], response)
    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == 7


# Callbacks -----------------------------------------------------------------------------------------------------------


def called(query: str, path: str = "", **settings: Any) -> Reply:
    return naimar(**settings).callback(
        Callback(method="GET", path=path, query=query.encode(), headers={}, body=b"", peer="192.0.2.1"), NOW
    )


#: deliveryGetPush and 2wayGet, the samples.
DELIVERY = "id=122231&time=2012-10-18%2022:10:11&status=2"
INCOMING = (
    "id=23&rcv_msg_id=25481979&time=2014-07-18%2000:35:00&msisdn=421905123456&text=Test%20Message&source=7401"
    "&type=sms&operator=M"
)


@pytest.mark.parametrize("path", ["", "delivery", "delivery/", "x"])
def test_the_sample_of_a_status(path):
    reply = called(DELIVERY, path)
    assert reply.reports == [
        # By TZ=Europe/Bratislava date.
        StatusReport(state=MessageState.DELIVERED, ref="122231", at=1_350_591_011_000, raw="status 2")
    ]
    assert (reply.status, reply.body, list(reply.incoming)) == (200, b"OK", [])


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (2, MessageState.DELIVERED),
        (3, MessageState.EXPIRED),
        (5, MessageState.UNDELIVERABLE),
        (8, MessageState.REJECTED),
        (127, MessageState.UNDELIVERABLE),
        (4, MessageState.UNKNOWN),
        (-1, MessageState.UNKNOWN),
    ],
)
def test_every_status(status, state):
    (report,) = called(f"id=AB9z&rcv_msg_id=25481979&time=&status={status}").reports
    assert report == StatusReport(state=state, ref="ab9z", raw=f"status {status}")


def test_a_status_names_the_message_as_sending_did(message):
    one = message(912_125_678_151_794_688)
    id = fields(naimar().send([one]), "recipients/recipient")["id"]
    (report,) = called(f"id={id}&status=2").reports
    assert report.ref == naimar().reference(one) == id


@pytest.mark.parametrize("path", ["", "2way", "x"])
def test_the_sample_of_an_incoming_message(path):
    reply = called(INCOMING, path)
    assert reply.incoming == [
        Incoming(
            provider="main",
            ref="25481979",
            source="421905123456",
            destination="7401",
            text="Test Message",
            at=1_405_636_500_000,
        )
    ]
    assert (reply.status, reply.body, list(reply.reports)) == (200, b"OK", [])


def test_its_id_is_what_an_answer_names(billed):
    (incoming,) = called(INCOMING).incoming
    one = billed(answers=incoming.ref, destination=incoming.source, source=incoming.destination)
    assert naimar().objection(one) is None
    assert fields(naimar().send([one]), "recipients/recipient")["rcv_msg_id"] == "25481979"


def test_a_message_that_cannot_be_answered_has_no_number_for_an_id(billed):
    (incoming,) = called(INCOMING.replace("rcv_msg_id=25481979&", "")).incoming
    assert incoming.ref == "id23"
    assert isinstance(naimar().objection(billed(answers=incoming.ref)), Refused)


@pytest.mark.parametrize(
    ("told", "data", "coding", "has_udh"),
    [
        ("text=06050415810000FF&dcs=3&esm=65", bytes.fromhex("06050415810000FF"), 3, True),
        ("text=00ff&dcs=4&esm=0", b"\x00\xff", 4, False),
        ("text=0605040B8423F0", UDH, 245, True),
    ],
)
def test_a_binary_message(told, data, coding, has_udh):
    (incoming,) = called(f"id=23&rcv_msg_id=7&msisdn=421905123456&source=7401&type=binsms&{told}").incoming
    assert (incoming.data, incoming.data_coding, incoming.has_udh) == (data, coding, has_udh)
    assert (incoming.text, incoming.ref) == ("", "7")


def test_hexadecimal_digits_of_a_text_are_a_text():
    (incoming,) = called("id=23&msisdn=421905123456&source=7401&type=sms&text=00ff&esm=64").incoming
    assert (incoming.text, incoming.data, incoming.has_udh) == ("00ff", b"", False)


def test_a_text_beyond_ascii():
    (incoming,) = called("id=23&msisdn=%2B421905123456&source=7401&text=%C4%8Eakujem+%2B").incoming
    assert (incoming.text, incoming.source) == ("Ďakujem +", "421905123456")


def test_times_are_those_of_the_configured_clock():
    (there,), (here,) = called(DELIVERY).reports, called(DELIVERY, timezone="UTC").reports
    assert here.at - there.at == 2 * 3_600_000


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", ""),
        ("status=2", ""),
        ("id=122231&status=OK", ""),
        ("id=&status=2", ""),
        ("id=a%20b&status=2", ""),
        ("id=122231", "delivery"),
        (INCOMING, "delivery"),
        (DELIVERY, "2way"),
        ("id=23&text=x&source=7401", ""),
        ("msisdn=421905123456&text=x&source=7401", ""),
        ("id=&msisdn=421905123456&text=x&source=7401", ""),
        ("id=23&rcv_msg_id=x&msisdn=421905123456&text=x&source=7401", ""),
        ("id=23&msisdn=421905123456&text=xyz&source=7401&type=binsms", ""),
        ("id=23&msisdn=421905123456&text=&source=7401&type=binsms", ""),
    ],
)
def test_what_is_no_callback(query, path):
    with pytest.raises(BadCallback) as refused:
        called(query, path)
    assert refused.value.status == 400


# The page ------------------------------------------------------------------------------------------------------------


def rows(title: str) -> list[list[str]]:
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_names_every_status():
    told = [(int(status.strip("`")), stat.strip("`"), number) for status, stat, number, _ in rows("Statuses")]
    assert told == [(status, STAT[state], str(int(state))) for status, state in STATES.items()]


def test_the_page_names_every_error(message):
    told = {words.strip("`"): rest for words, *rest in rows("Errors")}
    assert list(told) == list(ERRORS)
    statuses = {error: status for error in ERRORS for status, description, _ in TABLE if description.startswith(error)}
    for words, (status, outcome, err, of) in told.items():
        assert int(status) == statuses[words]
        (meant,) = naimar().sent([message()], answer(status, words, 0))
        name = type(meant).__name__
        assert outcome == (f"{name}, everything" if isinstance(meant, Unable) and meant.everything else name)
        assert err == (f"{meant.err:03}" if isinstance(meant, Refused | Unable) and meant.err else "")
        assert of == ("of all" if words in OF_THE_REQUEST else "of one")


def test_the_page_reads_an_id_back_that_a_message_can_have():
    (id,) = re.findall(r'int\("(\w+)", 36\)', PAGE)
    assert 0 < int(id, 36) < 2**63


@pytest.fixture
def snippet(monkeypatch) -> types.ModuleType:
    """The program of the page, its client not started, and smpplib as it was afterwards."""
    monkeypatch.setattr(smpplib.consts, "OPTIONAL_PARAMS", dict(smpplib.consts.OPTIONAL_PARAMS))
    for command in (smpplib.command.SubmitSM, smpplib.command.DeliverSM):
        monkeypatch.setattr(command, "params", dict(command.params))
        monkeypatch.setattr(command, "params_order", tuple(command.params_order))
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = types.ModuleType("answers")
    monkeypatch.setitem(sys.modules, "answers", module)
    exec(compile(code, "answers.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


class Wire:
    """Where smpplib's client would write."""

    sequence = 0

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def send_message(self, **fields: Any) -> None:
        command = smpplib.smpp.make_pdu("submit_sm", client=self, **fields)
        self.written = command.generate()


def test_the_program_of_the_page_answers_by_the_tlv(snippet):
    mo = pdu.DeliverSm(
        sequence_number=1,
        source_addr="421905123456",
        destination_addr="7401",
        short_message=b"yes",
        tlvs=[pdu.tlv(VendorTag.INCOMING_ID, "25481979")],
    )
    wire = Wire()
    snippet.answer(wire, smpplib.smpp.parse_pdu(pdu.encode(mo), client=wire, allow_unknown_opt_params=True))
    written = pdu.decode(wire.written)
    assert isinstance(written, pdu.SubmitSm)
    assert (written.source_addr, written.destination_addr) == ("7401", "421905123456")
    assert written.option(VendorTag.INCOMING_ID) == "25481979"


def test_the_program_of_the_page_answers_no_receipt(snippet):
    receipt = pdu.DeliverSm(sequence_number=1, esm_class=4, short_message=b"id:1 stat:DELIVRD")
    snippet.answer(None, smpplib.smpp.parse_pdu(pdu.encode(receipt), client=Wire(), allow_unknown_opt_params=True))


def test_an_answer_of_any_json_is_read(message):
    for body in ({"status": None}, {"status": {"status": [1]}}, {"description": 3}, {"status": True}):
        (outcome,) = naimar().sent([message()], httpx.Response(200, content=msgspec.json.encode(body)))
        assert isinstance(outcome, InDoubt)
