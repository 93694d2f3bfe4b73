"""What an outcome means for a message: from a provider's words to the changes of `lifecycle`. Pure.

```
                  first try                                   again, after doubt (repeat)
 Sent             Handed, and its report if one came          the same
 Refused          Settled as it says                          the same
 Temporary        Postponed                                   stays in doubt, tried again
 Unable           PassedOn to the next provider of the        stays in doubt: another provider might do it
                  route; without one Settled as REJECTED,     a second time
                  but Postponed where the provider refuses
                  everything, for that is nothing about
                  the message
 InDoubt          repeat: Doubted, tried again                stays in doubt, tried again
                  ask: Doubted, the provider is asked
                  wait: Doubted, until the provider tells
                  give_up: Settled as UNKNOWN
```

A message in doubt keeps `Stage.DOUBT` until an answer takes it out, also while it waits to be repeated: a crash, a
reload or a full queue in between cannot turn it into one that any provider may send.

On a leg that another one follows (`Progress.onward`) only the times are different: a message may be sent to the end of
the leg, is asked for when that comes, and counts as unknown then if it is to go on in any case. What an outcome means
for the route is for `lifecycle` to say. Messages come here as they were accepted, not as an adapter sees them.
"""

from __future__ import annotations

from random import Random

from pdu import MessageState

from ..lifecycle import Change, Doubted, Handed, Looked, PassedOn, Postponed, Reported, Settled, Taken, ends
from ..model import Message, Millis, Onward, Stage, StatusReport
from ..providers.base import InDoubt, NotFound, Refused, Sent, Temporary, Unable, WhenInDoubt
from .retry import Schedule, sendable_until
from .routing import NO_ROUTE

#: `err` of a receipt, from the smsc list: "status not received".
NO_STATUS = 245


