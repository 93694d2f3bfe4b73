"""Everything in dictionaries: the fake that tests run against, and an engine for trying things out.

It keeps every promise of `base` but one: what it holds is gone when the process ends.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, takewhile
from typing import TypeVar

import msgspec

from ..lifecycle import Change, Notice, Reported
from ..model import Entry, Incoming, Message, Millis, Notify, Part, Receipt, Stage, bare
from . import rules
from .base import (
    FIRST,
    Absent,
    Applied,
    Arrival,
    Arrived,
    Due,
    Duplicate,
    Filter,
    Held,
    Replacement,
    Stats,
    StoreFailed,
    Turn,
    Verdict,
    Verdicts,
    Wanted,
)
from .recent import Recent

#: A row of the outbox.
R = TypeVar("R", Receipt, Receipt | Arrival)


class MemoryStore:
    """See `base.Store`; every method is described there."""

    def __init__(self) -> None:
        self._open = False
        self._messages: dict[int, Message] = {}
        self._lines: defaultdict[int, list[Entry]] = defaultdict(list)
        self._recent = Recent()
        self._highest = 0
        self._verdicts: list[tuple[Arrived, Message, Verdict]] = []
        self._work = _Work(self._messages)
        #: The id that a client was told, and the messages that it stands for.
        self._multi: dict[int, list[int]] = {}
        # Parts: held by key and round; joined lately by key; which message a part went into.
        self._held: dict[rules.SetKey, dict[int, dict[int, Part]]] = {}
        self._joined: dict[rules.SetKey, list[Part]] = {}
        self._went_into: dict[int, int] = {}
        # References and the reports that came before theirs.
        self._references: dict[tuple[str, str], int] = {}
        self._parked: dict[tuple[str, str], list[tuple[Reported, Millis]]] = {}
        self._outbox = _Outbox()
        self._subscribers: dict[tuple[str, str], _Subscriber] = {}
        #: By subscriber and account.
        self._absent: dict[tuple[str, str], Absent] = {}

    def __repr__(self) -> str:
        return f"<MemoryStore messages={len(self._messages)}>"

    async def open(self) -> None:
        self._open = True
        for id in self._work.ids(Stage.READY):
            message = self._messages[id]
            waiting = msgspec.structs.replace(message.progress, stage=Stage.WAITING)
            self.keep(message, msgspec.structs.replace(message, progress=waiting))

    async def close(self) -> None:
        self._announce()
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise StoreFailed("the store is closed")

    def when_failed(self, tell: Callable[[StoreFailed], None]) -> None:
        """It never does."""

    # Arrivals --------------------------------------------------------------------------------------------------------

    def accept(self, message: Message, arrived: Arrived) -> None:
        verdict = self._accept(message) if self._open else StoreFailed("the store is closed")
        if not self._verdicts:
            asyncio.get_running_loop().call_soon(self._announce)
        self._verdicts.append((arrived, message, verdict))

    def _announce(self) -> None:
        batches: dict[Arrived, list[tuple[Message, Verdict]]] = {}
        for arrived, message, verdict in self._verdicts:
            batches.setdefault(arrived, []).append((message, verdict))
        self._verdicts.clear()
        for arrived, batch in batches.items():
            arrived(batch)

    def _accept(self, message: Message) -> Duplicate | None:
        if message.duplicate_window:
            self._recent.tick(message.accepted_at)
            fingerprint, window = rules.fingerprint(message), message.duplicate_window
            lately = self._recent.meet(fingerprint, message.id, window)
            for id in lately:
                first = self._messages.get(id)
                if first and rules.repeats(first, message):
                    return rules.duplicate_of(first)
            if lately:
                self._recent.add(fingerprint, message.id, window)
        self._highest = max(self._highest, message.id)
        self._messages[message.id] = message
        self._work.moved(None, message)
        self._lines[message.id].append(rules.accepted(message))
        return None

    async def accept_many(self, messages: Sequence[Message], known_as: int) -> Verdicts:
        self._check()
        verdicts = [self._accept(message) for message in messages]
        self._highest = max(self._highest, known_as)
        kept = [message.id for message, verdict in zip(messages, verdicts, strict=True) if verdict is None]
        if kept:
            self._multi[known_as] = sorted([*self._multi.get(known_as, ()), *kept])
        return verdicts

    async def hold(self, part: Part) -> Held:
        self._check()
        key = rules.set_key(part)
        rounds = self._held.get(key, {})
        lately = [one for one in self._joined.get(key, ()) if part.accepted_at - one.accepted_at < rules.RESENT_FOR]
        known = [*lately, *(one for round in rounds.values() for one in round.values())]
        if first := rules.resent(part, known):
            return Held(first.id)
        self._highest = max(self._highest, part.id)
        self._held[key] = rounds
        round = rounds.setdefault(rules.round_for(part, rounds), {})
        round[part.number] = part
        return Held(part.id, _in_order(round) if len(round) == part.total else ())

    async def join(self, message: Message, parts: Sequence[Part]) -> Duplicate | None:
        self._check()
        for part in parts:
            if part.id in self._went_into:
                return rules.duplicate_of(self._messages[self._went_into[part.id]])
        verdict = self._accept(message)
        if verdict is None:
            await self.drop_parts(parts)
            self._lines[message.id].append(rules.joined(message, parts))
            for part in parts:
                self._went_into[part.id] = message.id
                self._joined.setdefault(rules.set_key(part), []).append(part)
        return verdict

    async def drop_parts(self, parts: Sequence[Part]) -> None:
        self._check()
        for part in parts:
            key = rules.set_key(part)
            rounds = self._held.get(key, {})
            for number, round in list(rounds.items()):
                if (held := round.get(part.number)) and held.id == part.id:
                    del round[part.number]
                if not round:
                    del rounds[number]
            if not rounds:
                self._held.pop(key, None)

    async def held_parts(self, before: Millis, limit: int) -> Sequence[Sequence[Part]]:
        self._check()
        sets = (_in_order(round) for rounds in self._held.values() for round in rounds.values())
        due = (one for one in sets if len(one) == one[0].total or _overdue(one)[0] < before)
        turns: Counter[str] = Counter()

        def turn(one: Sequence[Part]) -> tuple[int, Millis, int]:
            turns[one[0].account] += 1
            return turns[one[0].account], *_overdue(one)

        return sorted(sorted(due, key=lambda one: (len(one) < one[0].total, _overdue(one))), key=turn)[:limit]

    # Work ------------------------------------------------------------------------------------------------------------

    async def claim(self, now: Millis, wanted: Mapping[str, int]) -> Sequence[Message]:
        self._check()
        return [rules.take(self, message, now) for message in self._work.waiting(now, wanted)]

    async def to_be_asked(self, now: Millis, after: Turn, limit: int) -> Sequence[Message]:
        self._check()
        return self._work.with_a_provider(now, after, limit)

    async def in_doubt(self, limit: int) -> Sequence[Message]:
        self._check()
        return [self._messages[id] for id in self._work.ids(Stage.SENDING)[:limit]]

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        self._check()
        return [rules.apply(self, change, now) for change in changes]

    async def replace(self, replacement: Replacement, now: Millis) -> Message | None:
        self._check()
        return rules.replace(self, replacement, now)

    async def next_due(self, later: Millis = FIRST.due) -> Due:
        self._check()
        return self._work.next_due(later)

    # What `rules.apply` asks for (rules.Records)

    def message(self, id: int) -> Message | None:
        return self._messages.get(id)

    def referred(self, provider: str, ref: str) -> int:
        return self._references.get((provider, ref), 0)

    def keep(self, was: Message, now: Message) -> None:
        self._messages[now.id] = now
        self._work.moved(was, now)

    def line(self, entry: Entry) -> None:
        self._lines[entry.message].append(entry)

    def queue(self, message: Message, notice: Notice, now: Millis) -> Receipt:
        return self._outbox.add(message, notice, now)

    def refer(self, provider: str, ref: str, id: int) -> None:
        self._references[provider, ref] = id

    def park(self, change: Reported, now: Millis) -> None:
        # They stand in the order in which they came, so what is over stands first.
        for key in list(takewhile(lambda key: self._parked[key][-1][1] <= now - rules.PARKED_FOR, self._parked)):
            del self._parked[key]
        self._parked.setdefault((change.provider, change.report.ref), []).append((change, now))

    def unpark(self, provider: str, ref: str, now: Millis) -> Sequence[Reported]:
        parked = self._parked.pop((provider, ref), ())
        return [change for change, at in parked if at > now - rules.PARKED_FOR]

    # What `rules.replace` asks for besides (rules.Contents)

    def rewrite(self, message: Message) -> None:
        self._messages[message.id] = message
        if message.duplicate_window:
            self._recent.add(rules.fingerprint(message), message.id, message.duplicate_window)

    # Outbox ----------------------------------------------------------------------------------------------------------

    async def receipts(self, account: str, after: int, limit: int) -> Sequence[Receipt | Arrival]:
        self._check()
        return [self._as_it_stands(row) for row in islice(self._outbox.of(account, after), limit)]

    async def accounts_by_http(self) -> Sequence[str]:
        self._check()
        return self._outbox.by_http()

    async def receipts_by_http(self, account: str, now: Millis, limit: int) -> Sequence[Receipt]:
        self._check()
        return [self._as_it_stands(row) for row in self._outbox.take_due(account, now, limit)]

    async def delivered(self, receipts: Sequence[Receipt | Arrival], now: Millis) -> None:
        self._check()
        for row in self._outbox.remove(row.seq for row in receipts):
            if isinstance(row, Receipt):
                self.line(rules.told(row, now))

    async def drop_receipts(self, receipts: Sequence[Receipt | Arrival], reason: str, now: Millis) -> None:
        self._check()
        for row in self._outbox.remove(row.seq for row in receipts):
            if isinstance(row, Receipt):
                self.line(rules.dropped(row, reason, now))

    async def old_receipts(self, account: str, before: Millis, keep: int, limit: int) -> Sequence[Receipt | Arrival]:
        self._check()
        rows = list(self._outbox.of(account, 0))
        beyond = len(rows) - keep
        old = (row for n, row in enumerate(rows) if n < beyond or self._outbox.queued_at[row.seq] < before)
        return [self._as_it_stands(row) for row in islice(old, limit)]

    def _as_it_stands(self, row: R) -> R:
        if not isinstance(row, Receipt):
            return row
        return msgspec.structs.replace(row, message=self._messages[row.message.id])

    async def put_off(self, receipts: Sequence[Receipt], until: Millis) -> None:
        self._check()
        for receipt in receipts:
            self._outbox.put_off(receipt.seq, until)

    async def incoming(self, account: str, message: Incoming, now: Millis = 0) -> Arrival | None:
        self._check()
        if (message.provider, message.ref) in self._subscribers:
            return None
        who = (account, bare(message.source), bare(message.destination))
        self._subscribers[message.provider, message.ref] = _Subscriber(now or message.at, who)
        return self._outbox.add_arrival(account, message, now or message.at)

    async def absent(self, subscribers: Sequence[Absent]) -> None:
        self._check()
        self._absent.update(((one.subscriber, one.account), one) for one in subscribers)

    def any_absent(self) -> bool:
        return bool(self._absent)

    async def reachable(self, subscribers: Sequence[str], now: Millis) -> Sequence[Arrival]:
        self._check()
        found = [one for (subscriber, _), one in self._absent.items() if subscriber in subscribers]
        for one in found:
            del self._absent[one.subscriber, one.account]
        return [self._outbox.add_alert(one, now) for one in rules.in_turn(found, subscribers)]

    async def answer(self, wanted: Sequence[Wanted]) -> Sequence[str]:
        self._check()
        return [rules.answer(self, one) for one in wanted]

    # What `rules.answer` asks for (rules.Letters)

    def answered(self, message: int, provider: str) -> str:
        known = (
            ref for (name, ref), one in self._subscribers.items() if (name, one.answered_by) == (provider, message)
        )
        return next(known, "")

    def addressee(self, provider: str, ref: str) -> str | None:
        found = self._subscribers.get((provider, ref))
        return found.who[0] if found else None

    def newest_unanswered(self, wanted: Wanted) -> str:
        who = (wanted.account, wanted.subscriber, wanted.number)
        fitting = [
            (one.at, ref)
            for (name, ref), one in self._subscribers.items()
            if name == wanted.provider and one.who == who and not one.answered_by
        ]
        return max(fitting)[1] if fitting else ""

    def keep_answer(self, wanted: Wanted, ref: str) -> None:
        if found := self._subscribers.get((wanted.provider, ref)):
            found.answered_by = found.answered_by or wanted.message

    async def note(self, entries: Sequence[Entry]) -> None:
        self._check()
        for entry in entries:
            if entry.message in self._messages:
                self.line(entry)

    # Looking ---------------------------------------------------------------------------------------------------------

    async def find(self, id: int) -> Message | None:
        self._check()
        return self._messages.get(id) or next(iter(self._stands_for(id)), None)

    async def find_all(self, id: int) -> Sequence[Message]:
        self._check()
        return self._stands_for(id)

    def _stands_for(self, id: int) -> list[Message]:
        ids = {id, self._went_into.get(id, 0), *self._multi.get(id, ())}
        return [message for id in sorted(ids) if (message := self._messages.get(id))]

    async def find_part(self, id: int) -> Part | None:
        self._check()
        held = (part for rounds in self._held.values() for round in rounds.values() for part in round.values())
        return next((part for part in held if part.id == id), None)

    async def unsent(self, account: str, source: str, destination: str, limit: int) -> Sequence[Message]:
        self._check()
        wanted = (account, source, destination)
        fitting = (
            one
            for _, one in sorted(self._messages.items())
            if rules.UNSENT[one.progress.stage] and (one.account, one.source, one.destination) == wanted
        )
        return list(islice(fitting, limit))

    async def find_by_ref(self, provider: str, ref: str) -> Message | None:
        self._check()
        if (id := rules.own_id(ref)) and (message := self._messages.get(id)):
            progress = message.progress
            if (progress.provider, progress.ref) == (provider, ref):
                return message
        return self._messages.get(self._references.get((provider, ref), 0))

    async def timeline(self, id: int) -> Sequence[Entry]:
        self._check()
        return list(self._lines.get(id, ()))

    async def list(self, wanted: Filter) -> Sequence[Message]:
        self._check()
        newest_first = sorted(self._messages, reverse=True)
        return list(islice((m for id in newest_first if _fits(m := self._messages[id], wanted)), wanted.limit))

    async def stats(self) -> Stats:
        self._check()
        return Stats(
            waiting=self._work.count[Stage.WAITING],
            unsent={account: count for account, count in self._work.unsent.items() if count},
            in_flight=sum(count for stage, count in self._work.count.items() if rules.IN_FLIGHT[stage]),
            outbox=self._outbox.counts(),
            oldest_waiting=self._work.oldest_waiting(),
            oldest_receipt=self._outbox.oldest(),
        )

    def unsent_of(self, account: str) -> int:
        self._check()
        return self._work.unsent[account]

    async def last_id(self) -> int:
        self._check()
        return self._highest

    # Keeping ---------------------------------------------------------------------------------------------------------

    async def purge(self, before: Millis, limit: int) -> int:
        self._check()
        self._outbox.remove([seq for seq, at in self._outbox.queued_at.items() if at < before][:limit])
        told_about = self._outbox.messages()
        gone = {
            id
            for id, message in islice(
                (
                    (id, message)
                    for id, message in self._messages.items()
                    if message.progress.stage is Stage.FINAL and message.accepted_at < before and id not in told_about
                ),
                limit,
            )
        }
        for id in gone:
            self._work.forget(self._messages.pop(id))
            self._lines.pop(id, None)
        if gone:
            self._references = {key: id for key, id in self._references.items() if id not in gone}
            self._went_into = {part: id for part, id in self._went_into.items() if id not in gone}
            left = {known_as: [id for id in ids if id not in gone] for known_as, ids in self._multi.items()}
            self._multi = {known_as: ids for known_as, ids in left.items() if ids}
        self._joined = {
            key: kept
            for key, parts in self._joined.items()
            if (kept := [part for part in parts if part.accepted_at >= before])
        }
        self._subscribers = {key: one for key, one in self._subscribers.items() if one.at >= before}
        self._absent = {key: one for key, one in self._absent.items() if one.at >= before}
        return len(gone)


class _Subscriber:
    """What is remembered of a subscriber's message."""

    __slots__ = ("answered_by", "at", "who")

    def __init__(self, at: Millis, who: tuple[str, str, str]) -> None:
        self.at = at
        #: Account, source, destination.
        self.who = who
        self.answered_by = 0


