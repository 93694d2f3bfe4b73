"""The queue of one account: against hand-made binds, and against a model under every order of events."""

import itertools
from collections import defaultdict
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pdu import MessageState
from smppbridge.config import AccountConfig
from smppbridge.delivery import queue as module
from smppbridge.delivery.queue import Queue
from smppbridge.model import Incoming, Notify, Receipt
from smppbridge.store.base import Arrival

PAGE = 7


class Bind:
    """What a queue needs to know of a link."""

    def __init__(self, id, window):
        self.id = id
        self.window = window
        self.can_receive = True
        self.open = []

    @property
    def room(self):
        return self.window - len(self.open) if self.can_receive else 0


def receipt(seq, bind=0, ids=1):
    message = SimpleNamespace(bind=bind, id=seq)
    return Receipt(
        seq=seq,
        account="demo",
        channel=Notify.SMPP,
        message=message,
        state=MessageState.DELIVERED,
        err=0,
        done_at=0,
        ids=tuple(range(ids)),
    )


def arrival(seq):
    incoming = Incoming(provider="p", ref=str(seq), source="1", destination="2", text="")
    return Arrival(seq=seq, account="demo", incoming=incoming)


def account(**values):
    return AccountConfig(password="x", allowed_networks=(), **values)


def fresh(*rows, **values):
    """A queue that is behind nothing and was offered these."""
    queue = Queue("demo", account(**values))
    queue.loaded(queue.page(), [], more=False)
    queue.loading = False
    for row in rows:
        queue.offer(row)
    return queue


def drain(queue, *binds):
    """Everything that can go: (seq, id of the bind)."""
    queue.release(binds)
    gone = []
    while found := queue.pop(binds):
        unit, bind = found
        bind.open.append(unit)
        gone.append((unit[0], bind.id))
    return gone


def test_any_bind_takes_it_the_one_with_most_room_first():
    queue = fresh(*(receipt(seq, bind=1) for seq in range(1, 5)))
    assert drain(queue, Bind(1, 1), Bind(2, 3)) == [(1, 2), (2, 2), (3, 1), (4, 2)]


def test_the_submitter_gets_its_own_and_anybody_the_rest():
    rows = [receipt(1, bind=1), receipt(2, bind=9), arrival(3), receipt(4, bind=1)]
    queue = fresh(*rows, receipts_to="submitter")
    assert drain(queue, Bind(1, 5), Bind(2, 50)) == [(1, 1), (2, 2), (3, 2), (4, 1)]


def test_a_submitter_without_room_holds_up_nobody_and_keeps_its_order():
    queue = fresh(*(receipt(seq, bind=1 + seq % 2) for seq in range(1, 9)), receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 9)
    assert drain(queue, one, two) == [(1, 2), (2, 1), (3, 2), (5, 2), (7, 2)]
    assert drain(queue, one, two) == []
    one.open.clear()
    assert drain(queue, one, two) == [(4, 1)]
    one.window = 3
    assert drain(queue, one, two) == [(6, 1), (8, 1)]


@pytest.mark.parametrize("how", ["gone", "leaving"])
def test_what_was_held_for_a_submitter_that_receives_no_more_goes_to_the_others(how):
    queue = fresh(*(receipt(seq, bind=1) for seq in range(1, 4)), receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 9)
    assert drain(queue, one, two) == [(1, 1)]
    one.can_receive = False
    assert drain(queue, *([two] if how == "gone" else [one, two])) == [(2, 2), (3, 2)]


def test_a_transmitter_cannot_receive_so_any_bind_of_its_account_does():
    queue = fresh(receipt(1, bind=1), receipts_to="submitter")
    assert drain(queue, Bind(2, 1)) == [(1, 2)]


def test_other_settings_let_go_what_was_held():
    queue = fresh(receipt(1, bind=1), receipt(2, bind=1), receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 9)
    assert drain(queue, one, two) == [(1, 1)]
    queue.settings(account(receipts_to="any"))
    assert drain(queue, one, two) == [(2, 2)]


