"""The outbox against a store and links that only remember what they were given."""

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from pdu import MessageState, Tag
from smppbridge.config import AccountConfig
from smppbridge.delivery.outbox import Outbox
from smppbridge.journal import Journal
from smppbridge.lifecycle import Settled
from smppbridge.model import KIND_OF, Incoming, Message, Notify, Progress, Sms, Stage
from smppbridge.store.base import Absent, StoreFailed
from smppbridge.store.memory import MemoryStore

ids = itertools.count(100)


class Wire:
    """A receiver with a window; what it is given waits until the test answers."""

    can_receive = True
    account = "demo"
    interface_version = 0x34

    def __init__(self, window=10, id=0):
        self.id = id or next(ids)
        self.window = window
        self.open = []
        self.seen = []

    @property
    def room(self):
        return self.window - len(self.open)

    def deliver(self, pdu, token):
        assert self.room > 0
        self.open.append(token)
        self.seen.append(pdu.option(Tag.RECEIPTED_MESSAGE_ID))
        return True


class Receivers:
    """Who is bound."""

    def __init__(self):
        self.links = []

    def receivers(self, account):
        return self.links


class Bench:
    """An outbox, its store and its clock."""

    def __init__(self, store=None, lines=0, **account):
        self.now = 1_000_000
        self.store = store or MemoryStore()
        self.bound = Receivers()
        self.accounts = {"demo": AccountConfig(password="x", allowed_networks=(), **account)}
        self.outbox = Outbox(
            accounts=self.accounts,
            store=self.store,
            bound=self.bound,
            clock=lambda: self.now,
            journal=Journal(lines, clock=lambda: 0),
        )

    async def finished(self, *ids, part_ids=(), err=0):
        """Messages that have just been delivered; offered to the outbox as the dispatcher does."""
        for id in ids:
            arrived = asyncio.get_running_loop().create_future()
            self.store.accept(make_message(id, part_ids), lambda batch, arrived=arrived: arrived.set_result(batch))
            await arrived
        settled = [Settled(id=id, state=MessageState.DELIVERED, err=err, reason="test") for id in ids]
        applied = await self.store.apply(settled, self.now)
        return [one.receipt for one in applied]

    def bind(self, **options):
        wire = Wire(**options)
        self.bound.links.append(wire)
        self.outbox.link_up(wire)
        return wire

    def lose(self, wire):
        self.bound.links.remove(wire)
        for token in wire.open:
            self.outbox.answered(token, None)
        self.outbox.link_down(wire)

    def answer(self, wire, status=0, count=None):
        for token in wire.open[:count]:
            wire.open.remove(token)
            self.outbox.answered(token, status)

    async def settle(self):
        await self.outbox.drain()

    async def kept(self):
        return [receipt.message.id for receipt in await self.store.receipts("demo", 0, 10_000)]


def make_message(id, part_ids=()):
    command = Sms(text=f"number {id}")
    return Message(
        id=id,
        account="demo",
        bind=1,
        sequence=id,
        kind=KIND_OF[Sms],
        command=command,
        source="S",
        source_ton=0,
        source_npi=0,
        destination="79991230010",
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=1,
        notify=Notify.SMPP,
        data_coding=0,
        pdu=b"",
        accepted_at=1_000_000,
        expires=2_000_000,
        part_ids=part_ids,
        progress=Progress(stage=Stage.READY),
    )


def run(story, store=None, lines=0):
    """Run an async story with a store that is open."""

    async def whole():
        bench = Bench(store, lines)
        await bench.store.open()
        try:
            await story(bench)
        finally:
            await bench.store.close()

    asyncio.run(whole())


def test_fresh_receipts_go_out_at_once_and_leave_the_store_when_answered():
    async def story(bench):
        wire = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, 2))
        await bench.settle()
        assert wire.seen == ["1", "2"]
        assert await bench.kept() == [1, 2]
        bench.answer(wire)
        await bench.settle()
        assert await bench.kept() == []

    run(story)


def test_what_waited_on_disk_comes_in_order_before_what_is_fresh():
    async def story(bench):
        bench.outbox.offer(await bench.finished(*range(1, 31)))
        wire = bench.bind(window=7)
        bench.outbox.offer(await bench.finished(31))
        while len(wire.seen) < 31:
            await bench.settle()
            bench.answer(wire)
        assert wire.seen == [str(n) for n in range(1, 32)]

    run(story)


