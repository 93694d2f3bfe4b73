"""IBA Telecom's GET guide and the engine's: each sample, each word of an answer, and docs/providers/iba.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import STAT, MessageState
from smppbridge.config import ProviderConfig, mask
from smppbridge.model import Incoming, Progress, Sms, Stage, StatusReport
from smppbridge.providers import registry
from smppbridge.providers.base import BadCallback, Callback, InDoubt, Outcome, Refused, Sent, Temporary, Unable
from smppbridge.providers.iba import ERRORS, OF_ONE_NUMBER, STATES, Iba

PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "iba.md").read_text(encoding="utf-8")

NOW = 1_800_000_000_000


def iba(**settings: Any) -> Iba:
    own = {"user": "test", "password": "test", **settings}
    provider = registry.build("main", ProviderConfig.model_validate({"adapter": "iba", **own}))
    assert isinstance(provider, Iba)
    return provider


def answer(body: str | bytes, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=body.encode() if isinstance(body, str) else body)


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"user": "me"}, "password"),
        ({"password": "hush"}, "user"),
        ({"user": "", "password": "hush"}, "user"),
        ({"user": "me", "password": "hush", "base_url": "smpp.ibatele.com"}, "base_url"),
        ({"user": "me", "password": "hush", "base_url": "http://smpp.ibatele.com"}, "base_url"),
        ({"user": "me", "password": "hush", "charset": "koi8-r"}, "charset"),
        ({"user": "me", "password": "hush", "sender": "TwelveLetter"}, "sender"),
        ({"user": "me", "password": "hush", "sender": "1234567890123456"}, "sender"),
        ({"user": "me", "password": "hush", "sender": "Магазин"}, "sender"),
        ({"user": "me", "password": "hush", "incoming_sender": "nobody"}, "incoming_sender"),
        ({"user": "me", "password": "hush", "timezone": "Europe/Nowhere"}, "timezone"),
        ({"user": "me", "password": "žluťoučký", "charset": "windows-1251"}, "(the table)"),
    ],
)
def test_settings_that_do_not_fit_are_named(own, problem):
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", ProviderConfig.model_validate({"adapter": "iba", **own}))
    assert list(bad.value.problems) == [problem]


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
@pytest.mark.parametrize("password", ["hush", "a,b c", "S3cret/ with &?=+", "пароль", "50%&\u00a0§"])
def test_the_password_in_the_address_is_hidden(message, charset, password):
    provider = iba(password=password, charset=charset)
    requests = [
        provider.send([message(command=Sms(text="x"))]),
        provider.ask([message(progress=Progress(stage=Stage.SENT, ref="7"))]),
        provider.balance(),
    ]
    for request in requests:
        assert f"/sendsms.php?user=test&pwd={mask(password, [password])}&" in mask(str(request.url), provider.secrets())


# Sending -------------------------------------------------------------------------------------------------------------


def as_written(request: httpx.Request, charset: str = "utf-8") -> str:
    """The address as the guide shows it, before it was encoded."""
    return unquote_plus(str(request.url), encoding=charset, errors="strict")


#: IBA Telecom GET guide, its three samples.
SEND = "http://smpp.ibatele.com/sendsms.php?user=test&pwd=test&sadr=IBATelecom&dadr=79083730330&text=ибателеком"
STATUS = "http://smpp.ibatele.com/sendsms.php?user=test&pwd=test&smsid=83759227"
BALANCE = "http://smpp.ibatele.com/sendsms.php?user=test&pwd=test&balance=1"


@pytest.mark.parametrize(
    ("charset", "octets"),
    [
        ("utf-8", "%D0%B8%D0%B1%D0%B0%D1%82%D0%B5%D0%BB%D0%B5%D0%BA%D0%BE%D0%BC"),
        # By iconv -t windows-1251.
        ("windows-1251", "%E8%E1%E0%F2%E5%EB%E5%EA%EE%EC"),
    ],
)
def test_the_sample_of_sending(message, charset, octets):
    sample = message(source="IBATelecom", destination="79083730330", command=Sms(text="ибателеком"))
    request = iba(charset=charset).send([sample])
    assert request.method == "GET"
    assert request.content == b""
    assert as_written(request, charset) == SEND
    assert request.url.raw_path.decode().endswith(f"&text={octets}")


def test_the_sample_of_asking(message):
    request = iba().ask([message(progress=Progress(stage=Stage.SENT, ref="83759227"))])
    assert (request.method, str(request.url)) == ("GET", STATUS)


def test_the_sample_of_the_balance():
    request = iba().balance()
    assert (request.method, str(request.url)) == ("GET", BALANCE)


def test_several_numbers_share_a_request(message):
    several = [message(1, destination="7903123456"), message(2, destination="+79023456789")]
    assert "&dadr=7903123456,79023456789&" in str(iba().send(several).url)
    assert iba().batch == 10


def test_another_house_has_another_address():
    assert str(iba(base_url="https://sms.example/a/").balance().url).startswith("https://sms.example/a/sendsms.php?")


@pytest.mark.parametrize(
    ("source", "setting", "written"),
    [
        ("Shop", "", "Shop"),
        ("", "Default", "Default"),
        ("+79031234567", "", "79031234567"),
        ("My shop&co", "", "My+shop%26co"),
    ],
)
def test_the_sender(message, source, setting, written):
    assert f"&sadr={written}&" in str(iba(sender=setting).send([message(source=source)]).url)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_a_text_says_nothing_but_itself(message, text):
    """Whatever stands in it adds no parameter."""
    url = iba().send([message(command=Sms(text=text))]).url
    assert [name for name, _ in url.params.multi_items()] == ["user", "pwd", "sadr", "dadr", "text"]
    assert url.params["text"] == text


@pytest.mark.parametrize(
    ("fields", "objection"),
    [
        ({}, None),
        ({"source": "Eleven char"}, None),
        ({"source": "+123456789012345"}, None),
        ({"destination": "+7 (903) 123-45-67"}, None),
        ({"destination": "0079031234567"}, None),
        ({"destination": ""}, Refused),
        ({"destination": "someone@example.com"}, Refused),
        ({"destination": "89"}, Refused),
        ({"destination": "7903123456789012"}, Refused),
        # A second number would be a second message.
        ({"destination": "79031234567,79031234568"}, Refused),
        ({"source": ""}, Unable),
        ({"source": "Twelve chars"}, Unable),
        ({"source": "1234567890123456"}, Unable),
        ({"source": "Магазин"}, Unable),
        ({"command": Sms(text="Привіт ґанок ї € №")}, None),
        ({"command": Sms(text="שלום")}, None),
        ({"command": Sms(text="\ud83d")}, Unable),
    ],
)
def test_what_the_guide_rules_out_is_not_sent(message, fields, objection):
    found = iba().objection(message(**fields))
    assert type(found) is (type(None) if objection is None else objection)


def test_what_windows_1251_cannot_hold_goes_to_another_provider(message):
    cyrillic, hebrew = (message(command=Sms(text=text)) for text in ("Привіт ґанок ї € №", "שלום"))
    provider = iba(charset="windows-1251")
    assert provider.objection(cyrillic) is None
    assert provider.objection(hebrew) == Unable(reason="the text has characters that windows-1251 has not")
    # And not as question marks if nobody asks for objections.
    with pytest.raises(UnicodeEncodeError):
        provider.send([hebrew])


@pytest.mark.parametrize(
    ("change", "together"),
    [
        ({}, True),
        ({"priority": 3, "registered_delivery": 0}, True),
        ({"command": Sms(text="another")}, False),
        ({"command": Sms(text="Привет, world", comment="4711")}, False),
        ({"source": "OTHER"}, False),
        ({"account": "shop"}, False),
        ({"accepted_at": NOW + 60_000}, False),
        ({"destination": "+79000000002"}, False),
        ({"destination": "0079000000002"}, False),
        ({"duplicate_window": 0}, False),
        ({"progress": Progress(attempts=1, provider="main")}, False),
        ({"progress": Progress(attempts=1, provider="another")}, True),
    ],
)
def test_what_rides_together(message, change, together):
    one, other = message(1, destination="79000000001"), message(2, **{"destination": "79000000002", **change})
    assert (iba().rides_with(one) == iba().rides_with(other)) is together


# Answers to sending --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "count", "outcomes"),
    [
        ("83759227", 1, [Sent(ref="83759227")]),
        (" 83759227\r\n", 1, [Sent(ref="83759227")]),
        ("\ufeff83759227", 1, [Sent(ref="83759227")]),
        # smsgate httpGateDoc, the samples of answers.
        ("1179038981", 1, [Sent(ref="1179038981")]),
        ("1178440060,1178440061", 2, [Sent(ref="1178440060"), Sent(ref="1178440061")]),
        ("1178440060, 1178440061", 2, [Sent(ref="1178440060"), Sent(ref="1178440061")]),
        ("0", 1, [Unable(reason="answered 0", err=99)]),
        ("7,0", 2, [Sent(ref="7"), Unable(reason="answered 0", err=99)]),
        (
            "7,Номер телефона присутствует в стоп-листе.",
            2,
            [Sent(ref="7"), Refused(reason="Номер телефона присутствует в стоп-листе.", err=252)],
        ),
        ("", 1, [InDoubt(reason="an empty answer is neither an id nor an error that is known")]),
        ("", 2, [InDoubt(reason="1 answers for 2 numbers")] * 2),
        ("7", 2, [InDoubt(reason="1 answers for 2 numbers")] * 2),
        ("7,8,9", 2, [InDoubt(reason="3 answers for 2 numbers")] * 2),
        # Each message has an id of its own, says the guide.
        ("7,7", 2, [InDoubt(reason="an id stands for two numbers")] * 2),
        ("7,8", 1, [InDoubt(reason='"7,8" is neither an id nor an error that is known')]),
        ("-7", 1, [InDoubt(reason='"-7" is neither an id nor an error that is known')]),
        ("7,was?", 2, [Sent(ref="7"), InDoubt(reason='"was?" is neither an id nor an error that is known')]),
        ("<b>7</b>", 1, [InDoubt(reason="a page is neither an id nor an error that is known")]),
    ],
)
def test_answers_to_sending(message, body, count, outcomes):
    assert list(iba().sent([message(n + 1) for n in range(count)], answer(body))) == outcomes


#: What each error comes to for the only recipient, and for two.
TABLE: list[tuple[str, type[Outcome], int, type[Outcome]]] = [
    ("0", Unable, 99, Temporary),
    ("Неправильный формат XML документа", Unable, 0, Unable),
    ("Неправильный формат JSON документа", Unable, 0, Unable),
    ("Ваш аккаунт заблокирован", Unable, 0, Unable),
    ("Неправильный логин или пароль", Unable, 0, Unable),
    ("POST данные отсутствуют", Unable, 0, Unable),
    ("У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.", Unable, 0, Unable),
    ("Закончились SMS.", Unable, 0, Unable),
    ("Аккаунт заблокирован.", Unable, 0, Unable),
    ("Укажите номер телефона.", Refused, 249, Temporary),
    ("Номер телефона присутствует в стоп-листе.", Refused, 252, Temporary),
    ("Данное направление закрыто для вас.", Unable, 248, Temporary),
    ("Данное направление закрыто.", Unable, 248, Temporary),
    (
        "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет по данному "
        "направлению.",
        InDoubt,
        0,
        InDoubt,
    ),
    ("Текст SMS отклонен модератором.", Refused, 253, Refused),
    ("Нет отправителя.", Unable, 254, Unable),
    (
        "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для буквенно-числовых.",
        Refused,
        254,
        Refused,
    ),
    ("Номер телефона должен быть меньше 15 символов.", Refused, 249, Temporary),
    ("Нет текста сообщения.", Refused, 0, Refused),
    ("Нет ссылки.", Unable, 0, Unable),
    ("Такого отправителя Нет.", Unable, 254, Unable),
    ("Отправитель не прошел модерацию.", Unable, 254, Unable),
    ("Попытка отправки более одного одинакового запроса в течение минуты", Temporary, 0, Temporary),
    ("Данное сообщение уже было отправлено.", InDoubt, 0, InDoubt),
]


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
@pytest.mark.parametrize(("words", "alone", "err", "in_company"), TABLE)
def test_every_error(message, words, alone, err, in_company, charset):
    for written in (words, words.upper(), f"error: {words}", f"{words.rstrip('.')} \n"):
        (outcome,) = iba().sent([message()], answer(written.encode(charset)))
        assert type(outcome) is alone
        assert getattr(outcome, "err", 0) == err
        outcomes = iba().sent([message(1), message(2)], answer(written.encode(charset)))
        assert [type(outcome) for outcome in outcomes] == [in_company] * 2


def test_every_error_is_in_the_table():
    assert {words for words, *_ in TABLE} == set(ERRORS)
    assert {words for words, alone, _, company in TABLE if alone is not company} == OF_ONE_NUMBER


def test_what_refuses_everything_opens_the_breaker(message):
    for words, *_ in TABLE:
        (outcome,) = iba().sent([message()], answer(words))
        everything = isinstance(outcome, Unable) and outcome.everything
        assert everything is any(word in words for word in ("логин", "аккаунт", "Аккаунт", "акончились", "POST")), words


def test_the_same_request_waits_for_a_minute(message):
    (outcome,) = iba().sent(
        [message()], answer("error: Попытка отправки более одного одинакового запроса в течение минуты")
    )
    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == 60


@pytest.mark.parametrize("status", [500, 502])
def test_an_id_beside_an_error_of_the_server_is_not_believed(message, status):
    (outcome,) = iba().sent([message()], answer("7", status))
    assert isinstance(outcome, InDoubt)


def test_no_answer_quotes_the_request(message):
    page = "<p>GET /sendsms.php?user=test&pwd=hush&text=mine</p>"
    for body in (page, "cannot open http://x/?pwd=hush", "x" * 300):
        (outcome,) = iba().sent([message()], answer(body))
        assert outcome == InDoubt(reason="a page is neither an id nor an error that is known")


# Statuses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # IBA Telecom GET guide.
        ("Send", MessageState.ENROUTE),
        ("deliver", MessageState.DELIVERED),
        # smsgate httpGateDoc.
        ("send", MessageState.ENROUTE),
        ("not_deliver", MessageState.UNDELIVERABLE),
        ("expired", MessageState.EXPIRED),
        ("partly_deliver", MessageState.UNKNOWN),
        ("DELIVER\n", MessageState.DELIVERED),
    ],
)
def test_every_status(message, word, state):
    sent = message(progress=Progress(stage=Stage.SENT, ref="83759227"))
    (report,) = iba().asked([sent], answer(word))
    never = state is MessageState.UNKNOWN
    err = 245 if never else 0
    assert report == StatusReport(state=state, final=never, err=err, ref="83759227", raw=word.strip().lower())


@pytest.mark.parametrize("body", ["", "0", "83759227", "Сообщение с таким ID не принималось", "Аккаунт заблокирован."])
def test_an_answer_that_is_no_status_tells_nothing(message, body):
    doubtful = message(progress=Progress(stage=Stage.DOUBT))
    assert list(iba().asked([doubtful], answer(body))) == [None]


def test_a_status_beside_an_error_of_the_server_tells_nothing(message):
    assert list(iba().asked([message()], answer("deliver", 500))) == [None]


# Balance -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        ("444.6\nRUR\nРоссия: 361\n", "444.6 RUR"),
        ("0\nRUR\nРоссия: 0", "0 RUR"),
        ("-3,5\r\nUAH", "-3,5 UAH"),
        # smsgate httpGateDoc.
        ("445.6 RUR Россия:361,МТС:1,Мегафон:1", "445.6 RUR"),
    ],
)
def test_the_balance(body, balance):
    assert iba().balance_read(answer(body)) == balance


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (answer(""), "an empty answer instead of a balance"),
        (answer("0"), '"0" instead'),
        (answer("Ваш аккаунт заблокирован"), "аккаунт заблокирован"),
        (answer("Номер телефона должен быть меньше 15 символов."), "15 символов"),
        (answer("<html>404"), "a page instead"),
        (answer("444.6\nRUR", 502), "HTTP 502"),
    ],
)
def test_a_balance_that_is_not_told_is_an_error(response, said):
    with pytest.raises(ValueError, match=said):
        iba().balance_read(response)


# Incoming messages ---------------------------------------------------------------------------------------------------


def called(query: str | bytes) -> Callback:
    octets = query.encode() if isinstance(query, str) else query
    return Callback(method="GET", path="", query=octets, headers={}, body=b"", peer="192.0.2.1")


#: As the guide lists the parameters.
QUERY = "date=2014-07-18+00:35:00&text={}&smsid=5094&sender=79031234567&receiver=4444&prefix=abc"


@pytest.mark.parametrize(
    "text",
    [
        "%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82+%2B",
        # By iconv -t windows-1251.
        "%CF%F0%E8%E2%E5%F2+%2B",
    ],
)
def test_a_message_from_a_subscriber_in_either_charset(text):
    reply = iba(timezone="Europe/Moscow").callback(called(QUERY.format(text)), NOW)
    assert reply.incoming == [
        Incoming(
            provider="main",
            ref="5094",
            source="79031234567",
            destination="4444",
            text="Привет +",
            at=1_405_629_300_000,
            prefix="abc",
        )
    ]
    assert (reply.status, reply.body, list(reply.reports)) == (200, b"smsid=5094", [])


def test_raw_octets_are_read_as_well():
    query = QUERY.format("Привет").encode("windows-1251")
    (incoming,) = iba().callback(called(query), NOW).incoming
    assert incoming.text == "Привет"


def test_the_numbers_the_other_way_round():
    query = QUERY.format("x").replace("sender", "_").replace("receiver", "sender").replace("_", "receiver")
    (incoming,) = iba(incoming_sender="number").callback(called(query), NOW).incoming
    assert (incoming.source, incoming.destination) == ("79031234567", "4444")


def test_a_repetition_is_the_same_message_and_gets_the_same_answer():
    first, second = (iba().callback(called(QUERY.format("x")), now) for now in (NOW, NOW + 10**9))
    assert first == second


def test_a_date_of_another_clock():
    def at(zone: str) -> int:
        return iba(timezone=zone).callback(called(QUERY.format("x")), NOW).incoming[0].at

    assert at("UTC") - at("Europe/Kyiv") == 3 * 3_600_000
    assert iba().settings.timezone == ZoneInfo("Europe/Moscow")


def test_an_smsid_is_answered_as_it_was_written():
    reply = iba().callback(called("text=x&smsid=05094&sender=79031234567"), NOW)
    assert (reply.body, reply.incoming[0].ref) == (b"smsid=05094", "05094")


@pytest.mark.parametrize("query", ["smsid=7&sender=%2B79031234567&receiver=&text=", "text=&sender=79031234567&smsid=7"])
def test_what_only_adorns_a_message_may_be_missing(query):
    (incoming,) = iba().callback(called(query), NOW).incoming
    assert incoming == Incoming(provider="main", ref="7", source="79031234567", destination="", text="")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "smsid=7&sender=79031234567",
        "text=x&sender=79031234567",
        "text=x&smsid=7",
        "text=x&smsid=0&sender=79031234567",
        "text=x&smsid=00&sender=79031234567",
        "text=x&smsid=123456789012345678901&sender=79031234567",
        "text=x&smsid=-7&sender=79031234567",
        "text=x&smsid=7%0d%0aX&sender=79031234567",
        "text=x&smsid=٧&sender=79031234567",
    ],
)
def test_what_is_no_message(query):
    with pytest.raises(BadCallback) as refused:
        iba().callback(called(query), NOW)
    assert refused.value.status == 400


# The page ------------------------------------------------------------------------------------------------------------


def rows(title: str) -> list[list[str]]:
    section = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section, title
    lines = [line for line in section[1].splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_names_every_status():
    told = [(word.strip("`"), stat.strip("`"), number) for word, stat, number, _ in rows("Statuses")]
    assert told == [(word, STAT[state], str(int(state))) for word, state in STATES.items()]


def test_the_page_names_every_error(message):
    told = {words.strip("`"): (outcome, err, company) for words, outcome, err, company in rows("Errors")}
    assert list(told) == list(ERRORS)
    for words, (outcome, err, company) in told.items():
        (meant,) = iba().sent([message()], answer(words))
        name = type(meant).__name__
        assert outcome == (f"{name}, everything" if isinstance(meant, Unable) and meant.everything else name)
        assert err == (f"{meant.err:03}" if isinstance(meant, Refused | Unable) and meant.err else "")
        assert company == ("each goes alone" if words in OF_ONE_NUMBER else "the same")
