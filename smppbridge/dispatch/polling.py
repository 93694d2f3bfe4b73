"""Asking providers what has become of messages: those they have, and those they may have.

The store hands out what is due (`claim_doubtful`) and puts each off by a minute, so whatever is dropped here for want
of room comes back by itself. A few requests a provider run at once, beside those that send.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from pdu import MessageState

from ..lifecycle import Change, Looked, Reported, Settled
from ..model import Message, Millis, Onward, Stage, StatusReport
from ..providers.base import NotFound, WhenInDoubt
from ..transport import RequestFailed
from .health import Health
from .judge import NO_STATUS
from .lane import Engine, Lane
from .retry import sendable_until

#: Messages, or batches where those hold more, that may wait for one provider. What comes on top is dropped and is late
#: by a minute, so what is due at once (after an outage, after a start) is asked for at this pace at least.
_WAITING = 500
_BATCHES = 20
#: How long a message waits for a provider that is no longer configured, after its validity; and how often it is looked
#: whether the provider is there again.
_ORPHANED: Millis = 3_600_000
_ORPHANED_EVERY: Millis = 300_000


class Poller:
    """The questions of all providers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: dict[str, deque[Message]] = {}
        self._asking: set[int] = set()
        self._under_way: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """Messages whose provider is being asked, or is about to be."""
        return len(self._asking)

    def take(self, messages: Sequence[Message], lanes: dict[str, Lane]) -> tuple[list[Change], list[Message], bool]:
        """Messages that are due to be looked at. Returns what is to be recorded at once, what is to be sent again (a
        message in doubt, where the provider recognises a repetition), and whether any found no room."""
        now = self._engine.clock()
        changes: list[Change] = []
        repeat: list[Message] = []
        crowded = False
        for message in messages:
            lane = lanes.get(message.progress.provider)
            if message.id in self._asking:
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
                waiting = self._waiting.setdefault(lane.name, deque())
                if len(waiting) >= max(_WAITING, _BATCHES * lane.adapter.ask_batch):
                    crowded = True
                    continue
                self._asking.add(message.id)
                waiting.append(message)
        self.go_on(lanes)
        return changes, repeat, crowded

    def go_on(self, lanes: dict[str, Lane]) -> None:
        """Put as many questions as may be put now."""
        for name, waiting in self._waiting.items():
            if name in lanes:
                self._pump(lanes[name])
            else:
                self._asking.difference_update(message.id for message in waiting)
                waiting.clear()

    def _pump(self, lane: Lane) -> None:
        waiting = self._waiting.get(lane.name)
        while (
            waiting
            and self._under_way.get(lane.name, 0) < lane.config.questions
            and not (self._engine.halted or lane.retired)
        ):
            batch = [waiting.popleft() for _ in range(min(len(waiting), lane.adapter.ask_batch))]
            self._under_way[lane.name] = self._under_way.get(lane.name, 0) + 1
            task = asyncio.get_running_loop().create_task(self._ask(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, lane: Lane, batch: list[Message]) -> None:
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
            self._under_way[lane.name] -= 1
            self._asking.difference_update(message.id for message in batch)
            self._pump(lane)

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
        """Put no more questions; what is not answered by then comes back after the next start."""
        self._waiting.clear()
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
