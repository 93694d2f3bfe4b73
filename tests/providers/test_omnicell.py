"""Omnicell IP2SMS: the samples of its documents letter by letter, every form, answer and state, as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Incoming, Message, Progress, Sms, Stage, StatusReport, Viber
from smppbridge.providers import reading, registry
from smppbridge.providers.base import (
    BadCallback,
    Callback,
    InDoubt,
    Refused,
    Reply,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)
from smppbridge.providers.omnicell import STATES, Omnicell
from smppbridge.simulator import omnicell as simulator
from smppbridge.simulator.vendor import LOGIN, PASSWORD, Asked, Settings
from smppbridge.simulator.vendor import Reply as Written

PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "omnicell.md").read_text(encoding="utf-8")

NOW = 1_800_000_000_000
MINUTE = 60_000


def omnicell(**settings: Any) -> Omnicell:
    own = {"login": "admin", "password": "admin", **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "omnicell", **own}))
    assert isinstance(provider, Omnicell)
    return provider


def service(request: httpx.Request) -> dict[str, str]:
    found = etree.fromstring(request.content).find("service")
    assert found is not None
    return dict(found.attrib)


def children(request: httpx.Request) -> list[tuple[str, str]]:
    """What follows `<service>`: names and texts."""
    return [(element.tag, element.text or "") for element in etree.fromstring(request.content)][1:]


def answer(body: str | bytes, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=body)


def asked_for(message: Any, ref: str, id: int = 1) -> Message:
    made: Message = message(id)
    made.progress = Progress(stage=Stage.SENT, ref=ref, provider="main")
    return made


# The samples of the documents, as they stand there -------------------------------------------------------------------

#: Interactive SMS: the request …
INTERACTIVE = """\
POST /ip2sms/ HTTP/1.1
Host: api.omnicell.com.ua
Content-type: text/xml
Authorization: Basic YWRtaW46YWRtaW4=

<message>
<service id="single" type="SMS" interactiveSms="true" source="TESTBMSAST" validity="+1 min" >
</service>
<to>380631111111</to>
<body content-type="text/plain">SMS only!Have a nice day2!</body>
</message>"""

#: … the answer …
INTERACTIVE_ANSWER = """\
<status date="Thu, 16 Apr 2020 10:33:38 +0300" reports="waiting">
  <state>sending</state>
  <total>1</total>
  <queued>0</queued>
  <accepted>1</accepted>
  <enroute>0</enroute>
  <delivered>0</delivered>
  <expired>0</expired>
  <undeliverable>0</undeliverable>
  <unknown>0</unknown>
  <detail>
   <id>6615134392391</id>
   <state>Accepted</state>
  </detail>
</status>"""

#: … and the notification.
NOTIFICATION = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
 <response>
  <distribution_id>66125841754672</distribution_id>
  <profile_id>6612528694433</profile_id>
  <msisdn>380918490114</msisdn>
  <response_message>Test resp</response_message>
  <response_time>2020-03-05T12:23:58.686+02:00</response_time>
 </response>"""

#: XML API: a plain message, and two with texts of their own.
SINGLE = """\
<message>
 <service id="single" source="ALPHA" validity="+1 min" type="SMS"/>
 <to>380631111111</to>
 <body content-type="text/plain">text</body>
</message>"""
INDIVIDUAL = """\
<message>
 <service id="individual"  source="ALPHA" uniq_key="333111" start="+2 hours" validity="+12 hours" />
  <to>380632100001</to>
  <body content-type="text/plain" >Hello, Jack! Have a nice day!</body>
  <to>380632100002</to>
  <body content-type="text/plain">Hello, Nancy! Have a nice day!</body>
</message>"""

PLAIN_ANSWER = '<status id="8072817" date="Thu, 16 Apr 2020 10:33:38 +0300"><state>Accepted</state></status>'
GROUP_ANSWER = """\
<status groupid="593589" date="Thu, 16 Apr 2020 10:33:38 +0300">
 <id>8072818</id><id>8072819</id>
 <state>Accepted</state><state>Accepted</state>
</status>"""


def test_the_interactive_sample_is_made_as_it_stands(message):
    head, _, body = INTERACTIVE.partition("\n\n")
    lines = head.splitlines()
    one = message(
        source="TESTBMSAST",
        destination="+380631111111",
        command=Sms(text="SMS only!Have a nice day2!"),
        expires=NOW + MINUTE,
    )
    request = omnicell(interactive=True).send([one])
    assert f"{request.method} {request.url.path} HTTP/1.1" == lines[0]
    for line in lines[1:]:
        name, _, value = line.partition(": ")
        assert request.headers[name] == value
    # A blank before the end of a tag is the one octet that is not written.
    assert request.content.decode() == body.replace('" >', '">')


