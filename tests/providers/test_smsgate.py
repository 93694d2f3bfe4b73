"""The smsgate platform: the samples of its documents at each door, every error and every state, as tables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.dispatch.routing import NO_ROUTE
from smppbridge.model import Incoming, Kind, Message, Progress, Sms, Social, Stage, StatusReport, Viber
from smppbridge.providers import registry
from smppbridge.providers.base import (
    BadCallback,
    Callback,
    InDoubt,
    NotFound,
    Outcome,
    Refused,
    Sent,
    Temporary,
    Unable,
    WhenInDoubt,
)
from smppbridge.providers.smsgate import Smsgate
from smppbridge.providers.smsgate.answers import CHANNEL_NAMES, ERRORS, NOT_ACCEPTED, REPEATED, SENT_BEFORE, STATES
from smppbridge.providers.smsgate.doors import MAX_URL
from smppbridge.providers.smsgate.wording import LONGEST_NUMBER, LONGEST_TEXT

NOW = 1_800_000_000_000
MINUTE = 60_000
PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "smsgate.md").read_text(encoding="utf-8")

DOORS = pytest.mark.parametrize("door", ["json", "xml", "get"])
DOCUMENTS = pytest.mark.parametrize("door", ["json", "xml"])

SENT = Progress(stage=Stage.SENT, ref="1179038981", provider="main")


def smsgate(door: str = "json", **settings: Any) -> Smsgate:
    own = {"base_url": "https://lk.example.com/", "login": "login", "password": "password", "door": door, **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "smsgate", **own}))
    assert isinstance(provider, Smsgate)
    return provider


def answer(body: str | bytes, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=body, headers=headers)


def query(request: httpx.Request) -> dict[str, str]:
    pairs = parse_qsl(request.url.query.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def only_message(request: httpx.Request) -> dict[str, Any]:
    """The one `message` of a JSON request."""
    (message,) = json.loads(request.content)["message"]
    assert isinstance(message, dict)
    return message


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"base_url": "lk.example.com"}, "base_url"),
        ({"base_url": "https://lk.example.com"}, "base_url"),
        ({"password": ""}, "(the table)"),
        ({"login": ""}, "(the table)"),
        ({"door": "soap"}, "door"),
        ({"channels": {"viber": ["viber", "viber"]}}, "channels.viber"),
        ({"channels": {"viber": ["pager"]}}, "channels.viber.0"),
        ({"channels": {"mail": ["sms"]}}, "channels.mail"),
        ({"channels": {"sms": [], "viber": []}}, "(the table)"),
        ({"channels": {"soc": ["vk"]}}, "(the table)"),
        ({"button_text": "Open"}, "(the table)"),
        ({"button_url": "https://shop.example.com/"}, "(the table)"),
        ({"image_url": "https://shop.example.com/1.jpg"}, "(the table)"),
        ({"button_text": "x" * 20, "button_url": "https://shop.example.com/"}, "button_text"),
        ({"template_data": {"a name": "x"}}, "template_data"),
        ({"template_data": {"": "x"}}, "template_data"),
    ],
)
def test_settings_that_do_not_fit_are_named(own, problem):
    with pytest.raises(registry.BadSettings) as bad:
        smsgate(**own)
    assert list(bad.value.problems) == [problem]


def test_a_token_is_enough():
    assert smsgate(login="", password="", token="hush").secrets() == ("hush",)


@pytest.mark.parametrize(
    ("channels", "kinds"),
    [
        ({}, {Kind.SMS, Kind.VIBER}),
        ({"soc": ["vk", "sms"]}, {Kind.SMS, Kind.VIBER, Kind.SOCIAL}),
        ({"sms": []}, {Kind.VIBER}),
    ],
)
def test_it_carries_what_has_channels(channels, kinds):
    assert smsgate(channels=channels, template_id="1").kinds == kinds
    # Another provider of the same kind is not touched.
    assert Smsgate.kinds == {Kind.SMS, Kind.VIBER, Kind.SOCIAL}


def test_what_has_no_channels_is_never_put_into_words(message):
    with pytest.raises(ValueError, match="soc has no channels"):
        smsgate().send([message(command=Social(text="x"))])


@pytest.mark.parametrize(
    ("door", "in_doubt", "batch"),
    [("json", WhenInDoubt.REPEAT, 100), ("xml", WhenInDoubt.REPEAT, 100), ("get", WhenInDoubt.GIVE_UP, 1)],
)
def test_what_each_door_allows(door, in_doubt, batch, message):
    provider = smsgate(door)
    assert (provider.when_in_doubt, provider.batch, provider.ask_batch) == (in_doubt, batch, batch)
    assert provider.reference(message(7)) == ("" if door == "get" else "7")


def test_the_key_of_a_second_leg_is_another_one(message):
    first, second = message(7), message(7, progress=Progress(leg=1))
    assert smsgate().reference(first) != smsgate().reference(second)


# The samples of the documents: requests ------------------------------------------------------------------------------

#: What makes the first message of the samples. A message has one text, so that both texts of the samples are the same;
#: `time_send` is left out of them, for a message that is scheduled waits in the gateway.
CASCADE = {
    "channels": {"viber": ["viber", "vk", "sms"]},
    "name_delivery": "НАЗВАНИЕ_РАССЫЛКИ",
    "sender_viber": "ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР",
    "button_text": "ТЕКСТ_КНОПКИ",
    "button_url": "ССЫЛКА_КНОПКИ",
    "image_url": "ИЗОБРАЖЕНИЕ",
    "validity_period_viber": "1h",
    "finale_viber_read": True,
    "sender_sms": "ИМЯ_ОТПРАВИТЕЛЯ_СМС",
    "template_id": "100",
    "template_data": {"Name": "Имя", "Where": "Москва"},
}
#: The second and the third. The third says nothing of channels and has no number, which ours always do.
VIBER_2 = {"name_delivery": "НАЗВАНИЕ_РАССЫЛКИ_2", "sender_viber": "ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_2"}
VIBER_3 = {"name_delivery": "НАЗВАНИЕ_РАССЫЛКИ_3", "sender_viber": "ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_3"}

JSON_SAMPLES = [
    (
        CASCADE,
        [("ТЕКСТ", "79801234567", 111), ("ТЕКСТ", "79800000001", 112)],
        """{ "send_viber":"1", "send_vk":"2", "send_sms":"3", "name_delivery":"НАЗВАНИЕ_РАССЫЛКИ",
        "sender_viber":"ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР", "text_viber":"ТЕКСТ", "button_text":"ТЕКСТ_КНОПКИ",
        "button_url":"ССЫЛКА_КНОПКИ", "image_url":"ИЗОБРАЖЕНИЕ", "validity_period_viber":"60", "finale_viber_read":"1",
        "sender_sms":"ИМЯ_ОТПРАВИТЕЛЯ_СМС", "text_sms":"ТЕКСТ", "templateId":"100",
        "templateData":{ "Name":"Имя", "Where":"Москва" },
        "phones":[ {"phone":"79801234567","client_id_message":"111"},
                   {"phone":"79800000001","client_id_message":"112"} ] }""",
    ),
    (
        VIBER_2,
        [("ТЕКСТ_ВАЙБЕР_2", "79800000002", 113)],
        """{ "send_viber":"1", "name_delivery":"НАЗВАНИЕ_РАССЫЛКИ_2", "sender_viber":"ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_2",
        "text_viber":"ТЕКСТ_ВАЙБЕР_2", "phones":[ {"phone":"79800000002","client_id_message":"113"} ] }""",
    ),
    (
        VIBER_3,
        [("ТЕКСТ_ВАЙБЕР_3", "79800000003", 114)],
        """{ "send_viber":"1", "name_delivery":"НАЗВАНИЕ_РАССЫЛКИ_3", "sender_viber":"ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_3",
        "text_viber":"ТЕКСТ_ВАЙБЕР_3", "phones":[ {"phone":"79800000003","client_id_message":"114"} ] }""",
    ),
]

XML_SAMPLES = [
    (
        CASCADE,
        [("ТЕКСТ", "79801234567", 111), ("ТЕКСТ", "79800000001", 112)],
        "<message> <send_viber>1</send_viber> <send_vk>2</send_vk> <send_sms>3</send_sms> "
        "<name_delivery>НАЗВАНИЕ_РАССЫЛКИ</name_delivery> <sender_viber>ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР</sender_viber> "
        "<text_viber>ТЕКСТ</text_viber> <button_text>ТЕКСТ_КНОПКИ</button_text> "
        "<button_url>ССЫЛКА_КНОПКИ</button_url> <image_url>ИЗОБРАЖЕНИЕ</image_url> "
        "<validity_period_viber>60</validity_period_viber> <finale_viber_read>1</finale_viber_read> "
        "<sender_sms>ИМЯ_ОТПРАВИТЕЛЯ_СМС</sender_sms> <text_sms>ТЕКСТ</text_sms> <templateId>100</templateId> "
        "<templateData> <Name>Имя</Name> <Where>Москва</Where> </templateData> "
        '<abonent phone="79801234567" client_id_message="111" /> '
        '<abonent phone="79800000001" client_id_message="112" /> </message>',
    ),
    (
        VIBER_2,
        [("ТЕКСТ_ВАЙБЕР_2", "79800000002", 113)],
        "<message> <send_viber>1</send_viber> <name_delivery>НАЗВАНИЕ_РАССЫЛКИ_2</name_delivery> "
        "<sender_viber>ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_2</sender_viber> <text_viber>ТЕКСТ_ВАЙБЕР_2</text_viber> "
        '<abonent phone="79800000002" client_id_message="113" /> </message>',
    ),
    (
        VIBER_3,
        [("ТЕКСТ_ВАЙБЕР_3", "79800000003", 114)],
        "<message> <send_viber>1</send_viber> <name_delivery>НАЗВАНИЕ_РАССЫЛКИ_3</name_delivery> "
        "<sender_viber>ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР_3</sender_viber> <text_viber>ТЕКСТ_ВАЙБЕР_3</text_viber> "
        '<abonent phone="79800000003" client_id_message="114" /> </message>',
    ),
]

DECLARATION = '<?xml version="1.0" encoding="utf-8" ?>'
SECURITY = '<security> <login value="login" /> <password value="password" /> </security>'


def joined_up(document: str) -> bytes:
    """A sample without the blanks that stand for its line breaks, and with the empty elements as XML writes them."""
    return re.sub(r">\s+<", "><", document).replace(" />", "/>").encode()


def viber_messages(message, recipients: Sequence[tuple[str, str, int]]) -> list[Message]:
    return [message(id, command=Viber(text=text), destination=phone) for text, phone, id in recipients]


@pytest.mark.parametrize(("settings", "recipients", "sample"), JSON_SAMPLES)
def test_the_json_samples(message, settings, recipients, sample):
    request = smsgate("json", **settings).send(viber_messages(message, recipients))
    assert request.method == "POST"
    assert str(request.url) == "https://lk.example.com/sendmessagejson.php"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    sample = f'{{ "login":"login", "password":"password", "message":[ {sample} ] }}'
    # Octet by octet, but for the blanks: the same fields in the same order, in UTF-8.
    assert request.content == msgspec.json.encode(json.loads(sample))


@pytest.mark.parametrize(("settings", "recipients", "sample"), XML_SAMPLES)
def test_the_xml_samples(message, settings, recipients, sample):
    request = smsgate("xml", **settings).send(viber_messages(message, recipients))
    assert request.method == "POST"
    assert str(request.url) == "https://lk.example.com/xml/message.php"
    assert request.headers["content-type"] == "text/xml; charset=utf-8"
    assert request.content == joined_up(f"{DECLARATION} <request> {SECURITY} {sample} </request>")


def test_the_get_sample(message):
    settings = {**CASCADE, "finale_viber_read": False}
    one = message(command=Viber(text="ТЕКСТ"), destination="79000000001")
    request = smsgate("get", **settings).send([one])
    assert request.method == "GET"
    assert request.content == b""
    assert str(request.url).startswith("https://lk.example.com/sendmessage.php?login=login&password=password&phone=")
    assert request.url.query.isascii()
    sample = (
        "login=login&password=password&phone=79000000001&send_viber=1&sender_viber=ИМЯ_ОТПРАВИТЕЛЯ_ВАЙБЕР"
        "&text_viber=ТЕКСТ&button_text=ТЕКСТ_КНОПКИ&button_url=ССЫЛКА_КНОПКИ&image_url=ИЗОБРАЖЕНИЕ&send_sms=3"
        "&sender_sms=ИМЯ_ОТПРАВИТЕЛЯ_СМС&text_sms=ТЕКСТ&validity_period_viber=60&finale_viber_read=0&send_vk=2"
        '&templateId=100&templateData={"Name":"Имя","Where":"Москва"}'
    )
    assert list(query(request).items()) == [tuple(pair.split("=", 1)) for pair in sample.split("&")]


def test_the_samples_of_status_requests(message):
    asked = [message(n, progress=Progress(stage=Stage.SENT, ref=str(110 + n))) for n in (1, 2, 3)]
    request = smsgate("json").ask(asked[:2])
    assert str(request.url) == "https://lk.example.com/sendmessagejson.php"
    sample = '{ "login":"login", "password":"password", "state":[ {"id_message":"111"}, {"id_message":"112"} ] }'
    assert request.content == msgspec.json.encode(json.loads(sample))

    request = smsgate("xml").ask(asked)
    assert str(request.url) == "https://lk.example.com/xml/state_message.php"
    ids = "<id_message>111</id_message> <id_message>112</id_message> <id_message>113</id_message>"
    assert request.content == joined_up(f"{DECLARATION} <request> {SECURITY} <state> {ids} </state> </request>")

    request = smsgate("get").ask(asked[:1])
    expected = "https://lk.example.com/sendmessage.php?login=login&password=password&id_message=111"
    assert str(request.url) == expected


# What is sent --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "sends"),
    [
        (["sms"], {"send_sms": "1"}),
        (["viber", "sms"], {"send_viber": "1", "send_sms": "2"}),
        (["sms", "viber"], {"send_viber": "2", "send_sms": "1"}),
        (
            ["vk", "whatsapp", "viber", "sms"],
            {"send_vk": "1", "send_whatsapp": "2", "send_viber": "3", "send_sms": "4"},
        ),
    ],
)
def test_the_order_of_channels(message, order, sends):
    provider = smsgate(channels={"sms": order}, template_id="1")
    told = only_message(provider.send([message()]))
    assert {name: value for name, value in told.items() if name.startswith("send_")} == sends
    texts = {"sms": "text_sms", "viber": "text_viber", "whatsapp": "text_whatsapp", "vk": "templateId"}
    assert {channel for channel, name in texts.items() if name in told} == set(order)


def test_each_kind_has_its_channels(message):
    provider = smsgate(channels={"viber": ["viber", "sms"], "soc": ["vk"]}, template_id="1")
    for command, sends in [
        (Sms(text="x"), {"send_sms"}),
        (Sms(text="x", flash=True), {"send_sms"}),
        (Viber(text="x"), {"send_viber", "send_sms"}),
        (Social(text="x"), {"send_vk"}),
    ]:
        told = only_message(provider.send([message(command=command)]))
        assert {name for name in told if name.startswith("send_")} == sends


def test_a_message_by_whatsapp(message):
    provider = smsgate(
        channels={"viber": ["whatsapp"]},
        sender_whatsapp="Shop",
        image_url_whatsapp="https://shop.example.com/1.jpg",
        validity_period_whatsapp="30m",
    )
    told = only_message(provider.send([message(command=Viber(text="Hello"))]))
    told.pop("phones")
    assert told == {
        "send_whatsapp": "1",
        "sender_whatsapp": "Shop",
        "text_whatsapp": "Hello",
        "image_url_whatsapp": "https://shop.example.com/1.jpg",
        "validity_period_whatsapp": "30",
    }


@pytest.mark.parametrize(
    ("source", "settings", "viber", "sms"),
    [
        ("SHOP", {}, "SHOP", "SHOP"),
        ("SHOP", {"sender": "OTHER"}, "SHOP", "SHOP"),
        ("", {"sender": "OTHER"}, "OTHER", "OTHER"),
        ("SHOP", {"sender_viber": "The shop"}, "The shop", "SHOP"),
        ("SHOP", {"sender_sms": "S"}, "SHOP", "S"),
        ("", {}, None, None),
    ],
)
def test_who_sends(message, source, settings, viber, sms):
    provider = smsgate(channels={"sms": ["viber", "sms"]}, **settings)
    told = only_message(provider.send([message(source=source)]))
    assert (told.get("sender_viber"), told.get("sender_sms")) == (viber, sms)


@pytest.mark.parametrize(
    ("destination", "phone"),
    [
        ("79991234567", "79991234567"),
        ("+79991234567", "79991234567"),
        ("00380442589632", "380442589632"),
        # A second recipient cannot be slipped in.
        ("79991234567,7999", "799912345677999"),
    ],
)
@DOORS
def test_to_whom_it_goes(message, door, destination, phone):
    request = smsgate(door).send([message(destination=destination)])
    told = query(request)["phone"] if door == "get" else re.findall(r'phone"?[:=]"(\d+)"', request.content.decode())[0]
    assert told == phone


@pytest.mark.parametrize(
    ("fields", "objection"),
    [
        ({"destination": "79991234567"}, None),
        ({"destination": "12345678901234"}, None),
        ({"destination": "123456789012345"}, Refused(reason="the number has not 1 to 14 digits", err=249)),
        ({"destination": "shop"}, Refused(reason="the number has not 1 to 14 digits", err=249)),
        ({"command": Viber(text="я" * 1000)}, None),
        ({"command": Viber(text="я" * 1001)}, Unable(reason="1001 characters are too many for viber")),
        ({"command": Social(text="я" * 1001)}, Unable(reason="1001 characters are too many for whatsapp")),
        ({"command": Sms(text="я" * 1001)}, None),
    ],
)
def test_what_the_documents_rule_out_is_not_sent(message, fields, objection):
    provider = smsgate(channels={"viber": ["viber", "sms"], "soc": ["vk", "whatsapp"]}, template_id="1")
    assert provider.objection(message(**fields)) == objection


@pytest.mark.parametrize(
    ("setting", "left", "minutes"),
    [
        (0, 24 * 60, None),
        (0, 60, None),
        (0, 59, "59"),
        (0, 0.5, "1"),
        ("10m", 24 * 60, "10"),
        ("10m", 5, "5"),
        ("90s", 24 * 60, "1"),
        ("30s", 24 * 60, "1"),
        ("2h", 24 * 60, "120"),
    ],
)
def test_how_long_viber_is_tried(message, setting, left, minutes):
    # Scheduled, or tried again: from then on.
    for due in (0, NOW + MINUTE):
        expires = max(due, NOW) + int(left * MINUTE)
        one = message(command=Viber(text="x"), accepted_at=NOW, expires=expires, progress=Progress(due=due))
        told = only_message(smsgate(validity_period_viber=setting).send([one]))
        assert told.get("validity_period_viber") == minutes


def test_the_text_in_a_template(message):
    data = {"Name": "Shop", "Text": "We say: {text} {text}", "Braces": "{name}"}
    settings = {"channels": {"soc": ["vk"]}, "template_id": "100", "template_data": data}
    filled = {"Name": "Shop", "Text": 'We say: "{Hi}"\n "{Hi}"\n', "Braces": "{name}"}
    one = message(command=Social(text='"{Hi}"\n'))
    assert only_message(smsgate("json", **settings).send([one]))["templateData"] == filled
    assert json.loads(query(smsgate("get", **settings).send([one]))["templateData"]) == filled
    document = etree.fromstring(smsgate("xml", **settings).send([one]).content)
    told = {child.tag: child.text for child in document.find("message/templateData")}
    assert told == {name: value.replace("\n", "\\n") for name, value in filled.items()}


def test_messages_that_differ_only_in_their_recipients_share_a_message(message):
    several = [
        message(1, command=Sms(text="one")),
        message(2, command=Sms(text="two")),
        message(3, command=Sms(text="one")),
        message(4, command=Sms(text="one"), source="OTHER"),
        message(5, command=Viber(text="one")),
        # The same recipient twice: each has its number.
        message(6, command=Sms(text="one"), destination=message(1).destination),
    ]
    provider = smsgate()
    assert len({provider.rides_with(one) for one in several}) == 1
    told = json.loads(provider.send(several).content)["message"]
    assert [[one["client_id_message"] for one in each["phones"]] for each in told] == [
        ["1", "3", "6"],
        ["2"],
        ["4"],
        ["5"],
    ]
    document = etree.fromstring(smsgate("xml").send(several).content)
    ids = [[one.get("client_id_message") for one in each.iter("abonent")] for each in document.iter("message")]
    assert ids == [["1", "3", "6"], ["2"], ["4"], ["5"]]


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\ntwo", "one\rtwo"])
def test_an_xml_document_has_no_line_breaks(message, text):
    content = smsgate("xml").send([message(command=Sms(text=text))]).content
    assert b"<text_sms>one\\ntwo</text_sms>" in content
    assert not re.search(rb"[\r\n]", content)


_texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(text=_texts)
def test_any_text_arrives(message, text):
    one = message(command=Sms(text=text))
    assert only_message(smsgate("json").send([one]))["text_sms"] == text
    assert query(smsgate("get").send([one]))["text_sms"] == text
    content = smsgate("xml").send([one]).content
    assert not re.search(rb"[\r\n]", content)
    arrived = etree.fromstring(content).findtext("message/text_sms") or ""
    kept = "".join(c for c in text.replace("\r\n", "\n") if c >= " " or c in "\t\n\r")
    assert arrived == re.sub(r"[\ufffe\uffff]", "", re.sub(r"[\r\n]", r"\\n", kept))


@DOORS
def test_a_token_stands_for_login_and_password(message, door):
    provider = smsgate(door, token="hush")
    one = message(progress=SENT)
    for request in (provider.send([one]), provider.ask([one]), provider.balance()):
        assert request.headers["authorization"] == "Bearer hush"
        told = f"{request.url} {request.content.decode()}"
        assert not re.search(r"hush|login|password|security|user|pwd", told)
    without = smsgate(door).send([one])
    assert "authorization" not in without.headers


@pytest.mark.parametrize("longer", [0, 1])
def test_an_address_that_would_be_too_long_is_not_used(message, longer):
    """The message goes by the JSON door then, and its answer is read as that door answers."""
    provider = smsgate("get")
    rest = len(str(provider.send([message(command=Sms(text="x"))]).url)) - 1
    one = message(command=Sms(text="x" * (MAX_URL - rest + longer)))
    request = provider.send([one])
    taken = '{"message":[[{"id_message":"7","client_id_message":"1"}]]}'
    if longer:
        assert str(request.url) == "https://lk.example.com/sendmessagejson.php"
        assert provider.sent([one], answer(taken)) == [Sent(ref="7")]
    else:
        assert len(str(request.url)) == MAX_URL
        assert provider.sent([one], answer("7")) == [Sent(ref="7")]


# The samples of the documents: answers -------------------------------------------------------------------------------

JSON_TAKEN = """{ "message":[ [
  {"id_message":"1179038981","client_id_message":"1","phone":"79000015555","count_message":"2","id_viber":"0",
   "id_sms":"5","id_vk":"0"},
  {"client_id_message":"2","phone":"79000025555","error":"Номер телефона присутствует в стоп-листе."} ],
 [ {"id_message":"1179038982","client_id_message":"3","phone":"79000035555","count_message":"1","id_viber":"0",
    "id_sms":"6","id_vk":"0"} ],
 {"error":"Нет отправителя."} ] }"""

XML_TAKEN = """<?xml version="1.0" encoding="utf-8" ?> <response> <message>
 <information id_message="1179038981" client_id_message="1" id_sms="5" id_viber="0" id_vk="0" phone="79000015555"
  count_message="2">send</information>
 <information client_id_message="2" phone="79000025555">Номер телефона присутствует в стоп-листе.</information>
 </message> <message>
 <information id_message="1179038982" client_id_message="3" id_sms="6" id_viber="0" id_vk="0" phone="79000035555"
  count_message="1">send</information> </message>
 <message> <error>Нет отправителя.</error> </message> </response>"""


def four(message) -> list[Message]:
    """Two with one text, and two with texts of their own."""
    texts = ["one", "one", "two", "three"]
    return [message(n, command=Sms(text=text)) for n, text in enumerate(texts, 1)]


@pytest.mark.parametrize(("door", "taken"), [("json", JSON_TAKEN), ("xml", XML_TAKEN)])
def test_the_samples_of_answers(message, door, taken):
    assert smsgate(door).sent(four(message), answer(taken)) == [
        Sent(ref="1179038981", parts=2),
        Refused(reason="Номер телефона присутствует в стоп-листе.", err=252),
        Sent(ref="1179038982", parts=1),
        Unable(reason="Нет отправителя.", err=254),
    ]


def test_the_samples_of_plain_answers(message):
    provider = smsgate("get")
    assert provider.sent([message()], answer("1179038981")) == [Sent(ref="1179038981")]
    assert provider.sent([message()], answer("\ufeff1179038981\r\n")) == [Sent(ref="1179038981")]
    # One number a request: two ids are not its answer.
    (outcome,) = provider.sent([message()], answer("1178440060,1178440061"))
    assert outcome == InDoubt(reason="HTTP 200: 1178440060,1178440061")


@pytest.mark.parametrize("body", ["0", "00", "-5", "5 6", "٣", "send", ""])
def test_what_is_no_id(message, body):
    (outcome,) = smsgate("get").sent([message()], answer(body))
    assert type(outcome) is InDoubt


def test_a_number_in_place_of_a_page_is_no_id(message):
    (outcome,) = smsgate("get").sent([message()], answer("502", 502))
    assert outcome == InDoubt(reason="HTTP 502: 502")


@pytest.mark.parametrize(("count", "channels"), [("3", ["viber", "sms"]), ("0", ["sms"]), ("many", ["sms"])])
def test_parts_are_those_of_an_sms_that_goes_first(message, count, channels):
    body = {"message": [[{"id_message": 7, "client_id_message": 1, "count_message": count}]]}
    provider = smsgate(channels={"sms": channels})
    assert provider.sent([message()], answer(json.dumps(body))) == [Sent(ref="7")]


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        # Nobody is mentioned.
        ("[]", [InDoubt, InDoubt, InDoubt, InDoubt]),
        # One answer too few: nobody knows whose the error is.
        (
            '[[{"id_message":"7","client_id_message":"1"}],{"error":"Нет отправителя."}]',
            [Sent, InDoubt, InDoubt, InDoubt],
        ),
        # Enough, but somebody stands in the place of another.
        (
            '[[{"id_message":"7","client_id_message":"3"}],{"error":"Нет отправителя."},{"error":"Нет отправителя."}]',
            [InDoubt, InDoubt, Sent, InDoubt],
        ),
        # Neither an id nor an error; an id that is none; an id of nobody.
        (
            '[[{"client_id_message":"1"},{"client_id_message":"2","id_message":"0"}],[{"id_message":"9"}],[]]',
            [InDoubt, InDoubt, InDoubt, InDoubt],
        ),
        # A single recipient need not stand in a list.
        ('[{"id_message":"7","client_id_message":"1"},[],{"id_message":"8","client_id_message":"4"}]', None),
        ('[{"client_id_message":"2","error":"Нет отправителя."}]', [InDoubt, Unable, InDoubt, InDoubt]),
    ],
)
def test_what_an_answer_leaves_out_is_in_doubt(message, taken, expected):
    outcomes = smsgate().sent(four(message), answer(f'{{"message":{taken}}}'))
    assert [type(outcome) for outcome in outcomes] == (expected or [Sent, InDoubt, InDoubt, Sent])


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_answers_for_a_recipient_the_one_with_an_id_counts(message, reverse):
    items = [{"client_id_message": "1", "id_message": "7"}, {"client_id_message": "1", "error": "Нет отправителя."}]
    body = json.dumps({"message": [items[::-1] if reverse else items]})
    assert smsgate().sent([message()], answer(body)) == [Sent(ref="7")]


@pytest.mark.parametrize("word", ["send", "Send", *STATES])
def test_a_state_in_place_of_an_error_is_none(message, word):
    """xml/message.php: a status or an error. A status says that there is a message, also where its id is missing."""
    told = f'<response><message><information client_id_message="1"{{}}>{word}</information></message></response>'
    provider = smsgate("xml")
    assert provider.sent([message()], answer(told.format(' id_message="7"'))) == [Sent(ref="7")]
    assert provider.sent([message()], answer(told.format(""))) == [InDoubt(reason="neither an id nor an error")]


def test_an_error_beside_an_id_is_for_the_status_to_decide(message):
    queued = next(text for text in ERRORS if text.startswith("Недостаточно средств"))
    item = {"id_message": "7", "client_id_message": "1", "error": queued}
    assert smsgate().sent([message()], answer(json.dumps({"message": [[item]]}))) == [Sent(ref="7")]
    told = f'<information id_message="7" client_id_message="1">{queued}</information>'
    body = f"<response><message>{told}</message></response>"
    assert smsgate("xml").sent([message()], answer(body.encode())) == [Sent(ref="7")]


# Errors --------------------------------------------------------------------------------------------------------------

EXPECTED: dict[str, Outcome] = {
    "Неправильный формат XML документа": Unable(reason=""),
    "Неправильный формат JSON документа": Unable(reason=""),
    "Ваш аккаунт заблокирован": Unable(reason="", everything=True),
    "Неправильный логин или пароль": Unable(reason="", everything=True),
    "POST данные отсутствуют": Unable(reason="", everything=True),
    "У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.": Unable(reason="", everything=True),
    "Закончились SMS.": Unable(reason="", everything=True),
    "Аккаунт заблокирован.": Unable(reason="", everything=True),
    "Укажите номер телефона.": Refused(reason="", err=249),
    "Номер телефона присутствует в стоп-листе.": Refused(reason="", err=252),
    "Данное направление закрыто для вас.": Unable(reason="", err=248),
    "Данное направление закрыто.": Unable(reason="", err=248),
    "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет по данному "
    "направлению.": InDoubt(reason=""),
    "Текст SMS отклонен модератором.": Refused(reason="", err=253),
    "Нет отправителя.": Unable(reason="", err=254),
    "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для буквенно-числовых.": (
        Refused(reason="", err=254)
    ),
    "Номер телефона должен быть меньше 15 символов.": Refused(reason="", err=249),
    "Нет текста сообщения.": Refused(reason=""),
    "Нет ссылки.": Unable(reason=""),
    "Такого отправителя Нет.": Unable(reason="", err=254),
    "Отправитель не прошел модерацию.": Unable(reason="", err=254),
    "Данное сообщение уже было отправлено.": Sent(ref="1"),
    "Попытка отправки более одного одинакового запроса в течение минуты": Temporary(reason="", retry_after=60),
}


def answers_with(text: str, door: str) -> list[httpx.Response]:
    """The same error wherever it can stand."""
    if door == "get":
        return [answer(text), answer(text + "\n"), answer(f"error: {text}")]
    if door == "json":
        bodies: list[Any] = [
            {"error": text},
            {"message": [{"error": text}]},
            {"message": [[{"client_id_message": "1", "phone": "79000015555", "error": text}]]},
        ]
        return [answer(json.dumps(body)) for body in bodies]
    inside = [
        f"<error>{text}</error>",
        f"<message> <error>{text}</error> </message>",
        f'<message> <information client_id_message="1" phone="79000015555">{text}</information> </message>',
    ]
    return [answer(f'<?xml version="1.0" encoding="utf-8"?> <response>{one}</response>'.encode()) for one in inside]


@DOORS
@pytest.mark.parametrize("text", EXPECTED)
def test_every_error(message, door, text):
    for variant in (text, text.rstrip("."), text.upper()):
        for response in answers_with(variant, door):
            (outcome,) = smsgate(door).sent([message()], response)
            if text == SENT_BEFORE and door == "get":
                # Without a number of ours it is any message with the same text.
                assert type(outcome) is Refused
            elif isinstance(outcome, Sent):
                assert outcome == EXPECTED[text]
            else:
                assert "error" in outcome.reason or outcome.reason == variant
                assert msgspec.structs.replace(outcome, reason="") == EXPECTED[text]


def test_every_error_is_in_the_table():
    assert set(EXPECTED) == {*ERRORS, SENT_BEFORE, REPEATED}


@DOCUMENTS
def test_an_error_of_one_message_that_nobody_knows_says_that_it_was_not_taken(message, door):
    whole, *of_one = answers_with("Что-то новое", door)
    assert smsgate(door).sent([message()], whole) == [InDoubt(reason="HTTP 200: Что-то новое")]
    for response in of_one:
        assert smsgate(door).sent([message()], response) == [Unable(reason="Что-то новое", err=99)]


@DOORS
@pytest.mark.parametrize(("status", "expected"), [(200, InDoubt), (401, Unable), (429, Temporary), (500, InDoubt)])
def test_an_error_of_the_request_that_nobody_knows_is_what_its_status_says(message, door, status, expected):
    response = answers_with("Что-то новое", door)[0]
    (outcome,) = smsgate(door).sent([message()], answer(response.content, status, **{"retry-after": "9"}))
    assert type(outcome) is expected
    assert outcome.reason == f"HTTP {status}: Что-то новое"
    assert not isinstance(outcome, Temporary) or outcome.retry_after == 9


@DOORS
@pytest.mark.parametrize(
    ("progress", "first"),
    [
        (Progress(stage=Stage.READY, attempts=0), True),
        (Progress(stage=Stage.SENDING, attempts=1), True),
        (Progress(stage=Stage.READY, attempts=1), False),
        (Progress(stage=Stage.SENDING, attempts=2), False),
    ],
)
def test_a_repetition_that_is_refused_tells_that_the_first_one_arrived(message, door, progress, first):
    one = message(progress=progress)
    (outcome,) = smsgate(door).sent([one], answers_with(REPEATED, door)[0])
    assert type(outcome) is (Temporary if first else InDoubt)
    (outcome,) = smsgate(door).sent([one], answers_with(SENT_BEFORE, door)[0])
    assert type(outcome) is (Sent if door != "get" else Refused if first else InDoubt)


@pytest.mark.parametrize("document", ["<response/>", "<other><error>x</error></other>", "<response>", "[]", '"x"'])
@DOCUMENTS
def test_a_document_that_is_none_of_theirs_is_doubt(message, door, document):
    assert smsgate(door).sent([message()], answer(document)) == [InDoubt(reason="HTTP 200 without a readable answer")]


# Statuses ------------------------------------------------------------------------------------------------------------

STATUSES = [
    ("send", MessageState.ENROUTE),
    ("not_deliver", MessageState.UNDELIVERABLE),
    ("expired", MessageState.EXPIRED),
    ("deliver", MessageState.DELIVERED),
    ("partly_deliver", MessageState.UNKNOWN),
    ("read", MessageState.DELIVERED),
    ("link", MessageState.DELIVERED),
    ("unsubscribe", MessageState.UNKNOWN),
]


def told(door: str, state: str, ref: str = "1179038981", **fields: str) -> httpx.Response:
    """A status as the door tells it."""
    if door == "get":
        return answer(f"{state}\n")
    item = {"id_message": ref, "time_change_state": "2017-11-23 13:15:25", **fields}
    if door == "json":
        return answer(json.dumps({"state": [{**item, "state": state}]}))
    root = etree.Element("response")
    etree.SubElement(root, "state", item).text = state
    return answer(etree.tostring(root, xml_declaration=True, encoding="utf-8"))


@DOORS
@pytest.mark.parametrize(("word", "state"), STATUSES)
def test_every_state(message, door, word, state):
    for variant in (word, word.capitalize()):
        (report,) = smsgate(door).asked([message(progress=SENT)], told(door, variant))
        channel = "sms" if state is MessageState.DELIVERED else ""
        never = word == "partly_deliver"
        err = 245 if never else 0
        assert report == StatusReport(state=state, final=never, err=err, ref="1179038981", channel=channel, raw=variant)


def test_every_state_is_in_the_table():
    assert dict(STATUSES) == STATES


@DOORS
def test_a_message_that_the_platform_does_not_have(message, door):
    fields = {"time_change_state": ""}
    (found,) = smsgate(door).asked([message(progress=SENT)], told(door, NOT_ACCEPTED, **fields))
    assert found == NotFound(reason=NOT_ACCEPTED)


@DOCUMENTS
def test_another_word_is_an_error_and_no_end(message, door):
    (report,) = smsgate(door).asked([message(progress=SENT)], told(door, "Что-то новое"))
    assert report == StatusReport(state=MessageState.UNKNOWN, ref="1179038981", raw="Что-то новое")


@DOORS
def test_a_question_that_fails_tells_nothing(message, door):
    one = message(progress=SENT)
    for page in (answer("<html>Not found</html>", 404), answer("<html>Not found</html>"), answer("")):
        assert smsgate(door).asked([one], page) == [None]
    if door == "get":
        for text in (REPEATED, f"error: {REPEATED}", "Неправильный логин или пароль", "Что-то новое"):
            assert smsgate(door).asked([one], answer(text)) == [None]
    else:
        assert smsgate(door).asked([one], answers_with("Неправильный логин или пароль", door)[0]) == [None]
        assert smsgate(door).asked([one], told(door, "")) == [None]
        assert smsgate(door).asked([one], told(door, "deliver", ref="5")) == [None]


@DOCUMENTS
def test_a_message_whose_id_nobody_told_cannot_be_asked_for(message, door):
    """That the platform knows nothing by our number does not mean that it has sent nothing."""
    provider = smsgate(door)
    for progress in (
        Progress(stage=Stage.DOUBT),
        Progress(stage=Stage.DOUBT, ref="1"),
        Progress(stage=Stage.SENT, ref="1"),
    ):
        one = message(1, progress=progress)
        assert b"1" in provider.ask([one]).content
        assert provider.asked([one], told(door, NOT_ACCEPTED, ref="1")) == [None]


@DOCUMENTS
def test_answers_find_their_messages(message, door):
    several = [message(n, progress=Progress(stage=Stage.SENT, ref=ref)) for n, ref in enumerate(("7", "8", "9"), 1)]
    if door == "json":
        response = answer('{"state":[{"id_message":9,"state":"deliver"},{"id_message":"7","state":"send"}]}')
    else:
        states = '<state id_message="9">deliver</state> <state id_message="7">send</state>'
        response = answer(f"<response> {states} </response>")
    first, second, third = smsgate(door).asked(several, response)
    assert isinstance(first, StatusReport)
    assert isinstance(third, StatusReport)
    assert (first.ref, first.state, second) == ("7", MessageState.ENROUTE, None)
    assert (third.ref, third.state) == ("9", MessageState.DELIVERED)


@DOCUMENTS
@pytest.mark.parametrize(
    ("order", "fields", "channel"),
    [
        (["viber", "sms"], {"state_viber": "deliver", "state_sms": "send", "state_vk": "send"}, "viber"),
        (["viber", "sms"], {"state_viber": "read", "state_sms": "send"}, "viber"),
        (["viber", "sms"], {"state_viber": "link"}, "viber"),
        (["viber", "sms"], {"state_viber": "not_deliver", "state_sms": "deliver"}, "sms"),
        (["viber", "sms"], {"state_viber": "unsubscribe", "state_sms": "deliver"}, "sms"),
        # Delivered and not read: the next one was tried and delivered, too.
        (["viber", "sms"], {"state_viber": "deliver", "state_sms": "deliver"}, "sms"),
        (["sms", "viber"], {"state_viber": "Deliver", "state_sms": "Deliver"}, "viber"),
        (["vk", "viber"], {"state_vk": "deliver", "state_viber": "send"}, "soc"),
        (["viber", "whatsapp"], {"state_viber": "expired", "state_whatsapp": "deliver"}, "whatsapp"),
        # By one that is no longer configured.
        (["viber", "whatsapp"], {"state_viber": "expired", "state_sms": "deliver"}, "sms"),
        (["viber", "sms"], {}, ""),
        (["viber"], {}, "viber"),
    ],
)
def test_which_channel_delivered(message, door, order, fields, channel):
    provider = smsgate(door, channels={"viber": order}, template_id="1")
    one = message(command=Viber(text="x"), progress=SENT)
    (report,) = provider.asked([one], told(door, "deliver", **fields))
    assert isinstance(report, StatusReport)
    assert (report.state, report.channel) == (MessageState.DELIVERED, channel)


def test_no_channel_is_named_for_what_was_not_delivered(message):
    (report,) = smsgate().asked([message(progress=SENT)], told("json", "send", state_viber="deliver"))
    assert isinstance(report, StatusReport)
    assert report.channel == ""
    assert report.raw == "send viber:deliver"


@DOCUMENTS
@pytest.mark.parametrize(
    ("fields", "cost", "parts"),
    [
        ({"price_sms": "1.40", "price_viber": "0.55", "price_vk": "0", "num_parts_sms": "2"}, "1.95", 2),
        ({"price_sms": "0.1", "price_viber": "0.2", "price_vk": "0.3", "price_whatsapp": "1"}, "1.6", 0),
        ({"price_sms": "", "price_viber": "0.55", "num_parts_sms": ""}, "0.55", 0),
        ({"price_sms": "0", "price_viber": "0"}, "0", 0),
        ({"price_sms": "free", "num_parts_sms": "many"}, "", 0),
        ({}, "", 0),
    ],
)
def test_price_and_parts(message, door, fields, cost, parts):
    (report,) = smsgate(door).asked([message(progress=SENT)], told(door, "deliver", **fields))
    assert isinstance(report, StatusReport)
    assert (report.cost, report.parts) == (cost, parts)


# Balance -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "url", "content", "told", "read"),
    [
        (
            "json",
            "sendsmsjson.php",
            b'{"security":{"login":"login","password":"password"},"type":"balance"}',
            '{"money":{"currency":"RUR","value":"356.1"},"sms":[{"area":"Россия","number":"10"}]}',
            "356.1 RUR",
        ),
        (
            "xml",
            "xml/balance.php",
            joined_up(f"{DECLARATION} <request> {SECURITY} </request>"),
            '<?xml version="1.0" encoding="utf-8"?><response><money currency="RUR">150</money></response>',
            "150 RUR",
        ),
        ("get", "sendsms.php?user=login&pwd=password&balance=1", b"", "444.6 RUR Россия:361,МТС:1", "444.6 RUR"),
    ],
)
def test_the_balance(door, url, content, told, read):
    provider = smsgate(door)
    request = provider.balance()
    assert str(request.url) == f"https://lk.example.com/{url}"
    assert request.content == content
    assert provider.balance_read(answer(told.encode())) == read
    # A host without that page is there all the same.
    assert provider.balance_read(answer("<html>Not found</html>", 404)) == ""
    assert provider.balance_read(answers_with("Что-то новое", door)[0]) == ""


@DOORS
def test_what_would_meet_every_message_speaks_against_the_provider(door):
    provider = smsgate(door)
    for text in ("Неправильный логин или пароль", "Ваш аккаунт заблокирован", "Закончились SMS."):
        with pytest.raises(ValueError, match=f"HTTP 200: {text}"):
            provider.balance_read(answers_with(text, door)[0])
    with pytest.raises(ValueError, match="HTTP 403"):
        provider.balance_read(answer("", 403))


# Callbacks -----------------------------------------------------------------------------------------------------------

REPLY: dict[str, Any] = {
    "message_id": "123456",
    "channel": "viber",
    "timestamp": "2023-01-01 09:00:00",
    "recipient_response": {
        "recipient": {"phone": 79001234567},
        "from": "TEST",
        "content": {"type": "text", "text": "Да, спасибо"},
    },
}


def called(query: str = "", body: object = None) -> Callback:
    content = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Callback(method="POST", path="", query=query.encode(), headers={}, body=content, peer="192.0.2.1")


@DOORS
def test_a_text_message_from_a_subscriber(door):
    query = (
        "date=2014-07-18%2000:35:00&prefix=taxi&text=taxi%20%D0%94%D0%B0&smsid=543&sender=%2B79001234567&receiver=7401"
    )
    reply = smsgate(door).callback(called(query), NOW)
    assert reply.incoming == [
        Incoming(provider="main", ref="543", source="79001234567", destination="7401", text="taxi Да", prefix="taxi")
    ]
    assert (reply.body, reply.status, reply.reports) == (b"smsid=543", 200, ())


@DOORS
def test_a_reply_in_viber(door):
    reply = smsgate(door).callback(called(body=REPLY), NOW)
    (incoming,) = reply.incoming
    assert msgspec.structs.replace(incoming, ref="") == Incoming(
        provider="main",
        ref="",
        source="79001234567",
        destination="TEST",
        text="Да, спасибо",
        at=1_672_563_600_000,
        reply_to="123456",
    )
    assert (reply.body, reply.status, reply.reports) == (b"OK", 200, ())


def test_the_same_reply_again_is_the_same_message_and_another_is_another():
    def ref(**changes: Any) -> str:
        (incoming,) = smsgate().callback(called(body={**REPLY, **changes}), NOW).incoming
        return incoming.ref

    other = {**REPLY["recipient_response"], "content": {"type": "text", "text": "Нет"}}
    assert ref() == ref(channel="other") == ref(message_id=123456)
    assert len({ref(), ref(message_id="5"), ref(timestamp="2023-01-01 09:00:01"), ref(recipient_response=other)}) == 4


def test_a_reply_that_is_no_text_is_passed_on_as_it_was_told():
    picture = {**REPLY["recipient_response"], "content": {"type": "image", "url": "https://x.example/1.jpg"}}
    (incoming,) = smsgate().callback(called(body={**REPLY, "recipient_response": picture}), NOW).incoming
    assert incoming.text == '{"type":"image","url":"https://x.example/1.jpg"}'


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", None),
        ("", b"\xff"),
        ("", []),
        ("", {"message_id": "1"}),
        ("", {**REPLY, "recipient_response": {"recipient": {}}}),
        ("text=x&sender=1", None),
        ("smsid=&sender=1", None),
        ("smsid=5%0d%0a&sender=1", None),
        ("smsid=5", None),
    ],
)
def test_what_is_neither_is_refused(query, body):
    with pytest.raises(BadCallback) as refused:
        smsgate().callback(called(query, body), NOW)
    assert refused.value.status == 400


# Whatever comes ------------------------------------------------------------------------------------------------------

_values = st.sampled_from(["", "0", "1", "2", "7", "send", "deliver", "x", "Нет отправителя.", SENT_BEFORE])
_attributes = st.dictionaries(
    st.sampled_from(["id_message", "client_id_message", "count_message", "state_sms", "price_sms"]), _values, max_size=4
)


@st.composite
def documents(draw: st.DrawFn, depth: int = 3) -> etree._Element:
    made = etree.Element(
        draw(st.sampled_from(["response", "message", "information", "error", "state"])), draw(_attributes)
    )
    made.text = draw(_values)
    if depth:
        made.extend(draw(st.lists(documents(depth - 1), max_size=3)))
    return made


@given(document=documents(), count=st.integers(1, 3))
def test_any_xml_document_gives_one_outcome_a_message(message, document, count):
    root = etree.Element("response")
    root.append(document)
    response = answer(etree.tostring(root))
    several = [message(n + 1, progress=Progress(stage=Stage.SENT, ref=str(n + 6))) for n in range(count)]
    outcomes = smsgate("xml").sent(several, response)
    assert len(outcomes) == count
    assert all(outcome.ref for outcome in outcomes if isinstance(outcome, Sent))
    assert len(smsgate("xml").asked(several, response)) == count


# The page of the documentation ---------------------------------------------------------------------------------------


def rows(title: str) -> list[list[str]]:
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_names_every_state():
    words = {
        MessageState.ENROUTE: "ENROUTE", MessageState.DELIVERED: "DELIVRD", MessageState.EXPIRED: "EXPIRED",
        MessageState.UNDELIVERABLE: "UNDELIV", MessageState.UNKNOWN: "UNKNOWN",
    }  # fmt: skip
    named = {
        word: (stat, number) for names, stat, number, _ in rows("Statuses") for word in re.findall(r"`(\w+)`", names)
    }
    assert named == {word: (f"`{words[state]}`", str(int(state))) for word, state in STATES.items()}
    assert set(CHANNEL_NAMES.values()) == set(re.findall(r"`(viber|sms|soc|whatsapp)`", PAGE))


def test_the_page_names_every_error():
    named = {text.strip("`"): tuple(rest) for text, *rest in rows("Errors") if len(rest) == 2}
    assert named == {text: said_of(meaning("")) for text, meaning in ERRORS.items()}
    for text in (SENT_BEFORE, REPEATED, NOT_ACCEPTED):
        assert text in PAGE


def said_of(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Refused(err=err):
            return "REJECTD", str(err)
        case Unable(everything=True):
            return "left alone", ""
        case Unable(err=err):
            return "another provider", str(err or NO_ROUTE)
    assert isinstance(outcome, InDoubt)
    return "in doubt", ""


def test_the_page_tells_what_each_door_allows():
    (heads,) = [line for line in PAGE.splitlines() if line.startswith("| | `json`")]
    doors = re.findall(r"`(\w+)`", heads)
    for label, attribute in (("messages in a request", "batch"), ("statuses in a request", "ask_batch")):
        (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {label}")]
        assert re.findall(r"\d+", line) == [str(getattr(smsgate(door), attribute)) for door in doors]
    for names, policy, _ in rows("Money"):
        for door in re.findall(r"`(\w+)`", names):
            assert smsgate(door).when_in_doubt in policy
    assert f"longer than {MAX_URL} characters" in PAGE
    assert f"1 to {LONGEST_NUMBER} of them" in PAGE
    assert {f"more than {most} characters" in PAGE for most in LONGEST_TEXT.values()} == {True}
