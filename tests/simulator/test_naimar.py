"""Naimar text421, by the samples of its help pages."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from lxml import etree

from smppbridge.simulator.naimar import BILLED, GET, PLAIN, Naimar
from smppbridge.simulator.vendor import Answer, Push, Reply, Settings

from .conftest import NOON, asked, get

#: smsSendBillXML, its sample with a login of ours and the ids of messages that did come.
SAMPLE = """<sms>
  <username>demo</username>
  <password>demo</password>
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
     <rcv_msg_id>25481980</rcv_msg_id>
     <msisdn>421901727053</msisdn>
   </recipient>
  </recipients>
</sms>
"""
NUMBERS = ("421901727051", "421901727053")


@pytest.fixture
def naimar(settings: Settings) -> Naimar:
    """Both subscribers of the sample have written."""
    naimar = Naimar(settings)
    for number in NUMBERS:
        naimar.incoming(Reply(source=number, destination="7401", text="GO"), NOON)
    return naimar


def post(naimar: Naimar, body: str, path: str = BILLED, at: float = 0) -> Answer:
    return naimar.answer(asked("POST", path, at=at, body=body.encode(), headers={"content-type": "text/xml"}))


def told(answer: Answer) -> tuple[int, str, str]:
    root = etree.fromstring(answer.body)
    assert root.findtext("status") == str(answer.status)
    return answer.status, root.findtext("description") or "", root.findtext("recipients") or ""


def query(push: Push) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(push.query, strict_parsing=True).items()}


def test_the_sample(naimar: Naimar) -> None:
    assert told(post(naimar, SAMPLE)) == (200, "OK", "2")
    assert [query(push) for push in naimar.pushes] == [
        {"id": id, "rcv_msg_id": answers, "time": "2026-11-22 12:00:10", "status": "2"}
        for id, answers in (("123456", "25481978"), ("789412", "25481980"))
    ]
    assert all(push.after == 10 for push in naimar.pushes)
    assert naimar.pushes[0].taken(200, b"OK\n")
    assert not naimar.pushes[0].taken(200, b"ok, thanks")


def test_an_id_is_sent_once(naimar: Naimar) -> None:
    post(naimar, SAMPLE)
    status, description, _ = told(post(naimar, SAMPLE))
    assert (status, "not unique" in description) == (500, True)
    assert (naimar.counts.processed, naimar.counts.repeated) == (2, 1)


@pytest.mark.parametrize(
    ("old", "new", "status", "description"),
    [
        ("421901727053", "x", 400, "unknown prefix x"),
        ("421901727053", "421901720003", 400, "unknown prefix 421901720003"),
        ("421901727053", "421901720016", 400, "unknown network 421901720016"),
        ("25481980", "25481999", 400, "missing incoming msg"),
        ("25481980", "25481978", 400, "missing incoming msg"),
        ("<from>7401</from>", "<from>7402</from>", 400, "missing incoming msg"),
        ("<rcv_msg_id>25481980</rcv_msg_id>", "", 400, "missing parameter rcv_msg_id"),
        ("<id>789412</id>", "", 400, "missing parameter id"),
        ("<text>Test SMS</text>", "", 400, "missing parameter text"),
        ("<text>Test SMS</text>", "<text>x</text><type>utf8</type>", 400, "unknown type"),
        ("<username>demo", "<username>test", 401, "unknown username/password"),
        ("<password>demo", "<password>test", 401, "unknown username/password"),
        ("421901727053", "421901720103", 500, "unknown error"),
        ("<id>789412</id>", "<id>123456</id>", 500, "unknown error: id is not unique"),
        ("<billkey>1234</billkey>", "", 500, "unknown error: billkey or from is missing"),
    ],
)
def test_the_table_of_errors(naimar: Naimar, old: str, new: str, status: int, description: str) -> None:
    assert old in SAMPLE
    assert told(post(naimar, SAMPLE.replace(old, new))) == (status, description, "0")
    assert naimar.counts.processed == 0
    assert naimar.pushes == []


def test_no_recipients(naimar: Naimar) -> None:
    head, _, rest = SAMPLE.partition("<recipients>")
    body = f"{head}<recipients>{rest.partition('</recipients>')[1]}</sms>"
    assert told(post(naimar, body)) == (400, "missing parameter recipients", "0")


@pytest.mark.parametrize("body", ["", "<sms>", "<sms><other/></sms>", SAMPLE.replace("<text>", "<flash/><text>")])
def test_what_nobody_can_read(naimar: Naimar, body: str) -> None:
    assert post(naimar, body).status == 500


@pytest.mark.parametrize(
    ("text", "kind", "good"),
    [
        ("x" * 160, "", True),
        ("x" * 161, "", False),
        ("0605" * 70, "<type>binary</type><dcs>245</dcs><esm>64</esm>", True),
        ("0605" * 71, "<type>binary</type>", False),
        ("text", "<type>binary</type>", False),
        ("x", "<delivery>2012-11-05 16:01:22</delivery>", True),
        ("x", "<delivery>tomorrow</delivery>", False),
        ("x", "<dcs>x</dcs>", False),
    ],
)
def test_limits_of_the_message(naimar: Naimar, text: str, kind: str, good: bool) -> None:
    answer = post(naimar, SAMPLE.replace("<text>Test SMS</text>", f"<text>{text}</text>{kind}"))
    assert (answer.status == 200) is good


@pytest.mark.parametrize("status", ["2", "3", "5", "8", "127"])
def test_every_status_is_pushed(naimar: Naimar, status: str) -> None:
    number = f"42190172{200 + int(status):04}"
    naimar.incoming(Reply(source=number, destination="7401", text="GO"), NOON)
    body = SAMPLE.replace("421901727053", number).replace("25481980", "25481982")
    assert told(post(naimar, body))[0] == 200
    assert [query(push)["status"] for push in naimar.pushes] == ["2", status]


PLAIN_SAMPLE = (
    "<sms><username>demo</username><password>demo</password><message><sender>SHOP</sender><text>Hi</text></message>"
    "<recipients><recipient><id>1</id><msisdn>421901727051</msisdn></recipient>"
    "<recipient><msisdn>421901727053</msisdn><text>Own</text></recipient></recipients></sms>"
)


def test_plain_messages_need_no_id(naimar: Naimar) -> None:
    assert told(post(naimar, PLAIN_SAMPLE, PLAIN)) == (200, "OK", "2")
    assert [message.text for message in naimar.messages.values()] == ["Hi", "Own"]
    assert [query(push) for push in naimar.pushes] == [{"id": "1", "time": "2026-11-22 12:00:10", "status": "2"}]


@pytest.mark.parametrize(
    ("sender", "description"),
    [("TwelveLetter", "sender must have 11 characters or less"), ("a b", "unknown sender")],
)
def test_senders(naimar: Naimar, sender: str, description: str) -> None:
    assert told(post(naimar, PLAIN_SAMPLE.replace("SHOP", sender), PLAIN)) == (400, description, "0")


def test_by_get(naimar: Naimar) -> None:
    fields = {"username": "demo", "password": "demo", "text": "Hi", "msisdn": "421901727051", "id": "5"}
    assert naimar.answer(get(GET, **fields)).body == b"OK"
    again = naimar.answer(get(GET, **fields))
    assert (again.status, again.body) == (500, b"ERROR 500, unknown error: id is not unique")
    wrong = naimar.answer(get(GET, **{**fields, "password": "x"}))
    assert (wrong.status, wrong.body) == (401, b"ERROR 401, unknown username/password")
    assert naimar.answer(get("/other")).status == 404


def test_what_a_subscriber_writes(naimar: Naimar) -> None:
    text = naimar.incoming(Reply(source="421905123456", destination="7401", text="Test Message"), NOON)
    assert query(text) == {
        "id": "25481983",
        "rcv_msg_id": "25481982",
        "time": "2026-11-22 12:00:00",
        "msisdn": "421905123456",
        "text": "Test Message",
        "source": "7401",
        "type": "sms",
        "operator": "M",
    }
    assert "Test%20Message" in text.query
    binary = query(naimar.incoming(Reply(source="421905123456", destination="7401", text="", data="0605"), NOON))
    assert (binary["type"], binary["text"], binary["dcs"], binary["esm"]) == ("binsms", "0605", "245", "64")