def content(document: bytes | str) -> list[tuple[str, dict[str, str], str]]:
    """What a document says, without the blanks between its elements and the order of its attributes."""
    return [(element.tag, dict(element.attrib), (element.text or "").strip()) for element in etree.fromstring(document)]


def test_the_plain_sample_is_made(message):
    one = message(source="ALPHA", destination="380631111111", command=Sms(text="text"), expires=NOW + MINUTE)
    assert content(omnicell().send([one]).content) == content(SINGLE)


def test_the_individual_sample_is_made(message):
    """Its type is the one that stands for nothing said, and its key is the operator's own."""
    texts = {"380632100001": "Hello, Jack! Have a nice day!", "380632100002": "Hello, Nancy! Have a nice day!"}
    several = [
        message(n, source="ALPHA", destination=phone, command=Sms(text=text), expires=NOW + 12 * 60 * MINUTE)
        for n, (phone, text) in enumerate(texts.items(), 1)
    ]
    made, sample = content(omnicell(start="2h").send(several).content), content(INDIVIDUAL)
    assert made[0][1].pop("type") == "SMS"
    assert re.fullmatch(r"[0-9]{1,19}", made[0][1].pop("uniq_key"))
    del sample[0][1]["uniq_key"]
    assert made == sample


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"login": "a:b"}, "login"),
        ({"login": ""}, "login"),
        ({"password": ""}, "password"),
        ({"base_url": "https://api.omnicell.com.ua"}, "base_url"),
        ({"base_url": "api.omnicell.com.ua/"}, "base_url"),
        ({"uniq_key": "always"}, "uniq_key"),
        ({"start": -1}, "start"),
        ({"viber_button_title": "Open"}, "(the table)"),
        ({"viber_button_url": "https://example.com/"}, "(the table)"),
        ({"viber_button_url": "example.com", "viber_button_title": "Open"}, "viber_button_url"),
        ({"viber_image_url": "https://example.com/a.png"}, "(the table)"),
        ({"viber_image_url": "viber://keypad"}, "viber_image_url"),
        ({"viber_sms_text": "See Viber"}, "(the table)"),
        ({"uniq_key": "message", "interactive": True}, "(the table)"),
        ({"uniq_key": "message", "interactive_accounts": ["shop"]}, "(the table)"),
        ({"uniq_key": "message", "interactive_sources": ["Shop"]}, "(the table)"),
    ],
)
def test_settings_that_do_not_fit_are_named(own, problem):
    with pytest.raises(registry.BadSettings) as bad:
        omnicell(**own)
    assert list(bad.value.problems) == [problem]


@pytest.mark.parametrize("missing", ["login", "password"])
def test_credentials_are_required(missing):
    own = {"adapter": "omnicell", "login": "admin", "password": "admin"}
    del own[missing]
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", ProviderConfig.model_validate(own))
    assert list(bad.value.problems) == [missing]


def test_the_value_of_the_basic_header_is_a_secret():
    assert set(omnicell().secrets()) == {"admin", "YWRtaW46YWRtaW4="}


def test_credentials_are_in_utf_8(message):
    # By base64(1).
    request = omnicell(login="мій", password="пароль").send([message()])
    assert request.headers["authorization"] == "Basic 0LzRltC5OtC/0LDRgNC+0LvRjA=="


def test_another_address(message):
    provider = omnicell(base_url="http://127.0.0.1:8090/omnicell/")
    assert str(provider.send([message()]).url) == "http://127.0.0.1:8090/omnicell/ip2sms/"
    assert str(provider.ask([message()]).url) == "http://127.0.0.1:8090/omnicell/ip2sms-request/"


# Forms ---------------------------------------------------------------------------------------------------------------

HI, HO = Sms(text="hi"), Sms(text="ho")


@pytest.mark.parametrize(
    ("destinations", "commands", "form", "expected"),
    [
        (["380631"], [HI], "single", [("to", "380631"), ("body", "hi")]),
        (["380631", "380632"], [HI, HI], "bulk", [("to", "380631"), ("to", "380632"), ("body", "hi")]),
        (
            ["380631", "380632"],
            [HI, HO],
            "individual",
            [("to", "380631"), ("body", "hi"), ("to", "380632"), ("body", "ho")],
        ),
        # A list holds each number once, however it is written.
        (
            ["380631", "+380631"],
            [HI, HI],
            "individual",
            [("to", "380631"), ("body", "hi"), ("to", "380631"), ("body", "hi")],
        ),
    ],
)
def test_forms(message, destinations, commands, form, expected):
    pairs = enumerate(zip(destinations, commands, strict=True), 1)
    request = omnicell().send([message(n, destination=to, command=command) for n, (to, command) in pairs])
    assert service(request)["id"] == form
    assert children(request) == expected
    assert ("uniq_key" in service(request)) is (form != "single")