def test_a_submitter_that_does_not_answer_costs_memory_for_a_thousand_and_no_more():
    queue = fresh(receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 9)
    for seq in range(1, 10_001):
        queue.offer(receipt(seq, bind=1))
        drain(queue, one, two)
    queue.offer(receipt(10_001, bind=2))
    assert drain(queue, one, two) == [(10_001, 2)]
    assert len(queue.known) < 1100
    # As long as there is enough for it in memory nothing is read, and then from where it was left.
    assert queue.page() is None
    one.open.clear()
    one.window = 600
    assert len(drain(queue, one, two)) == 600
    page = queue.page()
    assert (page.submitter, page.after) == (1, max(seq for seq in queue.known if seq != 10_001))


def test_what_was_left_on_disk_for_a_submitter_is_read_again_for_the_others_when_it_goes():
    queue = fresh(receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 5000)
    rows = [receipt(seq, bind=1) for seq in range(1, 1501)]
    for row in rows:
        queue.offer(row)
        drain(queue, one, two)
    gone = [seq for seq, _ in drain(queue, two)]
    page = queue.page()
    queue.loaded(page, [row for row in rows if row.seq > page.after], more=False)
    queue.loading = False
    gone += [seq for seq, _ in drain(queue, two)]
    assert gone == list(range(2, 1501))


def test_a_client_that_refuses_everything_costs_memory_for_a_thousand_and_no_more():
    queue = fresh()
    one = Bind(1, 1)
    for seq in range(1, 10_001):
        queue.offer(receipt(seq))
        queue.release([one])
        unit, _ = queue.pop([one])
        queue.pause(unit, until=seq)
    assert len(queue.known) == module._PAUSED
    # The rest waits on disk, longer than those.
    queue.resume(10_000)
    assert len(drain(queue, Bind(1, 20_000))) == module._PAUSED
    assert queue.page() is None
    queue.resume(10_000 + module._PUT_OFF)
    assert queue.page().after == module._PAUSED


def test_what_is_on_disk_no_longer_is_not_tried_again():
    queue = fresh(receipt(1), receipt(2))
    unit, _ = queue.pop([Bind(1, 1)])
    queue.pause(unit, until=5)
    queue.removed(1)
    queue.resume(5)
    assert drain(queue, Bind(1, 9)) == [(2, 1)]


@pytest.mark.parametrize("in_memory", [1000, 0])
def test_a_clock_that_was_put_back_pauses_nothing_for_longer(monkeypatch, in_memory):
    monkeypatch.setattr(module, "_PAUSED", in_memory)
    noon, pause = 43_200_000, 5_000
    queue = fresh(receipt(1))
    queue.resume(noon)
    unit, _ = queue.pop([Bind(1, 1)])
    queue.pause(unit, until=noon + pause)
    longest = pause if in_memory else pause + module._PUT_OFF
    queue.resume(noon - 3_600_000)
    queue.resume(noon - 3_600_000 + longest - 1)
    assert queue.pop([Bind(1, 1)]) is None
    assert queue.page() is None
    queue.resume(noon - 3_600_000 + longest)
    assert queue.pop([Bind(1, 1)]) or queue.page()


def test_what_was_put_off_comes_back_to_a_submitter_that_lags_by_then(monkeypatch):
    monkeypatch.setattr(module, "_PAUSED", 0)
    rows = [receipt(seq, bind=1) for seq in range(1, 1501)]
    queue = fresh(rows[0], receipts_to="submitter")
    one, two = Bind(1, 1), Bind(2, 9)
    unit, _ = queue.pop([one, two])
    queue.pause(unit, until=0)
    one.window = 0
    for row in rows[1:]:
        queue.offer(row)
        assert drain(queue, one, two) == []
    queue.resume(module._PUT_OFF)
    one.window = 5000
    gone = []
    while page := queue.page():
        queue.loaded(page, [row for row in rows if row.seq > page.after], more=False)
        queue.loading = False
        gone += [seq for seq, _ in drain(queue, one, two)]
    assert sorted(gone) == list(range(1, 1501))


