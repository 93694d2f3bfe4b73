"""Asking providers what has become of messages: those they have, and those they may have.

The store tells what is due (`Store.to_be_asked`) and keeps it due until an answer is recorded: so what an end cuts off
is asked for after the next start at once, and whatever is not taken here for want of room comes again. A few requests a
provider run at once, beside those that send; accounts share them, and the room, as they share those (`batching.py`,
`room.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from pdu import MessageState

from ..lifecycle import Change, Looked, Reported, Settled
from ..model import Message, Millis, Onward, Stage, StatusReport
from ..providers.base import NotFound, WhenInDoubt
from ..transport import RequestFailed
from .batching import Queue
from .health import Health
from .judge import NO_STATUS
from .lane import Engine, Lane
from .retry import sendable_until
from .room import Room

#: Messages, or batches where those hold more, that may wait for one provider.
_WAITING = 500
_BATCHES = 20
#: How long a message waits for a provider that is no longer configured, after its validity; and how often it is looked
#: whether the provider is there again.
_ORPHANED: Millis = 3_600_000
_ORPHANED_EVERY: Millis = 300_000


class _Questions:
    """Those to one provider."""

    def __init__(self, lane: Lane) -> None:
        #: The one of now: a reload may bring another.
        self.lane = lane
        self.queue = Queue()
        #: For those that wait and those under way.
        self.room = Room(max(_WAITING, _BATCHES * lane.adapter.ask_batch))
        self.under_way = 0
        #: Something found no room.
        self.crowded = False


class Poller:
    """The questions of all providers. `roomy` is called where there was no room and half of it is free again."""

    def __init__(self, engine: Engine, roomy: Callable[[], None]) -> None:
        self._engine = engine
        self._roomy = roomy
        self._questions: dict[str, _Questions] = {}
        self._asking: set[int] = set()
        #: Those whose answers were recorded since the store was last asked: what it tells of them may be from before.
        self._answered: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Messages whose provider is being asked, or is about to be."""
        return len(self._asking)

    def about_to_ask(self) -> None:
        """What is taken next is of a moment after this."""
        self._answered.clear()

    def take(self, messages: Sequence[Message], lanes: Mapping[str, Lane]) -> tuple[list[Change], list[Message], bool]:
        """Messages that are due to be looked at. Returns what is to be recorded at once, what is to be sent again (a
        message in doubt, where the provider recognises a repetition), and whether any found no room."""
        now = self._engine.clock()
        changes: list[Change] = []
        repeat: list[Message] = []
        crowded = False
        for message in messages:
            lane = lanes.get(message.progress.provider)
            if message.id in self._asking or message.id in self._answered:
                continue
            if lane is None:
                changes.append(_orphaned(message, now))
                continue
            judge = lane.judge
            in_doubt = message.progress.stage is Stage.DOUBT
            if in_doubt and judge.policy is WhenInDoubt.REPEAT and now < sendable_until(message):
                repeat.append(message)
            elif not judge.askable or (
                now < judge.schedule.end(message) and lane.breaker.health(now) is not Health.CLOSED
            ):
                changes.extend(judge.not_asked(message, now))
            else:
                questions = self._questions.get(lane.name)
                if questions is None:
                    questions = self._questions[lane.name] = _Questions(lane)
                if questions.room.full(message.account):
                    questions.crowded = crowded = True
                    continue
                self._asking.add(message.id)
                questions.room.enter(message)
                questions.queue.push(message, None)
        self.go_on(lanes)
        return changes, repeat, crowded

    def go_on(self, lanes: Mapping[str, Lane]) -> None:
        """Put as many questions as may be put now."""
        for name, questions in self._questions.items():
            if name in lanes:
                questions.lane = lanes[name]
                self._pump(questions)
            else:
                self._leave(questions, questions.queue.drain())

    def _pump(self, questions: _Questions) -> None:
        lane, queue = questions.lane, questions.queue
        if not lane.adapter.ask_batch:
            # A reload has brought one that cannot be asked: what waits is due on disk, and `take` sees to it.
            self._leave(questions, queue.drain())
            return
        while len(queue) and questions.under_way < lane.config.questions and not (self._engine.halted or lane.retired):
            _, batch = queue.take(lane.adapter.ask_batch)
            questions.under_way += 1
            task = asyncio.get_running_loop().create_task(self._ask(questions, lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _leave(self, questions: _Questions, messages: Sequence[Message]) -> None:
        self._asking.difference_update([message.id for message in messages])
        room = questions.room
        room.leave(messages)
        if questions.crowded and room.held * 2 <= room.share:
            questions.crowded = False
            self._roomy()

    async def _ask(self, questions: _Questions, lane: Lane, batch: list[Message]) -> None:
        try:
            answers = await self._question(lane, batch)
            now = self._engine.clock()
            changes: list[Change] = []
            for message, answer in zip(batch, answers, strict=True):
                for change in lane.judge.answer(message, answer, now):
                    changes.append(change)
                    if isinstance(change, Looked | Reported) and change.look_at:
                        self._engine.expect(change.look_at)
            await self._engine.record(changes)
        finally:
            questions.under_way -= 1
            self._answered.update([message.id for message in batch])
            self._leave(questions, batch)
            self._pump(questions)

    async def _question(self, lane: Lane, batch: list[Message]) -> Sequence[StatusReport | NotFound | None]:
        """The answers, in order. A question that fails has told nothing."""
        lane.tally.asked += len(batch)
        nothing: list[StatusReport | NotFound | None] = [None] * len(batch)
        try:
            views = [self._engine.view(message) if message.progress.channel else message for message in batch]
            request = lane.adapter.ask(views)
            answers = lane.adapter.asked(views, await lane.line.send(request))
            if len(answers) != len(batch):
                raise ValueError(f"{len(answers)} answers for {len(batch)} questions")
        except RequestFailed as failed:
            lane.tally.asks_failed += 1
            lane.question_failed(str(failed))
            return nothing
        except Exception as error:
            lane.tally.asks_failed += 1
            lane.bug("ask", error)
            return nothing
        return answers

    async def close(self, seconds: float) -> None:
        """Put no more questions; what is not answered by then is asked for after the next start."""
        self._questions.clear()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)


def _orphaned(message: Message, now: Millis) -> Change:
    """Its provider has been taken out of the configuration. It may come back until the validity is over."""
    progress = message.progress
    end = progress.leg_ends if progress.onward is Onward.ALWAYS else message.expires + _ORPHANED
    if now < end:
        return Looked(id=message.id, leg=progress.leg, look_at=min(end, now + _ORPHANED_EVERY))
    reason = f"{message.progress.provider} is no longer configured, nobody can be asked"
    return Settled(id=message.id, leg=progress.leg, state=MessageState.UNKNOWN, err=NO_STATUS, reason=reason)
