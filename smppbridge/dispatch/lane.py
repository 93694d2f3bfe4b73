"""The way of messages to one provider: what waits, what is under way, and how the provider is doing.

A request goes like this: a batch leaves the queue, `Began` is made durable, and only then is the first octet written;
the answer becomes outcomes, the outcomes become changes, and those are made durable before anything else is done with
the messages. A crash anywhere in between leaves them SENDING on disk, which the next start reads as "in doubt".

What can go wrong is told once a request in the log ("request failed"), never with a text or an address, and counted in
`Tally`. A request that fails counts against the breaker; one that the provider answers, whatever it says of single
messages, does not.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from functools import lru_cache, partial
from random import Random
from typing import Any, Protocol, TypeAlias

import httpx
import msgspec
import structlog

from ..config import ProviderConfig, mask
from ..journal import Journal
from ..lifecycle import Began, Change, Doubted, Postponed, Taken
from ..model import Message, Millis, Stage
from ..providers.base import InDoubt, Outcome, Provider, Refused, Sent, Temporary, Unable, WhenInDoubt
from ..store.base import Applied, StoreFailed
from .batching import Queue
from .health import Breaker, Health
from .judge import Judge
from .rate import Bucket
from .retry import Schedule
from .transport import Line, NotSent, RequestFailed

#: Upper bounds of the latency histogram, in seconds; one more bucket takes the rest.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: What cannot be held in memory comes back from disk after this, at the latest: longer than it takes to look past what
#: is in the way, short enough that a lane that gets going again does not stand idle.
_FAR: Millis = 5000
#: Messages a second that a lane is taken to manage before it has been measured, and at least.
_PACE = 1000.0
_SLOWEST = 10.0


class Engine(Protocol):
    """What a lane needs of the dispatcher."""

    clock: Callable[[], Millis]
    random: Random
    journal: Journal
    #: Nothing may begin: the store failed, or we are closing.
    halted: bool

    async def begin(self, changes: Sequence[Change]) -> Sequence[Applied]:
        """Make durable what is about to be done. Raises StoreFailed, and then it must not be done."""

    async def record(self, changes: Sequence[Change]) -> Sequence[Applied]:
        """Make durable what has been done, however long that takes."""

    def others(self, message: Message, name: str) -> bool:
        """Whether a provider other than `name` could take the message."""

    def release(self, messages: Iterable[Message]) -> None:
        """They are in memory no longer."""

    def place(self, messages: Sequence[Message]) -> None:
        """Released messages that are READY on disk: find them another place."""

    def expired(self, messages: Sequence[Message]) -> None:
        """Released messages that were not sent in time."""

    def expect(self, due: Millis) -> None:
        """Something on disk is due then."""

    def roomy(self, lane: Lane) -> None:
        """It has come down to half of what it may hold, or takes messages again."""


class Tally:
    """What a lane has done since the start, in plain numbers."""

    __slots__ = ("asked", "asks_failed", "latency", "outcomes", "requests", "seconds")

    def __init__(self) -> None:
        self.requests = 0
        self.asked = 0
        self.asks_failed = 0
        self.outcomes = {"sent": 0, "refused": 0, "unable": 0, "temporary": 0, "in_doubt": 0}
        #: Requests by how long they took: see BUCKETS.
        self.latency = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def answered(self, seconds: float) -> None:
        self.requests += 1
        self.seconds += seconds
        self.latency[bisect_left(BUCKETS, seconds)] += 1


NotDone: TypeAlias = Refused | Unable | Temporary | InDoubt

_WORD: dict[type[Any], str] = {
    Sent: "sent",
    Refused: "refused",
    Unable: "unable",
    Temporary: "temporary",
    InDoubt: "in_doubt",
}


class Lane:
    """One provider and everything on its way there."""

    def __init__(
        self, name: str, adapter: Provider[Any], config: ProviderConfig, line: Line, engine: Engine, share: int
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.config = config
        self.line = line
        self.breaker = Breaker(config.breaker_failures, int(config.breaker_pause * 1000))
        self.judge = Judge(
            name,
            WhenInDoubt(config.when_in_doubt or adapter.when_in_doubt),
            askable=adapter.ask_batch > 0,
            schedule=Schedule.of(config),
            random=engine.random,
        )
        self.tally = Tally()
        #: Hides the provider's secrets in a text. The same few reasons come again and again.
        self.mask = lru_cache(maxsize=256)(partial(mask, secrets=tuple(adapter.secrets())))
        #: Messages here, queued or under way, and how many there may be; urgent ones may go a little above.
        self.held = 0
        self.set_share(share)
        #: False while the breaker is open: what comes goes elsewhere or waits on disk.
        self.accepting = True
        #: More messages for it may be due on disk, so that new ones have to queue up behind them there.
        self.behind = False
        self._engine = engine
        self._queue = Queue()
        self._batch = min(config.batch or adapter.batch, adapter.batch)
        self._bucket = Bucket(config.rate, engine.clock()) if config.rate else None
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: The provider asked us to wait until then.
        self._hold: Millis = 0
        self._closing = False
        self._pace = _PACE
        self._paced = (0, engine.clock())
        self._slot = 0.0
        self._log = structlog.get_logger("dispatch").bind(provider=name)

    def __repr__(self) -> str:
        health = self.breaker.health(self._engine.clock())
        return f"<Lane {self.name} {health} queued={len(self._queue)} requests={len(self._under_way)}>"

    # What waits ------------------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def requests(self) -> int:
        """Under way."""
        return len(self._under_way)

    @property
    def retired(self) -> bool:
        return self._closing

    @property
    def hungry(self) -> bool:
        return self.accepting and self.held * 2 <= self.share and not self._closing

    def full(self, priority: int) -> bool:
        return self.held >= (self.urgent_share if priority else self.share)

    def push(self, message: Message) -> None:
        """Queue a message. One that is in doubt is a repetition and never rides with others than its like."""
        self.held += 1
        self._queue.push(message, self._group(message))

    def _group(self, message: Message) -> Hashable:
        doubtful = message.progress.stage is Stage.DOUBT
        if self._batch == 1:
            return doubtful
        try:
            return doubtful, self.adapter.rides_with(message)
        except Exception as error:
            self.bug("rides_with", error)
            return doubtful, message.id

    def slot(self, now: Millis) -> Millis:
        """When a message that finds no room may hope for some: one after the other, at the pace that was measured."""
        step = 1000 / self._pace
        base = float(max(now, self._hold, 0 if self.accepting else self.breaker.reopens))
        self._slot = min(max(self._slot, base + self.held * step) + step, base + _FAR)
        return int(self._slot)

    def set_share(self, share: int) -> None:
        """How many messages it may hold."""
        self.share = share
        self.urgent_share = share + share // 4

    def after_crash(self, message: Message, now: Millis) -> tuple[Change, ...]:
        """What becomes of a message whose request was cut off by a crash."""
        reason = "the gateway ended while the request was under way"
        return self.judge.doubt(message, reason, now, reference=self._reference(message))

    # What goes -------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Begin as many requests as may begin now. Called whenever something has changed; costs little if nothing."""
        if self._engine.halted or self._closing:
            return
        now = self._engine.clock()
        if not self.accepting:
            self._reopen(now)
        while len(self._queue) and len(self._under_way) < self.config.max_in_flight:
            if now < self._hold:
                self._wake_at(self._hold, now)
                return
            if not self.breaker.allows(now):
                return
            probing = self.breaker.health(now) is Health.HALF_OPEN
            # A probe risks one message, not a batch.
            allowed = 1 if probing else self._batch
            if self._bucket is not None:
                allowed = min(allowed, self._bucket.available(now))
                if not allowed:
                    self._wake_at(now + self._bucket.wait(), now)
                    return
            group, batch = self._queue.take(allowed)
            batch = self._in_time(batch, now)
            if not batch:
                continue
            if self._bucket is not None:
                self._bucket.take(len(batch))
            if probing:
                self.breaker.probe()
            self._spawn(self._carry(group, batch))

    def sweep(self, now: Millis) -> None:
        """From time to time: end what has expired in the queue, and look whether anything may begin."""
        expired = self._queue.take_expired(now)
        if expired:
            self._let_go(expired)
            self._engine.expired(expired)
        self.pump()

    def _in_time(self, batch: list[Message], now: Millis) -> list[Message]:
        live = [message for message in batch if message.expires > now]
        if len(live) < len(batch):
            late = [message for message in batch if message.expires <= now]
            self._let_go(late)
            self._engine.expired(late)
        return live

    def _let_go(self, messages: Sequence[Message]) -> None:
        self.held -= len(messages)
        self._engine.release(messages)

    def _wake_at(self, when: Millis, now: Millis) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0, when - now) / 1000, self.pump)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.bug("a request", error)
        if self.behind and self.hungry:
            self._engine.roomy(self)
        self.pump()

    # One request -----------------------------------------------------------------------------------------------------

    async def _carry(self, group: Hashable, batch: list[Message]) -> None:
        """A batch from the queue to its outcome on disk."""
        doubtful = {message.id for message in batch if message.progress.stage is Stage.DOUBT}
        try:
            began = await self._engine.begin([Began(id=message.id, provider=self.name) for message in batch])
        except StoreFailed:
            # Not durable, so not done: they keep their place, and the engine says when to go on.
            self.breaker.forget_probe()
            self._queue.put_back(batch, group)
            if self._closing:
                self._engine.place(self.retire())
            return
        # What reached an end in the meantime (deleted by the client, reported by a callback) is not sent.
        live = [one.message for one in began if one.message is not None and one.message.progress.stage is Stage.SENDING]
        outcomes: Sequence[Outcome] = ()
        changes: list[Change] = []
        try:
            if live:
                outcomes = await self._ask_to_send(live)
                changes = self._consequences(live, outcomes, doubtful)
            else:
                self.breaker.forget_probe()
        except Exception as error:
            # A mistake, ours or the adapter's, after something may have been written.
            self.bug("the request", error)
            self.breaker.forget_probe()
            outcomes = [InDoubt(reason="a mistake in the gateway")] * len(live)
            changes = self._consequences(live, outcomes, doubtful)
        finally:
            # Before it is recorded: until then they are SENDING on disk and cannot come twice, after it they may.
            self._let_go(batch)
            self._measure(len(batch))
        if not changes:
            return
        applied = await self._engine.record(changes)
        self._tell(live, outcomes)
        onward = [
            one.message
            for change, one in zip(changes, applied, strict=True)
            if type(change) is Taken and one.message is not None and one.message.progress.stage is Stage.READY
        ]
        if onward:
            self._engine.place(onward)

    def _consequences(self, live: list[Message], outcomes: Sequence[Outcome], doubtful: set[int]) -> list[Change]:
        """What the outcomes mean, message by message."""
        now = self._engine.clock()
        changes: list[Change] = []
        judge, counts = self.judge, self.tally.outcomes
        for message, outcome in zip(live, outcomes, strict=True):
            counts[_WORD[type(outcome)]] += 1
            if isinstance(outcome, Sent):
                changes.extend(judge.sent(message, outcome, now))
                continue
            for change in judge.outcome(
                message,
                self._masked(outcome),
                now,
                reference=self._reference(message),
                doubtful=message.id in doubtful,
                others=type(outcome) is Unable and self._engine.others(message, self.name),
            ):
                changes.append(change)
                if type(change) is Postponed:
                    self._engine.expect(change.until)
                elif type(change) is Doubted:
                    self._engine.expect(change.look_at)
        return changes

    async def _ask_to_send(self, live: list[Message]) -> Sequence[Outcome]:
        """The request itself. Every exception has an outcome; none gets out."""
        try:
            request = self.adapter.send(live)
        except Exception as error:
            self.bug("send", error)
            self.breaker.forget_probe()
            return await self._without_the_culprits(live)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer = await self.line.send(request)
        except RequestFailed as failed:
            self.tally.answered(loop.time() - began)
            reason = self.mask(str(failed))
            self._failed(reason, len(live))
            certain = isinstance(failed, NotSent)
            return [Temporary(reason=reason) if certain else InDoubt(reason=reason)] * len(live)
        self.tally.answered(loop.time() - began)
        outcomes: Sequence[Outcome]
        try:
            outcomes = self.adapter.sent(live, answer)
            if len(outcomes) != len(live) or any(type(outcome) not in _WORD for outcome in outcomes):
                raise ValueError("not one outcome for each message")
        except Exception as error:
            self.bug("sent", error)
            outcomes = [InDoubt(reason=f"HTTP {answer.status_code} that the adapter cannot read")] * len(live)
        self._learn(outcomes, answer)
        return outcomes

    async def _without_the_culprits(self, live: list[Message]) -> Sequence[Outcome]:
        """An adapter that cannot word one message must not hold up those that ride with it. It does no I/O, so each
        can be tried alone; what it can word goes out as a batch after all."""
        broken: set[int] = set()
        for message in live:
            try:
                self.adapter.send([message])
            except Exception:
                broken.add(message.id)
        failed = Temporary(reason="the adapter failed before anything was written")
        rest = [message for message in live if message.id not in broken]
        if not rest or len(rest) == len(live):
            return [failed] * len(live)
        outcomes = iter(await self._ask_to_send(rest))
        return [failed if message.id in broken else next(outcomes) for message in live]

    def _reference(self, message: Message) -> str:
        try:
            return self.adapter.reference(message)
        except Exception as error:
            self.bug("reference", error)
            return ""

    # How the provider is doing ---------------------------------------------------------------------------------------

    def _learn(self, outcomes: Sequence[Outcome], answer: httpx.Response) -> None:
        """What an answer tells of the provider, beyond the messages."""
        if any(type(outcome) is Unable and outcome.everything for outcome in outcomes):
            reason = next(o.reason for o in outcomes if isinstance(o, Unable) and o.everything)
            self._log.error("the provider refuses everything", reason=self.mask(reason), messages=len(outcomes))
            if self.breaker.trip(self._engine.clock()):
                self._stop()
            return
        if not all(isinstance(outcome, Temporary | InDoubt) for outcome in outcomes):
            self._recovered()
            return
        asked = [outcome.retry_after for outcome in outcomes if isinstance(outcome, Temporary) and outcome.retry_after]
        if asked and answer.status_code in (429, 503):
            # It is there and says when it will take more: no failure, and no reason to go elsewhere.
            self._hold = self._engine.clock() + int(min(*asked, self.config.retry_max) * 1000)
            self.breaker.forget_probe()
            self._log.warning("the provider asks to wait", seconds=min(asked), messages=len(outcomes))
            return
        first = outcomes[0]
        assert not isinstance(first, Sent)
        self._failed(self.mask(first.reason), len(outcomes))

    def _failed(self, reason: str, messages: int) -> None:
        self._log.warning("request failed", reason=reason, messages=messages)
        if self.breaker.failed(self._engine.clock()):
            self._stop()

    def _recovered(self) -> None:
        was_open = not self.accepting or self.breaker.health(self._engine.clock()) is not Health.CLOSED
        self.breaker.succeeded()
        if was_open:
            self.accepting = True
            self._log.info("the provider works again")
            self._engine.roomy(self)

    def _stop(self) -> None:
        """The breaker has opened: what waits goes to the next provider, or back to disk."""
        self.accepting = False
        now = self._engine.clock()
        self._log.error("the breaker is open", seconds=(self.breaker.reopens - now) / 1000)
        waiting = self._queue.drain()
        self._let_go(waiting)
        # What is in doubt stays with this provider: it is so on disk, and comes back when it is due.
        self._engine.place([message for message in waiting if message.progress.stage is not Stage.DOUBT])
        self._wake_at(self.breaker.reopens, now)

    def _reopen(self, now: Millis) -> None:
        """After the pause: ask for the balance where that can be asked, or let one message through."""
        if not self.breaker.allows(now):
            if self.breaker.health(now) is Health.OPEN:
                self._wake_at(self.breaker.reopens, now)
            return
        try:
            question = self.adapter.balance()
        except Exception as error:
            self.bug("balance", error)
            question = None
        if question is None:
            self.accepting = True
            self._engine.roomy(self)
            return
        self.breaker.probe()
        self._spawn(self._probe(question))

    async def _probe(self, question: httpx.Request) -> None:
        try:
            answer = await self.line.send(question)
            if answer.status_code >= 500:
                raise ValueError(f"HTTP {answer.status_code}")
            self.adapter.balance_read(answer)
        except Exception as error:
            if self.breaker.failed(self._engine.clock()):
                self._log.warning("still not working", reason=self.mask(str(error)))
                self._wake_at(self.breaker.reopens, self._engine.clock())
        else:
            self._recovered()

    def _measure(self, count: int) -> None:
        """Messages a second, while there is more to do than is being done."""
        done, since = self._paced
        now = self._engine.clock()
        if not len(self._queue) or now < since:
            self._paced = (0, now)
        elif now - since >= 1000:
            self._pace = max(_SLOWEST, (done + count) * 1000 / (now - since))
            self._paced = (0, now)
        else:
            self._paced = (done + count, since)

    # Telling ---------------------------------------------------------------------------------------------------------

    def _masked(self, outcome: NotDone) -> NotDone:
        """With a reason that may be shown: an adapter may quote an answer that quotes the request."""
        reason = self.mask(outcome.reason)
        return outcome if reason == outcome.reason else msgspec.structs.replace(outcome, reason=reason)

    def _tell(self, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        """One line a message, as far as the log takes them."""
        journal = self._engine.journal
        if not journal.open(len(messages)):
            return
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Sent):
                journal.say("sent", message, provider=self.name, ref=outcome.ref)
            else:
                word = _WORD[type(outcome)].replace("_", " ")
                journal.say(word, message, provider=self.name, reason=self.mask(outcome.reason))

    def question_failed(self, reason: str) -> None:
        self._log.warning("status not asked", reason=self.mask(reason))

    def bug(self, where: str, error: BaseException) -> None:
        """An exception that nobody foresaw. Its text may quote a message, so only its class and place are told."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        at = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else ""
        self._log.error("the adapter failed", where=where, error=type(error).__name__, at=at)

    # The end ---------------------------------------------------------------------------------------------------------

    def retire(self) -> list[Message]:
        """Begin no more. Returns what waited, released; what is under way goes on."""
        self._closing = True
        self.accepting = False
        if self._timer is not None:
            self._timer.cancel()
        waiting = self._queue.drain()
        self._let_go(waiting)
        return waiting

    async def finish(self, seconds: float) -> None:
        """Wait for what is under way, at most so long; then cut it off, which leaves it in doubt on disk."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("requests cut off", requests=len(late))
                await asyncio.wait(late)
        await self.line.close()