def test_a_window_is_never_exceeded():
    async def story(bench):
        wire = bench.bind(window=3)
        await bench.settle()
        bench.outbox.offer(await bench.finished(*range(1, 11)))
        assert len(wire.open) == 3
        bench.answer(wire, count=1)
        assert len(wire.open) == 3

    run(story)


def test_a_lost_link_gives_back_what_it_had_not_answered_in_its_old_order():
    async def story(bench):
        first = bench.bind(window=4)
        await bench.settle()
        bench.outbox.offer(await bench.finished(*range(1, 7)))
        second = bench.bind(window=4)
        await bench.settle()
        assert second.seen == ["5", "6"]
        bench.lose(first)
        bench.answer(second)
        assert second.seen == ["5", "6", "1", "2", "3", "4"]

    run(story)


def test_nobody_bound_then_somebody():
    async def story(bench):
        first = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, 2, 3))
        bench.answer(first, count=1)
        await bench.settle()
        bench.lose(first)
        bench.outbox.offer(await bench.finished(4))
        second = bench.bind()
        await bench.settle()
        assert second.seen == ["2", "3", "4"]

    run(story)


def test_an_error_pauses_one_receipt_and_not_the_others():
    async def story(bench):
        wire = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, 2))
        bench.answer(wire, status=0x64, count=1)
        bench.answer(wire, count=1)
        await bench.settle()
        assert await bench.kept() == [1]
        bench.outbox.tick()
        assert wire.seen == ["1", "2"]
        bench.now += 5_000
        bench.outbox.tick()
        assert wire.seen == ["1", "2", "1"]
        # The second pause is twice as long.
        bench.answer(wire, status=0x64)
        bench.now += 5_000
        bench.outbox.tick()
        assert len(wire.seen) == 3
        bench.now += 5_000
        bench.outbox.tick()
        assert len(wire.seen) == 4
        assert bench.outbox.errors == 2

    run(story)


def test_a_joined_message_has_a_receipt_for_every_part_and_one_row():
    async def story(bench):
        wire = bench.bind(window=2)
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, part_ids=(11, 12, 13)))
        assert wire.seen == ["11", "12"]
        bench.answer(wire, count=2)
        await bench.settle()
        assert wire.seen == ["11", "12", "13"]
        assert await bench.kept() == [1]
        bench.answer(wire)
        await bench.settle()
        assert await bench.kept() == []

    run(story)


def test_a_late_answer_of_a_link_that_is_gone_changes_nothing():
    async def story(bench):
        wire = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1))
        token = wire.open[0]
        bench.lose(wire)
        bench.outbox.answered(token, 0)
        await bench.settle()
        assert await bench.kept() == [1]

    run(story)


@pytest.mark.parametrize(("age", "kept"), [(10_000, [1, 2]), (4 * 86_400_000, [])])
def test_receipts_that_nobody_fetches_are_dropped_when_they_are_old(age, kept):
    async def story(bench):
        bench.outbox.offer(await bench.finished(1, 2))
        bench.now += age
        await bench.outbox.forget_old()
        assert await bench.kept() == kept

    run(story)


def test_a_client_that_refuses_everything_does_not_fill_the_log():
    async def story(bench):
        wire = bench.bind(window=50)
        bench.outbox.offer(await bench.finished(*range(1, 51)))
        with capture_logs() as lines:
            bench.answer(wire, status=8)
        assert [line["event"] for line in lines] == ["client refused a receipt"] * 3
        assert bench.outbox.errors == 50

    run(story, lines=3)


def test_what_was_forgotten_is_not_sent_any_more():
    async def story(bench):
        wire = bench.bind()
        bench.outbox.offer(await bench.finished(1, 2))
        bench.answer(wire, status=8)
        bench.now += 8 * 86_400_000
        await bench.outbox.forget_old()
        bench.outbox.tick()
        assert wire.seen == ["1", "2"]

    run(story)


def test_more_than_memory_takes_waits_on_disk_and_still_comes_in_order():
    async def story(bench):
        wire = bench.bind(window=100)
        await bench.settle()
        for start in range(1, 5001, 1000):
            bench.outbox.offer(await bench.finished(*range(start, start + 1000)))
        while len(wire.seen) < 5000:
            bench.answer(wire)
            await bench.settle()
        assert wire.seen == [str(n) for n in range(1, 5001)]

    run(story)


