"""Statuses to an account's HTTP handler: wording, signature, retries, giving up."""

import asyncio
import hashlib
import zlib

import httpx
import pytest

from pdu import MessageState
from smppbridge.config import AccountConfig, Handler
from smppbridge.delivery.handler import Handlers, Slots, form, sign
from smppbridge.lifecycle import Settled
from smppbridge.model import KIND_OF, Hlr, HlrResult, Message, Notify, Progress, Receipt, Sms, Stage
from smppbridge.store.memory import MemoryStore

# 2026-11-21 12:01:00 UTC
DONE = 1_795_262_460_000


def make_message(command, id=855469):
    return Message(
        id=id,
        account="demo",
        bind=1,
        sequence=1,
        kind=KIND_OF[type(command)],
        command=command,
        source="S",
        source_ton=0,
        source_npi=0,
        destination="+79991234567",
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=0,
        notify=Notify.HTTP,
        data_coding=0,
        pdu=b"",
        accepted_at=DONE - 60_000,
        expires=DONE + 60_000,
        progress=Progress(stage=Stage.READY, cost="1.40", parts=2),
    )


def make_receipt(command, state=MessageState.DELIVERED, err=0, hlr=None):
    message = make_message(command)
    return Receipt(
        seq=1,
        account="demo",
        channel=Notify.HTTP,
        message=message,
        state=state,
        err=err,
        done_at=DONE,
        hlr=hlr,
        ids=(message.id,),
    )


def test_the_fields_are_those_of_the_vendors_callback():
    handler = Handler(url="http://127.0.0.1/", secret="s3cret")
    assert form(make_receipt(Sms(text="x")), "855469", handler, "UTC") == {
        "id": "855469",
        "phone": "79991234567",
        "status": "1",
        "time": "21.11.2026 12:01:00",
        "ts": "1795262460",
        "err": "0",
        "type": "0",
        "cost": "1.40",
        "cnt": "2",
        "flag": "0",
        "md5": hashlib.md5(b"855469:79991234567:1:s3cret").hexdigest(),
    }


def test_without_a_secret_nothing_is_signed():
    fields = form(make_receipt(Sms(text="x")), "1", Handler(url="http://127.0.0.1/"), "UTC")
    assert not fields.keys() & {"md5", "sha1", "crc32"}


def test_an_hlr_look_up_brings_its_result():
    receipt = make_receipt(Hlr(), hlr=HlrResult(imsi="25001", cn="Russian Federation"))
    fields = form(receipt, "1", Handler(url="http://127.0.0.1/"), "UTC")
    assert (fields["imsi"], fields["cn"], fields["rnet"]) == ("25001", "Russian Federation", "")


@pytest.mark.parametrize(
    ("state", "number"),
    [(MessageState.EXPIRED, "3"), (MessageState.UNDELIVERABLE, "20"), (MessageState.REJECTED, "23")],
)
def test_states_become_the_vendors_numbers(state, number):
    assert form(make_receipt(Sms(text="x"), state), "1", Handler(url="http://127.0.0.1/"), "UTC")["status"] == number


def test_digests():
    base = "1:79991234567:1:secret"
    assert sign(base, "md5") == hashlib.md5(base.encode()).hexdigest()
    assert sign(base, "sha1") == hashlib.sha1(base.encode()).hexdigest()
    assert sign(base, "crc32") == f"{zlib.crc32(base.encode()):08x}"


class Story:
    """A store with one status to tell, and a handler that answers as told."""

    def __init__(self, *answers, **handler):
        self.answers = list(answers)
        self.requests = []
        self.now = DONE
        self.store = MemoryStore()
        handler = Handler(url="http://handler.test/status", **handler)
        self.accounts = {"demo": AccountConfig(password="x", allowed_networks=(), handler=handler)}
        self.handlers = Handlers(
            accounts=self.accounts,
            store=self.store,
            clock=lambda: self.now,
            transport=httpx.MockTransport(self.answer),
        )

    def answer(self, request):
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer)

    async def finish(self):
        arrived = asyncio.get_running_loop().create_future()
        self.store.accept(make_message(Sms(text="x")), arrived.set_result)
        await arrived
        await self.store.apply([Settled(id=855469, state=MessageState.DELIVERED, reason="test")], self.now)

    async def events(self):
        return [(entry.event, entry.detail) for entry in await self.store.timeline(855469)]


