"""The Naimar adapter against the provider of the rehearsal, which follows the documents strictly, with nothing in
between but the requests, the answers and the pushes."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Binary, Incoming, Message, Progress, Sms
from smppbridge.providers import registry
from smppbridge.providers.base import Callback, InDoubt, Outcome, Refused, Sent, Temporary, Unable
from smppbridge.providers.base import Reply as Answered
from smppbridge.providers.naimar import Naimar
from smppbridge.simulator.naimar import Naimar as Platform
from smppbridge.simulator.vendor import Asked, Push, Reply, Settings

NOW = 1_795_348_800.0
SUBSCRIBER = "421901727051"


class Road:
    """A configured provider and the platform at the other end."""

    def __init__(self, **settings: object) -> None:
        own = {
            "adapter": "naimar",
            "base_url": "http://127.0.0.1:8099/naimar/api/v6/",
            "username": "demo",
            "password": "demo",
            "short_number": "7401",
            "billkey": "1234",
            "timezone": "UTC",
            **settings,
        }
        provider = registry.build("main", ProviderConfig.model_validate(own))
        assert isinstance(provider, Naimar)
        self.provider = provider
        self.platform = Platform(Settings(delay=10))

    def send(self, *messages: Message) -> list[Outcome]:
        request = self.provider.send(messages)
        path = request.url.path.removeprefix("/naimar")
        answer = self.platform.answer(
            Asked(method=request.method, path=path, now=NOW, headers=dict(request.headers), body=request.content)
        )
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        return list(self.provider.sent(messages, httpx.Response(answer.status, content=body)))

    def push(self, push: Push) -> Answered:
        query = push.query.encode()
        callback = Callback(method=push.method, path="", query=query, headers={}, body=b"", peer="192.0.2.1")
        reply = self.provider.callback(callback, int(NOW * 1000))
        assert push.taken(reply.status, bytes(reply.body))
        return reply

    def states(self) -> dict[str, MessageState]:
        """What was pushed, by the reference of the message."""
        reports = [report for push in self.platform.pushes for report in self.push(push).reports]
        return {report.ref: report.state for report in reports}

    def subscriber_writes(self, source: str = SUBSCRIBER, **what: str) -> Incoming:
        push = self.platform.incoming(Reply(source=source, destination="7401", **{"text": "yes", **what}), NOW)
        assert push is not None
        (incoming,) = self.push(push).incoming
        return incoming


@pytest.fixture
def answering(message):
    """A billed message that answers one of the subscriber's."""

    def make(incoming: Incoming, n: int = 1, **other: object) -> Message:
        fields = {"source": incoming.destination, "destination": incoming.source, **other}
        return message(n, progress=Progress(answers=incoming.ref), **fields)

    return make


CONTENTS = pytest.mark.parametrize(
    ("command", "text"),
    [
        (Sms(text="<Test> & SMS"), "<Test> & SMS"),
        (Sms(text="x" * 160), "x" * 160),
        (Binary(data=bytes(140), data_coding=245, has_udh=True), "00" * 140),
    ],
)


@CONTENTS
def test_a_billed_message_there_and_back(answering, command, text):
    road = Road()
    one = answering(road.subscriber_writes(), command=command)
    assert road.provider.objection(one) is None
    ref = road.provider.reference(one)
    assert road.send(one) == [Sent(ref=ref)]
    assert (road.platform.messages[ref].what, road.platform.messages[ref].text) == ("billed sms", text)
    assert road.states() == {ref: MessageState.DELIVERED}


def test_a_billed_message_beyond_gsm(answering):
    road = Road()
    one = answering(road.subscriber_writes(), command=Sms(text="ď" * 70))
    assert road.send(one) == [Sent(ref="1")]
    assert bytes.fromhex(road.platform.messages["1"].text).decode("utf-16-be") == "ď" * 70