def test_a_row_that_is_read_again_while_the_rest_of_it_is_still_held_goes_out_once(monkeypatch):
    monkeypatch.setattr(module, "_PAUSED", 0)
    queue = fresh(receipt(1, bind=1, ids=2), receipts_to="submitter")
    bind, other = Bind(1, 1), Bind(2, 9)
    assert drain(queue, bind, other) == [(1, 1)]
    # The client refuses the first half while the second is held for it, and takes nothing more for now.
    queue.pause(bind.open[0], 1000)
    queue.resume(1000 + module._PUT_OFF)
    queue.loaded(queue.page(), [receipt(1, bind=1, ids=2)], more=False)
    assert drain(queue, bind, other) == []
    bind.open.clear()
    bind.window = 10
    assert drain(queue, bind, other) == [(1, 1), (1, 1)]
    assert [unit[2] for unit in bind.open] == [queue.known[1]] * 2


class Outbox(RuleBasedStateMachine):
    """A client of several binds, a disk, and a queue between them.

    Nothing is lost: at the end everybody answers, and every row has been answered. Nothing is doubled: a unit goes out
    again only after it came back. What goes over one bind goes in order, but for what came back, or was of a bind that
    is gone. Receipts go to who submitted, while it is there.
    """

    def __init__(self):
        super().__init__()
        self.queue = Queue("demo", account(receipts_to="submitter"))
        self.disk = {}
        self.seqs = itertools.count(1)
        self.ids = itertools.count(1)
        self.binds = []
        self.answered = defaultdict(int)
        #: Units that are with a client now.
        self.out = set()
        #: Seqs that came back once, or whose bind is gone: they may overtake.
        self.free = set()
        #: Seqs that were refused beyond what memory takes: what was answered of them is forgotten.
        self.forgotten = set()
        self.now = 0
        self.last = {}
        self.reading = None
        self.old = module._HELD, module._IN_MEMORY, module._PAUSED, module._PUT_OFF
        module._HELD, module._IN_MEMORY, module._PAUSED, module._PUT_OFF = 4, 6, 3, 3

    def teardown(self):
        module._HELD, module._IN_MEMORY, module._PAUSED, module._PUT_OFF = self.old

    @initialize(eager=st.booleans())
    def speed(self, eager):
        """Whether the disk answers at once, or between other things."""
        self.eager = eager

    # What happens

    @rule(window=st.integers(1, 4))
    def bind(self, window):
        if len(self.binds) < 4:
            self.binds.append(Bind(next(self.ids), window))
            self.pump()

    @precondition(lambda self: self.binds)
    @rule(which=st.integers(0, 3))
    def lose(self, which):
        bind = self.binds.pop(which % len(self.binds))
        for unit in bind.open:
            self.back(unit)
        self.free |= {seq for seq, row in self.disk.items() if module._submitter(row) == bind.id}
        if self.binds:
            self.pump()
        else:
            self.queue.empty()
            # Memory was given back: whatever is read again goes as it stands on disk.
            self.free |= set(self.disk)

    @precondition(lambda self: self.binds)
    @rule(which=st.integers(0, 3))
    def leave(self, which):
        bind = self.binds[which % len(self.binds)]
        bind.can_receive = False
        self.free |= {seq for seq, row in self.disk.items() if module._submitter(row) == bind.id}
        self.pump()

    @rule(of=st.integers(0, 6), count=st.integers(1, 12), ids=st.integers(1, 2))
    def end(self, of, count, ids):
        """Messages of some bind reach their end."""
        submitter = self.binds[of].id if of < len(self.binds) else 0
        for _ in range(count):
            seq = next(self.seqs)
            row = receipt(seq, submitter, ids) if submitter or of % 2 else arrival(seq)
            self.disk[seq] = row
            self.queue.offer(row)
        self.pump()

    @precondition(lambda self: any(bind.open for bind in self.binds))
    @rule(which=st.integers(0, 3), place=st.integers(0, 3), status=st.sampled_from([0, 0, 0, None]))
    def answer(self, which, place, status):
        open_ = [bind for bind in self.binds if bind.open]
        bind = open_[which % len(open_)]
        unit = bind.open.pop(place % len(bind.open))
        if status is None:
            self.back(unit)
        else:
            self.accept(unit)
        self.pump()

    @precondition(lambda self: any(bind.open for bind in self.binds))
    @rule(which=st.integers(0, 3), pause=st.integers(1, 3))
    def refuse(self, which, pause):
        open_ = [bind for bind in self.binds if bind.open]
        seq, place, pending = unit = open_[which % len(open_)].open.pop(0)
        self.out.discard((seq, place))
        self.free.add(seq)
        if self.queue.known.get(seq) is pending:
            self.queue.pause(unit, self.now + pause)
            if seq not in self.queue.known:
                self.forgotten.add(seq)
        self.pump()

    @rule()
    def wait(self):
        self.now += 1
        self.queue.resume(self.now)
        if self.binds:
            self.pump()

    @precondition(lambda self: self.reading is None)
    @rule()
    def begin_to_read(self):
        if self.binds and (page := self.queue.page()):
            rows = [row for seq, row in sorted(self.disk.items()) if seq > page.after]
            self.reading = page, rows[:PAGE], len(rows) >= PAGE

    @precondition(lambda self: self.reading is not None)
    @rule()
    def have_read(self):
        page, rows, more = self.reading
        self.reading = None
        self.queue.loaded(page, rows, more=more)
        self.queue.loading = False
        if self.binds:
            self.pump()

    # What follows from it

    def pump(self):
        self.send()
        while self.eager and self.binds and (page := self.queue.page()):
            rows = [row for seq, row in sorted(self.disk.items()) if seq > page.after]
            self.queue.loaded(page, rows[:PAGE], more=len(rows) >= PAGE)
            self.queue.loading = False
            self.send()

    def send(self):
        self.queue.release(self.binds)
        while found := self.queue.pop(self.binds):
            (seq, place, pending), bind = found
            assert bind.can_receive
            assert bind.room > 0
            if seq not in self.forgotten:
                assert (seq, place) not in self.out, "it is with a client already"
                assert not self.answered[seq, place], "it was answered already"
            submitter = module._submitter(pending.row)
            there = [one for one in self.binds if one.id == submitter and one.can_receive]
            assert not there or bind is there[0], "it is for who submitted it"
            if there and seq not in self.free:
                assert self.last.get(bind.id, (0, 0)) < (seq, place), "out of order"
                self.last[bind.id] = (seq, place)
            self.out.add((seq, place))
            bind.open.append((seq, place, pending))

    def back(self, unit):
        seq, place, pending = unit
        self.out.discard((seq, place))
        self.free.add(seq)
        if self.queue.known.get(seq) is pending:
            self.queue.push(unit)

    def accept(self, unit):
        seq, place, pending = unit
        self.out.discard((seq, place))
        if self.queue.known.get(seq) is not pending:
            return
        self.answered[seq, place] += 1
        pending.left -= 1
        if not pending.left:
            del self.disk[seq]
            self.queue.removed(seq)

    @invariant()
    def memory_is_bounded(self):
        held = sum(map(len, self.queue._held.values()))
        # Two units a row; a batch of twelve rows or a page may go over the edge.
        assert held <= len(self.binds) * (4 + 2 * max(12, PAGE)) + 2 * (6 + 12)
        assert len(self.queue._paused) <= module._PAUSED

    def teardown_story(self):
        """Everybody answers until nothing is left."""
        for _ in range(300):
            if not self.disk:
                return
            self.bind(4)
            self.wait()
            self.binds = [bind for bind in self.binds if bind.can_receive] or self.binds
            for bind in list(self.binds):
                for unit in list(bind.open):
                    bind.open.remove(unit)
                    self.accept(unit)
            self.pump()
            if self.reading is None:
                self.begin_to_read()
            if self.reading is not None:
                self.have_read()
        raise AssertionError(f"never answered: {sorted(self.disk)} {self.queue!r}")

    @rule()
    def everybody_answers(self):
        for bind in [bind for bind in self.binds if not bind.can_receive]:
            self.binds.remove(bind)
            for unit in bind.open:
                self.back(unit)
        self.teardown_story()


TestOutbox = Outbox.TestCase
TestOutbox.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