class Counting(MemoryStore):
    """Counts how often it is read."""

    reads = 0

    async def receipts(self, account, after, limit):
        self.reads += 1
        assert self.reads < 100, "it is read for ever"
        return await super().receipts(account, after, limit)


def test_the_disk_is_not_read_for_ever_when_what_was_left_there_is_gone():
    async def story(bench):
        bench.outbox.offer(await bench.finished(1, 2))
        first = bench.bind()
        await bench.settle()
        bench.answer(first)
        await bench.settle()
        bench.lose(first)
        bench.bind()
        await bench.settle()
        bench.outbox.tick()
        await bench.settle()
        assert bench.store.reads <= 4

    run(story, Counting())


class SlowStore(MemoryStore):
    """Answers for the first page at once, for the others when the test says so: a disk that others keep busy."""

    def __init__(self):
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def receipts(self, account, after, limit):
        found = await super().receipts(account, after, limit)
        if after:
            self.asked.set()
            await self.go.wait()
        return found


@pytest.mark.parametrize("waiting", [502, 1200])
def test_who_binds_again_while_the_disk_is_read_misses_nothing(waiting):
    async def story(bench):
        bench.outbox.offer(await bench.finished(*range(1, waiting + 1)))
        # A page is out and the next one is being read when the client goes.
        first = bench.bind(window=5000)
        await bench.store.asked.wait()
        assert len(first.seen) == 500
        bench.lose(first)
        second = bench.bind(window=5000)
        bench.store.go.set()
        await bench.settle()
        assert second.seen == [str(n) for n in range(1, waiting + 1)]

    run(story, SlowStore())


def test_a_receipt_that_fits_no_field_holds_up_nobody_and_is_kept():
    async def story(bench):
        wire = bench.bind()
        await bench.settle()
        # network_error_code has two octets for it (SMPP 3.4 §5.3.2.31).
        bench.outbox.offer(await bench.finished(1, err=70_000))
        bench.outbox.offer(await bench.finished(2))
        bench.outbox.tick()
        assert wire.seen == ["2"]
        bench.answer(wire)
        await bench.settle()
        assert await bench.kept() == [1]

    run(story)


def test_a_mistake_with_one_account_does_not_hold_up_the_others():
    async def story(bench):
        broken = {"broken": AccountConfig(password="x", allowed_networks=())}
        bench.outbox.reload(broken)
        bench.outbox.reload(broken | bench.accounts)
        # Not a row: whatever it is that a queue cannot work with.
        bench.outbox._queues["broken"]._paused = [(0, None), (0, None)]
        wire = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1))
        bench.answer(wire, status=0x64)
        bench.now += 5_000
        with capture_logs() as lines:
            bench.outbox.tick()
        assert [line["account"] for line in lines if line["event"] == "an account was passed over"] == ["broken"]
        assert wire.seen == ["1", "1"]

    run(story)


class Overtaken(MemoryStore):
    """Answers a read with what was there before the removal that overtakes it."""

    def __init__(self):
        super().__init__()
        self.reading = asyncio.Event()
        self.removed = asyncio.Event()
        self.overtake = False

    async def receipts(self, account, after, limit):
        found = await super().receipts(account, after, limit)
        if self.overtake:
            self.reading.set()
            await self.removed.wait()
            # Whoever waited for the removal goes on first.
            await asyncio.sleep(0)
        return found

    async def delivered(self, receipts, now):
        await self.reading.wait()
        await super().delivered(receipts, now)
        self.removed.set()


def test_what_was_answered_does_not_come_again_from_a_page_read_before_its_removal():
    async def story(bench):
        first = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1))
        bench.store.overtake = True
        bench.answer(first)
        bench.lose(first)
        second = bench.bind()
        await bench.settle()
        assert await bench.kept() == []
        assert second.seen == []

    run(story, Overtaken())


# To the bind that submitted ------------------------------------------------------------------------------------------


