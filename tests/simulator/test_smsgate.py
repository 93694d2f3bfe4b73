"""The cascade platform, by the samples of its documents, door by door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import etree

from smppbridge.simulator.smsgate import (
    CLOSED,
    ERRORS,
    GET,
    JSON,
    LOGIN_WRONG,
    TOO_OFTEN,
    UNKNOWN_ID,
    XML,
    XML_STATE,
    Smsgate,
)
from smppbridge.simulator.vendor import Purpose, Reply, Settings

from .conftest import NOON, Asked, asked, get, words

LOGIN = {"login": "demo", "password": "demo"}
VIBER = {"send_viber": "1", "sender_viber": "Shop", "text_viber": "Hello"}
SMS = {"send_sms": "3", "sender_sms": "Shop", "text_sms": "Hello"}
VK = {"send_vk": "2", "templateId": "100", "templateData": {"Name": "Имя", "Where": "Москва"}}

#: The sample of an XML request (CascadingDoc), in one line as it must be.
XML_SAMPLE = (
    '<?xml version="1.0" encoding="utf-8" ?> <request> <security> <login value="demo" /> <password value="demo" /> '
    "</security> <message> <send_viber>1</send_viber> <send_vk>2</send_vk> <send_sms>3</send_sms> "
    "<name_delivery>НАЗВАНИЕ_РАССЫЛКИ</name_delivery> <time_send></time_send> "
    "<sender_viber>Shop</sender_viber> <text_viber>ТЕКСТ\\nВАЙБЕР</text_viber> <button_text>КНОПКА</button_text> "
    "<button_url>https://x</button_url> <image_url>https://x/y.png</image_url> "
    "<validity_period_viber>60</validity_period_viber> <finale_viber_read>1</finale_viber_read> "
    "<sender_sms>Shop</sender_sms> <text_sms>ТЕКСТ_СМС</text_sms> <templateId>100</templateId> "
    "<templateData> <Name>Имя</Name> <Where>Москва</Where> </templateData> "
    '<abonent phone="79801234567" client_id_message="111" /> <abonent phone="79800000003" client_id_message="112" /> '
    "</message> <message> <send_viber>1</send_viber> <name_delivery>2</name_delivery> "
    '<sender_viber>Shop</sender_viber> <text_viber>2</text_viber> <abonent phone="79801234568" '
    'client_id_message="113" /> </message> <message> <name_delivery>3</name_delivery> '
    "<sender_viber>Shop</sender_viber> "
    '<text_viber>3</text_viber> <abonent phone="79801234569" /> </message> </request>'
)


@pytest.fixture
def smsgate(settings: Settings) -> Smsgate:
    return Smsgate(settings)


def by_json(smsgate: Smsgate, at: float = 0, headers: dict[str, str] | None = None, **document: Any) -> Any:
    body = json.dumps({**LOGIN, **document} if headers is None else document).encode()
    content_type = {"content-type": "application/json; charset=utf-8"}
    return json.loads(words(smsgate, asked("POST", JSON, at=at, body=body, headers=content_type | (headers or {}))))


def order(*recipients: tuple[str, str], **fields: Any) -> dict[str, Any]:
    phones = [{"phone": phone, **({"client_id_message": id} if id else {})} for phone, id in recipients]
    return {**(fields or VIBER), "phones": phones}


def states(smsgate: Smsgate, id: str, at: float) -> dict[str, str]:
    [found] = by_json(smsgate, at, state=[{"id_message": id}])["state"]
    return dict(found)


def by_xml(smsgate: Smsgate, body: str, path: str = XML, at: float = 0) -> Any:
    headers = {"content-type": "text/xml; charset=utf-8"}
    return etree.fromstring(smsgate.answer(asked("POST", path, at=at, body=body.encode(), headers=headers)).body)


# What the doors have in common ---------------------------------------------------------------------------------------


def test_a_client_id_is_sent_once(smsgate: Smsgate) -> None:
    first = by_json(smsgate, message=[order(("79801234567", "111"))])
    assert by_json(smsgate, 1, message=[order(("79801234567", "111"))]) == first
    assert (smsgate.counts.processed, smsgate.counts.repeated) == (1, 1)
    by_json(smsgate, message=[order(("79801234567", ""))])
    assert smsgate.counts.processed == 2


@pytest.mark.parametrize(
    ("ending", "when", "general", "each"),
    [
        ("4567", 9, "send", ("send", "send", "send")),
        ("4567", 10, "deliver", ("deliver", "send", "send")),
        ("0031", 10, "send", ("not_deliver", "send", "send")),
        ("0031", 20, "deliver", ("not_deliver", "deliver", "send")),
        ("0032", 30, "deliver", ("not_deliver", "not_deliver", "deliver")),
        ("0004", 29, "send", ("not_deliver", "not_deliver", "send")),
        ("0004", 30, "not_deliver", ("not_deliver", "not_deliver", "not_deliver")),
        ("0005", 30, "expired", ("expired", "expired", "expired")),
        ("0010", 30, "partly_deliver", ("partly_deliver", "partly_deliver", "partly_deliver")),
        ("0013", 999, "send", ("send", "send", "send")),
        ("0002", 99, "send", ("send", "send", "send")),
        ("0002", 100, "deliver", ("deliver", "send", "send")),
    ],
)
def test_channels_one_after_the_other(
    smsgate: Smsgate, ending: str, when: float, general: str, each: tuple[str, str, str]
) -> None:
    answer = by_json(smsgate, message=[order((f"7980123{ending}", "1"), **VIBER, **VK, **SMS)])
    told = states(smsgate, answer["message"][0][0]["id_message"], when)
    assert (told["state"], (told["state_viber"], told["state_vk"], told["state_sms"])) == (general, each)


@pytest.mark.parametrize(("finale", "when", "sms"), [("1", 20, "deliver"), ("0", 10, "send")])
def test_what_is_not_read_goes_on_where_reading_counts(smsgate: Smsgate, finale: str, when: float, sms: str) -> None:
    fields = {**VIBER, **SMS, "finale_viber_read": finale}
    [[one]] = by_json(smsgate, message=[order(("79801230033", "1"), **fields)])["message"]
    early, late = states(smsgate, one["id_message"], when - 1), states(smsgate, one["id_message"], when)
    assert (early["state"], late["state"]) == ("send", "deliver")
    assert (late["state_viber"], late["state_sms"]) == ("deliver", sms)


def test_the_numbers_say_the_order(smsgate: Smsgate) -> None:
    fields = {**VIBER, **SMS, "send_viber": "9", "send_sms": "1"}
    answer = by_json(smsgate, message=[order(("79801234567", "1"), **fields)])["message"][0][0]
    assert (answer["id_vk"], answer["count_message"]) == ("0", "1")
    assert "0" not in (answer["id_viber"], answer["id_sms"])
    told = states(smsgate, answer["id_message"], 10)
    assert (told["state_sms"], told["state_viber"]) == ("deliver", "send")
    assert (told["price_sms"], told["price_viber"], told["num_parts_sms"]) == ("1.20", "0", "1")


@pytest.mark.parametrize("number", [n for n in range(1, 18) if n != 8])
def test_every_sentence_about_a_recipient(smsgate: Smsgate, number: int) -> None:
    [[one]] = by_json(smsgate, message=[order((f"7980123{100 + number:04}", "7"))])["message"]
    assert one == {"client_id_message": "7", "phone": f"7980123{100 + number:04}", "error": ERRORS[number - 1]}
    assert smsgate.counts.processed == 0


def test_a_message_that_waits_for_money_is_there_all_the_same(smsgate: Smsgate) -> None:
    [[one]] = by_json(smsgate, message=[order(("79801230108", "7"))])["message"]
    assert one["error"] == ERRORS[7]
    assert smsgate.counts.processed == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"sender_viber": "Shop", "text_viber": "no channel"}, "Не указан способ отправки."),
        ({**VIBER, "send_viber": "10"}, "Неправильное значение send_viber."),
        ({**VIBER, "text_viber": ""}, "Нет текста сообщения."),
        ({**VIBER, "text_viber": "x" * 1001}, "Текст VIBER сообщения не должен превышать 1000 символов."),
        ({**VIBER, "sender_viber": ""}, "Нет отправителя."),
        ({**VIBER, "button_text": "Go"}, "Нет ссылки."),
        ({**VIBER, "button_url": "https://x"}, "Нет ссылки."),
        ({**VIBER, "image_url": "https://x"}, "Нет ссылки."),
        (
            {**VIBER, "button_text": "x" * 20, "button_url": "https://x"},
            "Текст кнопки не должен превышать 19 символов.",
        ),
        ({**VIBER, "validity_period_viber": "1h"}, "Неправильное значение validity_period_viber."),
        ({**VIBER, "finale_viber_read": "2"}, "Неправильное значение finale_viber_read."),
        ({**VIBER, "time_send": "soon"}, "Неправильный формат time_send."),
        ({**SMS, "sender_sms": "TwelveLetter"}, ERRORS[10]),
        ({**SMS, "text_sms": ""}, "Нет текста сообщения."),
        ({**VK, "templateData": ""}, "Нет текста сообщения."),
    ],
)
def test_what_is_wrong_with_an_order(smsgate: Smsgate, fields: dict[str, Any], error: str) -> None:
    assert by_json(smsgate, message=[order(("79801234567", "1"), **fields)]) == {"message": [{"error": error}]}
    assert smsgate.counts.processed == 0


@pytest.mark.parametrize(
    ("phone", "id", "error"),
    [("", "", ERRORS[3]), ("7" * 15, "", ERRORS[11]), ("79801234567", "x", "Неправильное значение client_id_message.")],
)
def test_what_is_wrong_with_a_recipient(smsgate: Smsgate, phone: str, id: str, error: str) -> None:
    [[one]] = by_json(smsgate, message=[order((phone, id))])["message"]
    assert one["error"] == error


def test_a_vendor_that_misbehaves_partially_refuses_every_second_one(smsgate: Smsgate) -> None:
    smsgate.partial = True
    [results] = by_json(smsgate, message=[order(("79801234567", "1"), ("79801234568", "2"), ("79801234569", "3"))])[
        "message"
    ]
    assert [one.get("error") for one in results] == [None, CLOSED, None]


# JSON ----------------------------------------------------------------------------------------------------------------


def test_json_answers_message_by_message(smsgate: Smsgate) -> None:
    answer = by_json(
        smsgate,
        message=[
            order(("79801234567", "111"), ("79800000003", "112")),
            order(("79801234568", "113")),
            {"name_delivery": "3", "sender_viber": "Shop", "text_viber": "3", "phones": [{"phone": "79800000009"}]},
        ],
    )["message"]
    assert answer[0][0] == {
        "id_message": "1179038981",
        "client_id_message": "111",
        "phone": "79801234567",
        "count_message": "1",
        "id_viber": "1179038982",
        "id_sms": "0",
        "id_vk": "0",
    }
    assert set(answer[0][1]) == {"client_id_message", "phone", "error"}
    assert answer[1][0]["client_id_message"] == "113"
    assert answer[2] == {"error": "Не указан способ отправки."}


def test_json_is_held_to_its_shape(smsgate: Smsgate) -> None:
    wrong = {"error": "Неправильный формат JSON документа"}
    assert by_json(smsgate, message=[order(("79801234567", "1"), **VIBER, flash="1")]) == wrong
    assert by_json(smsgate, message=[order(("79801234567", "1")), {"phones": [{"phone": "1", "id": "2"}]}]) == wrong
    assert by_json(smsgate, message={"x": 1}) == wrong
    assert by_json(smsgate, nothing=[]) == wrong
    assert by_json(smsgate, headers={"content-type": "text/plain"}, **LOGIN, message=[]) == wrong
    assert smsgate.counts.processed == 0


def test_who_asks(smsgate: Smsgate) -> None:
    assert by_json(smsgate, login="other", message=[]) == {"error": LOGIN_WRONG}
    assert by_json(smsgate, headers={}, message=[]) == {"error": LOGIN_WRONG}
    assert by_json(smsgate, headers={"authorization": "Bearer demo"}, message=[]) == {"message": []}
    assert by_json(smsgate, headers={"authorization": "Bearer x"}, message=[]) == {"error": LOGIN_WRONG}


def test_ids_that_nobody_has(smsgate: Smsgate) -> None:
    assert states(smsgate, "5", 0) == {"id_message": "5", "time_change_state": "", "state": UNKNOWN_ID}


# XML -----------------------------------------------------------------------------------------------------------------


def test_xml_answers_like_its_sample(smsgate: Smsgate) -> None:
    first, second, third = by_xml(smsgate, XML_SAMPLE)
    good, bad = first
    assert dict(good.attrib) == {
        "id_message": "1179038981",
        "client_id_message": "111",
        "phone": "79801234567",
        "id_viber": "1179038982",
        "id_sms": "1179038984",
        "id_vk": "1179038983",
    }
    assert good.text == "send"
    assert (dict(bad.attrib), bad.text) == ({"client_id_message": "112", "phone": "79800000003"}, ERRORS[4])
    assert second[0].get("client_id_message") == "113"
    assert (third[0].tag, third[0].text) == ("error", "Не указан способ отправки.")
    assert smsgate.messages["1179038981"].text == "ТЕКСТ\nВАЙБЕР"


def test_xml_tells_states(smsgate: Smsgate) -> None:
    by_xml(smsgate, XML_SAMPLE)
    ask = (
        '<request><security><login value="demo"/><password value="demo"/></security>'
        "<state><id_message>1179038981</id_message><id_message>5</id_message></state></request>"
    )
    known, unknown = by_xml(smsgate, ask, XML_STATE, at=10)
    assert (known.text, known.get("state_viber"), known.get("price_viber")) == ("deliver", "deliver", "0.55")
    assert known.get("time_change_state") == "2026-11-22 12:00:10"
    assert (unknown.text, unknown.get("time_change_state")) == (UNKNOWN_ID, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" <send_viber>", "\n<send_viber>"),
        ("\\n", "\r"),
        ("<send_viber>", "<flash>1</flash><send_viber>"),
        ("client_id_message", "client_id"),
        ("</request>", ""),
        ("<security>", "<who/><security>"),
    ],
)
def test_xml_is_held_to_its_shape(smsgate: Smsgate, old: str, new: str) -> None:
    assert by_xml(smsgate, XML_SAMPLE.replace(old, new)).findtext("error") == "Неправильный формат XML документа"
    assert smsgate.counts.processed == 0


def test_xml_without_login_or_body(smsgate: Smsgate) -> None:
    assert by_xml(smsgate, XML_SAMPLE.replace('"demo"', '"x"')).findtext("error") == LOGIN_WRONG
    assert by_xml(smsgate, "").findtext("error") == "POST данные отсутствуют"


# GET -----------------------------------------------------------------------------------------------------------------


def request(at: float = 0, **fields: str) -> Asked:
    return get(GET, at=at, **{**LOGIN, "phone": "79801234567", **VIBER, **fields})


def test_get_answers_with_ids(smsgate: Smsgate) -> None:
    assert words(smsgate, request()) == "1179038981"
    assert words(smsgate, request(phone="79801234567,79801234568")) == "1179038983,1179038985"
    assert words(smsgate, get(GET, at=10, **LOGIN, id_message="1179038981")) == "deliver"
    assert words(smsgate, get(GET, **LOGIN, id_message="5")) == UNKNOWN_ID


def test_get_takes_the_whole_sample(smsgate: Smsgate) -> None:
    fields = {**SMS, "button_text": "Go", "button_url": "https://x", "image_url": "https://x/y.png"}
    fields |= {"validity_period_viber": "60", "finale_viber_read": "0", "send_vk": "2", "templateId": "100"}
    assert words(smsgate, request(**fields, templateData='{"Name":"Имя","Where":"Москва"}')).isdigit()
    assert smsgate.messages["1179038981"].what == "viber+vk+sms"
    assert words(smsgate, request(**fields, templateData="Name=Имя")) == "Неправильный формат JSON документа"


def test_get_refuses_the_same_within_a_minute(smsgate: Smsgate) -> None:
    assert words(smsgate, request()).isdigit()
    assert words(smsgate, request(at=59)) == TOO_OFTEN
    assert words(smsgate, request(at=60)).isdigit()
    assert smsgate.counts.processed == 2
    assert words(smsgate, get(GET, **LOGIN, id_message="1179038981")) == "send"
    assert words(smsgate, get(GET, at=20, **LOGIN, id_message="1179038981")) == TOO_OFTEN


def test_get_refuses_long_addresses(smsgate: Smsgate) -> None:
    long = asked("GET", GET, query=request().query, url_length=2001)
    assert smsgate.answer(long).status == 414


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"password": "x"}, LOGIN_WRONG),
        ({"phone": ""}, ERRORS[3]),
        ({"phone": "79800000003"}, ERRORS[4]),
        ({"text_viber": ""}, "Нет текста сообщения."),
    ],
)
def test_get_answers_with_the_error(smsgate: Smsgate, fields: dict[str, str], error: str) -> None:
    assert words(smsgate, request(**fields)) == error


def test_what_a_request_is_for(smsgate: Smsgate) -> None:
    assert smsgate.purpose(request()) == Purpose.SEND
    assert smsgate.purpose(get(GET, id_message="1")) == Purpose.ASK
    assert smsgate.purpose(asked("POST", JSON, body=b'{"state":[]}')) == Purpose.ASK
    assert smsgate.purpose(asked("POST", JSON, body=b"\xff")) == Purpose.SEND
    assert smsgate.purpose(asked("POST", XML_STATE)) == Purpose.ASK


def test_an_sms_to_a_number_is_heard_when_its_id_is_answered(smsgate: Smsgate) -> None:
    push = smsgate.incoming(Reply(source="79801234567", destination="7401", text="Да"), NOON)
    assert (push.method, f"smsid={push.ref}" in push.query) == ("GET", True)
    assert push.taken(200, f"smsid={push.ref}".encode())
    assert not push.taken(200, b"OK")


def test_a_reply_in_viber_names_the_message(smsgate: Smsgate) -> None:
    words(smsgate, request())
    push = smsgate.incoming(Reply(source="79801234567", destination="TEST", text="Да"), NOON)
    assert json.loads(push.body) == {
        "message_id": "1179038981",
        "channel": "viber",
        "timestamp": "2026-11-22 12:00:00",
        "recipient_response": {
            "recipient": {"phone": 79801234567},
            "from": "TEST",
            "content": {"type": "text", "text": "Да"},
        },
    }
    assert push.taken(200, b"")
    assert not push.taken(404, b"")


# Balance -------------------------------------------------------------------------------------------------------------


def test_the_balance_by_every_door(smsgate: Smsgate) -> None:
    words(smsgate, request())
    assert words(smsgate, get("/sendsms.php", user="demo", pwd="demo", balance="1")) == "999.00 RUR"
    assert words(smsgate, get("/sendsms.php", user="demo", pwd="x", balance="1")) == LOGIN_WRONG
    headers = {"content-type": "application/json"}
    body = json.dumps({"security": LOGIN, "type": "balance"}).encode()
    told = json.loads(words(smsgate, asked("POST", "/sendsmsjson.php", body=body, headers=headers)))
    assert told["money"] == {"currency": "RUR", "value": "999.00"}
    body = b'{"security": {}, "type": "balance"}'
    assert json.loads(words(smsgate, asked("POST", "/sendsmsjson.php", body=body)))["error"] == LOGIN_WRONG
    ask = '<request><security><login value="demo"/><password value="demo"/></security></request>'
    money = by_xml(smsgate, ask, "/xml/balance.php").find("money")
    assert (money.text, money.get("currency")) == ("999.00", "RUR")
    assert by_xml(smsgate, ask.replace("demo", "x"), "/xml/balance.php").findtext("error") == LOGIN_WRONG
    assert smsgate.purpose(get("/sendsms.php")) == Purpose.BALANCE