def test_what_has_to_be_equal_to_ride_together(message):
    provider = omnicell()
    one = provider.rides_with(message(1))
    assert one == provider.rides_with(message(2, command=HO, account="other"))
    assert one != provider.rides_with(message(2, source="OTHER"))
    assert one != provider.rides_with(message(2, expires=NOW + MINUTE))
    assert one != provider.rides_with(message(2, command=Viber(text="hi")))


@pytest.mark.parametrize(
    ("settings", "together"),
    [
        ({}, True),
        ({"interactive": True}, False),
        ({"interactive_accounts": ["demo"]}, False),
        ({"interactive_accounts": ["shop"]}, True),
        ({"interactive_sources": ["SENDER"]}, False),
        ({"interactive_sources": ["sender"]}, True),
    ],
)
def test_interactive_messages_are_singles_by_the_wish_of_account_or_source(message, settings, together):
    provider = omnicell(**settings)
    assert (provider.rides_with(message(1)) == provider.rides_with(message(2))) is together
    said = service(provider.send([message()]))
    assert said["id"] == "single"
    assert said.get("interactiveSms") == (None if together else "true")


def test_viber_messages_are_not_interactive(message):
    provider = omnicell(interactive=True)
    several = [message(n, command=Viber(text="hi")) for n in (1, 2)]
    assert provider.rides_with(several[0]) == provider.rides_with(several[1])
    assert "interactiveSms" not in service(provider.send(several))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Привіт, світе", "Привіт, світе"),
        ('a < b & "c" > d', 'a &lt; b &amp; "c" &gt; d'),
        ("]]>", "]]&gt;"),
        ("two\nlines\r\n", "two\nlines&#13;\n"),
        ("\x00a\x1bb\ufffe", "ab"),
        ("😀", "😀"),
    ],
)
def test_texts_are_written_so_that_they_are_read_as_they_were(message, text, written):
    request = omnicell().send([message(command=Sms(text=text))])
    assert f'<body content-type="text/plain">{written}</body>' in request.content.decode()


def test_attributes_are_escaped(message):
    provider = omnicell(desc='"a" & <b>')
    said = service(provider.send([message(source='X" type="OTT')]))
    assert (said["desc"], said["source"], said["type"]) == ('"a" & <b>', 'X" type="OTT', "SMS")


@pytest.mark.parametrize(
    ("source", "sender", "said"), [("SHOP", "OTHER", "SHOP"), ("", "OTHER", "OTHER"), ("", "", None)]
)
def test_the_sender(message, source, sender, said):
    assert service(omnicell(sender=sender).send([message(source=source)])).get("source") == said


def test_comment_and_flash_are_not_sent(message):
    provider = omnicell()
    plain = provider.send([message(command=HI)])
    assert provider.send([message(command=Sms(text="hi", flash=True, comment="ours"))]).content == plain.content


@pytest.mark.parametrize(
    ("destination", "phone"),
    [("380631111111", "380631111111"), ("+380 63 111-11-11", "380631111111"), ("00380631111111", "380631111111")],
)
def test_numbers_are_digits_alone(message, destination, phone):
    one = message(destination=destination)
    assert omnicell().objection(one) is None
    assert children(omnicell().send([one]))[0] == ("to", phone)


@pytest.mark.parametrize("destination", ["", "shop", "12", "1234567890123456"])
def test_what_is_no_number_is_refused_before_it_is_sent(message, destination):
    objection = omnicell().objection(message(destination=destination))
    assert isinstance(objection, Refused)
    assert objection.err == 249


# Times ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "+1 min"),
        (59, "+1 min"),
        (119, "+1 min"),
        (1800, "+30 min"),
        (3600, "+60 min"),
        (7199, "+119 min"),
        (7200, "+2 hours"),
        (12 * 3600, "+12 hours"),
        (86_400, "+1 day"),
        (86_460, "+1441 min"),
        (2 * 86_400, "+48 hours"),
    ],
)
def test_validity_in_the_words_of_the_samples(message, seconds, written):
    assert service(omnicell().send([message(expires=NOW + seconds * 1000)]))["validity"] == written


def test_validity_counts_from_when_the_message_was_due(message):
    one = message(expires=NOW + 60 * MINUTE, progress=Progress(due=NOW + 15 * MINUTE))
    assert service(omnicell().send([one]))["validity"] == "+45 min"


@pytest.mark.parametrize(("start", "written"), [(0, None), ("2h", "+2 hours"), ("90s", "+1 min"), (1, "+1 min")])
def test_a_start_that_the_service_waits_for(message, start, written):
    assert service(omnicell(start=start).send([message()])).get("start") == written


# Viber ---------------------------------------------------------------------------------------------------------------

