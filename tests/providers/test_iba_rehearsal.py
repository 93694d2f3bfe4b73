"""The IBA Telecom adapter against the platform of the rehearsal, which follows the guide strictly, with nothing in
between but the requests and the answers."""

from __future__ import annotations

import httpx
import pytest

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Message, Progress, Sms, Stage, StatusReport
from smppbridge.providers import registry
from smppbridge.providers.base import Callback, InDoubt, Outcome, Refused, Sent, Temporary, Unable
from smppbridge.providers.iba import Iba
from smppbridge.simulator.iba import Iba as Platform
from smppbridge.simulator.vendor import Asked, Reply, Settings

NOW = 1_795_348_800.0
DELAY = 10.0
LATER = NOW + 100 * DELAY


class Road:
    """A configured provider and the platform at the other end."""

    def __init__(self, **settings: object) -> None:
        own = {"base_url": "http://127.0.0.1:8099/iba/", "user": "demo", "password": "demo", "timezone": "UTC"}
        provider = registry.build("main", ProviderConfig.model_validate({"adapter": "iba", **own, **settings}))
        assert isinstance(provider, Iba)
        self.provider = provider
        self.platform = Platform(Settings(delay=DELAY))

    def carry(self, request: httpx.Request, at: float = NOW) -> httpx.Response:
        path = request.url.path.removeprefix("/iba")
        answer = self.platform.answer(Asked(method=request.method, path=path, now=at, query=request.url.query))
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return httpx.Response(answer.status, content=body)

    def send(self, *messages: Message) -> list[Outcome]:
        outcomes = self.provider.sent(messages, self.carry(self.provider.send(messages)))
        for message, outcome in zip(messages, outcomes, strict=True):
            ref = outcome.ref if isinstance(outcome, Sent) else ""
            stage = Stage.SENT if ref else Stage.WAITING
            message.progress = Progress(stage=stage, provider="main", ref=ref, attempts=1)
        return list(outcomes)

    def state(self, message: Message, at: float = LATER) -> MessageState:
        (report,) = self.provider.asked([message], self.carry(self.provider.ask([message]), at))
        assert isinstance(report, StatusReport)
        return report.state


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251"])
def test_there_and_back(message, charset):
    road = Road(charset=charset)
    one = message(command=Sms(text="Привіт, світ № 1 & more?"))
    (outcome,) = road.send(one)
    assert isinstance(outcome, Sent)
    assert road.platform.messages[outcome.ref].text == "Привіт, світ № 1 & more?"
    assert road.state(one, NOW + 1) is MessageState.ENROUTE
    assert road.state(one) is MessageState.DELIVERED


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("0002", MessageState.DELIVERED),
        ("0004", MessageState.UNDELIVERABLE),
        ("0005", MessageState.EXPIRED),
        ("0010", MessageState.UNKNOWN),
        ("0013", MessageState.ENROUTE),
    ],
)
def test_every_course(message, ending, state):
    road = Road()
    one = message(destination=f"7999123{ending}")
    road.send(one)
    assert road.state(one) is state


@pytest.mark.parametrize(("ending", "outcome"), [("0003", Unable), ("0101", InDoubt), ("0102", Unable)])
def test_every_error(message, ending, outcome):
    road = Road()
    assert [type(one) for one in road.send(message(destination=f"7999123{ending}"))] == [outcome]
    assert road.platform.counts.processed == 0


def test_ten_numbers_have_ten_ids(message):
    road = Road()
    several = [message(n) for n in range(1, 11)]
    outcomes = road.send(*several)
    refs = {
        one.destination: outcome.ref for one, outcome in zip(several, outcomes, strict=True) if type(outcome) is Sent
    }
    assert refs == {taken.to: id for id, taken in road.platform.messages.items()}
    assert len(refs) == 10


def test_a_wrong_number_costs_the_others_a_request_and_nobody_a_message(message):
    road = Road()
    several = [message(1), message(2, destination="79991230003"), message(3)]
    assert [type(outcome) for outcome in road.send(*several)] == [Temporary] * 3
    assert len({road.provider.rides_with(one) for one in several}) == 3
    assert [type(road.send(one)[0]) for one in several] == [Sent, Unable, Sent]
    assert road.platform.counts.processed == 2


def test_an_answer_that_is_too_short_is_doubt_for_all(message):
    road = Road()
    road.platform.partial = True
    assert [type(outcome) for outcome in road.send(message(1), message(2))] == [InDoubt, InDoubt]
    assert road.platform.counts.processed == 1


def test_a_wrong_login_charges_nothing_and_shows_in_the_balance(message):
    road = Road(password="wrong")
    assert [type(outcome) for outcome in road.send(message())] == [Unable]
    with pytest.raises(ValueError, match="an empty answer"):
        road.provider.balance_read(road.carry(road.provider.balance()))
    road = Road()
    assert road.provider.balance_read(road.carry(road.provider.balance())) == "1000.00 RUR"


@pytest.mark.parametrize("source", ["", "1234567890123456", "Twelve chars"])
def test_what_is_objected_to_would_be_refused(message, source):
    road = Road()
    one = message(source=source)
    assert isinstance(road.provider.objection(one), Refused | Unable)
    assert [type(outcome) for outcome in road.send(one)] == [Unable]


def test_a_message_of_a_subscriber_is_answered_as_the_platform_wants_it():
    road = Road()
    push = road.platform.incoming(Reply(source="375291234567", destination="4444", text="Да & нет", prefix="abc"), NOW)
    query = push.query.encode()
    callback = Callback(method=push.method, path="", query=query, headers={}, body=b"", peer="192.0.2.1")
    reply = road.provider.callback(callback, int(NOW * 1000))
    (incoming,) = reply.incoming
    assert (incoming.source, incoming.destination, incoming.text, incoming.prefix) == (
        "375291234567", "4444", "Да & нет", "abc",
    )  # fmt: skip
    assert incoming.at == NOW * 1000
    assert push.taken(reply.status, bytes(reply.body))
