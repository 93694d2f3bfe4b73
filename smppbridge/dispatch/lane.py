"""The way of messages to one provider: what waits, what is under way, and how the provider is doing.

A request goes like this: a batch leaves the queue, `Began` is made durable (but for messages that were stored as begun:
see `Lane.opening`), and only then is the first octet written; the answer becomes outcomes, the outcomes become changes,
and those are made durable before anything else is done with the messages. A crash anywhere in between leaves them
SENDING on disk, which the next start reads as "in doubt".

What can go wrong is told once a request in the log ("request failed"), never with a text or an address, and counted in
`Tally`. A request that fails counts against a breaker; one that the provider answers, whatever it says of single
messages, does not. There is one breaker for the provider as a whole, which counts what is about all of it (nobody
answers, the login is refused), and one for each kind of message, so that an SMS goes out while Viber fails. Whatever
fails while the whole provider rests keeps it resting.

Memory is shared by accounts (`room.py`) as the requests are (`batching.py`). So nobody's messages go to disk, to be
claimed from there later, because of what another account has waiting.

A batch holds messages of one kind, of one leg of a cascade (`cascade.py`), and of one `Provider.rides_with`. Messages
stand in the queue as the adapter sees them; one that leaves it unsent is as it was accepted, for it is routed anew.
So is what the store returns, and `judge` wants it so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Coroutine, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from random import Random
from typing import Any, Protocol, TypeAlias

import httpx
import msgspec
import structlog

from pdu import PduError, VendorTag, decode

from ..config import ProviderConfig, mask
from ..journal import Journal
from ..lifecycle import Began, Change, Doubted, Looked, Postponed
from ..model import Kind, Message, Millis, Progress, Stage, bare
from ..providers.base import InDoubt, Outcome, Provider, Refused, Sent, Temporary, Unable, WhenInDoubt
from ..store.base import Applied, StoreFailed, Wanted
from ..transport import Line, NotSent, RequestFailed
from .batching import Queue
from .cascade import Leg
from .health import Breaker, Health, Hold
from .judge import Judge
from .pace import Pace
from .rate import Bucket
from .retry import Schedule
from .room import Room
from .tally import WORDS, Tally

#: What is to be repeated while nothing is taken is looked at again after this, at the earliest.
_RESTED: Millis = 1000
#: Seconds that the answers under way are waited for at the end where a doubt costs nothing.
HARMLESS = 5.0


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

    async def answer(self, wanted: Sequence[Wanted]) -> Sequence[str]:
        """The subscribers' messages that these answer. Raises StoreFailed."""

    def others(self, message: Message, name: str) -> bool:
        """Whether a provider other than `name` could take the message on the leg that it is on."""

    def view(self, message: Message) -> Message:
        """The message as the provider of its leg sees it."""

    def why(self, message: Message) -> str:
        """The route that it takes."""

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


class Group(msgspec.Struct, frozen=True, gc=False):
    """What the messages of one batch have in common."""

    doubtful: bool
    kind: Kind
    leg: Leg | None
    rides_with: Hashable = None


#: How a message is stored that is taken into memory.
READY = Progress(stage=Stage.READY)

NotDone: TypeAlias = Refused | Unable | Temporary | InDoubt


