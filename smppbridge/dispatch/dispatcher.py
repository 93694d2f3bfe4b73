"""From durable messages to providers: when, where, how often.

Theory of operation. A message that was accepted with room in memory is offered and goes straight into the lane of its
provider (`lane.py`). Everything else waits on disk and is claimed when it is due and a lane has room: scheduled
messages, those to be tried again, and what was more than memory takes. While older messages of an account for a lane
wait on disk, its new ones queue up behind them there; only a higher priority overtakes. What is taken from disk is
shared between the accounts as a lane is (`lane.py`), so that none waits behind the backlog of another one.

A lane may hold its share of memory and no more, so that a provider that is slow or down never takes the room of the
others. What is claimed for a lane that is full goes back to disk until that lane expects to have room; this looking
past the full lane is paced, so that a million messages behind a dead provider cost a small part of the time.

Where the route is a cascade, a message gets into a lane of the leg that it is on, as that leg sees it. When a leg is
over for it, `lifecycle` makes it wait for the next one, due at once, and `_hand_on` does not leave finding it to the
next look at the clock. A message that no provider of its leg can take goes on in the same way.

One loop (`_run`) does what is due; it is woken by events and looks at the clock at least once a second. Every change
goes through `begin` or `record`, which hand the receipts on. When the store fails, nothing begins (`halted`), what has
been done is recorded as soon as the store works again, and the rest stays where it is, on disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeAlias

import structlog

from pdu import MessageState

from ..config import ProviderConfig
from ..ids import accepted_at
from ..journal import Journal
from ..lifecycle import Change, LedOn, Postponed, Reported, Settled
from ..model import Kind, Message, Millis, Progress, Receipt, Stage, StatusReport
from ..providers.base import Callback, Provider
from ..store.base import FIRST, Applied, Store, StoreFailed, Turn, Wanted
from ..transport import Line, connect
from .cascade import Leg, told_by
from .judge import NO_STATUS
from .lane import HARMLESS, READY, Lane
from .polling import Poller
from .routing import NO_ROUTE, Decision, Router
from .tally import BUCKETS

#: Takes a callback of a provider that lives in this process, by the provider's name.
Deliver: TypeAlias = Callable[[str, Callback], Awaitable[Any]]

#: Messages taken from disk at once.
_CHUNK = 1000
#: Messages that are looked at each second while every lane is full: a few milliseconds' work beside the arrivals.
_GLANCE = 256
#: Messages whose status is looked at, at once.
_LOOKS = 500
#: What is due while a lane still holds it is looked at again after this.
_HELD: Millis = 1000
#: A look past a full lane is followed by a rest of this many times what it took.
_REST = 10
_NEVER: Millis = 1 << 62
#: Seconds the loop sleeps at most: messages that wait on disk are not announced by those who stored them.
_SLEEP = 1.0
#: Messages a lane may hold at least, however many lanes share the memory.
_LEAST_SHARE = 1000


class Dispatcher:
    """Takes durable messages, and brings each to an outcome."""

    def __init__(
        self,
        *,
        config: Mapping[str, ProviderConfig],
        store: Store,
        router: Router,
        providers: Mapping[str, Provider[Any]],
        clock: Callable[[], Millis],
        on_receipts: Callable[[Sequence[Receipt]], None],
        on_ended: Callable[[Sequence[Message]], None] | None = None,
        deliver: Deliver | None = None,
        journal: Journal | None = None,
        bound: int = 20_000,
        store_pause: float = 0.5,
        random: Random | None = None,
    ) -> None:
        self.clock = clock
        self.random = random or Random()  # noqa: S311 (spreads load, guards nothing)
        self.journal = journal or Journal(0)
        #: Nothing may begin: the store failed a moment ago, or we are closing.
        self.halted = True
        self._store = store
        self._router = router
        self._on_receipts = on_receipts
        self._on_ended = on_ended
        self._deliver = deliver or self._take_callback
        self._bound = bound
        self._store_pause = store_pause
        self._pause = store_pause
        self._closing = False
        self._lanes: dict[str, Lane] = {}
        self._retired: set[asyncio.Task[None]] = set()
        self._only: Lane | None = None
        self._poller = Poller(self, self._may_ask)
        #: Ids of what is in memory: what comes a second time, by whatever way, is not taken a second time.
        self._held: set[int] = set()
        self._inbox: list[Message] = []
        self._flowing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._wake = asyncio.Event()
        #: When the loop will look at the clock next.
        self._next: Millis = 0
        #: What it was told to expect since it last asked the store.
        self._expected: Millis = _NEVER
        #: Not before then, by the clock of the loop, which nobody sets back: looks past full lanes, looks where all
        #: lanes are full, looks for statuses.
        self._look_again = 0.0
        self._glance_again = 0.0
        self._ask_again = 0.0
        #: Up to where messages were looked at whose status is not known, whether that was all that is due, and when it
        #: is gone through from the beginning again: for those that found no room, and those that became due late.
        self._looked_to = FIRST
        self._looked_at_all = False
        self._look_from_first = 0.0
        self._runner: asyncio.Task[None] | None = None
        self._counts = {"expired": 0, "no_route": 0, "put_back": 0, "claimed": 0, "store_failures": 0}
        self._log = structlog.get_logger("dispatch")
        _check(router, config)
        self._build(config, providers)

    def __repr__(self) -> str:
        return f"<Dispatcher held={len(self._held)} {list(self._lanes.values())}>"

    # What others ask -------------------------------------------------------------------------------------------------

    def room(self, account: str, priority: int = 0, providers: Sequence[str] = ()) -> bool:
        """Whether a message of the account may be stored as READY and offered. `providers`: where its route leads, if
        that is known; with one provider there is nothing to be known."""
        if self.halted:
            return False
        lane = self._lanes.get(providers[0]) if providers else self._only
        if lane is None:
            return len(self._held) < self._bound
        if lane.accepting and not (lane.full(account, priority) or (account in lane.behind and not priority)):
            return True
        lane.behind.add(account)
        return False

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress | None:
        """As what a message may be stored and offered; None: there is no room, so it is to wait on disk."""
        if not self.room(account, priority, providers):
            return None
        lane = self._lanes.get(providers[0])
        return READY if lane is None or cascade else lane.opening

    def offer(self, message: Message) -> bool:
        """Take a message that is durable. False: it waits on disk and is claimed when it is due."""
        if message.progress.stage is Stage.WAITING:
            self.expect(message.progress.due)
            return False
        self._inbox.append(message)
        if not self._flowing:
            self._flowing = True
            asyncio.get_running_loop().call_soon(self._flow)
        return True

    def recall(self, messages: Sequence[Message]) -> list[Message]:
        """Take back what nobody has begun to send: those of these that were offered or queued are here no longer, and
        are returned as they stand on disk, READY or stored as begun. What is under way stays, and what is in doubt.

        This is how one that is stored as begun can be told from one that is being sent. Whoever recalls it sees to it:
        it comes back when it is made to wait on disk, or by `offer`.
        """
        held = self._held
        wanted = {message.id for message in messages}
        found = [message for message in self._inbox if message.id in wanted]
        if found:
            self._inbox = [message for message in self._inbox if message.id not in wanted]
        if not held.isdisjoint(wanted):
            for lane in self._lanes.values():
                found += lane.recall(wanted)
        return found

    def route_of(self, account: str, kind: Kind, destination: str, source: str) -> Decision:
        """Where such a message would go, and why."""
        return self._router.route_of(account, kind, destination, source)

    async def report(self, provider: str, reports: Sequence[StatusReport]) -> None:
        """What a provider told of its own accord. Durable when this returns; raises StoreFailed."""
        if reports:
            now = self.clock()
            # Ids run ahead of a clock that was put back, until it is there again.
            latest = max(now, accepted_at(await self._store.last_id()))
            changes = [_told(provider, report, latest) for report in reports]
            self._hand_on(await self._store.apply(changes, now))

    @property
    def providers(self) -> dict[str, Provider[Any]]:
        """The adapters in use: after a reload, the old ones of those providers whose settings stayed the same."""
        return {name: lane.adapter for name, lane in self._lanes.items()}

    @property
    def stats(self) -> dict[str, Any]:
        """Plain numbers for /metrics."""
        now = self.clock()
        return {
            **self._counts,
            "held": len(self._held),
            "asking": self._poller.waiting,
            "halted": self.halted,
            "providers": {
                lane.name: {
                    "requests": lane.tally.requests,
                    "outcomes": dict(lane.tally.outcomes),
                    "asked": lane.tally.asked,
                    "asks_failed": lane.tally.asks_failed,
                    "queued": lane.queued,
                    "in_flight": lane.requests,
                    "breaker": lane.breaker.health(now).value,
                    "kinds": {kind.value: lane.health(kind, now).value for kind in self._router.carried(lane.name)},
                    "latency_bounds": list(BUCKETS),
                    "latency": list(lane.tally.latency),
                    "latency_sum": lane.tally.seconds,
                }
                for lane in self._lanes.values()
            },
        }

    def wake(self) -> None:
        """Look at the clock again, now."""
        self._look_again = self._glance_again = self._ask_again = self._look_from_first = 0.0
        self._wake.set()

    # Start, reload, stop ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Settle what a crash left in doubt, then begin. Raises StoreFailed."""
        await self.recover()
        self.halted = False
        self._runner = asyncio.get_running_loop().create_task(self._run())

    async def recover(self) -> None:
        """Requests that a crash cut off: they may have been processed (ARCHITECTURE.md, promise 4). Call it first."""
        while messages := await self._store.in_doubt(_CHUNK):
            now = self.clock()
            changes: list[Change] = []
            for message in messages:
                name = message.progress.provider
                lane = self._lanes.get(name)
                if lane is None:
                    reason = f"it may have been sent to {name}, which is no longer configured"
                    leg = message.progress.leg
                    changes.append(
                        Settled(id=message.id, leg=leg, state=MessageState.UNKNOWN, err=NO_STATUS, reason=reason)
                    )
                else:
                    changes.extend(lane.after_crash(message, now))
            self._hand_on(await self._store.apply(changes, now))
            self._log.warning("requests were cut off by the last end", messages=len(messages))

    def reload(
        self, config: Mapping[str, ProviderConfig], router: Router, providers: Mapping[str, Provider[Any]]
    ) -> None:
        """New routes and providers. A provider whose settings are the same stays as it is, adapter and all; of the
        others what is under way ends the old way, and what waits is routed anew."""
        _check(router, config)
        waiting = self._build(config, providers)
        self._router = router
        for message in waiting:
            self.offer(message)
        for lane in self._lanes.values():
            lane.pump()
        self._poller.go_on(self._lanes)
        self.wake()

    async def close(self, seconds: float = 15.0) -> None:
        """Begin nothing more, let requests end and be recorded, at most so long, and no longer than it pays (see
        `Lane.patience`). The rest is on disk."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._closing = self.halted = True
        self._wake.set()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
        unsent = [message for lane in self._lanes.values() for message in lane.retire()]
        await self._unbegin([*unsent, *self._inbox])
        finishing = [lane.finish(min(seconds, lane.patience)) for lane in self._lanes.values()]
        await asyncio.gather(self._poller.close(min(seconds, HARMLESS)), *finishing)
        # What is left is being recorded; `finish` has cut off every request by now.
        if rest := self._tasks | self._retired:
            _, late = await asyncio.wait(rest, timeout=max(1.0, began + seconds - loop.time()))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _unbegin(self, unsent: Sequence[Message]) -> None:
        """What was stored as begun and has not left is not in doubt after the next start."""
        begun = [message.id for message in unsent if message.progress.stage is Stage.SENDING]
        for at in range(0, len(begun), _CHUNK):
            changes = [Postponed(id=id, until=self.clock(), reason="") for id in begun[at : at + _CHUNK]]
            try:
                await self._store.apply(changes, self.clock())
            except StoreFailed:
                return

    def _build(self, config: Mapping[str, ProviderConfig], providers: Mapping[str, Provider[Any]]) -> list[Message]:
        """Lanes for a configuration; those that did not change stay. Returns what waited in those that did."""
        share = max(_LEAST_SHARE, self._bound // max(1, len(config)))
        old, lanes = dict(self._lanes), dict[str, Lane]()
        for name, table in config.items():
            known = old.get(name)
            if known is not None and known.config == table:
                lanes[name] = old.pop(name)
                continue
            adapter = providers[name]
            transport = adapter.transport(partial(self._deliver, name))
            line = Line(transport if transport is not None else connect(table), table)
            lanes[name] = Lane(name, adapter, table, line, self, share)
            if known is not None:
                # It counts on where the one before it stands, and what that one has under way as well.
                lanes[name].tally = known.tally
        # Nothing has changed up to here, should a provider not be buildable.
        self._lanes = lanes
        waiting: list[Message] = []
        for lane in lanes.values():
            lane.set_share(share)
        for lane in old.values():
            waiting.extend(lane.retire())
            end = asyncio.get_running_loop().create_task(lane.finish())
            self._retired.add(end)
            end.add_done_callback(self._retired.discard)
        self._only = next(iter(self._lanes.values())) if len(self._lanes) == 1 else None
        return waiting

    # Into the lanes --------------------------------------------------------------------------------------------------

    def _flow(self) -> None:
        """Everything that was offered in this turn of the event loop, at once."""
        self._flowing = False
        if not self._closing:
            # Otherwise `close` sees to them.
            offered, self._inbox = self._inbox, []
            self.place(offered)

    def place(self, messages: Sequence[Message]) -> None:
        """Find each READY message its lane. What finds none is settled, or goes back to disk."""
        if self._closing:
            return
        changes = self._sort(messages, claimed=False)
        if changes:
            self._spawn(self.record(changes))
        for lane in self._lanes.values():
            lane.pump()

    def _sort(self, messages: Sequence[Message], *, claimed: bool) -> list[Change]:
        """Put messages into lanes; returns the changes for those that do not get into one. `claimed`: they come from
        disk, so it is their turn and they do not queue up behind what else is there."""
        now, held, lanes, route = self.clock(), self._held, self._lanes, self._router.route
        changes: list[Change] = []
        for message in messages:
            progress = message.progress
            if message.id in held:
                if claimed:
                    # It was led on while the lane of an earlier leg still holds it: that one is to let go first.
                    changes.append(Postponed(id=message.id, leg=progress.leg, until=now + _HELD, reason=""))
                continue
            if (progress.leg_ends or message.expires) <= now:
                changes.append(self._expire(message))
                continue
            decision = route(message)
            leg = decision.leg(progress.leg) if decision.legs else None
            names: Sequence[str] = leg.providers if leg is not None else decision.providers
            if progress.refused_by or (progress.attempts and names[:1] != (progress.provider,)):
                names = _left(names, message)
            if not names:
                changes.append(self._not_taken(message, decision))
                continue
            kind = leg.kind if leg is not None else message.kind
            lane = lanes[names[0]]
            if not lane.takes(kind):
                lane = next((lanes[name] for name in names if lanes[name].takes(kind)), lane)
                if not lane.takes(kind):
                    changes.append(self._no_lane(message, kind, names, decision, now, claimed=claimed))
                    continue
            if lane.full(message.account, message.priority):
                lane.behind.add(message.account)
                changes.append(Postponed(id=message.id, leg=progress.leg, until=lane.slot(kind, now), reason=""))
            elif message.account in lane.behind and not claimed and not message.priority:
                changes.append(Postponed(id=message.id, leg=progress.leg, until=now, reason=""))
            else:
                held.add(message.id)
                lane.push(message, leg)
        return changes

    def _no_lane(
        self, message: Message, kind: Kind, names: Sequence[str], decision: Decision, now: Millis, *, claimed: bool
    ) -> Change:
        """Every provider that could take it rests: the next leg follows, or it waits for the first that wakes."""
        leg = message.progress.leg
        lane = min((self._lanes[name] for name in names), key=lambda lane: lane.reopens(kind, now))
        said = f"{lane.name} has failed too often and rests"
        if decision.goes_on(leg):
            return self._lead_on(message, said)
        # Only a kind may rest: the other kinds need not queue up behind it.
        if not lane.accepting:
            lane.behind.add(message.account)
        self.expect(lane.reopens(kind, now))
        # Told once: what comes from disk again while the provider rests is no news.
        return Postponed(id=message.id, leg=leg, until=lane.slot(kind, now), reason="" if claimed else said)

    def _expire(self, message: Message) -> Settled:
        """On a leg that another one follows it goes on there, or else ends."""
        progress = message.progress
        if progress.leg_ends and progress.leg_ends < message.expires:
            reason = "not sent before this leg was over"
        else:
            self._counts["expired"] += 1
            reason = "not sent within its validity period"
        return Settled(id=message.id, leg=progress.leg, state=MessageState.EXPIRED, reason=reason)

    def _not_taken(self, message: Message, decision: Decision) -> Change:
        """No provider may take it. Most are refused before they are accepted; this is one whose routes have changed, or
        that the last provider passed on just before a crash."""
        said, err, leg = decision.why, decision.err, message.progress.leg
        if decision.providers:
            said, err = f"{decision.why}: refused by {message.progress.refused_by}", NO_ROUTE
        if decision.goes_on(leg):
            return self._lead_on(message, said)
        self._counts["no_route"] += 1
        return Settled(id=message.id, leg=leg, state=MessageState.REJECTED, err=err, reason=said)

    def _lead_on(self, message: Message, reason: str) -> Change:
        """To the next leg. What was stored as begun has not been sent, but looks as if it had: it goes back to disk
        first, and is led on when it is claimed."""
        leg = message.progress.leg
        if message.progress.stage is Stage.SENDING:
            return Postponed(id=message.id, leg=leg, until=self.clock(), reason="")
        return LedOn(id=message.id, leg=leg, reason=reason)

    # What a lane needs (lane.Engine) ---------------------------------------------------------------------------------

    async def begin(self, changes: Sequence[Change]) -> Sequence[Applied]:
        try:
            applied = await self._store.apply(changes, self.clock())
        except StoreFailed as failed:
            self._halt(failed)
            raise
        self._hand_on(applied)
        return applied

    async def record(self, changes: Sequence[Change]) -> Sequence[Applied]:
        pause = self._store_pause
        while True:
            try:
                applied = await self._store.apply(changes, self.clock())
            except StoreFailed as failed:
                self._halt(failed)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 30.0)
            else:
                self._hand_on(applied)
                return applied

    async def answer(self, wanted: Sequence[Wanted]) -> Sequence[str]:
        try:
            return await self._store.answer(wanted)
        except StoreFailed as failed:
            self._halt(failed)
            raise

    def others(self, message: Message, name: str) -> bool:
        leg, decision = self._leg_of(message)
        names = _left(leg.providers if leg is not None else decision.providers, message)
        return any(other != name and other in self._lanes for other in names)

    def view(self, message: Message) -> Message:
        leg, _ = self._leg_of(message)
        return leg.view(message) if leg is not None else message

    def why(self, message: Message) -> str:
        return self._router.route(message).why

    def _leg_of(self, message: Message) -> tuple[Leg | None, Decision]:
        decision = self._router.route(message)
        return decision.leg(message.progress.leg), decision

    def release(self, messages: Iterable[Message]) -> None:
        self._held.difference_update([message.id for message in messages])

    def expired(self, messages: Sequence[Message]) -> None:
        # In doubt, it is not known to be unsent: it ends as the provider answers, or as UNKNOWN.
        unsent = [message for message in messages if message.progress.stage is not Stage.DOUBT]
        if unsent and not self._closing:
            self._spawn(self.record([self._expire(message) for message in unsent]))

    def expect(self, due: Millis) -> None:
        self._expected = min(self._expected, due)
        if due < self._next:
            self._wake.set()

    def roomy(self, lane: Lane) -> None:
        self._wake.set()

    def _hand_on(self, applied: Sequence[Applied]) -> None:
        receipts: list[Receipt] = []
        ended: list[Message] = []
        for one in applied:
            if one.earlier:
                receipts.extend(one.earlier)
            if one.receipt is not None:
                receipts.append(one.receipt)
            message = one.message
            if message is None:
                continue
            if one.ended:
                ended.append(message)
            elif message.progress.leg and message.progress.stage is Stage.WAITING:
                # On to the next leg at once, and not when the clock is looked at next.
                self.expect(message.progress.due)
        if ended and self.journal.open(len(ended)):
            for message in ended:
                progress = message.progress
                self.journal.say(
                    "final", message, provider=progress.provider, state=progress.state.name, err=progress.err
                )
        if ended and self._on_ended is not None:
            self._on_ended(ended)
        if receipts:
            try:
                self._on_receipts(receipts)
            except Exception:
                # They are in the outbox; whoever delivers them finds them there.
                self._log.exception("receipts not handed on", receipts=len(receipts))

    def _halt(self, failed: StoreFailed) -> None:
        """Nothing begins until the store has had some time. What was begun is recorded by whoever began it."""
        self._counts["store_failures"] += 1
        if self.halted:
            return
        self.halted = True
        self._log.error("the store failed, nothing is sent", reason=str(failed), again_in=self._pause)
        asyncio.get_running_loop().call_later(self._pause, self._go_on)
        self._pause = min(self._pause * 2, 30.0)

    def _go_on(self) -> None:
        if self._closing:
            return
        self.halted = False
        for lane in self._lanes.values():
            lane.pump()
        self._poller.go_on(self._lanes)
        self._wake.set()

    # What is due -----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            seconds = _SLEEP
            if not self.halted:
                try:
                    seconds = await self._turn()
                    self._pause = self._store_pause
                except StoreFailed as failed:
                    self._halt(failed)
                except Exception:
                    # Whatever it was, the messages are on disk and the next turn tries again.
                    self._log.exception("a turn of the dispatcher failed")
            if seconds > 0:
                try:
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
                except TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)

    async def _turn(self) -> float:
        """Do what is due. Returns how many seconds there is nothing more to do, if nothing happens."""
        lanes, passed = self._lanes, asyncio.get_running_loop().time
        self._expected = _NEVER
        for lane in list(lanes.values()):
            lane.sweep(self.clock())
        more = False
        if passed() >= self._look_again:
            more = await self._claim((await self._store.next_due()).waiting)
        if passed() >= self._ask_again:
            more |= await self._look()
        if more:
            return 0.0
        now = self.clock()
        # What has become due while the store was asked, it may not have told.
        waiting, with_provider = await self._store.next_due(self._looked_to.due)
        wanted = [due for account, due in waiting.items() if self._hungry(account)]
        due = min(with_provider or _NEVER, self._expected, *wanted)
        seconds = min((due - now) / 1000, _SLEEP) if due > now else _SLEEP
        if due <= now:
            # It came due a moment ago, or it is for another lane, a full one: as soon as looking is allowed again.
            pause = max(self._look_again, self._ask_again) - passed()
            seconds = min(max(pause, 0.005 if self._expected > now else 0.0), _SLEEP)
        self._next = now + int(seconds * 1000)
        return seconds

    async def _claim(self, waiting: Mapping[str, Millis]) -> bool:
        """Take messages from disk where there is room for them, as many of each account; `waiting` says when the first
        of each is due. True: there may be more, and more room.

        Where no lane has room it looks all the same, but seldom: what has expired ends, and the rest goes back.
        """
        now, loop = self.clock(), asyncio.get_running_loop()
        due = [account for account, first in waiting.items() if first <= now]
        for lane in self._lanes.values():
            lane.behind.intersection_update(due)
        wanted = self._shares({account: room for account in due if (room := self._hungry(account))}, _CHUNK)
        if not wanted:
            if loop.time() < self._glance_again:
                return False
            self._glance_again = loop.time() + _SLEEP
            wanted = self._shares(dict.fromkeys(due, _GLANCE), _GLANCE)
        if not wanted:
            return False
        began = loop.time()
        messages = await self._store.claim(now, wanted)
        taken = Counter(message.account for message in messages)
        more = [account for account, count in wanted.items() if taken[account] == count]
        for lane in self._lanes.values():
            lane.behind.difference_update(wanted.keys() - more)
        if not messages:
            return False
        self._counts["claimed"] += len(messages)
        changes = self._sort(messages, claimed=True)
        for lane in self._lanes.values():
            lane.pump()
        if changes:
            await self.record(changes)
            back = sum(type(change) is Postponed for change in changes)
            self._counts["put_back"] += back
            if back * 2 > len(messages):
                self._look_again = loop.time() + (loop.time() - began) * _REST
                return False
        return any(self._hungry(account) for account in more)

    def _hungry(self, account: str) -> int:
        """How many of an account's messages may find room, if they are for the lane that has most."""
        return max((lane.hungry(account) for lane in self._lanes.values()), default=0)

    def _shares(self, wanted: Mapping[str, int], limit: int) -> dict[str, int]:
        """As many as are wanted of each account, but no more than `limit` in all, shared fairly."""
        accounts = list(wanted) if len(wanted) <= limit else self.random.sample(list(wanted), limit)
        return {account: min(wanted[account], limit // len(accounts)) for account in accounts}

    async def _look(self) -> bool:
        """See to the messages whose status is not known, some of them. True: there may be more."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if self._looked_at_all and began >= self._look_from_first:
            self._looked_to, self._look_from_first = FIRST, began + _SLEEP
        self._poller.about_to_ask()
        messages = await self._store.to_be_asked(self.clock(), self._looked_to, _LOOKS)
        self._looked_at_all = len(messages) < _LOOKS
        if not messages:
            return False
        last = messages[-1]
        self._looked_to = Turn(last.progress.due, last.progress.stage, last.id)
        changes, repeat, crowded = self._poller.take(messages, self._lanes)
        for message in repeat:
            lane = self._lanes[message.progress.provider]
            leg, _ = self._leg_of(message)
            kind = leg.kind if leg is not None else message.kind
            if message.id in self._held:
                continue
            if not lane.takes(kind):
                changes.append(lane.keeps_doubtful(message, kind))
                continue
            if lane.full(message.account, message.priority):
                # It stays due on disk, and is looked at again like what finds no room for its question.
                crowded = True
                continue
            self._held.add(message.id)
            lane.push(message, leg)
            lane.pump()
        if changes:
            await self.record(changes)
        if crowded:
            self._ask_again = loop.time() + (loop.time() - began) * _REST
            return False
        return not self._looked_at_all

    def _may_ask(self) -> None:
        """There is room for questions again."""
        self._ask_again = self._look_from_first = 0.0
        self._wake.set()

    # Odds and ends ---------------------------------------------------------------------------------------------------

    async def _take_callback(self, name: str, callback: Callback) -> None:
        """For a provider in this process, where nobody else takes its callbacks."""
        reply = self._lanes[name].adapter.callback(callback, self.clock())
        await self.report(name, reply.reports)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._log.error("changes were not recorded", exc_info=error)


def _check(router: Router, config: Mapping[str, ProviderConfig]) -> None:
    if missing := router.providers - config.keys():
        raise ValueError(f"routes name providers that are not there: {', '.join(sorted(missing))}")


def _told(provider: str, report: StatusReport, latest: Millis) -> Reported:
    """A report of a provider's own accord. It knows a message by its number, and that says which leg it speaks of."""
    if not report.id:
        return Reported(provider=provider, report=report)
    id, leg = told_by(report.id, latest)
    return Reported(id=id, leg=leg, provider=provider, report=report)


def _left(names: Sequence[str], message: Message) -> Sequence[str]:
    """Who of these may still take it: without those that cannot, and first the one that had it last."""
    progress = message.progress
    refused = progress.refused_by.split(",") if progress.refused_by else ()
    left = [name for name in names if name not in refused]
    if progress.provider in left:
        left.remove(progress.provider)
        left.insert(0, progress.provider)
    return left