@CONTENTS
def test_a_plain_message_there_and_back(message, command, text):
    road = Road()
    assert road.send(message(destination=SUBSCRIBER, command=command)) == [Sent(ref="1")]
    assert (road.platform.messages["1"].what, road.platform.messages["1"].text) == ("sms", text)
    assert road.states() == {"1": MessageState.DELIVERED}


def test_several_recipients_with_texts_of_their_own(message):
    road = Road(recipients=3)
    texts = ["ďalej", "ďalší", "ďakujem"]
    several = [message(n, destination=SUBSCRIBER, command=Sms(text=text)) for n, text in enumerate(texts, 1)]
    assert len({road.provider.rides_with(one) for one in several}) == 1
    assert road.send(*several) == [Sent(ref="1"), Sent(ref="2"), Sent(ref="3")]
    assert [road.platform.messages[ref].text for ref in ("1", "2", "3")] == texts


def test_without_the_subscribers_message_the_answer_is_what_was_objected(answering):
    road = Road()
    somebody_else = road.subscriber_writes("421901727099")
    one = answering(somebody_else, destination=SUBSCRIBER)
    (outcome,) = road.send(one)
    objection = road.provider.objection(answering(msgspec.structs.replace(somebody_else, ref="")))
    assert isinstance(outcome, Refused)
    assert isinstance(objection, Refused)
    assert (outcome.err, outcome.reason) == (objection.err, f"400 {objection.reason}")
    assert road.platform.counts.processed == 0


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [("0003", Unable), ("0016", Unable), ("0101", Refused), ("0102", Unable), ("0103", InDoubt)],
)
def test_every_error(message, ending, outcome):
    road = Road()
    assert [type(one) for one in road.send(message(destination=f"42190172{ending}"))] == [outcome]


@pytest.mark.parametrize(
    ("ending", "states"),
    [
        ("0202", [MessageState.DELIVERED]),
        ("0203", [MessageState.EXPIRED]),
        ("0205", [MessageState.UNDELIVERABLE]),
        ("0208", [MessageState.REJECTED]),
        ("0327", [MessageState.UNDELIVERABLE]),
        ("0013", []),
    ],
)
def test_every_status(message, ending, states):
    road = Road()
    road.send(message(destination=f"42190172{ending}"))
    assert list(road.states().values()) == states


def test_one_recipient_too_many_lets_the_others_go_alone(message):
    road = Road(recipients=2)
    several = [message(1, destination=SUBSCRIBER), message(2, destination="421901720003")]
    assert [type(outcome) for outcome in road.send(*several)] == [Temporary, Temporary]
    assert [type(road.send(one)[0]) for one in several] == [Sent, Unable]
    assert road.platform.counts.processed == 1


def test_the_statuses_tell_which_of_several_was_taken(message):
    road = Road(recipients=2)
    road.platform.partial = True
    several = [message(1, destination=SUBSCRIBER), message(2, destination=SUBSCRIBER)]
    assert [type(outcome) for outcome in road.send(*several)] == [InDoubt, InDoubt]
    assert road.states() == {"1": MessageState.DELIVERED}


def test_an_id_that_comes_twice_is_doubt_and_no_second_message(message):
    """Why `repeat` would not be safe: the provider of the rehearsal refuses it, another may send it."""
    road = Road()
    one = message(destination=SUBSCRIBER)
    assert [type(road.send(one)[0]) for _ in range(2)] == [Sent, InDoubt]


def test_a_binary_message_of_a_subscriber():
    incoming = Road().subscriber_writes(data="0605040B8423F0FF")
    assert (incoming.data, incoming.data_coding, incoming.has_udh) == (bytes.fromhex("0605040B8423F0FF"), 245, True)


@pytest.mark.parametrize("source", ["TwelveLetter", "My shop", "1234567890123456"])
def test_what_is_objected_to_would_be_refused(message, source):
    road = Road()
    one = message(source=source, destination=SUBSCRIBER)
    objection = road.provider.objection(one)
    (outcome,) = road.send(one)
    assert isinstance(objection, Unable)
    assert isinstance(outcome, Unable)
    assert outcome.err == objection.err