class _Work:
    """Which messages wait for what: counts, and heaps whose entries are looked at again when they come up.

    A message that changes leaves its old entry behind in them; what comes up and no longer stands so is thrown away.
    """

    def __init__(self, messages: dict[int, Message]) -> None:
        self._messages = messages
        self.count: Counter[Stage] = Counter()
        #: By account.
        self.unsent: Counter[str] = Counter()
        #: By account and priority.
        self._waiting: dict[tuple[str, int], list[Turn]] = {}
        self._waiting_ids: list[int] = []
        #: In order, each that stands so and no other.
        self._with_a_provider: list[Turn] = []

    def moved(self, was: Message | None, now: Message) -> None:
        progress = now.progress
        if was:
            self.count[was.progress.stage] -= 1
            self.unsent[now.account] -= rules.UNSENT[was.progress.stage]
            if was.progress.stage in (Stage.SENT, Stage.DOUBT):
                del self._with_a_provider[bisect_left(self._with_a_provider, _turn(was))]
        self.count[progress.stage] += 1
        self.unsent[now.account] += rules.UNSENT[progress.stage]
        if progress.stage is Stage.WAITING:
            place = now.account, now.priority
            heapq.heappush(self._waiting.setdefault(place, []), _turn(now))
            heapq.heappush(self._waiting_ids, now.id)
        elif progress.stage in (Stage.SENT, Stage.DOUBT):
            insort(self._with_a_provider, _turn(now))

    def forget(self, message: Message) -> None:
        self.count[message.progress.stage] -= 1

    def ids(self, stage: Stage) -> list[int]:
        return sorted(id for id, message in self._messages.items() if message.progress.stage is stage)

    def waiting(self, now: Millis, wanted: Mapping[str, int]) -> Iterator[Message]:
        """Those due, one after the other; whoever takes one moves it on before asking for the next."""
        left = dict(wanted)
        for place in sorted(self._waiting, key=lambda place: (-place[1], place[0])):
            heap, account = self._waiting[place], place[0]
            while left.get(account) and (message := self._head(heap)) and message.progress.due <= now:
                left[account] -= 1
                yield message

    def with_a_provider(self, now: Millis, after: Turn, limit: int) -> list[Message]:
        there = self._with_a_provider
        at = bisect_right(there, after)
        return [self._messages[turn.id] for turn in there[at : at + limit] if turn.due <= now]

    def next_due(self, later: Millis) -> Due:
        waiting: dict[str, Millis] = {}
        for (account, _), heap in self._waiting.items():
            if message := self._head(heap):
                due = message.progress.due
                waiting[account] = min(waiting.get(account, due), due)
        at = bisect_right(self._with_a_provider, later, key=lambda turn: turn.due)
        return Due(waiting, self._with_a_provider[at].due if at < len(self._with_a_provider) else 0)

    def oldest_waiting(self) -> Millis:
        while self._waiting_ids:
            message = self._messages.get(self._waiting_ids[0])
            if message and message.progress.stage is Stage.WAITING:
                return message.accepted_at
            heapq.heappop(self._waiting_ids)
        return 0

    def _head(self, heap: list[Turn]) -> Message | None:
        while heap:
            due, stage, id = heap[0]
            message = self._messages.get(id)
            if message and message.progress.stage is stage and message.progress.due == due:
                return message
            heapq.heappop(heap)
        return None