BUTTON = {"viber_button_title": "Open", "viber_button_url": "https://example.com/?a=1&b=2"}
BUTTON_SAID = {"ottActionTitle": "Open", "ottActionUri": "https://example.com/?a=1&b=2"}
PICTURE = {"viber_image_url": "https://example.com/a.png"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"type": "OTT", "ottSource": "SENDER", "ottValidity": "+1 day"}),
        ({"viber_sender": "Shop"}, {"type": "OTT", "ottSource": "Shop", "ottValidity": "+1 day"}),
        ({"viber_validity": "1h"}, {"type": "OTT", "ottSource": "SENDER", "ottValidity": "+60 min"}),
        # Not longer than the message itself.
        ({"viber_validity": "3d"}, {"type": "OTT", "ottSource": "SENDER", "ottValidity": "+1 day"}),
        ({"viber_sms": True}, {"type": "OTTSMS", "ottSource": "SENDER"}),
        (
            {"viber_sms": True, "viber_validity": "2m"},
            {"type": "OTTSMS", "ottSource": "SENDER", "ottValidity": "+2 min"},
        ),
        (BUTTON, {"type": "OTT", "ottSource": "SENDER", "ottValidity": "+1 day", **BUTTON_SAID}),
        (
            {**BUTTON, **PICTURE},
            {
                "type": "OTT",
                "ottSource": "SENDER",
                "ottValidity": "+1 day",
                "ottImageUri": "https://example.com/a.png",
                **BUTTON_SAID,
            },
        ),
        (
            {"viber_button_title": "Call", "viber_button_url": "viber://keypad?Number=380631111111"},
            {
                "type": "OTT",
                "ottSource": "SENDER",
                "ottValidity": "+1 day",
                "ottActionUri": "viber://keypad?Number=380631111111",
                "ottActionTitle": "Call",
            },
        ),
        (
            {"viber_promo": True},
            {"type": "OTT", "ottSource": "SENDER", "ottValidity": "+1 day", "promo": "true"},
        ),
    ],
)
def test_what_a_viber_message_says(message, settings, expected):
    said = service(omnicell(**settings).send([message(command=Viber(text="hi"))]))
    assert said == {"id": "single", "source": "SENDER", "validity": "+1 day", "ott": "VIBER", **expected}


def test_an_sms_says_nothing_of_viber(message):
    said = service(omnicell(viber_sms=True, viber_validity="1h", **BUTTON, **PICTURE).send([message()]))
    assert said == {"id": "single", "type": "SMS", "source": "SENDER", "validity": "+1 day"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [("body", "a")]),
        ({"viber_sms": True}, [("body", "a")]),
        ({"viber_sms": True, "viber_sms_text": "by SMS"}, [("body", "by SMS"), ("ottBody", "a")]),
    ],
)
def test_the_text_that_goes_by_sms_instead(message, settings, expected):
    provider = omnicell(**settings)
    one, other = message(1, command=Viber(text="a")), message(2, command=Viber(text="b"))
    assert children(provider.send([one]))[1:] == expected
    others = [(tag, "b" if text == "a" else text) for tag, text in expected]
    assert [pair for pair in children(provider.send([one, other])) if pair[0] != "to"] == expected + others


# In doubt ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"uniq_key": "request"}, {"interactive": True}, {"interactive_accounts": ["demo"]}]
)
def test_a_key_of_a_request_is_no_reason_to_repeat(settings):
    provider = omnicell(**settings)
    assert (provider.when_in_doubt, provider.batch) == (WhenInDoubt.GIVE_UP, 100)


def test_a_key_of_a_message_is(message):
    provider = omnicell(uniq_key="message")
    assert (provider.when_in_doubt, provider.batch) == (WhenInDoubt.REPEAT, 1)
    one = message(7)
    first = provider.send([one])
    assert service(first)["id"] == "individual"
    assert service(first)["uniq_key"] == "7"
    assert children(first) == [("to", "79000075555"), ("body", "Привет, world")]
    crashed = message(7, progress=Progress(stage=Stage.DOUBT, attempts=3, due=5))
    assert service(provider.send([crashed]))["uniq_key"] == "7"


def test_another_leg_has_another_key(message):
    one = message(7, progress=Progress(leg=1))
    assert service(omnicell(uniq_key="message").send([one]))["uniq_key"] == str(one.number) != "7"


def test_a_key_of_a_request_is_that_of_its_messages(message):
    def key(*ids: int) -> str:
        return service(omnicell().send([message(id) for id in ids]))["uniq_key"]

    assert key(1, 2) == key(1, 2)
    assert len({key(1, 2), key(1, 3), key(2, 1), key(1, 2, 3), key(12, 3), key(1, 23)}) == 6
    assert 0 < int(key(1, 2)) < 2**63


def test_a_key_is_not_what_the_service_is_asked_by(message):
    """A message that stays in doubt is asked for by its reference in the end: that must not be another one's id."""
    assert omnicell(uniq_key="message").reference(message(7)) == "uniq_key:7"
    assert omnicell().reference(message(7)) == ""