def run(story, plot):
    async def whole():
        await story.store.open()
        await story.finish()
        await plot(story)
        await story.store.close()

    asyncio.run(whole())


def test_a_status_is_posted_once_and_gone_when_answered_200():
    async def plot(story):
        await story.handlers.once("demo")
        await story.handlers.once("demo")
        assert len(story.requests) == 1
        assert story.requests[0].method == "POST"
        assert b"id=855469" in story.requests[0].content

    run(Story(200), plot)


@pytest.mark.parametrize("trouble", [500, 302, httpx.ConnectError("down"), httpx.ReadTimeout("slow")])
def test_anything_but_200_is_tried_again_with_a_doubling_pause(trouble):
    async def plot(story):
        await story.handlers.once("demo")
        story.now += 4_000
        await story.handlers.once("demo")
        assert len(story.requests) == 1
        story.now += 1_000
        await story.handlers.once("demo")
        assert len(story.requests) == 2
        story.now += 9_000
        await story.handlers.once("demo")
        assert len(story.requests) == 2
        story.now += 1_000
        await story.handlers.once("demo")
        assert len(story.requests) == 3
        assert story.handlers.delivered == 1

    run(Story(trouble, trouble, 200), plot)


def test_a_handler_that_never_answers_is_given_up_and_the_time_line_says_so():
    async def plot(story):
        await story.handlers.once("demo")
        story.now += 60_001
        await story.handlers.once("demo")
        story.now += 3_600_000
        await story.handlers.once("demo")
        assert len(story.requests) == 2
        assert any("HTTP 500" in detail for _, detail in await story.events())

    run(Story(500, 500, retry_for="60s"), plot)


def test_an_account_whose_handler_was_taken_away_owes_nothing():
    async def plot(story):
        story.handlers.accounts = {}
        await story.handlers.once("demo")
        story.now += 3_600_000
        await story.handlers.once("demo")
        assert not story.requests

    run(Story(), plot)


class Dripping(httpx.AsyncByteStream):
    """A body of which there is always some more, and never all."""

    async def __aiter__(self):
        while True:
            await asyncio.sleep(0.01)
            yield b"x"


def test_an_answer_that_never_ends_does_not_hold_up_the_others():
    async def plot(story):
        story.handlers = Handlers(
            accounts=story.accounts,
            store=story.store,
            clock=lambda: story.now,
            transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=Dripping())),
        )
        async with asyncio.timeout(5):
            await story.handlers.once("demo")
        assert story.handlers.errors == 1

    run(Story(timeout="50ms"), plot)


class Both(httpx.AsyncBaseTransport):
    """Two handlers: one takes every status at once, the other never answers."""

    def __init__(self, enough=1):
        self.told = []
        self.hangs = 0
        self.enough = enough
        self.heard = asyncio.Event()
        self.closed = False

    async def handle_async_request(self, request):
        if request.url.host == "slow.test":
            self.hangs += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.hangs -= 1
        self.told.append(dict(httpx.QueryParams(request.content.decode()))["id"])
        if len(self.told) >= self.enough:
            self.heard.set()
        return httpx.Response(200)

    async def aclose(self):
        self.closed = True


class Many:
    """Handlers that run, with what several accounts are to be told."""

    def __init__(self, *accounts, enough=1):
        self.store = MemoryStore()
        self.transport = Both(enough)
        self.handlers = Handlers(
            accounts=dict(map(self.account, accounts)),
            store=self.store,
            clock=lambda: DONE,
            transport=self.transport,
        )

    @staticmethod
    def account(name, timeout="1h"):
        handler = Handler(url=f"http://{name.rstrip('0123456789')}.test/", timeout=timeout)
        return name, AccountConfig(password="x", allowed_networks=(), handler=handler)

    async def finish(self, account, *ids):
        for id in ids:
            message = make_message(Sms(text=f"number {id}"), id)
            message.account = account
            arrived = asyncio.get_running_loop().create_future()
            self.store.accept(message, arrived.set_result)
            await arrived
        applied = await self.store.apply(
            [Settled(id=id, state=MessageState.DELIVERED, reason="test") for id in ids], DONE
        )
        return [one.receipt for one in applied]


