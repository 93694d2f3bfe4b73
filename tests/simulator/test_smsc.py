"""smsc.ru, by the tables of its HTTP API."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from smppbridge.simulator.smsc import ERRORS, STATUSES, Smsc
from smppbridge.simulator.vendor import Push, Reply, Settings

from .conftest import NOON, asked, form, get, words

LOGIN = {"login": "demo", "psw": "demo"}


@pytest.fixture
def smsc(settings: Settings) -> Smsc:
    return Smsc(settings)


def send(smsc: Smsc, *, at: float = 0, **fields: str) -> str:
    given = {**LOGIN, "phones": "79991234567", "mes": "Hello", "charset": "utf-8", "id": "m1", **fields}
    return words(smsc, form("/sys/send.php", at=at, **given))


def sent(smsc: Smsc, **fields: str) -> dict[str, Any]:
    return dict(json.loads(send(smsc, fmt="3", **fields)))


def status(smsc: Smsc, at: float = 0, **fields: str) -> Any:
    given = {**LOGIN, "phone": "79991234567", "id": "m1", "fmt": "3", **fields}
    return json.loads(words(smsc, form("/sys/status.php", at=at, **given)))


@pytest.mark.parametrize(
    ("fmt", "cost", "answer"),
    [
        ("0", "0", "OK - 1 SMS, ID - 1234"),
        ("1", "0", "1234,1"),
        ("1", "1", "1.40,1"),
        ("1", "2", "1234,1,1.40"),
        ("1", "3", "1234,1,1.40,998.60"),
        ("2", "0", "<result><id>1234</id><cnt>1</cnt></result>"),
        ("3", "0", '{"id": 1234, "cnt": 1}'),
        ("3", "1", '{"cost": "1.40", "cnt": 1}'),
        ("3", "2", '{"id": 1234, "cnt": 1, "cost": "1.40"}'),
        ("3", "3", '{"id": 1234, "cnt": 1, "cost": "1.40", "balance": "998.60"}'),
    ],
)
def test_every_format(smsc: Smsc, fmt: str, cost: str, answer: str) -> None:
    assert send(smsc, id="1234", fmt=fmt, cost=cost) == answer
    assert smsc.counts.processed == (0 if cost == "1" else 1)


@pytest.mark.parametrize(
    ("fmt", "answer"),
    [
        ("0", "ERROR = 2 (authorise error)"),
        ("1", "0,-2"),
        ("2", "<result><error>authorise error</error><error_code>2</error_code></result>"),
        ("3", '{"error": "authorise error", "error_code": 2}'),
    ],
)
def test_errors_in_every_format(smsc: Smsc, fmt: str, answer: str) -> None:
    assert send(smsc, psw="wrong", fmt=fmt) == answer


@pytest.mark.parametrize(
    "login", [{"psw": "fe01ce2a7fbac8fafaed7c982a04e229"}, {"login": "", "psw": "", "apikey": "demo"}]
)
def test_other_ways_to_log_in(smsc: Smsc, login: dict[str, str]) -> None:
    assert sent(smsc, **login)["id"] == "m1"


@pytest.mark.parametrize("code", [code for code in ERRORS if code not in (7, 8)])
def test_every_error_by_its_ending(smsc: Smsc, code: int) -> None:
    assert sent(smsc, phones=f"7999123{100 + code:04}")["error_code"] == code
    assert smsc.counts.processed == 0


@pytest.mark.parametrize(("code", "told"), [(7, ("22", "249")), (8, ("20", "248"))])
def test_a_wrong_number_alone_and_in_company(smsc: Smsc, code: int, told: tuple[str, str]) -> None:
    wrong = f"7999123{100 + code:04}"
    assert sent(smsc, phones=wrong)["error_code"] == code
    answer = sent(smsc, phones=f"+79991234567,{wrong}", op="1")
    assert [(one["phone"], one["status"], one["error"]) for one in answer["phones"]] == [
        ("79991234567", "0", "0"),
        (wrong, *told),
    ]
    assert smsc.counts.processed == 1


@pytest.mark.parametrize("code", STATUSES)
def test_every_status_by_its_ending(smsc: Smsc, code: int) -> None:
    phone = f"7999123{200 + code:04}"
    sent(smsc, phones=phone)
    assert status(smsc, 10, phone=phone)["status"] == code
    [push] = smsc.pushes
    assert fields_of(push)["status"] == str(code)


def test_errors_of_statuses(smsc: Smsc) -> None:
    sent(smsc, phones="79991239253")
    told = status(smsc, 10, phone="79991239253")
    assert (told["status"], told["err"]) == (20, 253)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"phones": ""}, 1),
        ({"mes": ""}, 1),
        ({"phones": "79"}, 7),
        ({"phones": "someone@example.com"}, 7),
        ({"sender": "TwelveLetter"}, 6),
        ({"valid": "25"}, 5),
        ({"valid": "00:00"}, 5),
        ({"valid": "1:99"}, 5),
    ],
)
def test_mistakes(smsc: Smsc, fields: dict[str, str], code: int) -> None:
    assert sent(smsc, **fields)["error_code"] == code


def test_the_same_request_within_a_minute(smsc: Smsc) -> None:
    assert "id" in sent(smsc)
    assert sent(smsc, at=59)["error_code"] == 9
    assert "id" in sent(smsc, at=60)
    # The id need not be unique: this was sent, and paid for, twice.
    assert smsc.counts.processed == 2


def test_the_charset_is_obeyed(smsc: Smsc) -> None:
    head = "login=demo&psw=demo&phones=79991234567&id=m1&mes="
    body = (head + quote("Привет".encode("windows-1251"))).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    smsc.answer(asked("POST", "/sys/send.php", body=body, headers=headers))
    assert smsc.messages["m1:79991234567"].text == "Привет"
    answer = smsc.answer(asked("POST", "/sys/send.php", body=body + b"&charset=utf-8&fmt=3", headers=headers))
    assert json.loads(answer.body)["error_code"] == 1


def test_by_get_and_by_list(smsc: Smsc) -> None:
    fields = {**LOGIN, "charset": "utf-8", "list": "79991234567:one\n79991234568:two", "fmt": "1"}
    assert words(smsc, get("/sys/send.php", **fields)) == "1001,2"
    assert [message.text for message in smsc.messages.values()] == ["one", "two"]


def test_a_status_goes_its_course(smsc: Smsc) -> None:
    sent(smsc)
    assert [status(smsc, at)["status"] for at in (0, 5, 10)] == [-1, 0, 1]
    told = status(smsc, 10)
    assert told == {"status": 1, "last_date": "22.11.2026 12:00:10", "last_timestamp": int(NOON) + 10, "err": 0}
    assert words(smsc, form("/sys/status.php", at=10, **LOGIN, phone="79991234567", id="m1", fmt="1")) == (
        f"1,{int(NOON) + 10},0"
    )


def test_several_statuses_at_once(smsc: Smsc) -> None:
    sent(smsc)
    told = status(smsc, id="m1,m2,", phone="79991234567,79991234567,")
    assert [(one["id"], one["phone"], one["status"]) for one in told] == [
        ("m1", "79991234567", -1),
        ("m2", "79991234567", -3),
    ]
    [one] = status(smsc, id="m1,", phone="79991234567,")
    assert one["id"] == "m1"
    assert status(smsc, id="m1,m2", phone="79991234567")["error_code"] == 1


def test_hlr(smsc: Smsc) -> None:
    sent(smsc, mes="", hlr="1")
    assert "imsi" not in status(smsc)
    assert status(smsc, 10)["net"] == "MegaFON open Joint Stock Company"


@pytest.mark.parametrize(
    ("flags", "to", "what"),
    [
        ({"viber": "1"}, "79991234567", "viber"),
        ({"call": "1", "voice": "w"}, "79991234567", "call"),
        ({"mail": "1", "subj": "s", "sender": "a@example.com"}, "b@example.com", "mail"),
        ({"tg": "1"}, "#123", "sms"),
    ],
)
def test_what_it_is(smsc: Smsc, flags: dict[str, str], to: str, what: str) -> None:
    sent(smsc, phones=to, **flags)
    assert smsc.messages[f"m1:{to}"].what == what


def test_balance(smsc: Smsc) -> None:
    assert words(smsc, form("/sys/balance.php", **LOGIN)) == "1000.00"
    answer = words(smsc, form("/sys/balance.php", **LOGIN, fmt="3", cur="1"))
    assert json.loads(answer) == {"balance": "1000.00", "currency": "RUR"}
    assert smsc.answer(form("/sys/jobs.php")).status == 404


def fields_of(push: Push) -> dict[str, str]:
    found = parse_qs(push.body.decode(), encoding="windows-1251", keep_blank_values=True)
    return {name: values[0] for name, values in found.items()}


def test_the_handler_is_told_and_can_prove_it(smsc: Smsc) -> None:
    sent(smsc)
    [push] = smsc.pushes
    fields = fields_of(push)
    assert (push.after, push.query, fields["id"], fields["status"]) == (10, "md5", "m1", "1")
    # echo -n m1:79991234567:1:demo-secret | md5sum
    assert fields["md5"] == "0ac0b1af20900bc8e47a936705bbe047"


def test_what_a_subscriber_writes(smsc: Smsc) -> None:
    push = smsc.incoming(Reply(source="79991234567", destination="7401", text="Да"), NOON)
    fields = fields_of(push)
    assert (fields["phone"], fields["mes"], fields["to"]) == ("79991234567", "Да", "7401")
    # The same in windows-1251: echo -n 79991234567:Да:7401:demo-secret | iconv -t cp1251 | md5sum
    assert fields["md5"] == "5146f65487c4c577bd714aa720fc9fda"