# Answers -------------------------------------------------------------------------------------------------------------

NEITHER = InDoubt(reason="neither an id nor an error")


def misfit(count: int) -> list[InDoubt]:
    return [InDoubt(reason=f"the answer does not fit the {count} messages asked for")] * count


def error(text: str) -> Unable:
    return Unable(reason=text, err=99)


@pytest.mark.parametrize(
    ("body", "outcomes"),
    [
        # A: a plain single.
        (PLAIN_ANSWER, [Sent(ref="8072817")]),
        # B: bulk and individual.
        (GROUP_ANSWER, [Sent(ref="8072818"), Sent(ref="8072819")]),
        ("<status groupid='1'><id>5</id><state>Accepted</state><id>6</id><state>Accepted</state></status>",
         [Sent(ref="5"), Sent(ref="6")]),
        # C: in detail, with the state of the campaign and its counters outside; also of an interactive single.
        (INTERACTIVE_ANSWER, [Sent(ref="6615134392391")]),
        (INTERACTIVE_ANSWER.replace("<enroute>0<", "<enroute>-1<"), [Sent(ref="6615134392391")]),
        ("<status groupid='1'><state>sending</state><detail><id>5</id><state>Accepted</state></detail>"
         "<detail><id>6</id><state>Enroute</state></detail></status>", [Sent(ref="5"), Sent(ref="6")]),
        ("<status groupid='1'><state>sending</state><detail><id>5</id><state>Accepted</state>"
         "<id>6</id><state>Accepted</state></detail></status>", [Sent(ref="5"), Sent(ref="6")]),
        # E: an error of one message, which has no id, whatever its text says.
        ('<status date="x"><state error="Invalid message">Accepted</state></status>', [error("Invalid message")]),
        ('<status groupid="1"><id>5</id><id>7</id><state>Accepted</state><state error="Invalid message">Accepted'
         "</state><state>Accepted</state></status>", [Sent(ref="5"), error("Invalid message"), Sent(ref="7")]),
        ("<status groupid='1'><state>sending</state><detail><state error='No'>Accepted</state></detail>"
         "<detail><id>6</id><state>Accepted</state></detail></status>", [error("No"), Sent(ref="6")]),
        ('<status groupid="1"><state error="One">Accepted</state><state error="Two">Accepted</state></status>',
         [error("One"), error("Two")]),
        (f'<status><state error="{"x" * 300}">Accepted</state></status>', [error("x" * 199 + "…")]),
        ('<status id="5"><state error=" ">Accepted</state></status>', [Sent(ref="5")]),
        # An error beside an id contradicts itself.
        ('<status id="5"><state error="Invalid message">Accepted</state></status>',
         [InDoubt(reason="error Invalid message, yet it has the id 5")]),
        # A state that is final already.
        ('<status id="5"><state>Rejected</state></status>',
         [Sent(ref="5", report=StatusReport(state=MessageState.REJECTED, ref="5", raw="Rejected"))]),
        ('<status id="5"><state>Something new</state></status>', [Sent(ref="5")]),
        # Written in any way that XML allows.
        ("<?xml version='1.0' encoding='windows-1251'?>\n<status id=' 5 '>\n<state> ACCEPTED </state></status>\n",
         [Sent(ref="5")]),
        # Too little to say which is whose.
        ("<status groupid='1'><state>Accepted</state></status>", [NEITHER]),
        ("<status groupid='1'><state>Accepted</state><state error='No'>Accepted</state></status>",
         [NEITHER, error("No")]),
        ("<status groupid='1'><id>5</id><state>Accepted</state></status>", misfit(2)),
        ("<status groupid='1'><id>5</id><state>Accepted</state><state>Accepted</state></status>", misfit(2)),
        ("<status groupid='1'><id>5</id><id>6</id><state>Accepted</state></status>", misfit(1)),
        ("<status groupid='1'><id>5</id><id>5</id><state>Accepted</state><state>Accepted</state></status>", misfit(2)),
        ("<status groupid='1'><id>5</id><id/><state>Accepted</state><state>Accepted</state></status>", misfit(2)),
        # One error for all of them: what it says is worth a line, and not enough to send again.
        ("<status groupid='1'><state error='No'>Accepted</state></status>", [InDoubt(reason="HTTP 200: No")] * 2),
        ("<status><detail><id>5</id></detail><detail><id>6</id><state>Accepted</state></detail></status>", misfit(2)),
        (f"<status id='{'5' * 65}'><state>Accepted</state></status>", [NEITHER]),
    ],
)  # fmt: skip
def test_answers_to_sending(message, body, outcomes):
    several = [message(n + 1) for n in range(len(outcomes))]
    assert list(omnicell().sent(several, answer(body))) == outcomes


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, "", InDoubt),
        (200, "OK", InDoubt),
        (200, "<html><state>Accepted</state></html>", InDoubt),
        (200, "<status id='5'/>", InDoubt),
        (200, "<!DOCTYPE status [<!ENTITY x 'y'>]><status id='5'><state>&x;</state></status>", InDoubt),
        (200, '{"state":{"value":"Accepted"},"id":6617}', InDoubt),
        (400, "Bad Request", Unable),
        (401, "Unauthorized", Unable),
        (403, "", Unable),
        (408, "", Temporary),
        (429, "", Temporary),
        (500, "<html/>", InDoubt),
        (502, "", InDoubt),
        (503, "", Temporary),
        (504, "", InDoubt),
    ],
)
def test_answers_that_tell_no_state_are_read_by_their_status(message, status, body, outcome):
    several = [message(1), message(2)]
    outcomes = omnicell().sent(several, answer(body, status))
    assert list(outcomes) == [reading.by_status(answer(body, status))] * 2
    assert isinstance(outcomes[0], outcome)