class Judge:
    """The rules for one provider."""

    __slots__ = ("_random", "askable", "name", "policy", "schedule")

    def __init__(self, name: str, policy: WhenInDoubt, *, askable: bool, schedule: Schedule, random: Random) -> None:
        self.name = name
        #: A provider that cannot be asked is not asked, whatever the configuration says.
        self.policy = WhenInDoubt.GIVE_UP if policy is WhenInDoubt.ASK and not askable else policy
        self.askable = askable
        self.schedule = schedule
        self._random = random

    def outcome(
        self,
        message: Message,
        outcome: Refused | Unable | Temporary | InDoubt,
        now: Millis,
        *,
        reference: str,
        doubtful: bool,
        others: bool,
    ) -> tuple[Change, ...]:
        """What a request led to that did not end in `Sent`. `reference`: what the provider knows it by in any case;
        `doubtful`: an earlier request may have been processed; `others`: another provider could take it."""
        match outcome:
            case Refused(state=state, err=err, reason=reason):
                return (
                    Settled(
                        id=message.id, leg=message.progress.leg, state=state, err=err, reason=f"{self.name}: {reason}"
                    ),
                )
            case InDoubt(reason=reason):
                return self.doubt(message, reason, now, reference=reference)
            case Temporary() | Unable() if doubtful:
                return self._still_in_doubt(message, outcome.reason, now, reference)
            case Temporary(reason=reason, retry_after=retry_after):
                return (self._again(message, reason, now, retry_after),)
            case Unable(reason=reason) if others:
                return (
                    PassedOn(id=message.id, leg=message.progress.leg, provider=self.name, reason=reason),
                    Taken(id=message.id, leg=message.progress.leg),
                )
            case Unable(reason=reason, everything=True) if not message.progress.onward:
                return (self._again(message, reason, now, None),)
            case Unable(reason=reason, err=err):
                said = f"{self.name}: {reason}; no other provider is left"
                return (
                    Settled(
                        id=message.id,
                        leg=message.progress.leg,
                        state=MessageState.REJECTED,
                        err=err or NO_ROUTE,
                        reason=said,
                    ),
                )

    def doubt(self, message: Message, reason: str, now: Millis, *, reference: str) -> tuple[Change, ...]:
        """It may have been processed (ARCHITECTURE.md, promise 4)."""
        if self.policy is WhenInDoubt.REPEAT:
            return self._still_in_doubt(message, reason, now, reference)
        if self.policy is WhenInDoubt.ASK:
            look_at = self.schedule.next_look(message, message.progress.polls, now, self._random)
            return self._doubted(message, reason, reference, look_at)
        if self.policy is WhenInDoubt.WAIT or (
            message.progress.onward is Onward.ALWAYS and now < self.schedule.end(message)
        ):
            return self._doubted(message, reason, reference, self.schedule.end(message))
        said = f"{self.name}: {reason}; it may have been sent and must not be sent twice"
        return (
            Settled(id=message.id, leg=message.progress.leg, state=MessageState.UNKNOWN, err=NO_STATUS, reason=said),
        )

    def answer(self, message: Message, answer: StatusReport | NotFound | None, now: Millis) -> tuple[Change, ...]:
        """What the provider said when it was asked."""
        progress = message.progress
        look_at = self.schedule.next_look(message, progress.polls + 1, now, self._random)
        over = now >= self.schedule.end(message)
        match answer:
            case StatusReport():
                reported = Reported(
                    id=message.id, leg=message.progress.leg, provider=self.name, report=answer, look_at=look_at
                )
                return (reported,) if ends(answer) or not over else (reported, self._no_status(message))
            case NotFound(reason=reason) if progress.stage is Stage.DOUBT:
                # It never got there: it is as if it had not been tried.
                if now < sendable_until(message):
                    return (self._again(message, reason, now, None),)
                said = f"{self.name}: {reason}; it may be sent no longer"
                return (Settled(id=message.id, leg=message.progress.leg, state=MessageState.EXPIRED, reason=said),)
            case NotFound(reason=reason) if not over:
                # It gave us a reference and forgets it: perhaps it is only slow to write it down.
                lost = StatusReport(state=MessageState.UNKNOWN, raw=reason)
                return (
                    Reported(id=message.id, leg=message.progress.leg, provider=self.name, report=lost, look_at=look_at),
                )
            case None if not over:
                return (Looked(id=message.id, leg=message.progress.leg, look_at=look_at),)
            case _:
                return (self._no_status(message),)

    def not_asked(self, message: Message, now: Millis) -> tuple[Change, ...]:
        """The question could not be put, now or ever: look again later, or end it."""
        end = self.schedule.end(message)
        if now >= end:
            return (self._no_status(message),)
        look_at = self.schedule.next_look(message, message.progress.polls + 1, now, self._random)
        return (Looked(id=message.id, leg=message.progress.leg, look_at=look_at if self.askable else end),)

    def sent(self, message: Message, sent: Sent, now: Millis, why: str = "") -> tuple[Change, ...]:
        """The provider has it. `why`: the route that led there."""
        schedule = self.schedule
        handed = Handed(
            id=message.id,
            leg=message.progress.leg,
            provider=self.name,
            ref=sent.ref,
            why=why,
            look_at=schedule.next_look(message, 0, now, self._random) if self.askable else schedule.end(message),
            cost=sent.cost,
            parts=sent.parts,
        )
        if sent.report is None:
            return (handed,)
        return (handed, Reported(id=message.id, leg=message.progress.leg, provider=self.name, report=sent.report))

    def _again(self, message: Message, reason: str, now: Millis, retry_after: float | None) -> Postponed:
        until = self.schedule.next_try(message.progress.attempts, now, self._random, retry_after)
        return Postponed(id=message.id, leg=message.progress.leg, until=until, reason=f"{self.name}: {reason}")

    def _still_in_doubt(self, message: Message, reason: str, now: Millis, reference: str) -> tuple[Change, ...]:
        until = self.schedule.next_try(message.progress.attempts, now, self._random)
        if message.progress.leg_ends > now:
            until = min(until, message.progress.leg_ends)
        return self._doubted(message, reason, reference, until)

    def _doubted(self, message: Message, reason: str, reference: str, look_at: Millis) -> tuple[Change, ...]:
        """In doubt, and to be looked at again then."""
        leg = message.progress.leg
        doubted = Doubted(id=message.id, leg=leg, provider=self.name, ref=reference, reason=reason, look_at=look_at)
        return (doubted,)

    def _no_status(self, message: Message) -> Settled:
        # Nothing is known, so nothing is claimed: not EXPIRED, which would say that it was not delivered.
        within = f"the validity period and {self.schedule.grace // 1000} s after it"
        if message.progress.onward is Onward.ALWAYS:
            within = "this leg"
        said = f"{self.name}: no final status within {within}"
        return Settled(id=message.id, leg=message.progress.leg, state=MessageState.UNKNOWN, err=NO_STATUS, reason=said)
