"""The smsgate adapter against the platform of the rehearsal, which follows the documents strictly: each door, through
every ending of a number, with nothing in between but the requests and the answers."""

from __future__ import annotations

import httpx
import pytest

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Message, Progress, Sms, Social, Stage, StatusReport, Viber
from smppbridge.providers import registry
from smppbridge.providers.base import Callback, InDoubt, NotFound, Outcome, Refused, Sent, Temporary, Unable
from smppbridge.providers.smsgate import Smsgate
from smppbridge.simulator.smsgate import ERRORS
from smppbridge.simulator.smsgate import Smsgate as Platform
from smppbridge.simulator.vendor import Asked, Reply, Settings

NOW = 1_795_348_800.0
DELAY = 10.0
LATER = NOW + 100 * DELAY

DOORS = pytest.mark.parametrize("door", ["json", "xml", "get"])
DOCUMENTS = pytest.mark.parametrize("door", ["json", "xml"])


class Road:
    """A configured provider and the platform at the other end."""

    def __init__(self, door: str, **settings: object) -> None:
        own = {
            "adapter": "smsgate",
            "base_url": "http://127.0.0.1:8099/smsgate/",
            "door": door,
            "login": "demo",
            "password": "demo",
            "channels": {"viber": ["viber", "vk", "sms"], "soc": ["vk", "sms"]},
            "template_id": "100",
            "template_data": {"Text": "{text}"},
            **settings,
        }
        provider = registry.build("main", ProviderConfig.model_validate(own))
        assert isinstance(provider, Smsgate)
        self.provider = provider
        self.platform = Platform(Settings(delay=DELAY, minute=60))

    def carry(self, request: httpx.Request, at: float) -> httpx.Response:
        asked = Asked(
            method=request.method,
            path=request.url.path.removeprefix("/smsgate"),
            now=at,
            query=request.url.query,
            headers=dict(request.headers),
            body=request.content,
            url_length=len(str(request.url)),
        )
        answer = self.platform.answer(asked)
        headers = {"content-type": answer.content_type, **answer.headers}
        return httpx.Response(answer.status, content=answer.body, headers=headers)

    def send(self, *messages: Message, at: float = NOW) -> list[Outcome]:
        outcomes = self.provider.sent(messages, self.carry(self.provider.send(messages), at))
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Sent):
                message.progress = Progress(stage=Stage.SENT, ref=outcome.ref, provider="main", attempts=1)
        return list(outcomes)

    def ask(self, *messages: Message, at: float = LATER) -> list[StatusReport | NotFound | None]:
        return list(self.provider.asked(messages, self.carry(self.provider.ask(messages), at)))


def sent(outcome: Outcome) -> Sent:
    assert isinstance(outcome, Sent)
    return outcome


def report(answer: StatusReport | NotFound | None) -> StatusReport:
    assert isinstance(answer, StatusReport)
    return answer


@DOORS
@pytest.mark.parametrize("command", [Sms(text="Привет,\nworld"), Viber(text="<b>&"), Social(text='"Hi"')])
def test_there_and_back(message, door, command):
    road = Road(door)
    one = message(command=command)
    (outcome,) = road.send(one)
    assert sent(outcome).ref
    assert report(road.ask(one, at=NOW + 1)[0]).state is MessageState.ENROUTE
    assert report(road.ask(one)[0]).state is MessageState.DELIVERED
    assert road.platform.counts.processed == 1


@DOCUMENTS
@pytest.mark.parametrize(
    ("ending", "state", "channel", "cost", "parts"),
    [
        ("1111", MessageState.DELIVERED, "viber", "0.55", 0),
        ("0031", MessageState.DELIVERED, "soc", "1.15", 0),
        ("0032", MessageState.DELIVERED, "sms", "2.35", 1),
        ("0004", MessageState.UNDELIVERABLE, "", "2.35", 1),
        ("0005", MessageState.EXPIRED, "", "2.35", 1),
        ("0010", MessageState.UNKNOWN, "", "2.35", 1),
        ("0013", MessageState.ENROUTE, "", "0.00", 0),
    ],
)
def test_the_channel_that_delivered_the_price_and_the_parts(message, door, ending, state, channel, cost, parts):
    road = Road(door)
    one = message(command=Viber(text="Hello"), destination=f"7999123{ending}")
    road.send(one)
    told = report(road.ask(one)[0])
    assert (told.state, told.channel, told.parts) == (state, channel, parts)
    assert float(told.cost) == float(cost)


@DOORS
@pytest.mark.parametrize("number", range(1, len(ERRORS) + 1))
def test_every_sentence_of_the_platform(message, door, number):
    road = Road(door)
    (outcome,) = road.send(message(destination=f"7999123{100 + number:04}"))
    expected = {
        **dict.fromkeys((1, 2, 3, 6, 7, 10, 14, 15, 16), Unable),
        **dict.fromkeys((4, 5, 9, 11, 12, 13), Refused),
        8: InDoubt,
        17: Refused if door == "get" else Sent,
    }
    assert type(outcome) is expected[number]
    assert isinstance(outcome, Sent) or outcome.reason == ERRORS[number - 1]