def test_a_state_counts_whatever_the_http_status(message):
    body = "<status><state error='Invalid message'>Accepted</state></status>"
    assert list(omnicell().sent([message()], answer(body, 400))) == [error("Invalid message")]


def test_a_refusal_of_the_whole_request_is_one_where_it_holds_no_id(message):
    refusal = "<status><state error='Invalid message'>Accepted</state></status>"
    assert [type(one) for one in omnicell().sent([message(1), message(2)], answer(refusal, 400))] == [Unable, Unable]
    taken = "<status groupid='1'><id>5</id><state>Accepted</state></status>"
    assert list(omnicell().sent([message(1), message(2)], answer(taken, 400))) == misfit(2)


# Asking --------------------------------------------------------------------------------------------------------------


def test_a_question_is_made_as_it_stands_in_the_documents(message):
    request = omnicell().ask([asked_for(message, "8075969")])
    assert (request.method, str(request.url)) == ("POST", "https://api.omnicell.com.ua/ip2sms-request/")
    assert request.headers["content-type"] == "text/xml"
    assert request.headers["authorization"] == "Basic YWRtaW46YWRtaW4="
    assert request.content == b'<request id="8075969">status</request>'


@pytest.mark.parametrize(("written", "state"), STATES.items())
@pytest.mark.parametrize("letters", [str.lower, str.upper, str.capitalize])
def test_every_state_in_any_case(message, written, state, letters):
    body = f'<status id="5" date="x"><state>{letters(written)}</state></status>'
    report = StatusReport(state=state, ref="5", raw=letters(written))
    assert list(omnicell().asked([asked_for(message, "5")], answer(body))) == [report]


def test_no_state_of_a_campaign_ends_a_message():
    message_states = {state.name.lower() for state in MessageState} - {"scheduled", "skipped"}
    assert message_states < set(STATES)
    assert {STATES[word] for word in set(STATES) - message_states} == {MessageState.ENROUTE}


DELIVERED = StatusReport(state=MessageState.DELIVERED, ref="5", raw="Delivered")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<status id='5'><state>Delivered</state></status>", DELIVERED),
        ("<status><state>Delivered</state></status>", DELIVERED),
        ("<status groupid='1'><id>4</id><id>5</id><state>Expired</state><state>Delivered</state></status>", DELIVERED),
        ("<status reports='sent'><state>sent</state><total>2</total><enroute>-1</enroute><detail><id>4</id>"
         "<state>Expired</state></detail><detail><id>5</id><state>Delivered</state></detail></status>", DELIVERED),
        ("<status id='5'><state>Nobody knows</state></status>",
         StatusReport(state=MessageState.UNKNOWN, ref="5", raw="Nobody knows")),
        # Nothing is told about this message.
        ("<status id='6'><state>Delivered</state></status>", None),
        ("<status id='5'><state/></status>", None),
        ("<status id='5'><state error='Invalid id'>Unknown</state></status>", None),
        ("<status><state error='Invalid id'>Unknown</state></status>", None),
        ("<status><id>4</id><id>5</id><state>Delivered</state></status>", None),
        ("<status><state>Expired</state><state>Delivered</state></status>", None),
        ("<status id='5'/>", None),
        ("<html>Not found</html>", None),
        ("", None),
    ],
)  # fmt: skip
def test_answers_to_a_question(message, body, told):
    assert list(omnicell().asked([asked_for(message, "5")], answer(body))) == [told]


def test_a_message_is_never_said_not_to_be_there():
    """Nothing in the documents says so, hence it would not be safe to ask in doubt."""
    assert omnicell().when_in_doubt is not WhenInDoubt.ASK


# Notifications -------------------------------------------------------------------------------------------------------


def notified(body: str | bytes, **settings: Any) -> Reply:
    raw = body.encode() if isinstance(body, str) else body
    callback = Callback(method="POST", path="", query=b"", headers={}, body=raw, peer="192.0.2.1")
    return omnicell(**{"interactive_number": "4711", **settings}).callback(callback, NOW)