def test_receipts_of_a_submitter_wait_for_it_and_not_the_others():
    async def story(bench):
        bench.accounts["demo"] = bench.accounts["demo"].model_copy(update={"receipts_to": "submitter"})
        bench.outbox.reload(bench.accounts)
        # The messages are of bind 1.
        submitter, other = bench.bind(id=1, window=2), bench.bind(window=9)
        await bench.settle()
        bench.outbox.offer(await bench.finished(*range(1, 6)))
        assert (submitter.seen, other.seen) == (["1", "2"], [])
        bench.answer(submitter)
        assert (submitter.seen, other.seen) == (["1", "2", "3", "4"], [])
        bench.lose(submitter)
        assert other.seen == ["3", "4", "5"]
        bench.answer(other)
        await bench.settle()
        assert await bench.kept() == []

    run(story)


def test_other_settings_let_the_others_have_them_at_once():
    async def story(bench):
        bench.accounts["demo"] = bench.accounts["demo"].model_copy(update={"receipts_to": "submitter"})
        bench.outbox.reload(bench.accounts)
        bench.bind(id=1, window=1)
        other = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, 2))
        assert other.seen == []
        bench.accounts["demo"] = bench.accounts["demo"].model_copy(update={"receipts_to": "any"})
        bench.outbox.reload(bench.accounts)
        assert other.seen == ["2"]

    run(story)


def test_what_was_answered_in_part_is_not_told_twice_when_nobody_is_left():
    async def story(bench):
        first = bench.bind()
        await bench.settle()
        bench.outbox.offer(await bench.finished(1, part_ids=(11, 12, 13)))
        bench.answer(first, count=1)
        bench.lose(first)
        second = bench.bind()
        await bench.settle()
        assert second.seen == ["12", "13"]
        bench.answer(second)
        await bench.settle()
        assert await bench.kept() == []

    run(story)


# Alerts ---------------------------------------------------------------------------------------------------------------


class Alerted(Wire):
    """Takes alerts, or none."""

    def __init__(self, **options):
        super().__init__(**options)
        self.alerts = []

    def alert(self, pdu):
        self.alerts.append((pdu.source_addr, pdu.esme_addr))
        return True


def test_an_alert_goes_out_in_its_turn_and_is_gone_once_written():
    async def story(bench):
        wire = Alerted(window=1)
        bench.bound.links.append(wire)
        bench.outbox.link_up(wire)
        await bench.settle()
        bench.outbox.offer(await bench.finished(1))
        who = Absent(
            account="demo",
            subscriber="7999",
            destination="+7999",
            destination_ton=1,
            destination_npi=1,
            source="S",
            source_ton=0,
            source_npi=0,
            at=bench.now,
        )
        await bench.store.absent([who])
        assert not await bench.outbox.waits("shop")
        bench.outbox.offer(await bench.store.reachable(["7999"], bench.now))
        # The window is full: a client that is slow with receipts is not flooded with alerts either.
        assert wire.alerts == []
        bench.answer(wire)
        assert wire.alerts == [("+7999", "S")]
        await bench.settle()
        assert not await bench.outbox.waits("demo")
        assert (bench.outbox.alerted, bench.outbox.arrived, bench.outbox.delivered) == (1, 0, 1)

    run(story)


# Messages from subscribers --------------------------------------------------------------------------------------------


class Reader(Wire):
    """Remembers what it was given, whole."""

    system_type = ""

    def deliver(self, pdu, token):
        super().deliver(pdu, token)
        self.seen[-1] = pdu.short_message
        return True


async def written(bench, *texts):
    """Subscribers' messages, offered as the gateway does."""
    arrivals = [
        await bench.store.incoming(
            "demo", Incoming(provider="p", ref=text, source="380501234567", destination="7401", text=text), bench.now
        )
        for text in texts
    ]
    bench.outbox.offer(arrivals)
    return arrivals


def reader(bench, **options):
    wire = Reader(**options)
    bench.bound.links.append(wire)
    bench.outbox.link_up(wire)
    return wire


async def waiting(bench):
    return [row.seq for row in await bench.store.receipts("demo", 0, 100)]


def test_a_subscribers_message_goes_out_in_order_with_receipts_and_leaves_when_it_is_answered():
    async def story(bench):
        wire = reader(bench)
        await bench.settle()
        await written(bench, "one")
        bench.outbox.offer(await bench.finished(1))
        await written(bench, "two")
        assert [text[:6] for text in wire.seen] == [b"one", b"id:1 s", b"two"]
        assert len(await waiting(bench)) == 3
        bench.answer(wire)
        await bench.settle()
        assert await waiting(bench) == []
        assert (bench.outbox.delivered, bench.outbox.arrived) == (1, 2)

    run(story)