def _turn(message: Message) -> Turn:
    return Turn(message.progress.due, message.progress.stage, message.id)


class _Outbox:
    """Rows by seq, and the seqs of each account in order."""

    def __init__(self) -> None:
        self._seq = 0
        self._rows: dict[int, Receipt | Arrival] = {}
        self._accounts: dict[str, list[int]] = {}
        self._count: Counter[str] = Counter()
        self._due: dict[int, Millis] = {}
        self.queued_at: dict[int, Millis] = {}

    def add(self, message: Message, notice: Notice, now: Millis) -> Receipt:
        receipt = rules.receipt(self._seq + 1, message, notice)
        if notice.channel is Notify.HTTP:
            self._due[receipt.seq] = now
        self._add(receipt, now)
        return receipt

    def add_arrival(self, account: str, incoming: Incoming, now: Millis) -> Arrival:
        arrival = Arrival(seq=self._seq + 1, account=account, incoming=incoming)
        self._add(arrival, now)
        return arrival

    def add_alert(self, absent: Absent, now: Millis) -> Arrival:
        alert = rules.alert(self._seq + 1, absent, now)
        self._add(alert, now)
        return alert

    def _add(self, row: Receipt | Arrival, now: Millis) -> None:
        self._seq = row.seq
        self._rows[row.seq] = row
        self._accounts.setdefault(row.account, []).append(row.seq)
        self._count[row.account] += 1
        self.queued_at[row.seq] = now

    def of(self, account: str, after: int) -> Iterator[Receipt | Arrival]:
        """Rows that go to a client of the account."""
        seqs = self._accounts.get(account, [])
        if len(seqs) > 2 * self._count[account] + 100:
            seqs = self._accounts[account] = [seq for seq in seqs if seq in self._rows]
        for seq in islice(seqs, bisect_right(seqs, after), None):
            row = self._rows.get(seq)
            if row and seq not in self._due:
                yield row

    def by_http(self) -> list[str]:
        return list({self._rows[seq].account for seq in self._due})

    def take_due(self, account: str, now: Millis, limit: int) -> list[Receipt]:
        due = [seq for seq, at in self._due.items() if at <= now and self._rows[seq].account == account][:limit]
        for seq in due:
            self._due[seq] = now + rules.PUT_OFF
        return [row for seq in due if isinstance(row := self._rows[seq], Receipt)]

    def put_off(self, seq: int, until: Millis) -> None:
        row = self._rows.get(seq)
        if isinstance(row, Receipt):
            self._rows[seq] = msgspec.structs.replace(row, attempts=row.attempts + 1)
            self._due[seq] = until

    def remove(self, seqs: Iterator[int] | Sequence[int]) -> list[Receipt | Arrival]:
        gone = [row for seq in seqs if (row := self._rows.pop(seq, None))]
        for row in gone:
            self._count[row.account] -= 1
            self._due.pop(row.seq, None)
            del self.queued_at[row.seq]
        return gone

    def counts(self) -> dict[str, int]:
        return {account: count for account, count in self._count.items() if count}

    def oldest(self) -> Millis:
        return next(iter(self.queued_at.values()), 0)

    def messages(self) -> set[int]:
        return {row.message.id for row in self._rows.values() if isinstance(row, Receipt)}


def _in_order(round: dict[int, Part]) -> list[Part]:
    return [round[number] for number in sorted(round)]


def _overdue(parts: Sequence[Part]) -> tuple[Millis, int]:
    """The less, the longer a set has been due."""
    return min(part.expires for part in parts), min(part.id for part in parts)


def _fits(message: Message, wanted: Filter) -> bool:
    progress = message.progress
    return (
        (not wanted.account or message.account == wanted.account)
        and (wanted.kind is None or message.kind is wanted.kind)
        and (wanted.stage is None or progress.stage is wanted.stage)
        and (not wanted.state or progress.state.name == wanted.state)
        and (not wanted.number or wanted.number in (message.source, message.destination))
        and wanted.comment in message.command.comment
        and (not wanted.since or message.accepted_at >= wanted.since)
        and (not wanted.until or message.accepted_at < wanted.until)
        and (not wanted.before or message.id < wanted.before)
    )