def test_the_notification_of_the_sample():
    reply = notified(NOTIFICATION, profile_id="6612528694433")
    (one,) = reply.incoming
    assert one == Incoming(
        provider="main",
        # By b2sum -l 128 of the four fields with NUL between them.
        ref="425f021f20a5253eb4e5873a4d12b3f4",
        source="380918490114",
        destination="4711",
        text="Test resp",
        # By date -u -d.
        at=1_583_403_838_686,
        reply_to="66125841754672",
    )
    assert (reply.status, reply.body, list(reply.reports)) == (200, b"OK", [])


@pytest.mark.parametrize("field", ["distribution_id", "msisdn", "response_message", "response_time"])
def test_the_same_notification_again_is_the_same_message(field):
    (first,) = notified(NOTIFICATION).incoming
    (again,) = notified(NOTIFICATION.replace("\n", "\r\n")).incoming
    (other,) = notified(re.sub(rf"<{field}>.", f"<{field}>9", NOTIFICATION)).incoming
    assert first.ref == again.ref != other.ref


@pytest.mark.parametrize(
    ("written", "millis"),
    [
        # By date -u -d.
        ("2020-03-05T10:23:58Z", 1_583_403_838_000),
        ("2020-03-05T12:23:58.686+02:00", 1_583_403_838_686),
        ("2020-07-05T12:23:58+03:00", 1_593_941_038_000),
        # Nobody knows whose clock this is.
        ("2020-03-05T12:23:58", 0),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+14:00", 0),
        ("yesterday", 0),
        ("", 0),
    ],
)
def test_the_time_of_a_notification(written, millis):
    (one,) = notified(NOTIFICATION.replace("2020-03-05T12:23:58.686+02:00", written)).incoming
    assert one.at == millis


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Так &amp; ні", "Так & ні"),
        (" two\nlines ", " two\nlines "),
        ("", ""),
        ("<![CDATA[<b>]]>", "<b>"),
    ],
)
def test_the_text_of_a_notification(written, text):
    (one,) = notified(NOTIFICATION.replace("Test resp", written)).incoming
    assert one.text == text


def test_a_number_is_told_without_a_plus():
    (one,) = notified(NOTIFICATION.replace("380918490114", "+380918490114")).incoming
    assert one.source == "380918490114"


def test_a_notification_in_another_charset():
    body = NOTIFICATION.replace("UTF-8", "windows-1251").replace("Test resp", "Так").encode("cp1251")
    assert notified(body).incoming[0].text == "Так"


@pytest.mark.parametrize(
    ("body", "settings", "status"),
    [
        (NOTIFICATION, {"interactive_number": ""}, 403),
        (NOTIFICATION, {"profile_id": "6612528694434"}, 403),
        (re.sub("<profile_id>.*\n", "", NOTIFICATION), {"profile_id": "6612528694433"}, 403),
        ("", {}, 400),
        ("distribution_id=1", {}, 400),
        ("<status/>", {}, 400),
        (NOTIFICATION.replace("380918490114", ""), {}, 400),
        (NOTIFICATION.replace("380918490114", "somebody"), {}, 400),
        (re.sub("<msisdn>.*\n", "", NOTIFICATION), {}, 400),
        (re.sub("<response_message>.*\n", "", NOTIFICATION), {}, 400),
        ('<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><response><msisdn>380918490114</msisdn>'
         "<response_message>&x;</response_message></response>", {}, 400),
    ],
)  # fmt: skip
def test_what_is_no_notification_is_refused(body, settings, status):
    with pytest.raises(BadCallback) as refused:
        notified(body, **settings)
    assert refused.value.status == status


# With the simulator, which reads the documents for itself ------------------------------------------------------------

REHEARSAL = {"login": LOGIN, "password": PASSWORD}


def rehearsed(vendor: simulator.Omnicell, request: httpx.Request, now: float = 0) -> httpx.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = Asked(method=request.method, path=request.url.path, now=now, headers=headers, body=request.content)
    said = vendor.answer(asked)
    return httpx.Response(said.status, content=said.body)