def test_a_subscribers_message_waits_for_its_client():
    async def story(bench):
        await written(bench, "one", "two")
        wire = reader(bench)
        await bench.settle()
        assert wire.seen == [b"one", b"two"]
        bench.lose(wire)
        wire = reader(bench)
        await bench.settle()
        assert wire.seen == [b"one", b"two"]

    run(story)


def test_a_long_one_leaves_when_its_last_part_is_answered():
    async def story(bench):
        wire = reader(bench, window=2)
        await bench.settle()
        await written(bench, "a" * 400, "short")
        assert [text[:6].hex() for text in wire.seen] == ["050003010301", "050003010302"]
        bench.answer(wire, count=1)
        assert wire.seen[2][:6].hex() == "050003010303"
        # Another client gets what was not answered when the first one is gone, as the same parts.
        other = reader(bench)
        assert other.seen == [b"short"]
        bench.lose(wire)
        assert [text[:6].hex() for text in other.seen[1:]] == ["050003010302", "050003010303"]
        bench.answer(other, count=2)
        await bench.settle()
        assert len(await waiting(bench)) == 1
        bench.answer(other)
        await bench.settle()
        assert await waiting(bench) == []

    run(story)


def test_the_parts_of_one_go_over_one_bind():
    async def story(bench):
        one, two = reader(bench, window=2), reader(bench, window=3)
        await bench.settle()
        await written(bench, "a" * 400, "short")
        assert len(two.seen) == 3
        assert one.seen == [b"short"]

    run(story)


def test_it_is_written_in_the_alphabet_of_the_bind_that_gets_it():
    async def story(bench):
        wire = reader(bench)
        wire.system_type = "ISO"
        await bench.settle()
        await written(bench, "@" * 200)
        assert [len(text) for text in wire.seen] == [140, 72]
        bench.lose(wire)
        wire = reader(bench)
        await bench.settle()
        assert wire.seen[0][6:] == bytes(153)

    run(story)


def test_a_payload_goes_to_an_older_client_in_parts():
    """SMPP 3.3 has no message_payload: the session would leave it away, and the text with it."""

    async def story(bench):
        bench.accounts["demo"] = bench.accounts["demo"].model_copy(update={"incoming_long": "payload"})
        bench.outbox.reload(bench.accounts)
        newer = reader(bench)
        await bench.settle()
        await written(bench, "a" * 400)
        assert newer.seen == [b""]
        older = Reader()
        older.interface_version = 0x33
        bench.bound.links.append(older)
        bench.lose(newer)
        assert [text[:6].hex() for text in older.seen] == ["050003010301", "050003010302", "050003010303"]
        bench.answer(older)
        await bench.settle()
        assert await waiting(bench) == []

    run(story)


def test_a_refused_one_is_tried_again_and_given_up_like_a_receipt():
    async def story(bench):
        wire = reader(bench)
        await bench.settle()
        await written(bench, "one", "two")
        bench.answer(wire, status=0x45, count=1)
        bench.answer(wire)
        await bench.settle()
        assert len(await waiting(bench)) == 1
        bench.now += 6_000
        bench.outbox.tick()
        assert wire.seen == [b"one", b"two", b"one"]
        bench.lose(wire)
        bench.now += 10 * 86_400_000
        await bench.outbox.forget_old()
        assert await waiting(bench) == []

    run(story)


class Full(MemoryStore):
    """Has no room for now."""

    full = True

    async def delivered(self, rows, now):
        if self.full:
            raise StoreFailed("no room left on the disk", temporary=True)
        return await super().delivered(rows, now)


def test_what_was_answered_while_the_disk_was_full_is_removed_when_there_is_room_again():
    async def story(bench):
        bench.outbox.offer(await bench.finished(1, 2, 3))
        wire = bench.bind()
        await bench.settle()
        bench.answer(wire)
        await bench.settle()
        assert await bench.kept() == [1, 2, 3]
        bench.store.full = False
        bench.outbox.tick()
        await bench.settle()
        assert await bench.kept() == []
        assert len(wire.seen) == 3

    run(story, Full())