@DOCUMENTS
def test_a_refusal_touches_only_its_own_messages(message, door):
    road = Road(door)
    several = [
        message(1, command=Sms(text="one")),
        message(2, command=Sms(text="one"), destination="79991230003"),
        message(3, command=Sms(text="two")),
        # A whole `message` of the request: its sender is too long.
        message(4, command=Sms(text="two"), source="MUCH TOO LONG A NAME"),
        message(5, command=Sms(text="two"), source="MUCH TOO LONG A NAME"),
        message(6, command=Viber(text="two")),
    ]
    outcomes = road.send(*several)
    assert [type(outcome) for outcome in outcomes] == [Sent, Refused, Sent, Refused, Refused, Sent]
    assert [outcome.err for outcome in outcomes if isinstance(outcome, Refused)] == [252, 254, 254]
    answers = road.ask(several[0], several[2], several[5])
    assert [report(answer).state for answer in answers] == [MessageState.DELIVERED] * 3
    assert road.platform.counts.processed == 3


@DOCUMENTS
def test_a_repetition_is_not_paid_twice_whatever_it_comes_with(message, door):
    road = Road(door)
    first = message(1)
    (outcome,) = road.send(first)
    crashed = message(1, progress=Progress(stage=Stage.DOUBT, ref="1", attempts=1))
    again, other = road.send(crashed, message(2), at=NOW + 5)
    assert sent(again).ref == sent(outcome).ref != sent(other).ref
    assert road.platform.counts.processed == 2
    # A second leg is another message.
    (onward,) = road.send(message(1, progress=Progress(leg=1)), at=NOW + 6)
    assert sent(onward).ref != sent(outcome).ref


@DOCUMENTS
def test_money_that_is_short_keeps_the_message_in_doubt_until_it_has_an_id(message, door):
    road = Road(door)
    one = message(destination="79991230108")
    (outcome,) = road.send(one)
    assert type(outcome) is InDoubt
    (outcome,) = road.send(one, at=NOW + 5)
    assert sent(outcome).ref
    assert road.platform.counts.processed == 1


def test_get_refuses_what_is_identical_within_a_minute(message):
    road = Road("get")
    one = message(progress=Progress(stage=Stage.SENDING, attempts=1))
    request = road.provider.send([one])
    road.carry(request, NOW)
    # As far as we know this is the first attempt.
    (outcome,) = road.provider.sent([one], road.carry(request, NOW + 59))
    assert isinstance(outcome, Temporary)
    assert outcome.retry_after == 60
    # And here the second: the first one has arrived.
    tried = message(progress=Progress(stage=Stage.SENDING, attempts=2))
    (outcome,) = road.provider.sent([tried], road.carry(request, NOW + 59))
    assert type(outcome) is InDoubt
    # A question that is refused tells nothing.
    known = message(progress=Progress(stage=Stage.SENT, ref="1179038981"))
    assert report(road.ask(known, at=NOW + 60)[0]).state is MessageState.DELIVERED
    assert road.ask(known, at=NOW + 61) == [None]


@pytest.mark.parametrize("length", [100, 200, 2000])
def test_get_finds_a_way_for_texts_of_any_length(message, length):
    road = Road("get")
    (outcome,) = road.send(message(command=Sms(text="я" * length)))
    assert sent(outcome).ref


@DOORS
def test_what_the_platform_does_not_know(message, door):
    known = message(progress=Progress(stage=Stage.SENT, ref="5"))
    (answer,) = Road(door).ask(known)
    assert isinstance(answer, NotFound)


@DOORS
def test_a_wrong_password_and_a_token(message, door):
    (outcome,) = Road(door, password="wrong").send(message())
    assert isinstance(outcome, Unable)
    assert outcome.everything
    (outcome,) = Road(door, login="", password="", token="demo").send(message())
    assert sent(outcome).ref


@DOORS
def test_a_reply_in_viber_names_the_message_that_it_replies_to(message, door):
    road = Road(door)
    one = message(command=Viber(text="Hello"))
    (outcome,) = road.send(one)
    push = road.platform.incoming(Reply(source=one.destination, destination="Shop", text="Да"), NOW)
    called = Callback(method=push.method, path="", query=b"", headers={}, body=push.body, peer="127.0.0.1")
    reply = road.provider.callback(called, 0)
    (incoming,) = reply.incoming
    assert (incoming.source, incoming.text, incoming.reply_to) == (one.destination, "Да", sent(outcome).ref)
    assert push.taken(reply.status, reply.body)
