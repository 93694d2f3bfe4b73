"""The HTTP API of smsc: every parameter, error code, status code and signature, as tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest

from pdu import STAT, MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import (
    Binary,
    Bot,
    Call,
    Hlr,
    HlrResult,
    Incoming,
    Kind,
    Mail,
    Ping,
    Progress,
    Sms,
    Social,
    Stage,
    StatusReport,
    TelegramCode,
    Viber,
)
from smppbridge.providers import registry
from smppbridge.providers.base import BadCallback, Callback, InDoubt, NotFound, Refused, Sent, Temporary, Unable
from smppbridge.providers.smsc import ERRORS, OURS_TO_MEND, SIGNED, STATES, Smsc

PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "smsc.md").read_text(encoding="utf-8")

NOW = 1_800_000_000_000


def smsc(**settings: Any) -> Smsc:
    own = {"login": "me", "password": "hush", **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "smsc", **own}))
    assert isinstance(provider, Smsc)
    return provider


def form(request: httpx.Request) -> dict[str, str]:
    pairs = parse_qsl(request.content.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def answer(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=msgspec.json.encode(body))


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({}, "(the table)"),
        ({"login": "me"}, "(the table)"),
        ({"password": "hush"}, "(the table)"),
        ({"apikey": "key", "base_url": "smsc.ru"}, "base_url"),
        ({"apikey": "key", "base_url": "https://smsc.ru/sys"}, "base_url"),
        ({"apikey": "key", "callback_signature": "md4"}, "callback_signature"),
        ({"apikey": "key", "callback_charset": "latin-1"}, "callback_charset"),
    ],
)
def test_settings_that_do_not_fit_are_named(own, problem):
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", ProviderConfig.model_validate({"adapter": "smsc", **own}))
    assert list(bad.value.problems) == [problem]


# Sending -------------------------------------------------------------------------------------------------------------


def test_a_request_is_a_form_in_utf_8_that_asks_for_json(message):
    request = smsc().send([message(command=Sms(text="Привет & всё"))])
    assert request.method == "POST"
    assert str(request.url) == "https://smsc.ru/sys/send.php"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded; charset=utf-8"
    fields = form(request)
    assert fields.pop("id").startswith("b")
    assert fields == {
        "login": "me",
        "psw": "hush",
        "fmt": "3",
        "charset": "utf-8",
        "phones": "+79000015555",
        "cost": "2",
        "op": "1",
        "mes": "Привет & всё",
        "sender": "SENDER",
        "valid": "24:00",
    }


def test_an_apikey_stands_for_login_and_password(message):
    fields = form(smsc(apikey="the key").send([message()]))
    assert fields["apikey"] == "the key"
    assert not {"login", "psw"} & set(fields)


def test_another_house_has_another_address(message):
    assert str(smsc(base_url="https://smsc.kz/sys/").balance().url) == "https://smsc.kz/sys/balance.php"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Sms(text="hi"), {"mes": "hi"}),
        (Sms(text="hi", flash=True), {"mes": "hi", "flash": "1"}),
        (Sms(text="hi", comment="for us"), {"mes": "hi"}),
        (Binary(data=b"\x06\x05\x04\x0b\xff", data_coding=4, has_udh=True), {"mes": "0605040BFF", "bin": "2"}),
        (Binary(data=b"\x01", data_coding=4), {"mes": "0001", "bin": "2"}),
        (Binary(data=b"\x01", data_coding=245), {"mes": "0001\n~~~\npid: 0, dcs: 245", "bin": "2"}),
        (Mail(text="hi", subject="s", to="a@b.c"), {"mes": "hi", "mail": "1", "subj": "s", "phones": "a@b.c"}),
        (Call(text="hi"), {"mes": "hi", "call": "1"}),
        (Call(text="hi", voice="w2"), {"mes": "hi", "call": "1", "voice": "w2"}),
        (Call(text="hi", wait=30, attempts=2), {"mes": "hi", "call": "1", "param": "30,20,2"}),
        (Call(text="hi", wait=0, interval=10, attempts=1), {"mes": "hi", "call": "1", "param": "0,10,1"}),
        (Viber(text="hi"), {"mes": "hi", "viber": "1"}),
        (Social(text="hi"), {"mes": "hi", "soc": "1"}),
        (TelegramCode(code="1234"), {"mes": "1234", "tg": "1"}),
        (Bot(text="hi", bot="@it"), {"mes": "hi", "bot": "@it"}),
        (Bot(text="hi", bot="wa:79990000000"), {"mes": "hi", "bot": "wa:79990000000"}),
        (Hlr(), {"mes": "", "hlr": "1"}),
        (Ping(), {"mes": "", "ping": "1"}),
    ],
)
def test_every_kind_has_its_parameters(message, command, expected):
    fields = form(smsc().send([message(command=command)]))
    everywhere = {"login", "psw", "fmt", "charset", "phones", "id", "cost", "op", "sender", "valid"}
    assert {name: fields[name] for name in fields if name not in everywhere or name in expected} == expected


def test_binary_data_stays_as_it_is_where_the_header_is_not_wanted(message):
    fields = form(smsc(empty_udh=False).send([message(command=Binary(data=b"\x01", data_coding=4))]))
    assert fields["mes"] == "01"


@pytest.mark.parametrize(
    ("command", "source", "settings", "sender"),
    [
        (Sms(text="x"), "SHOP", {}, "SHOP"),
        (Sms(text="x"), "", {}, "."),
        (Sms(text="x"), ".", {"sender": "SHOP"}, "."),
        (Sms(text="x"), "", {"sender": "SHOP"}, "SHOP"),
        (Hlr(), "SHOP", {}, None),
        (TelegramCode(code="1234"), "SHOP", {}, None),
        (Bot(text="x", bot="@it"), "SHOP", {}, None),
        (Mail(text="x", subject="s", to="a@b.c"), "SHOP", {}, None),
        (Mail(text="x", subject="s", to="a@b.c"), "shop@b.c", {}, "shop@b.c"),
        (Mail(text="x", subject="s", to="a@b.c"), "SHOP", {"mail_sender": "us@b.c"}, "us@b.c"),
    ],
)
def test_who_sends(message, command, source, settings, sender):
    assert form(smsc(**settings).send([message(command=command, source=source)])).get("sender") == sender


@pytest.mark.parametrize(
    ("command", "destination", "phones"),
    [
        (Sms(text="x"), "79991234567", "+79991234567"),
        (Sms(text="x"), "+79991234567", "+79991234567"),
        (Sms(text="x"), "0079991234567", "+79991234567"),
        # Neither a second recipient nor a group can be slipped in.
        (Sms(text="x"), "79991234567,7999", "+799912345677999"),
        (Sms(text="x"), "79991234567;7999", "+799912345677999"),
        (Sms(text="x"), "G5", "+5"),
        (Mail(text="x", subject="s", to="a@b.c,d@e.f; g@h.i"), "1", "a@b.cd@e.fg@h.i"),
        (TelegramCode(code="1234"), "#77", "#77"),
        (Sms(text="x"), "#77", "+77"),
    ],
)
def test_to_whom_it_goes(message, command, destination, phones):
    assert form(smsc().send([message(command=command, destination=destination)]))["phones"] == phones


@pytest.mark.parametrize(
    ("expires", "due", "valid"),
    [
        (NOW + 7 * 86_400_000, NOW, "24:00"),
        (NOW + 86_400_000, NOW, "24:00"),
        (NOW + 90 * 60_000, NOW, "01:30"),
        (NOW + 59_999, NOW, "00:01"),
        (NOW + 1, NOW, "00:01"),
        # Scheduled, or tried again: from then on.
        (NOW + 86_400_000, NOW + 86_400_000 - 120_000, "00:02"),
        (NOW + 60_000, NOW + 120_000, "00:01"),
    ],
)
def test_how_long_it_is_good_for(message, expires, due, valid):
    one = message(accepted_at=NOW, expires=expires, progress=Progress(due=due))
    assert form(smsc().send([one]))["valid"] == valid


# What rides together, and what it is known by ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "difference",
    [
        {"command": Sms(text="another text")},
        {"command": Sms(text="Привет, world", flash=True)},
        {"command": Viber(text="Привет, world")},
        {"source": "OTHER"},
        {"account": "other"},
        {"accepted_at": NOW + 60_000},
        {"destination": "+79000025555"},
    ],
)
def test_what_differs_has_another_id_and_rides_elsewhere(message, difference):
    provider = smsc()
    first, second = message(1, accepted_at=NOW), message(2, **{"accepted_at": NOW, **difference})
    assert provider.rides_with(first) != provider.rides_with(second)
    assert provider.reference(first).partition(":")[0] != provider.reference(second).partition(":")[0]


def test_two_messages_to_one_phone_never_have_one_reference(message):
    """Only the one-minute rule keeps them apart, so it is counted on nowhere else."""
    provider = smsc()
    for fields in ({"duplicate_window": 0}, {"duplicate_window": 59_999}, {"destination": "7 999-5555"}):
        first, second = (message(n, **{"destination": "79990005555", **fields}) for n in (1, 2))
        assert provider.rides_with(first) != provider.rides_with(second)
        assert provider.reference(first) != provider.reference(second)


@pytest.mark.parametrize(
    "command", [Mail(text="x", subject="s", to="a@b.c"), TelegramCode(code="1234"), Bot(text="x", bot="@it")]
)
def test_what_is_for_one_person_goes_alone(message, command):
    provider = smsc()
    first, second = message(1, command=command), message(2, command=command)
    assert provider.rides_with(first) != provider.rides_with(second)
    assert form(provider.send([first]))["id"] == "m1"


def test_what_failed_twice_in_company_goes_alone_under_the_same_id(message):
    provider = smsc()
    fresh, tried = message(1), message(1, progress=Progress(attempts=2))
    assert provider.rides_with(fresh) != provider.rides_with(tried)
    assert provider.reference(fresh) == provider.reference(tried)


def test_the_id_is_one_that_the_service_takes(message):
    for one in (message(2**63 - 1), message(2**63 - 1, duplicate_window=0)):
        id = form(smsc().send([one]))["id"]
        assert len(id) <= 40
        assert id.isascii()
        assert id.isalnum()


# Answers to send.php -------------------------------------------------------------------------------------------------


def test_one_message_taken(message):
    (outcome,) = smsc().sent([message()], answer({"id": "b1", "cnt": 2, "cost": "2.80"}))
    assert outcome == Sent(ref="b1:79000015555", cost="2.80", parts=2)


def test_the_seconds_of_a_call_are_no_parts(message):
    (outcome,) = smsc().sent([message(command=Call(text="x"))], answer({"id": 12, "cnt": 20, "cost": 1.5}))
    assert outcome == Sent(ref="12:79000015555", cost="1.5", parts=0)


def test_every_phone_has_its_own_outcome(message):
    phones = [
        {"phone": "79000035555", "mccmnc": "25002", "cost": "1.40", "status": "0", "error": "0"},
        {"phone": "79000015555", "cost": "0", "status": "22", "error": "249"},
        {"phone": "79000045555", "cost": "0", "status": "25", "error": "248"},
        {"phone": "79000055555", "cost": "0", "status": "24", "error": ""},
        {"phone": "79000065555", "cost": "0", "status": "23", "error": "253"},
    ]
    outcomes = smsc().sent(
        [message(n) for n in (1, 2, 3, 4, 5, 6)], answer({"id": "b1", "cnt": 4, "cost": "2.80", "phones": phones})
    )
    assert outcomes == [
        Refused(reason="status 22 err 249", state=MessageState.UNDELIVERABLE, err=249),
        InDoubt(reason="not among the phones of the answer"),
        Sent(ref="b1:79000035555", cost="1.40", parts=2),
        Unable(reason="status 25 err 248", err=248),
        Unable(reason="status 24 err 0"),
        Refused(reason="status 23 err 253", state=MessageState.REJECTED, err=253),
    ]


def test_a_batch_without_phones_in_the_answer_was_taken_as_a_whole(message):
    outcomes = smsc().sent([message(1), message(2)], answer({"id": "b1", "cnt": 4, "cost": "5.60"}))
    assert outcomes == [Sent(ref="b1:79000015555", parts=2), Sent(ref="b1:79000025555", parts=2)]


@pytest.mark.parametrize("http", [200, 400, 500])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, Unable(reason="error 1: no")),
        (2, Unable(reason="error 2: no", everything=True)),
        (3, Unable(reason="error 3: no", everything=True)),
        (4, Temporary(reason="error 4: no", retry_after=120)),
        (5, Refused(reason="error 5: no")),
        (6, Refused(reason="error 6: no")),
        (7, Refused(reason="error 7: no", err=249)),
        (8, Unable(reason="error 8: no", err=248)),
        (9, Temporary(reason="error 9: no", retry_after=60)),
        (10, InDoubt(reason="error 10: no")),
    ],
)
def test_every_error_code_whatever_the_http_status(message, code, expected, http):
    body = {"error": "no", "error_code": code}
    assert smsc().sent([message(1), message(2)], answer(body, http)) == [expected, expected]


def test_every_error_is_in_the_table():
    assert set(ERRORS) | {9} == set(range(1, 10))


@pytest.mark.parametrize("code", range(1, 10))
def test_an_error_with_an_id_left_a_message_behind(message, code):
    """It may still be sent there, so no other provider gets it before the status is known."""
    (outcome,) = smsc().sent([message()], answer({"error": "no", "error_code": code, "id": 7}))
    assert type(outcome) is (Refused if code in (5, 6, 7) else InDoubt)


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        (Progress(stage=Stage.READY, attempts=0), Temporary),
        (Progress(stage=Stage.SENDING, attempts=1), Temporary),
        (Progress(stage=Stage.READY, attempts=1), InDoubt),
        (Progress(stage=Stage.SENDING, attempts=2), InDoubt),
    ],
)
def test_a_repetition_that_is_refused_tells_that_the_first_one_arrived(message, progress, expected):
    (outcome,) = smsc().sent([message(progress=progress)], answer({"error": "no", "error_code": 9}))
    assert type(outcome) is expected


# status.php ----------------------------------------------------------------------------------------------------------


def sent(message, n, **fields):
    return message(n, progress=Progress(stage=Stage.SENT, ref=f"b{n}:7900000{n}555"), **fields)


def test_a_question_lists_ids_and_phones_in_one_order(message):
    request = smsc().ask([sent(message, 1), sent(message, 2)])
    assert str(request.url) == "https://smsc.ru/sys/status.php"
    fields = form(request)
    assert (fields["id"], fields["phone"]) == ("b1,b2,", "79000001555,79000002555,")
    assert fields["psw"] == "hush"
    # The comma at the end keeps the answer a list.
    assert form(smsc().ask([sent(message, 1)]))["id"] == "b1,"


def test_a_message_in_doubt_is_asked_for_by_what_it_would_have_been_known_by(message):
    provider = smsc()
    doubtful = message(progress=Progress(stage=Stage.DOUBT))
    fields = form(provider.ask([doubtful]))
    assert fields["id"].rstrip(",") == form(provider.send([doubtful]))["id"]
    assert fields["phone"] == "79000015555,"


def test_answers_find_their_messages_by_id_and_phone(message):
    several = [sent(message, n) for n in (1, 2, 3, 4)]
    items = [
        {"status": 20, "last_timestamp": 1_800_000_000, "err": 6, "id": "b3", "phone": "79000003555"},
        {"status": 1, "last_timestamp": 1_800_000_001, "err": 0, "id": "b1", "phone": "+79000001555"},
        {"status": -3, "id": "b2", "phone": "79000002555"},
        {"status": 1, "id": "b4", "phone": "79009999999"},
    ]
    delivered, unknown, absent, nothing = smsc().asked(several, answer(items))
    assert delivered == StatusReport(
        state=MessageState.DELIVERED, ref="b1:79000001555", at=1_800_000_001_000, raw="status 1 err 0"
    )
    assert unknown == NotFound()
    assert absent == StatusReport(
        state=MessageState.UNDELIVERABLE, ref="b3:79000003555", err=6, at=NOW, raw="status 20 err 6"
    )
    assert nothing is None


def test_one_answer_may_come_without_a_list(message):
    (report,) = smsc().asked([sent(message, 1)], answer({"status": "0", "err": ""}))
    assert isinstance(report, StatusReport)
    assert (report.state, report.ref) == (MessageState.ENROUTE, "b1:79000001555")


@pytest.mark.parametrize("code", [1, 2, 4, 9])
def test_an_error_tells_nothing_about_the_messages(message, code):
    asked = smsc().asked([sent(message, 1)], answer({"error": "no", "error_code": code}))
    assert asked == [None]


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (-2, MessageState.ENROUTE),
        (-1, MessageState.ENROUTE),
        (0, MessageState.ENROUTE),
        (1, MessageState.DELIVERED),
        (2, MessageState.DELIVERED),
        (3, MessageState.EXPIRED),
        (4, MessageState.DELIVERED),
        (20, MessageState.UNDELIVERABLE),
        (22, MessageState.UNDELIVERABLE),
        (23, MessageState.REJECTED),
        (24, MessageState.REJECTED),
        (25, MessageState.UNDELIVERABLE),
        (77, MessageState.UNKNOWN),
    ],
)
def test_every_status_code(message, code, state):
    assert STATES.get(code, MessageState.UNKNOWN) is state
    (report,) = smsc().asked([sent(message, 1)], answer([{"status": code, "id": "b1", "phone": "79000001555"}]))
    assert isinstance(report, StatusReport)
    assert report.state is state


#: The sample of smsc.ru's SMPP page.
HLR = {
    "imsi": "250023012345678",
    "msc": "79232510066",
    "mcc": "250",
    "mnc": "02",
    "cn": "Russian Federation",
    "net": "MegaFON open Joint Stock Company",
    "rcn": "",
    "rnet": "",
}


def test_an_hlr_answer_has_its_fields(message):
    item = {"status": 1, "err": 0, "id": "b1", "phone": "79000001555", **HLR}
    (report,) = smsc().asked([sent(message, 1, command=Hlr())], answer([item]))
    assert isinstance(report, StatusReport)
    assert report.hlr == HlrResult(**HLR)


def test_the_errors_that_another_provider_may_not_have_are_in_the_vendors_list():
    assert all(200 <= err <= 255 for err in OURS_TO_MEND)


# balance.php ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "balance"),
    [({"balance": "100.50", "currency": "RUR"}, "100.50 RUR"), ({"balance": 7.5}, "7.5")],
)
def test_the_balance_is_told_in_the_services_words(body, balance):
    assert smsc().balance_read(answer(body)) == balance


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (answer({"error": "authorise error", "error_code": 2}), "error 2: authorise error"),
        (httpx.Response(502, content=b"<html>"), "HTTP 502"),
    ],
)
def test_a_balance_that_is_not_told_is_an_error(response, said):
    with pytest.raises(ValueError, match=said):
        smsc().balance_read(response)


# Callbacks -----------------------------------------------------------------------------------------------------------

# Made with md5sum, sha1sum and zlib's crc32 of "m1:79995000001:1:swordfish".
MD5 = "00dba8d2a3a04ce0a85b50da0e2e6e84"
SHA1 = "77a1b7db2fba0f349c700f6fae03325b628214b1"
CRC32 = "1712202163"
STATUS = "id=m1&phone=79995000001&status=1"


def called(body: str | bytes = b"", query: str | bytes = b"") -> Callback:
    return Callback(
        method="POST" if body else "GET",
        path="",
        query=query.encode() if isinstance(query, str) else query,
        headers={},
        body=body.encode() if isinstance(body, str) else body,
        peer="192.0.2.1",
    )


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("md5", f"md5={MD5}"),
        ("md5", f"md5={MD5.upper()}"),
        ("sha1", f"sha1={SHA1}"),
        ("crc32", f"crc32={CRC32}"),
        ("crc32", "crc32=660e21b3"),
    ],
)
def test_a_signed_status_is_believed(signature, given):
    provider = smsc(callback_secret="swordfish", callback_signature=signature)
    for callback in (
        called(query=f"{STATUS}&{given}"),
        called(body=f"{STATUS}&{given}"),
        # The bare word of the handler's own address stays in the query.
        called(body=f"{STATUS}&{given}", query=f"{signature}&charset=utf-8"),
    ):
        reply = provider.callback(callback, NOW)
        assert reply.body == b"OK"
        assert reply.reports == [StatusReport(state=MessageState.DELIVERED, ref="m1:79995000001", raw="status 1 err 0")]


@pytest.mark.parametrize(
    ("settings", "callback"),
    [
        ({"callback_secret": "swordfish"}, STATUS),
        ({"callback_secret": "swordfish"}, f"{STATUS}&md5="),
        ({"callback_secret": "swordfish"}, f"{STATUS}&md5={MD5[:-1]}5"),
        ({"callback_secret": "Swordfish"}, f"{STATUS}&md5={MD5}"),
        # Another status, phone or id under the same signature.
        ({"callback_secret": "swordfish"}, f"id=m1&phone=79995000001&status=20&md5={MD5}"),
        ({"callback_secret": "swordfish"}, f"id=m1&phone=79995000002&status=1&md5={MD5}"),
        ({"callback_secret": "swordfish"}, f"id=m2&phone=79995000001&status=1&md5={MD5}"),
        # A weaker signature than the configured one.
        ({"callback_secret": "swordfish"}, f"{STATUS}&crc32={CRC32}"),
        ({"callback_secret": "swordfish", "callback_signature": "sha1"}, f"{STATUS}&md5={MD5}"),
        # Without a secret nobody can prove anything.
        ({}, f"{STATUS}&md5={MD5}"),
        ({}, STATUS),
    ],
)
def test_what_is_not_proven_is_refused(settings, callback):
    with pytest.raises(BadCallback) as refused:
        smsc(**settings).callback(called(body=callback), NOW)
    assert refused.value.status == 403


def test_unsigned_callbacks_only_where_somebody_said_so():
    reply = smsc(callback_unsigned=True).callback(called(query=STATUS), NOW)
    assert len(reply.reports) == 1


def test_a_status_tells_all_it_has():
    fields = f"{STATUS}&time=01.01.2027&ts=1800000000&err=0&type=0&flag=0&cost=1.40&cnt=2"
    (report,) = smsc(callback_unsigned=True).callback(called(query=fields), NOW).reports
    assert (report.at, report.cost, report.parts, report.err) == (NOW, "1.40", 2, 0)


def test_the_seconds_of_a_call_that_was_called_back_are_no_parts():
    (report,) = smsc(callback_unsigned=True).callback(called(query=f"{STATUS}&type=7&cnt=20"), NOW).reports
    assert report.parts == 0


def test_an_hlr_status_has_its_fields():
    hlr = str(httpx.QueryParams(HLR))
    (report,) = smsc(callback_unsigned=True).callback(called(body=f"{STATUS}&type=4&{hlr}"), NOW).reports
    assert report.hlr == HlrResult(**HLR)


@pytest.mark.parametrize(
    ("charset", "mes", "md5"),
    [
        # The signature covers the octets as sent: made with iconv and md5sum of
        # "79995000001:Привет:79000000000:swordfish".
        ("windows-1251", "%CF%F0%E8%E2%E5%F2", "0e52559f53fd1fdf68b3e68ea6792d9d"),
        ("koi8-r", "%F0%D2%C9%D7%C5%D4", "0cbc56f98dfc5efbba5e96b2eb69bd3b"),
        ("utf-8", "%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82", "b3d248e89c76fc4f824cbbf3b9c94e3c"),
    ],
)
def test_a_message_from_a_subscriber_in_every_charset(charset, mes, md5):
    provider = smsc(callback_secret="swordfish", callback_charset=charset)
    fields = f"id=88&phone=79995000001&mes={mes}&to=79000000000&ts=1800000000&md5={md5}"
    assert provider.callback(called(body=fields), NOW).incoming == [
        Incoming(provider="main", ref="88", source="79995000001", destination="79000000000", text="Привет", at=NOW)
    ]


def test_raw_octets_of_windows_1251_are_read_as_well():
    body = b"phone=79995000001&mes=" + "Привет + всё".encode("cp1251").replace(b" ", b"+") + b"&to=1"
    (incoming,) = smsc(callback_unsigned=True).callback(called(body=body.replace(b"+++", b"+%2B+")), NOW).incoming
    assert incoming.text == "Привет + всё"


def test_the_same_words_are_the_same_message_only_where_nothing_tells_them_apart():
    provider = smsc(callback_unsigned=True)

    def ref(fields: str, now: int = NOW) -> str:
        (incoming,) = provider.callback(called(query=f"phone=79995000001&mes=yes&to=1{fields}"), now).incoming
        return incoming.ref

    assert ref("&id=5") == ref("&id=5", NOW + 10**9) == "5"
    assert ref("&ts=1800000000") == ref("&ts=1800000000", NOW + 10**9) != ref("&ts=1800000001")
    # Neither: a callback that comes again within the day is the same one.
    assert ref("") == ref("", NOW + 60_000)
    assert ref("") != ref("", NOW + 2 * 86_400_000)


def test_an_awaited_call_is_taken_note_of_when_it_is_signed():
    provider = smsc(callback_secret="swordfish")
    fields = "phone=79995000001&waitcall=1&ts=1800000000&md5="
    reply = provider.callback(called(query=f"{fields}d55a4ba6bd841f874fef0ffdef611514"), NOW)
    assert (reply.body, list(reply.reports), list(reply.incoming)) == (b"OK", [], [])
    with pytest.raises(BadCallback):
        provider.callback(called(query=f"{fields}0"), NOW)


@pytest.mark.parametrize(
    "body",
    ["", "x", '{"id":"m1","status":1}', "<status>1</status>", "status=one&id=m1", "status=1", "id=m1&phone=7999"],
)
def test_what_is_no_callback_of_the_service(body):
    with pytest.raises(BadCallback) as refused:
        smsc(callback_unsigned=True).callback(called(body=body), NOW)
    assert refused.value.status == 400


# The page ------------------------------------------------------------------------------------------------------------


def rows(title: str) -> list[list[str]]:
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("|")]
    # The first two are the head.
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_the_page_names_every_kind_and_its_parameters(message, commands):
    everywhere = {"login", "psw", "fmt", "charset", "phones", "id", "cost", "op", "sender", "valid"}
    told = {kind.strip("`"): set(re.findall(r"`([a-z]+)", parameters)) for kind, parameters in rows("What is sent")}
    assert told == {
        kind.value: set(form(smsc().send([message(command=command)]))) - everywhere
        for kind, command in {
            **commands,
            Kind.SMS: Sms(text="x", flash=True),
            Kind.CALL: Call(text="x", voice="w", wait=1),
        }.items()
    }


def test_the_page_names_every_status():
    told = [(int(status.strip("`")), stat.strip("`"), number) for status, stat, number, _ in rows("Statuses")]
    assert told == [(status, STAT[state], str(int(state))) for status, state in STATES.items()]


def test_the_page_names_every_error(message):
    told = {int(code.strip("`")): (outcome, err) for code, outcome, err, _ in rows("Errors")}
    assert set(told) == {*ERRORS, 9}
    for code, (outcome, err) in told.items():
        (meant,) = smsc().sent([message()], answer({"error": "no", "error_code": code}))
        name = type(meant).__name__
        match meant:
            case Temporary(retry_after=seconds):
                name += f", after {seconds:g} s"
            case Unable(everything=True):
                name += ", everything"
        assert outcome == name
        assert err == (f"{meant.err:03}" if isinstance(meant, Refused | Unable) and meant.err else "")


def test_the_page_names_the_errors_that_another_provider_may_not_have():
    sentence = PAGE.partition("which another provider may not have:")[2].partition(".")[0]
    assert {int(err) for err in re.findall(r"\d{3}", sentence)} == OURS_TO_MEND


def test_the_page_names_what_is_signed():
    told = [tuple(re.findall(r"`(\w+)`", fields)) for _, fields in rows("Callbacks")]
    assert told == list(SIGNED.values())