@pytest.mark.parametrize("uniq_key", ["request", "message"])
@pytest.mark.parametrize(
    ("settings", "commands"),
    [
        ({}, [HI]),
        ({}, [HI, HI]),
        ({}, [HI, HO]),
        ({"start": "2h", "desc": "news"}, [HI, HO]),
        ({}, [Viber(text="hi")]),
        ({**BUTTON, **PICTURE, "viber_promo": True}, [Viber(text="hi"), Viber(text="ho")]),
        ({"viber_sms": True, "viber_sms_text": "by SMS"}, [Viber(text="hi"), Viber(text="hi")]),
    ],
)
def test_every_form_is_taken_and_delivered(message, uniq_key, settings, commands):
    provider = omnicell(uniq_key=uniq_key, **REHEARSAL, **settings)
    vendor = simulator.Omnicell(Settings())
    several = [message(n, command=command) for n, command in enumerate(commands, 1)]
    for batch in [several] if provider.batch > 1 else [[one] for one in several]:
        outcomes = provider.sent(batch, rehearsed(vendor, provider.send(batch)))
        for one, outcome in zip(batch, outcomes, strict=True):
            assert isinstance(outcome, Sent)
            asked = asked_for(message, outcome.ref, one.id)
            (told,) = provider.asked([asked], rehearsed(vendor, provider.ask([asked]), 10))
            assert told == StatusReport(state=MessageState.DELIVERED, ref=outcome.ref, raw="Delivered")
            assert vendor.messages[outcome.ref].to == one.destination


def test_a_refusal_touches_one_message_of_many(message):
    provider, vendor = omnicell(**REHEARSAL), simulator.Omnicell(Settings())
    several = [message(1), message(2, destination="380630000003"), message(3)]
    outcomes = provider.sent(several, rehearsed(vendor, provider.send(several)))
    assert [type(outcome) for outcome in outcomes] == [Sent, Unable, Sent]


def test_a_repetition_under_the_key_of_its_message_sends_nothing(message):
    provider, vendor = omnicell(uniq_key="message", **REHEARSAL), simulator.Omnicell(Settings())
    first = provider.sent([message()], rehearsed(vendor, provider.send([message()])))
    crashed = message(progress=Progress(stage=Stage.DOUBT, attempts=1, due=NOW + MINUTE))
    assert provider.sent([crashed], rehearsed(vendor, provider.send([crashed]), 60)) == first
    assert len(vendor.messages) == 1


def test_an_answer_of_a_subscriber_names_the_message_that_it_answers(message):
    provider, vendor = omnicell(interactive=True, **REHEARSAL), simulator.Omnicell(Settings())
    (sent,) = provider.sent([message()], rehearsed(vendor, provider.send([message()])))
    assert isinstance(sent, Sent)
    push = vendor.incoming(Written(source="79000015555", destination="4711", text="Так"), 1_583_403_838.686)
    (one,) = notified(push.body).incoming
    assert (one.source, one.text, one.at, one.reply_to) == ("79000015555", "Так", 1_583_403_838_686, sent.ref)


# Whatever comes ------------------------------------------------------------------------------------------------------

_names = st.sampled_from(["status", "state", "id", "detail", "response", "msisdn", "response_message", "html"])
_attributes = st.dictionaries(st.sampled_from(["id", "groupid", "error", "date"]), st.text(max_size=5), max_size=3)


def _made(name: str, attributes: dict[str, str], inside: Any) -> etree._Element:
    made = reading.element(name, inside if isinstance(inside, str) else "", **attributes)
    if not isinstance(inside, str):
        made.extend(inside)
    return made


_texts = st.sampled_from(["Accepted", "1", "2", "380918490114", "2020-03-05T12:23:58+02:00"]) | st.text(max_size=10)
_leaves = st.builds(_made, _names, _attributes, _texts)
_trees = st.recursive(
    _leaves, lambda inner: st.builds(_made, _names, _attributes, st.lists(inner, max_size=6)), max_leaves=12
)


@given(tree=_trees, root=st.sampled_from(["status", "response"]), count=st.integers(1, 3))
def test_any_document_is_an_answer_or_none(message, tree, root, count):
    tree.tag = root
    document = etree.tostring(tree)
    several = [message(n + 1) for n in range(count)]
    outcomes = omnicell().sent(several, answer(document))
    assert len(outcomes) == count
    ids = [outcome.ref for outcome in outcomes if isinstance(outcome, Sent)]
    assert len(set(ids)) == len(ids)
    assert len(omnicell().asked([asked_for(message, "1")], answer(document))) == 1
    try:
        reply = notified(document)
    except BadCallback:
        return
    assert [one.destination for one in reply.incoming] == ["4711"]


# The page of the documentation ---------------------------------------------------------------------------------------


def rows(title: str) -> list[list[str]]:
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_names_every_state():
    words = {
        MessageState.ENROUTE: "ENROUTE", MessageState.DELIVERED: "DELIVRD", MessageState.EXPIRED: "EXPIRED",
        MessageState.DELETED: "DELETED", MessageState.UNDELIVERABLE: "UNDELIV", MessageState.ACCEPTED: "ACCEPTD",
        MessageState.UNKNOWN: "UNKNOWN", MessageState.REJECTED: "REJECTD",
    }  # fmt: skip
    told = {
        word: (stat, number) for names, stat, number, _ in rows("Statuses") for word in re.findall(r"`(\w+)`", names)
    }
    assert told == {word: (f"`{words[state]}`", str(int(state))) for word, state in STATES.items()}
