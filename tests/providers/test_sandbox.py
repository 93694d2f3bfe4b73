"""The sandbox through an ordinary httpx client: what is sent, what comes back, and when."""

from __future__ import annotations

import asyncio
import itertools
import re
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx
import msgspec
import pytest

from pdu import MessageState
from smppbridge.config import ProviderConfig
from smppbridge.model import Hlr, Mail, Message, Ping, Progress, Sms, Stage, StatusReport, Viber
from smppbridge.providers import registry, sandbox
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
)
from smppbridge.providers.sandbox import CALLS, ENDINGS, SLOT, Sandbox, Server

DELIVERED, UNDELIVERABLE, ENROUTE = MessageState.DELIVERED, MessageState.UNDELIVERABLE, MessageState.ENROUTE


class _Clock(selectors.DefaultSelector):
    """Waiting takes no time: the loop's clock jumps to what it waits for."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nothing is left to wait for"
        self.now += max(timeout, 0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


class Desk:
    """A gateway in small: sends messages to a sandbox and writes down what comes back, and after how many seconds."""

    def __init__(self, **settings: Any) -> None:
        config = ProviderConfig.model_validate({"adapter": "sandbox", **settings})
        provider = registry.build("sandbox", config)
        assert isinstance(provider, Sandbox)
        self.provider = provider
        self.callbacks: list[Callback] = []
        self.reports: list[tuple[float, StatusReport]] = []
        self.server: Server = provider.transport(self.deliver)
        self.client = httpx.AsyncClient(transport=self.server, timeout=5)
        self.start = asyncio.get_running_loop().time()

    async def deliver(self, callback: Callback) -> None:
        self.callbacks.append(callback)
        took = asyncio.get_running_loop().time() - self.start
        self.reports += [(round(took, 1), report) for report in self.provider.callback(callback, 0).reports]

    async def send(self, *messages: Message) -> Sequence[Outcome]:
        try:
            response = await self.client.send(self.provider.send(messages))
        except httpx.ReadTimeout:
            return [InDoubt(reason="no answer")] * len(messages)
        return self.provider.sent(messages, response)

    async def ask(self, *messages: Message) -> Sequence[StatusReport | NotFound | None]:
        return self.provider.asked(messages, await self.client.send(self.provider.ask(messages)))

    def told(self) -> list[tuple[float, str, int]]:
        return [(when, report.state.name, report.err) for when, report in self.reports]


def play(journey: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(journey())


# Ordinary destinations -----------------------------------------------------------------------------------------------


def test_ordinary_messages_are_delivered_and_called_back_together(message):
    async def journey() -> None:
        desk = Desk(status_delay=3)
        messages = [message(n) for n in range(1, 251)]
        outcomes = [o for start in (0, 100, 200) for o in await desk.send(*messages[start : start + 100])]
        assert outcomes == [Sent(ref=f"sb-{n}", cost="0.10", parts=1) for n in range(1, 251)]
        assert desk.server.waiting == 250
        await asyncio.sleep(3 + SLOT)
        assert len(desk.callbacks) == 1
        assert [report.id for _, report in desk.reports] == list(range(1, 251))
        assert set(desk.told()) == {(3.0, "DELIVERED", 0)}
        assert desk.server.waiting == 0

    play(journey)


def test_one_callback_has_a_size(message):
    async def journey() -> None:
        desk = Desk(status_delay=1, callback_size=2)
        await desk.send(*(message(n) for n in range(1, 6)))
        await asyncio.sleep(2)
        assert [len(desk.provider.callback(callback, 0).reports) for callback in desk.callbacks] == [2, 2, 1]

    play(journey)


def test_it_thinks_before_it_answers(message):
    async def journey() -> None:
        desk = Desk(accept_delay=2)
        await desk.send(message())
        assert asyncio.get_running_loop().time() == desk.start + 2

    play(journey)


@pytest.mark.parametrize(
    ("text", "parts", "cost"),
    [("x", 1, "0.25"), ("x" * 160, 1, "0.25"), ("x" * 161, 2, "0.50"), ("щ" * 70, 1, "0.25"), ("щ" * 135, 3, "0.75")],
)
def test_parts_and_cost(message, text, parts, cost):
    async def journey() -> None:
        (outcome,) = await Desk(price="0.25").send(message(command=Sms(text=text)))
        assert outcome == Sent(ref="sb-1", cost=cost, parts=parts)

    play(journey)


def test_ordinary_destinations_end_as_configured(message):
    async def journey() -> None:
        desk = Desk(status_delay=1, state="expired", err=12)
        await desk.send(message())
        await asyncio.sleep(2)
        assert desk.told() == [(1.0, "EXPIRED", 12)]

    play(journey)


def test_a_share_fails_and_the_seed_says_which(message):
    async def failing(seed: int) -> list[int]:
        desk = Desk(failures=0.2, failure_state="rejected", failure_err=255, seed=seed)
        await desk.send(*(message(n) for n in range(1, 101)))
        await asyncio.sleep(1)
        assert {(r.state, r.err) for _, r in desk.reports} == {(DELIVERED, 0), (MessageState.REJECTED, 255)}
        return [report.id for _, report in desk.reports if report.state is not DELIVERED]

    async def journey() -> None:
        first, again, other = await failing(1), await failing(1), await failing(2)
        assert first == again != other
        assert 5 < len(first) < 40

    play(journey)


# Magic destinations --------------------------------------------------------------------------------------------------


def test_every_ending_is_listed_where_people_look():
    listed = dict(re.findall(r"(\d{4})  (.+?)(?:  |\n)", str(sandbox.__doc__)))
    assert {digits: name.strip() for digits, name in listed.items()} == {e.digits: e.name for e in ENDINGS}
    assert [ending.digits for ending in ENDINGS] == [f"{n:04}" for n in range(1, len(ENDINGS) + 1)]


#: Digits → outcomes of one request after the other, and statuses with their seconds: status_delay 1, late 30, tries 2.
JOURNEYS: list[tuple[str, list[type], list[tuple[float, str, int]]]] = [
    ("0001", [Sent], []),
    ("0002", [Sent], [(31.0, "DELIVERED", 0)]),
    ("0003", [Refused, Refused], []),
    ("0004", [Sent], [(1.0, "UNDELIVERABLE", 6)]),
    ("0005", [Sent], [(1.0, "EXPIRED", 0)]),
    ("0006", [Temporary, Temporary, Sent], [(1.0, "DELIVERED", 0)]),
    ("0007", [InDoubt, Sent, Sent], [(1.0, "DELIVERED", 0)]),
    ("0008", [InDoubt, Sent, Sent], [(6.0, "DELIVERED", 0)]),
    ("0009", [InDoubt, InDoubt, InDoubt], []),
    ("0010", [Sent], [(1.0, "UNKNOWN", 0)]),
    ("0011", [Sent], [(0.0, "DELIVERED", 0)]),
    ("0012", [Sent], [(1.0, "ENROUTE", 0), (1.0, "ACCEPTED", 0), (31.0, "DELIVERED", 0)]),
    ("0013", [Sent], []),
    ("0014", [Sent], [(1.0, "DELIVERED", 0), (31.0, "UNDELIVERABLE", 6)]),
    ("0015", [Sent], [(1.0, "DELIVERED", 0), (1.0, "DELIVERED", 0)]),
    ("0016", [Unable, Unable], []),
    ("0017", [InDoubt, Sent], [(1.0, "DELIVERED", 0)]),
    ("0018", [Sent], [(1.0, "DELETED", 0)]),
    ("0019", [Temporary, Temporary, Sent], [(1.0, "DELIVERED", 0)]),
    ("0020", [Sent], [(1.0, "DELIVERED", 0)]),
    # As an SMS; Viber meets with it below.
    ("0021", [Sent], [(1.0, "DELIVERED", 0)]),
]


def test_every_ending_has_a_journey():
    assert [digits for digits, _, _ in JOURNEYS] == [ending.digits for ending in ENDINGS]


@pytest.mark.parametrize(("digits", "outcomes", "statuses"), JOURNEYS, ids=[ending.name for ending in ENDINGS])
def test_magic_destinations(message, digits, outcomes, statuses):
    async def journey() -> None:
        desk = Desk(status_delay=1, late=30, tries=2)
        one = message(destination=f"7999123{digits}")
        found = [type((await desk.send(one))[0]) for _ in outcomes]
        assert found == outcomes
        await asyncio.sleep(60)
        assert desk.told() == statuses
        assert desk.server.waiting == 0

    play(journey)


def test_an_ending_of_one_channel_alone(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        one = message(command=Viber(text="hello"), destination="79991230021")
        await desk.send(one)
        await asyncio.sleep(2)
        assert desk.told() == [(1.0, "UNDELIVERABLE", 0)]

    play(journey)


def test_what_is_wrong_with_one_message_leaves_the_others_of_the_request_alone(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        magic = [message(n + 1, destination=f"7999123{ending.digits}") for n, ending in enumerate(ENDINGS)]
        together = [one for one in magic if desk.provider.rides_with(one) == desk.provider.rides_with(message(99))]
        alone = {one.destination[-4:] for one in magic if one not in together}
        assert alone == {"0006", "0007", "0008", "0009", "0017"}
        assert len({desk.provider.rides_with(one) for one in magic if one not in together}) == len(alone)
        outcomes = await desk.send(*together, message(99))
        assert [type(outcome) for outcome in outcomes].count(Sent) == len(outcomes) - 3
        assert isinstance(outcomes[-1], Sent)

    play(journey)


def test_delivered_at_once_says_so_in_the_answer(message):
    async def journey() -> None:
        (outcome,) = await Desk().send(message(destination="79991230001"))
        assert isinstance(outcome, Sent)
        assert outcome.report == StatusReport(state=DELIVERED, ref="sb-1", id=1)

    play(journey)


def test_what_overtakes_the_answer_is_named_by_the_reference_alone(message):
    async def journey() -> None:
        desk = Desk()
        await desk.send(message(destination="79991230011"))
        assert desk.reports == [(0.0, StatusReport(state=DELIVERED, ref="sb-1"))]

    play(journey)


def test_reasons_that_a_client_can_read(message):
    async def journey() -> None:
        desk = Desk()
        (unable,) = await desk.send(message(1, destination="79991230016"))
        (busy,) = await desk.send(message(2, destination="79991230019"))
        (overloaded,) = await desk.send(message(3, destination="79991230006"))
        assert isinstance(unable, Unable)
        assert unable.err == 248
        assert isinstance(busy, Temporary)
        assert isinstance(overloaded, Temporary)
        assert busy.retry_after == overloaded.retry_after == 1

    play(journey)


def test_magic_may_be_switched_off(message):
    async def journey() -> None:
        desk = Desk(magic=False, status_delay=1)
        messages = [message(n + 1, destination=f"7999123{ending.digits}") for n, ending in enumerate(ENDINGS)]
        assert len({desk.provider.rides_with(one) for one in messages}) == 1
        assert all(isinstance(outcome, Sent) for outcome in await desk.send(*messages))
        await asyncio.sleep(2)
        assert set(desk.told()) == {(1.0, "DELIVERED", 0)}

    play(journey)


def test_of_an_address_the_part_before_the_at_counts(message):
    async def journey() -> None:
        mail = Mail(text="x", subject="s", to="a@b.c")
        (refused,) = await Desk().send(message(command=mail, destination="box0003@b.c"))
        (taken,) = await Desk().send(message(command=mail, destination="box@b.c0003"))
        assert isinstance(refused, Refused)
        assert isinstance(taken, Sent)

    play(journey)


def test_a_transport_without_a_time_out_waits_for_its_caller(message):
    async def journey() -> None:
        desk = Desk()
        silent = desk.provider.send([message(destination="79991230009")])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(desk.server.handle_async_request(silent), 100)

    play(journey)


# Repetitions and questions -------------------------------------------------------------------------------------------


def test_a_message_sent_twice_is_one_message(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        assert await desk.send(message()) == await desk.send(message())
        await asyncio.sleep(2)
        assert len(desk.reports) == 1

    play(journey)


def asked_as(one: Message, stage: Stage, ref: str = "") -> Message:
    return msgspec.structs.replace(one, progress=Progress(stage=stage, ref=ref))


def test_it_says_how_far_a_message_has_come(message):
    async def journey() -> None:
        desk = Desk(status_delay=10, late=30)
        messages = [message(n, destination=f"7999123{digits}") for n, digits in enumerate(("5555", "0012", "0013"), 1)]
        await desk.send(*messages)
        sent = [asked_as(one, Stage.SENT, f"sb-{one.id}") for one in messages]

        async def states() -> list[MessageState]:
            return [report.state for report in await desk.ask(*sent) if isinstance(report, StatusReport)]

        assert await states() == [ENROUTE, ENROUTE, ENROUTE]
        await asyncio.sleep(10)
        assert await states() == [DELIVERED, MessageState.ACCEPTED, ENROUTE]
        await asyncio.sleep(30)
        assert await states() == [DELIVERED, DELIVERED, ENROUTE]

    play(journey)


def test_a_message_in_doubt_is_found_or_certainly_not(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        unanswered, lost = message(1, destination="79991230007"), message(2, destination="79991230008")
        assert [type(o) for one in (unanswered, lost) for o in await desk.send(one)] == [InDoubt, InDoubt]
        found = await desk.ask(*(asked_as(m, Stage.DOUBT, desk.provider.reference(m)) for m in (unanswered, lost)))
        assert found == [StatusReport(state=DELIVERED, ref="sb-1", id=1), NotFound()]

    play(journey)


def test_after_a_restart_it_says_what_the_destination_says(message):
    async def journey() -> None:
        desk = Desk()
        numbers = ["79990005555", "79991230004", "79991230013"]
        sent = [asked_as(message(n, destination=number), Stage.SENT, f"sb-{n}") for n, number in enumerate(numbers, 1)]
        answers = await desk.ask(*sent)
        assert [a.state for a in answers if isinstance(a, StatusReport)] == [DELIVERED, UNDELIVERABLE, ENROUTE]

    play(journey)


def test_what_it_remembers_is_bounded(message):
    async def journey() -> None:
        desk = Desk(memory=20, status_delay=0)
        for n in range(1, 1001):
            await desk.send(message(n, destination="79991230019" if n % 2 else "79990005555"))
        await asyncio.sleep(1)
        assert len(desk.server._taken) <= 20
        assert len(desk.server._tries) <= 20
        newest, oldest = await desk.ask(asked_as(message(1000), Stage.DOUBT), asked_as(message(2), Stage.DOUBT))
        assert isinstance(newest, StatusReport)
        assert oldest == NotFound()

    play(journey)


def test_what_waits_for_the_gateway_is_bounded(message):
    async def journey() -> None:
        desk = Desk(max_waiting=3, status_delay=10)
        await desk.send(*(message(n) for n in (1, 2, 3)))
        (outcome,) = await desk.send(message(4))
        assert outcome == Temporary(reason="HTTP 503 without a readable answer", retry_after=1)
        await asyncio.sleep(11)
        assert isinstance((await desk.send(message(4)))[0], Sent)

    play(journey)


# HLR, ping, balance --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "mcc", "mnc", "cn"),
    [
        ("79232510066", "250", "02", "Russian Federation"),
        ("77012345678", "401", "02", "Kazakhstan"),
        ("380501234567", "255", "01", "Ukraine"),
        ("421905123456", "231", "01", "Slovakia"),
        ("15551234567", "001", "01", "Test country"),
        ("+7 923 251-00-66", "250", "02", "Russian Federation"),
        ("1", "001", "01", "Test country"),
        ("SHOP", "001", "01", "Test country"),
    ],
)
def test_an_hlr_look_up_is_answered_with_what_the_number_gives(message, number, mcc, mnc, cn):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        await desk.send(message(1, command=Hlr(), destination=number), message(2, command=Hlr(), destination=number))
        await asyncio.sleep(2)
        (_, first), (_, second) = desk.reports
        assert first.hlr == second.hlr
        assert first.hlr is not None
        assert (first.hlr.mcc, first.hlr.mnc, first.hlr.cn) == (mcc, mnc, cn)
        assert re.fullmatch(rf"{mcc}{mnc}\d{{10}}", first.hlr.imsi)
        assert re.fullmatch(r"\d{8,15}", first.hlr.msc)
        assert first.hlr.net
        assert (first.hlr.rcn, first.hlr.rnet) == ("", "")

    play(journey)


def test_an_hlr_look_up_of_the_absent_and_of_the_roaming(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        await desk.send(
            message(1, command=Hlr(), destination="79991230004"), message(2, command=Hlr(), destination="79991230020")
        )
        await asyncio.sleep(2)
        (_, absent), (_, roaming) = desk.reports
        assert (absent.state, absent.err, absent.hlr and absent.hlr.imsi) == (UNDELIVERABLE, 6, "")
        assert roaming.hlr is not None
        assert (roaming.state, roaming.hlr.cn, roaming.hlr.rcn) == (DELIVERED, "Russian Federation", "Slovakia")

    play(journey)


def test_a_ping_finds_who_is_there(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)
        await desk.send(message(1, command=Ping()), message(2, command=Ping(), destination="79991230004"))
        await asyncio.sleep(2)
        assert desk.told() == [(1.0, "DELIVERED", 0), (1.0, "UNDELIVERABLE", 6)]
        assert [report.hlr for _, report in desk.reports] == [None, None]

    play(journey)


def test_the_balance():
    async def journey() -> None:
        desk = Desk()
        assert desk.provider.balance_read(await desk.client.send(desk.provider.balance())) == "1000000.00"
        with pytest.raises(ValueError, match="HTTP 404"):
            desk.provider.balance_read(await desk.client.get("http://sandbox.invalid/elsewhere"))

    play(journey)


# Callbacks that are not taken ----------------------------------------------------------------------------------------


class Answer:
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("answers", "calls"),
    [
        ([Answer(200)], 1),
        ([None], 1),
        ([Answer(503), Answer(503), Answer(200)], 3),
        ([RuntimeError("broken"), Answer(200)], 2),
        # A callback that was refused as wrong is wrong again.
        ([Answer(403)], 1),
        ([Answer(503)] * 9, CALLS),
    ],
)
def test_a_callback_is_made_again_while_it_is_not_taken(message, answers, calls):
    async def journey() -> None:
        waiting, times = list(answers), []

        async def deliver(callback: Callback) -> object:
            times.append(asyncio.get_running_loop().time())
            answer = waiting.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        desk = Desk(status_delay=1)
        server = desk.provider.transport(deliver)
        await server.handle_async_request(desk.provider.send([message()]))
        await asyncio.sleep(60)
        assert len(times) == calls
        assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [1] * (calls - 1)
        assert server.waiting == 0

    play(journey)


def test_closing_ends_what_was_to_come(message):
    async def journey() -> None:
        desk = Desk(status_delay=1)

        async def deliver(callback: Callback) -> None:
            await asyncio.get_running_loop().create_future()

        server = desk.provider.transport(deliver)
        await server.handle_async_request(desk.provider.send([message(1)]))
        await asyncio.sleep(2)
        await server.handle_async_request(desk.provider.send([message(2)]))
        await server.aclose()
        assert len(asyncio.all_tasks()) == 1
        await asyncio.sleep(2)

    play(journey)


def test_only_its_own_server_is_believed():
    async def journey() -> None:
        one, other = Desk(), Desk()
        body = b'{"statuses":[{"state":2,"id":1}]}'
        key = {"x-sandbox-key": other.provider.secrets()[0]}
        callback = Callback(method="POST", path="", query=b"", headers=key, body=body, peer="192.0.2.1")
        assert len(other.provider.callback(callback, 0).reports) == 1
        with pytest.raises(BadCallback):
            one.provider.callback(callback, 0)

    play(journey)