class Lane:
    """One provider and everything on its way there."""

    def __init__(
        self, name: str, adapter: Provider[Any], config: ProviderConfig, line: Line, engine: Engine, share: int
    ) -> None:
        self.name = name
        self.adapter = adapter
        self.config = config
        self.line = line
        #: Of the provider as a whole, and of each kind.
        self.breaker = Breaker(config.breaker_failures, int(config.breaker_pause * 1000))
        self._breakers: dict[Kind, Breaker] = {}
        #: Kinds whose breaker is not closed. A message of theirs that is let in is the probe: there is one at most.
        self._resting: set[Kind] = set()
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
        #: For messages here, queued or under way; urgent ones may go a little above.
        self._room = Room(share)
        #: False while the breaker is open: what comes goes elsewhere or waits on disk.
        self.accepting = True
        #: Accounts of which more messages for it may be due on disk: their new ones have to queue up behind them there.
        self.behind: set[str] = set()
        self._engine = engine
        self._batch = min(config.batch or adapter.batch, adapter.batch)
        self._queue = Queue(self._batch)
        #: Those of a cascade, as they were accepted: whoever leaves unsent is routed by that.
        self._accepted: dict[int, Message] = {}
        #: How long a batch that is not full waits for company, and until when those wait that are here.
        self._gather: Millis = int(config.batch_wait * 1000) if self._batch > 1 else 0
        self._gathered: Millis = 0
        # Most adapters leave these as they are: then nobody is asked.
        self._answers = type(adapter).answers is not Provider.answers
        self._objects = type(adapter).objection is not Provider.objection
        #: How a message is stored that goes with one of the next requests, if this provider recognises a repetition: as
        #: begun, which spares the transaction between storing it and sending it. After a crash it is repeated.
        repeats = self.judge.policy is WhenInDoubt.REPEAT and not self._answers
        self._begun = Progress(stage=Stage.SENDING, provider=name, attempts=1) if repeats else None
        self._bucket = Bucket(config.rate, engine.clock()) if config.rate else None
        self._under_way: set[asyncio.Task[None]] = set()
        #: Requests that are not answered yet.
        self.requests = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Millis = 0
        self._hold = Hold()
        self._pace = Pace(engine.clock())
        self._closing = False
        self._log = structlog.get_logger("dispatch").bind(provider=name)

    def __repr__(self) -> str:
        health = self.breaker.health(self._engine.clock())
        return f"<Lane {self.name} {health} queued={len(self._queue)} requests={self.requests}>"

    # What waits ------------------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def opening(self) -> Progress:
        """How a message for it is to be stored. No more of them as begun than go soon: in doubt after a crash, they
        would be bound to this provider."""
        soon = len(self._queue) < self._batch * self.config.max_in_flight
        return self._begun if self._begun is not None and soon else READY

    @property
    def retired(self) -> bool:
        return self._closing

    def hungry(self, account: str) -> int:
        """How many of an account's messages it would like to have from disk."""
        if not self.accepting or self._closing:
            return 0
        return self._room.hungry(account)

    def full(self, account: str, priority: int) -> bool:
        """Whether it has no room for a message of the account."""
        share = self._room.share
        return self._room.full(account, share + share // 4 if priority else share)

    def takes(self, kind: Kind) -> bool:
        """Whether it takes messages of a kind now: the breakers let them through. Of a kind that is to be probed it
        takes one."""
        if not self.accepting:
            return False
        return kind not in self._resting or self._breaker(kind).allows(self._engine.clock())

    def reopens(self, kind: Kind, now: Millis) -> Millis:
        """When it will take the kind again, as far as is known."""
        reopens = self._breaker(kind).reopens(now) if kind in self._resting else 0
        return reopens if self.accepting else max(reopens, self.breaker.reopens(now))

    def health(self, kind: Kind, now: Millis) -> Health:
        """How the provider does with messages of a kind."""
        of_all = self.breaker.health(now)
        return of_all if of_all is not Health.CLOSED or kind not in self._resting else self._breaker(kind).health(now)

    def _breaker(self, kind: Kind) -> Breaker:
        found = self._breakers.get(kind)
        if found is None:
            found = Breaker(self.config.breaker_failures, int(self.config.breaker_pause * 1000))
            self._breakers[kind] = found
        return found

    def push(self, message: Message, leg: Leg | None = None) -> None:
        """Queue a message, on a leg of a cascade as that leg sees it. One that is in doubt is a repetition and never
        rides with others than its like."""
        if leg is not None:
            self._accepted[message.id] = message
            message = leg.view(message)
        if self._gather and not len(self._queue):
            self._gathered = self._engine.clock() + self._gather
        if message.kind in self._resting:
            self._breaker(message.kind).probe()
        self._room.enter(message)
        self._queue.push(message, self._group(message, leg))

    def _group(self, message: Message, leg: Leg | None) -> Group:
        doubtful = message.progress.stage is Stage.DOUBT
        if self._batch == 1:
            return Group(doubtful, message.kind, leg)
        try:
            return Group(doubtful, message.kind, leg, self.adapter.rides_with(message))
        except Exception as error:
            self.bug("rides_with", error)
            return Group(doubtful, message.kind, leg, message.id)

    def slot(self, kind: Kind, now: Millis) -> Millis:
        """When a message that finds no room may hope for some."""
        return self._pace.slot(max(now, self._hold.until(now), self.reopens(kind, now)), self._room.held)

    def keeps_doubtful(self, message: Message, kind: Kind) -> Looked:
        """What becomes of one that is in doubt and to be repeated while its kind is not taken."""
        now = self._engine.clock()
        again = max(self.slot(kind, now), now + _RESTED)
        self._engine.expect(again)
        return Looked(id=message.id, leg=message.progress.leg, look_at=again)

    def set_share(self, share: int) -> None:
        """How many messages it may hold."""
        self._room.share = share

    def after_crash(self, message: Message, now: Millis) -> tuple[Change, ...]:
        """What becomes of a message whose request was cut off by a crash."""
        reason = "the gateway ended while the request was under way"
        return self.judge.doubt(message, reason, now, reference=self._reference(self._engine.view(message)))

    # What goes -------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Begin as many requests as may begin now. Called whenever something has changed; costs little if nothing."""
        if self._engine.halted or self._closing:
            return
        now = self._engine.clock()
        hold = self._hold.until(now)
        if not self.accepting:
            self._reopen(now)
        while len(self._queue) and self.requests < self.config.max_in_flight:
            if now < hold:
                self._wake_at(hold, now)
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
            if probing or not self._gathers(now):
                group, batch = self._queue.take(allowed)
            else:
                group, batch = self._queue.take_full(allowed)
                if not batch:
                    self._wake_at(self._gathered, now)
                    return
            batch = self._in_time(batch, now)
            if not batch:
                continue
            if self._bucket is not None:
                self._bucket.take(len(batch))
            if probing:
                self.breaker.probe()
            self.requests += 1
            self._spawn(self._carry(group, batch))

    def _gathers(self, now: Millis) -> bool:
        """Whether a batch that is not full still waits for company."""
        # A clock that was put back must not make it wait for longer.
        self._gathered = min(self._gathered, now + self._gather)
        return now < self._gathered and not self._queue.urgent

    def sweep(self, now: Millis) -> None:
        """From time to time: end what has expired in the queue, and look whether anything may begin."""
        expired = self._queue.take_expired(now)
        if expired:
            self._engine.expired(self._let_go(expired))
        self.pump()

    def recall(self, ids: Container[int]) -> list[Message]:
        """Take these out of the queue and let go of them. What is in doubt stays: a provider may have it."""
        found = self._queue.take_these(ids, lambda queued: queued.progress.stage is not Stage.DOUBT)
        if found:
            found = self._let_go(found)
            self._ask_for_more()
        return found

    def _in_time(self, batch: list[Message], now: Millis) -> list[Message]:
        live = [message for message in batch if message.expires > now]
        if len(live) < len(batch):
            late = [message for message in batch if message.expires <= now]
            self._engine.expired(self._let_go(late))
        return live

    def _let_go(self, messages: list[Message]) -> list[Message]:
        """They are here no longer. Returns them as they were accepted."""
        self._room.leave(messages)
        if self._resting:
            for kind in {message.kind for message in messages} & self._resting:
                self._breaker(kind).forget_probe()
        self._engine.release(messages)
        own = self._accepted
        return [own.pop(message.id, message) for message in messages] if own else messages

    def _freed(self, waiting: list[Message]) -> list[Message]:
        """Let go of what has left the queue; returns those that may go elsewhere. What is in doubt stays with this
        provider: it is so on disk, and comes back when it is due."""
        return [message for message in self._let_go(waiting) if message.progress.stage is not Stage.DOUBT]

    def _wake_at(self, when: Millis, now: Millis) -> None:
        if self._timer is not None:
            if self._timer_at == when:
                return
            self._timer.cancel()
        self._timer_at = when
        self._timer = asyncio.get_running_loop().call_later(max(0, when - now) / 1000, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.pump()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.bug("a request", error)
        self._ask_for_more()
        self.pump()

    def _ask_for_more(self) -> None:
        if self.behind and any(self.hungry(account) for account in self.behind):
            self._engine.roomy(self)

    # One request -----------------------------------------------------------------------------------------------------

    async def _carry(self, group: Group, batch: list[Message]) -> None:
        """A batch from the queue to its outcome on disk."""
        doubtful = {message.id for message in batch if group.doubtful}
        try:
            live, elsewhere = await self._begin(group.leg, batch)
        except StoreFailed:
            # Not durable, so not done: they keep their place, and the engine says when to go on.
            self.requests -= 1
            self.breaker.forget_probe()
            self._queue.put_back(batch, group)
            if self._closing:
                self._engine.place(self.retire())
            return
        except BaseException:
            # A mistake of ours, or cut off: nothing was written. The lane goes on, and the next start finds them.
            self.requests -= 1
            self.breaker.forget_probe()
            self._let_go(batch)
            raise
        views = live if group.leg is None else [group.leg.view(message) for message in live]
        outcomes: Sequence[Outcome] = ()
        changes: list[Change] = []
        try:
            if live:
                outcomes = await self._outcomes(views, group.kind)
                changes = self._consequences(live, views, outcomes, doubtful)
            else:
                self.breaker.forget_probe()
        except Exception as error:
            # A mistake, ours or the adapter's, after something may have been written.
            self.bug("the request", error)
            self.breaker.forget_probe()
            outcomes = [InDoubt(reason="a mistake in the gateway")] * len(live)
            changes = self._consequences(live, views, outcomes, doubtful)
        finally:
            # Before it is recorded: until then they are SENDING on disk and cannot come twice, after it they may. The
            # next request need not wait for the disk either.
            self.requests -= 1
            self._let_go(batch)
            self._pace.measure(len(batch), self._engine.clock(), more=len(self._queue) > 0)
            self.pump()
        if changes:
            applied = await self._engine.record(changes)
            self._tell(live, outcomes)
            elsewhere += [
                one.message for one in applied if one.message is not None and one.message.progress.stage is Stage.READY
            ]
        if elsewhere:
            self._engine.place(elsewhere)

    async def _begin(self, leg: Leg | None, batch: list[Message]) -> tuple[list[Message], list[Message]]:
        """Those that may be sent now, durably noted, and those that belong elsewhere. Raises StoreFailed.

        What reached an end in the meantime (deleted by the client, reported by a callback), or another leg of its
        route, is not sent.
        """
        begun: list[Message] = []
        rest = batch
        if leg is None and self._begun:
            begun = [message for message in batch if self._is_begun(message)]
            rest = [message for message in batch if not self._is_begun(message)]
        if not rest:
            return begun, []
        live, elsewhere = _sorted_out(rest, await self._engine.begin(await self._beginnings(leg, rest)))
        return begun + live, elsewhere

    def _is_begun(self, message: Message) -> bool:
        """Stored as begun with this provider, and not sent yet (see `opening`)."""
        return message.progress.stage is Stage.SENDING and message.progress.provider == self.name

    async def _beginnings(self, leg: Leg | None, batch: Sequence[Message]) -> list[Change]:
        """What is to be durable before the request: that it begins, and what it answers. Raises StoreFailed."""
        name = self.name
        answers = await self._answered(batch) if self._answers else {}
        if leg is not None:
            now = self._engine.clock()
            return [leg.begins(message, name, now, answers.get(message.id, "")) for message in batch]
        return [
            Began(id=message.id, leg=message.progress.leg, provider=name, answers=answers.get(message.id, ""))
            for message in batch
        ]

    async def _answered(self, batch: Sequence[Message]) -> dict[int, str]:
        """The subscribers' messages that these answer, where the provider wants to know. Raises StoreFailed."""
        answering = [message for message in batch if self._is_answer(message)]
        if not answering:
            return {}
        found = await self._engine.answer([_wanted(message, self.name) for message in answering])
        return {message.id: ref for message, ref in zip(answering, found, strict=True)}

    def _is_answer(self, message: Message) -> bool:
        try:
            return self.adapter.answers(message)
        except Exception as error:
            self.bug("answers", error)
            return False

    def _consequences(
        self, live: list[Message], views: list[Message], outcomes: Sequence[Outcome], doubtful: set[int]
    ) -> list[Change]:
        """What the outcomes mean, message by message."""
        now, engine = self._engine.clock(), self._engine
        changes: list[Change] = []
        judge, counts = self.judge, self.tally.outcomes
        for message, view, outcome in zip(live, views, outcomes, strict=True):
            counts[WORDS[type(outcome)]] += 1
            if isinstance(outcome, Sent):
                changes.extend(judge.sent(message, outcome, now, engine.why(message)))
                continue
            for change in judge.outcome(
                message,
                self._masked(outcome),
                now,
                reference=self._reference(view),
                doubtful=message.id in doubtful,
                others=type(outcome) is Unable and engine.others(message, self.name),
            ):
                changes.append(change)
                if type(change) is Postponed:
                    engine.expect(change.until)
                elif type(change) is Doubted:
                    engine.expect(change.look_at)
        return changes

    async def _outcomes(self, views: list[Message], kind: Kind) -> Sequence[Outcome]:
        """What becomes of a batch: most is sent; what the adapter objects to has its outcome without a request."""
        objections = {view.id: found for view in views if (found := self._objection(view))} if self._objects else {}
        if not objections:
            return await self._ask_to_send(views, kind)
        rest = [view for view in views if view.id not in objections]
        outcomes: Iterator[Outcome] = iter(())
        if rest:
            outcomes = iter(await self._ask_to_send(rest, kind))
        else:
            self.breaker.forget_probe()
        return [objections.get(view.id) or next(outcomes) for view in views]

    def _objection(self, view: Message) -> Refused | Unable | None:
        try:
            return self.adapter.objection(view)
        except Exception as error:
            self.bug("objection", error)
            return None

    async def _ask_to_send(self, live: list[Message], kind: Kind) -> Sequence[Outcome]:
        """The request itself. Every exception has an outcome; none gets out."""
        try:
            request = self.adapter.send(live)
        except Exception as error:
            self.bug("send", error)
            self.breaker.forget_probe()
            return await self._without_the_culprits(live, kind)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            answer = await self.line.send(request)
        except RequestFailed as failed:
            self.tally.answered(loop.time() - began)
            reason = self.mask(str(failed))
            certain = isinstance(failed, NotSent)
            self._failed(reason, len(live), None if certain else kind)
            return [Temporary(reason=reason) if certain else InDoubt(reason=reason)] * len(live)
        self.tally.answered(loop.time() - began)
        outcomes: Sequence[Outcome]
        try:
            outcomes = self.adapter.sent(live, answer)
            if len(outcomes) != len(live) or any(type(outcome) not in WORDS for outcome in outcomes):
                raise ValueError("not one outcome for each message")
        except Exception as error:
            self.bug("sent", error)
            outcomes = [InDoubt(reason=f"HTTP {answer.status_code} that the adapter cannot read")] * len(live)
        self._learn(outcomes, answer, kind)
        return outcomes

    async def _without_the_culprits(self, live: list[Message], kind: Kind) -> Sequence[Outcome]:
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
        outcomes = iter(await self._ask_to_send(rest, kind))
        return [failed if message.id in broken else next(outcomes) for message in live]

    def _reference(self, message: Message) -> str:
        try:
            return self.adapter.reference(message)
        except Exception as error:
            self.bug("reference", error)
            return ""

    # How the provider is doing ---------------------------------------------------------------------------------------

    def _learn(self, outcomes: Sequence[Outcome], answer: httpx.Response, kind: Kind) -> None:
        """What an answer tells of the provider, beyond the messages."""
        if any(type(outcome) is Unable and outcome.everything for outcome in outcomes):
            reason = next(o.reason for o in outcomes if isinstance(o, Unable) and o.everything)
            self._log.error("the provider refuses everything", reason=self.mask(reason), messages=len(outcomes))
            if self.breaker.trip(self._engine.clock()):
                self._stop(None)
            return
        if not all(isinstance(outcome, Temporary | InDoubt) for outcome in outcomes):
            self._recovered(kind)
            return
        asked = [outcome.retry_after for outcome in outcomes if isinstance(outcome, Temporary) and outcome.retry_after]
        if asked and answer.status_code in (429, 503):
            # It is there and says when it will take more: no failure, and no reason to go elsewhere.
            self._hold.ask(int(min(*asked, self.config.retry_max) * 1000), self._engine.clock())
            self.breaker.forget_probe()
            self._log.warning("the provider asks to wait", seconds=min(asked), messages=len(outcomes))
            return
        first = outcomes[0]
        assert not isinstance(first, Sent)
        self._failed(self.mask(first.reason), len(outcomes), kind)

    def _failed(self, reason: str, messages: int, kind: Kind | None) -> None:
        """A request failed, for its kind or (None) for whatever else might go there."""
        self._log.warning("request failed", reason=reason, messages=messages)
        now = self._engine.clock()
        if kind is None or self.breaker.health(now) is not Health.CLOSED:
            if self.breaker.failed(now):
                self._stop(None)
        elif self._breaker(kind).failed(now):
            self._stop(kind)

    def _recovered(self, kind: Kind | None) -> None:
        """A request went well, for a kind of message or (None) a question about the balance."""
        if not self.accepting or self.breaker.health(self._engine.clock()) is not Health.CLOSED:
            self.accepting = True
            self._log.info("the provider works again")
            self._engine.roomy(self)
        self.breaker.succeeded()
        if kind is None:
            return
        if breaker := self._breakers.get(kind):
            breaker.succeeded()
        if kind in self._resting:
            self._resting.discard(kind)
            self._log.info("the provider works again", kind=kind.value)
            self._engine.roomy(self)

    def _stop(self, kind: Kind | None) -> None:
        """A breaker has opened, that of a kind or (None) of all: what waits goes to the next provider, or to disk."""
        now = self._engine.clock()
        if kind is None:
            self.accepting = False
            self._log.error("the breaker is open", seconds=(self.breaker.reopens(now) - now) / 1000)
            waiting = self._queue.drain()
            self._wake_at(self.breaker.reopens(now), now)
        else:
            self._resting.add(kind)
            reopens = self._breaker(kind).reopens(now)
            self._log.error("the breaker is open", seconds=(reopens - now) / 1000, kind=kind.value)
            waiting = self._queue.take_out(lambda message: message.kind is kind)
        doubtful = [message for message in waiting if message.progress.stage is Stage.DOUBT]
        self._engine.place(self._freed(waiting))
        if doubtful:
            self._spawn(self._keep(doubtful))

    async def _keep(self, doubtful: Sequence[Message]) -> None:
        await self._engine.record([self.keeps_doubtful(message, message.kind) for message in doubtful])

    def _reopen(self, now: Millis) -> None:
        """After the pause: ask for the balance where that can be asked, or let one message through."""
        if not self.breaker.allows(now):
            if self.breaker.health(now) is Health.OPEN:
                self._wake_at(self.breaker.reopens(now), now)
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
            now = self._engine.clock()
            if self.breaker.failed(now):
                self._log.warning("still not working", reason=self.mask(str(error)))
                self._wake_at(self.breaker.reopens(now), now)
        else:
            self._recovered(None)

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
                word = WORDS[type(outcome)].replace("_", " ")
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
        """Begin no more. Returns what waited, released (see `_freed`); what is under way goes on."""
        self._closing = True
        self.accepting = False
        if self._timer is not None:
            self._timer.cancel()
        return self._freed(self._queue.drain())

    @property
    def patience(self) -> float:
        """How many seconds it pays to wait for the answers under way when the gateway ends: as long as a request may
        take, for a message in doubt may end as UNKNOWN; not so where the next start sends it again or asks for it."""
        harmless = self.judge.policy in (WhenInDoubt.REPEAT, WhenInDoubt.ASK)
        return min(self.config.timeout, HARMLESS) if harmless else self.config.timeout

    async def finish(self, seconds: float | None = None) -> None:
        """Wait for what is under way, at most so long; then cut it off, which leaves it in doubt on disk until the next
        start."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                self._log.warning("requests cut off", requests=len(late))
                await asyncio.wait(late)
        await self.line.close()


def _sorted_out(batch: Sequence[Message], began: Sequence[Applied]) -> tuple[list[Message], list[Message]]:
    """What `Began` led to: messages that are now being sent, and those that were taken for another leg meanwhile."""
    live: list[Message] = []
    elsewhere: list[Message] = []
    for queued, one in zip(batch, began, strict=True):
        message = one.message
        if message is None:
            continue
        progress = message.progress
        if progress.stage is Stage.SENDING and progress.leg == queued.progress.leg:
            live.append(message)
        elif progress.stage is Stage.READY:
            elsewhere.append(message)
    return live, elsewhere


def _wanted(message: Message, provider: str) -> Wanted:
    """Which of the subscriber's messages it may answer: the one that its SUBMIT_SM names, or any to that number."""
    try:
        named = decode(message.pdu).option(VendorTag.INCOMING_ID)
    except PduError:
        named = None
    return Wanted(
        message=message.id,
        provider=provider,
        account=message.account,
        subscriber=bare(message.destination),
        number=bare(message.source),
        named=named if isinstance(named, str) else "",
    )