def together(plot, *accounts, enough=1, earlier=()):
    """Run it while the handlers run; they end in good order. What came `earlier` nobody tells them of."""

    async def whole():
        many = Many(*accounts, enough=enough)
        await many.store.open()
        await many.finish("fast", *earlier)
        before = asyncio.all_tasks()
        running = asyncio.create_task(many.handlers.run())
        async with asyncio.timeout(5):
            await plot(many)
        running.cancel()
        await asyncio.wait([running])
        assert asyncio.all_tasks() == before
        assert many.transport.closed
        assert many.transport.hangs == 0
        await many.store.close()

    asyncio.run(whole())


def test_a_handler_that_hangs_holds_up_nobody_else():
    async def plot(many):
        many.handlers.offer(await many.finish("slow", *range(1, 301)))
        many.handlers.offer(await many.finish("fast", *range(1000, 1300)))
        await many.transport.heard.wait()
        assert sorted(map(int, many.transport.told)) == list(range(1000, 1300))
        # What comes later neither, while there is nobody of it who answers.
        many.transport.heard.clear()
        many.handlers.offer(await many.finish("fast", 2000))
        await many.transport.heard.wait()
        assert many.transport.hangs == 20

    together(plot, "slow", "fast", enough=300)


def test_nor_do_as_many_of_them_as_there_are():
    async def plot(many):
        for n in range(30):
            many.handlers.offer(await many.finish(f"slow{n}", *range(10 * n + 1, 10 * n + 11)))
        many.handlers.offer(await many.finish("fast", 1000))
        await many.transport.heard.wait()
        assert many.transport.hangs < 100

    together(plot, "fast", *(f"slow{n}" for n in range(30)))


def test_what_was_there_before_the_start_is_told_without_news():
    async def plot(many):
        await many.transport.heard.wait()

    together(plot, "fast", earlier=[1])


def test_an_account_that_gets_a_handler_by_a_reload_is_told():
    async def plot(many):
        many.handlers.accounts = dict([many.account("fast")])
        many.handlers.offer(await many.finish("fast", 1))
        await many.transport.heard.wait()

    together(plot)


def run_slots(plot, slots, for_one):
    async def whole():
        under_way, ends = [], {}

        async def work(account):
            end = ends.setdefault(account, asyncio.Event())
            async with gate.one(account):
                under_way.append(account)
                try:
                    await end.wait()
                finally:
                    under_way.remove(account)

        gate = Slots(slots, for_one)
        await plot(lambda account, n: [asyncio.create_task(work(account)) for _ in range(n)], under_way, ends)

    asyncio.run(whole())


async def settle():
    """Until everything has happened that needs no more than turns of the loop."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_nobody_has_more_slots_than_are_left_and_half_are_for_those_who_have_none():
    async def plot(begin, under_way, ends):
        begin("a", 50)
        await settle()
        assert under_way.count("a") == 5
        begin("b", 50)
        await settle()
        assert under_way.count("b") == 3
        begin("c", 1)
        await settle()
        assert under_way.count("c") == 1
        ends["a"].set()
        await settle()
        # A has gone: there is more for B, and never more than is left.
        assert under_way.count("a") == 0
        assert under_way.count("b") == 5
        for end in ends.values():
            end.set()
        await settle()
        assert not under_way

    run_slots(plot, 20, 20)


def test_more_accounts_than_slots_take_turns():
    async def plot(begin, under_way, ends):
        for account in "abcd":
            begin(account, 3)
        await settle()
        assert under_way == ["a", "b"]
        ends["a"].set()
        await settle()
        # Its second one did not come before the others: each of them holds what it got.
        assert under_way == ["b", "c"]
        ends["c"].set()
        await settle()
        assert under_way == ["b", "d"]

    run_slots(plot, 2, 20)


def test_who_waits_for_a_slot_in_vain_takes_none_with_him():
    async def plot(begin, under_way, ends):
        [first] = begin("a", 1)
        await settle()
        waiting = begin("a", 2)
        await settle()
        for task in waiting:
            task.cancel()
        first.cancel()
        await settle()
        [last] = begin("a", 1)
        await settle()
        ends["a"].set()
        await asyncio.wait_for(last, 5)
        # One that is called off in the moment in which it gets its slot.
        ends["a"].clear()
        [first], [second] = begin("a", 1), begin("a", 1)
        await settle()
        first.cancel()
        await asyncio.sleep(0)
        second.cancel()
        await settle()
        begin("a", 1)
        await settle()
        assert under_way == ["a"]

    run_slots(plot, 1, 20)
