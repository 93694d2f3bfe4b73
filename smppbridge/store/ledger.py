"""What happens inside a transaction of the embedded store: the writer's side, without threads.

Theory of operation. One `Ledger` owns the one connection that writes, so between two transactions nobody changes
anything behind its back, and what it knows of messages under way (`_live`) is true without reading. Within a
transaction the work of all callers is collected: new messages, messages that changed, lines, receipts, references.
Each sees what those before it did. `flush` writes it in a handful of bulk statements, `commit` makes it durable and
only then lets counts and memory follow; `rollback` forgets it.

Every operation takes the calls of many at once and returns one result a call, because calls of one kind that wait
together cost little more than one (`statements.Bulk` says why).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import Any, TypeAlias

import apsw

from ..lifecycle import Change, Doubted, Handed, Notice, Reported
from ..model import Entry, Incoming, Message, Millis, Notify, Part, Receipt, Stage, bare
from . import rows, rules
from .base import Absent, Applied, Arrival, Duplicate, Held, Replacement, Verdicts, Wanted
from .recent import Recent
from .references import References
from .statements import SQL, Bulk, ask, texts

_INSERT_MESSAGES = Bulk("insert_messages", len(rows.NEW_MESSAGE))
_UPDATE_PROGRESS = Bulk("update_progress", len(rows.PROGRESS) + 1)
_INSERT_LINES = Bulk("insert_lines", 5)
_INSERT_OUTBOX = Bulk("insert_outbox", 13)
_INSERT_PARKED = Bulk("insert_parked", 4)
_INSERT_PARTS = Bulk("insert_parts", len(rows.PART) + 1)
_INSERT_MULTI = Bulk("insert_multi", 2)
_KEEP_ABSENT = Bulk("keep_absent", len(rows.ABSENT))
_SETS_HELD = Bulk("sets_held", 5)
_SETS_JOINED = Bulk("sets_joined", 6)

#: Messages under way that are kept in memory; each takes one to two KiB. Beyond it the oldest go, so many at once:
#: letting go of thousands would hold everybody up for milliseconds.
_LIVE = 16_384
_LET_GO = 512
#: Rows that `purge` looks at for each one that it may take.
_LOOK = 10
#: A clock that is put right goes back by less than this: ids grow all the same, and times do not.
CLOCK_SET: Millis = 60_000
#: Parked reports that are looked at for being too old each time one is parked.
_STALE = 8

Place: TypeAlias = tuple[str, int]
"""Account and priority: what WAITING messages are counted and looked for by."""

Queue: TypeAlias = tuple[str, int]
"""Account and channel: what rows of the outbox are counted by."""


class Counts:
    """What `Stats` is made of, kept in memory because counting a million rows takes too long for a scrape."""

    def __init__(self) -> None:
        #: WAITING messages: also where to look for those that are due.
        self.waiting: Counter[Place] = Counter()
        self.in_flight = 0
        #: Messages that no provider has for certain, by account.
        self.unsent: Counter[str] = Counter()
        self.outbox: Counter[Queue] = Counter()
        #: The highest id ever given.
        self.highest = 0

    # Asked from other threads than the one that counts: `list` takes a copy in one go.

    def places(self) -> list[Place]:
        """Where WAITING messages are."""
        return [place for place, count in list(self.waiting.items()) if count > 0]

    def all_waiting(self) -> int:
        return sum(list(self.waiting.values()))

    def all_unsent(self) -> dict[str, int]:
        return {account: count for account, count in list(self.unsent.items()) if count}

    def receipts(self, account: str) -> int:
        """That wait for a client of the account."""
        return self.outbox[account, Notify.SMPP]

    def by_http(self) -> list[str]:
        """Accounts that have some for a handler."""
        return [account for (account, channel), n in list(self.outbox.items()) if channel == Notify.HTTP and n > 0]

    def accounts(self) -> dict[str, int]:
        """Rows of the outbox by account."""
        found: Counter[str] = Counter()
        for (account, _), count in list(self.outbox.items()):
            found[account] += count
        return {account: count for account, count in found.items() if count}


class Ledger:
    """See the head of the module. It is the `rules.Records` of its transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.counts = Counts()
        #: Whether anybody waits for an absent subscriber. Each report of a subscriber who can be reached asks.
        self.has_absent = False
        self._recent = Recent()
        self._names = References(db)
        self._live: dict[int, Message] = {}
        self._seq = 0
        #: Reports whose reference never came, so far.
        self._parked = 0
        self._longest_window: Millis = 0
        self._purged_to = 0
        self._forget()

    def _forget(self) -> None:
        """Nothing has happened in this transaction yet."""
        # New messages as they were accepted, READY or SENDING and WAITING; all others met so far as they stand now.
        self._new: dict[int, Message] = {}
        self._new_waiting: dict[int, Message] = {}
        self._now: dict[int, Message] = {}
        # What is still to be written.
        self._rows: list[Any] = []
        self._changed: dict[int, Message] = {}
        self._lines: list[Entry] = []
        self._outbox: list[Any] = []
        self._references: dict[tuple[str, str], int] = {}
        # References and parked reports that were read or made.
        self._referred: dict[tuple[str, str], int] = {}
        self._reports: dict[tuple[str, str], list[tuple[int, Millis, Reported]]] = {}
        self._parked_now = False
        self._parked_more = 0
        self._absent_now: bool | None = None
        # What the counts change by.
        self._more = Counts()
        self._more.highest = self.counts.highest

    # Opening ---------------------------------------------------------------------------------------------------------

    def load(self, now: Millis) -> None:
        """What a start needs to know; and of everything READY becomes a WAITING one."""
        db, counts = self._db, self.counts
        # A little at a time, and the log copied in between: there may be more than memory and log should hold.
        while ask(db, "ready_to_waiting") or db.changes():
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        for account, priority, count in ask(db, "count_waiting"):
            counts.waiting[account, priority] = count
            counts.unsent[account] += count
        [(counts.in_flight,)] = ask(db, "count_in_flight")
        counts.unsent.update(dict(ask(db, "count_unsent")))
        for account, channel, count in ask(db, "count_outbox"):
            counts.outbox[account, channel] = count
        [(counts.highest, self._seq)] = ask(db, "highest")
        [(self._parked,)] = ask(db, "count_parked")
        self._names.load()
        self.has_absent = self._any_absent()
        for (self._longest_window,) in ask(db, "fact", ("longest_window",)):
            first = first_accepted(db, now - self._longest_window)
            for id, accepted_at, window, account, source, destination, text in db.execute(SQL["recent"], (first, now)):
                self._recent.tick(accepted_at)
                fingerprint = rules.fingerprint_of(account, source, destination, rows.command(text))
                self._recent.add(fingerprint, id, window)
        self._forget()

    # The transaction -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self.prepare()
        self.make_durable()
        self.settle()

    def prepare(self) -> None:
        """All that a commit needs besides the disk."""
        self.flush()

    def make_durable(self) -> None:
        """The disk's part, the only one that may be another thread's; touches nothing but the connection."""
        self._db.execute("COMMIT")

    def settle(self) -> None:
        """It is durable: counts and memory follow."""
        self._parked += self._parked_more
        self._names.settle()
        if self._absent_now is not None:
            self.has_absent = self._absent_now
        live = self._live
        live.update(self._new)
        for id, message in self._now.items():
            stage = message.progress.stage
            if stage is Stage.FINAL or stage is Stage.WAITING:
                live.pop(id, None)
            else:
                live[id] = message
        while len(live) > _LIVE:
            for id in list(islice(live, _LET_GO)):
                del live[id]
        counts, more = self.counts, self._more
        counts.waiting.update(more.waiting)
        counts.in_flight += more.in_flight
        counts.unsent.update(more.unsent)
        counts.outbox.update(more.outbox)
        counts.highest = self._highest()
        self._forget()

    def rollback(self) -> None:
        self._longest_window = 0
        self._names.rollback()
        self._forget()

    def flush(self) -> None:
        """Write what was collected: before whatever reads it by a statement, and before the commit."""
        db = self._db
        if self._rows:
            _INSERT_MESSAGES.run(db, self._rows)
            self._rows = []
        if self._changed:
            values: list[Any] = []
            for message in self._changed.values():
                values += rows.of_progress(message)
            _UPDATE_PROGRESS.run(db, values)
            self._changed = {}
        if self._lines:
            nth: dict[int, int] = {}
            values = []
            for entry in self._lines:
                n = nth[entry.message] = nth.get(entry.message, 0) + 1
                values += (entry.message, n, entry.at, entry.event, entry.detail)
            _INSERT_LINES.run(db, values)
            self._lines = []
        if self._outbox:
            _INSERT_OUTBOX.run(db, self._outbox)
            self._outbox = []
        if self._references:
            self._names.add(self._references)
            self._references = {}

    # Arrivals --------------------------------------------------------------------------------------------------------

    def accept(self, messages: Sequence[Message]) -> list[Duplicate | None]:
        recent, values = self._recent, self._rows
        ready, waiting = self._new, self._new_waiting
        places, unsent = self._more.waiting, self._more.unsent
        recent.tick(messages[-1].accepted_at)
        verdicts: list[Duplicate | None] = []
        for message in messages:
            window = message.duplicate_window
            if window:
                if window > self._longest_window:
                    self._remember_window(window)
                fingerprint = rules.fingerprint(message)
                lately = recent.meet(fingerprint, message.id, window)
                if lately:
                    first = self._first_of(message, lately)
                    if first is not None:
                        verdicts.append(first)
                        continue
                    recent.add(fingerprint, message.id, window)
            stage = message.progress.stage
            if stage is Stage.READY:
                ready[message.id] = message
            elif stage is Stage.SENDING:
                ready[message.id] = message
                self._more.in_flight += 1
            else:
                waiting[message.id] = message
                places[message.account, message.priority] += 1
            unsent[message.account] += 1
            values += rows.of_new_message(message)
            verdicts.append(None)
        return verdicts

    def accept_many(self, calls: Sequence[tuple[Sequence[Message], int]]) -> list[Verdicts]:
        verdicts = [self._accept_many(messages, known_as) for messages, known_as in calls]
        # No message need have these ids.
        highest = max(known_as for _, known_as in calls)
        self._more.highest = max(self._more.highest, highest)
        ask(self._db, "keep_fact", ("last_id", highest))
        return verdicts

    def _accept_many(self, messages: Sequence[Message], known_as: int) -> Verdicts:
        verdicts = self.accept(messages) if messages else []
        kept = [message for message, verdict in zip(messages, verdicts, strict=True) if verdict is None]
        _INSERT_MULTI.run(self._db, [field for message in kept for field in (known_as, message.id)])
        return verdicts

    def _first_of(self, message: Message, lately: Sequence[int]) -> Duplicate | None:
        self._read(lately)
        for id in lately:
            first = self.message(id)
            if first is not None and rules.repeats(first, message):
                return rules.duplicate_of(first)
        return None

    def _remember_window(self, window: Millis) -> None:
        """So that the next start knows how far back it has to look."""
        self._longest_window = window
        ask(self._db, "keep_fact", ("longest_window", window))

    def hold(self, parts: Sequence[Part]) -> list[Held]:
        keys = {rules.set_key(part): part.accepted_at - rules.RESENT_FOR for part in parts}
        sets: dict[rules.SetKey, dict[int, dict[int, Part]]] = {}
        known: dict[rules.SetKey, list[Part]] = {}
        for row in _SETS_HELD.run(self._db, [field for key in keys for field in key]):
            part = rows.part(row)
            sets.setdefault(rules.set_key(part), {}).setdefault(row[-1], {})[part.number] = part
            known.setdefault(rules.set_key(part), []).append(part)
        for row in _SETS_JOINED.run(self._db, [field for key, since in keys.items() for field in (*key, since)]):
            part = rows.part(row)
            known.setdefault(rules.set_key(part), []).append(part)

        held: list[Held] = []
        new: list[Any] = []
        for part in parts:
            key = rules.set_key(part)
            first = rules.resent(part, known.get(key, ()))
            if first is not None:
                held.append(Held(first.id))
                continue
            number = rules.round_for(part, sets.setdefault(key, {}))
            round = sets[key].setdefault(number, {})
            round[part.number] = part
            known.setdefault(key, []).append(part)
            new += rows.of_part(part, number)
            self._more.highest = max(self._more.highest, part.id)
            complete = len(round) == part.total
            held.append(Held(part.id, [round[number] for number in sorted(round)] if complete else ()))
        _INSERT_PARTS.run(self._db, new)
        return held

    def join(self, calls: Sequence[tuple[Message, Sequence[Part]]]) -> list[Duplicate | None]:
        return [self._join(message, parts) for message, parts in calls]

    def _join(self, message: Message, parts: Sequence[Part]) -> Duplicate | None:
        ids = _carray(part.id for part in parts)
        for (into,) in ask(self._db, "joined_into", (ids,)):
            self._read([into])
            if first := self.message(into):
                return rules.duplicate_of(first)
        [verdict] = self.accept([message])
        if verdict is None:
            self.line(rules.joined(message, parts))
            ask(self._db, "join_parts", (message.id, ids))
        return verdict

    def drop_parts(self, calls: Sequence[Sequence[Part]]) -> list[None]:
        self._keep_highest()
        ask(self._db, "delete_parts", (_carray(part.id for parts in calls for part in parts),))
        return [None] * len(calls)

    # Work ------------------------------------------------------------------------------------------------------------

    def claim(self, calls: Sequence[tuple[Sequence[int], Millis]]) -> list[list[Message]]:
        """Of the given ones, take those that are WAITING and due also now."""
        self._read(id for ids, _ in calls for id in ids)
        return [[rules.take(self, one, now) for one in self._due(ids, now)] for ids, now in calls]

    def _due(self, ids: Sequence[int], now: Millis) -> Iterator[Message]:
        for id in ids:
            message = self.message(id)
            if message and message.progress.stage is Stage.WAITING and message.progress.due <= now:
                yield message

    def apply(self, calls: Sequence[tuple[Sequence[Change], Millis]]) -> list[list[Applied]]:
        self._prepare([change for changes, _ in calls for change in changes])
        return [[rules.apply(self, change, now) for change in changes] for changes, now in calls]

    def _prepare(self, changes: Sequence[Change]) -> None:
        """Read in few statements what the changes will ask for."""
        wanted: list[int] = []
        asked: dict[tuple[str, str], int] = {}
        brought: list[tuple[str, str]] = []
        for change in changes:
            if change.id:
                wanted.append(change.id)
            elif isinstance(change, Reported) and change.report.ref:
                ref = change.report.ref
                asked[change.provider, ref] = id = rules.own_id(ref)
                if id:
                    wanted.append(id)
            if self._parked and isinstance(change, Handed | Doubted) and change.ref:
                brought.append((change.provider, change.ref))
        self._read(wanted)
        unknown = [key for key, id in asked.items() if key not in self._referred and not self._is_named(id, key)]
        if unknown:
            self._referred.update(self._names.find(unknown))
        self._read(self._referred[key] for key in unknown if key in self._referred)
        for provider, refs in _by_provider(brought).items():
            self._read_parked(provider, refs)

    def _is_named(self, id: int, key: tuple[str, str]) -> bool:
        message = self.message(id) if id else None
        return message is not None and (message.progress.provider, message.progress.ref) == key

    def _read(self, ids: Iterable[int]) -> None:
        """Messages that are not known yet."""
        unknown = {id for id in ids if self.message(id) is None and 0 < id <= rules.HIGHEST_ID}
        if unknown:
            for row in ask(self._db, "messages", (_carray(unknown),)):
                self._met(row)

    def _met(self, row: Sequence[Any]) -> Message:
        """The message of a row, as it is known here if it is."""
        return self.message(row[0]) or self._now.setdefault(row[0], rows.message(row))

    def _read_parked(self, provider: str, refs: Sequence[str]) -> None:
        for ref in refs:
            self._reports[provider, ref] = []
        for n, ref, at, text in ask(self._db, "parked", (provider, texts(refs))):
            self._reports.setdefault((provider, ref), []).append((n, at, rows.parked(text)))

    # What `rules.apply` asks for (rules.Records)

    def message(self, id: int) -> Message | None:
        return self._now.get(id) or self._live.get(id) or self._new.get(id) or self._new_waiting.get(id)

    def referred(self, provider: str, ref: str) -> int:
        return self._referred.get((provider, ref), 0)

    def keep(self, was: Message, now: Message) -> None:
        self._now[now.id] = self._changed[now.id] = now
        before, after = was.progress.stage, now.progress.stage
        if before is not after:
            more = self._more
            more.in_flight += rules.IN_FLIGHT[after] - rules.IN_FLIGHT[before]
            if rules.UNSENT[after] is not rules.UNSENT[before]:
                more.unsent[now.account] += 1 if rules.UNSENT[after] else -1
            if after is Stage.WAITING:
                more.waiting[now.account, now.priority] += 1
            elif before is Stage.WAITING:
                more.waiting[now.account, now.priority] -= 1

    def line(self, entry: Entry) -> None:
        self._lines.append(entry)

    def queue(self, message: Message, notice: Notice, now: Millis) -> Receipt:
        self._seq += 1
        receipt = rules.receipt(self._seq, message, notice)
        self._outbox += rows.of_receipt(receipt, now, now)
        self._more.outbox[message.account, notice.channel] += 1
        return receipt

    def refer(self, provider: str, ref: str, id: int) -> None:
        self._references[provider, ref] = self._referred[provider, ref] = id

    def park(self, change: Reported, now: Millis) -> None:
        self._parked_now = True
        _INSERT_PARKED.run(self._db, rows.of_parked(change, now))
        # Whatever is parked sees others off, so that references that never come do not heap up.
        ask(self._db, "expire_parked", (_STALE, now - rules.PARKED_FOR))
        self._parked_more += 1 - self._db.changes()

    def unpark(self, provider: str, ref: str, now: Millis) -> Sequence[Reported]:
        key = (provider, ref)
        # Perhaps it was parked after the preparation; or what brought the reference was a status that was asked for.
        if self._parked_now or (self._parked and key not in self._reports):
            self._read_parked(provider, [ref])
        found, self._reports[key] = self._reports.get(key, []), []
        if found:
            self._parked_now = True
            ask(self._db, "delete_parked", (_carray(n for n, _, _ in found),))
            self._parked_more -= self._db.changes()
        return [change for _, at, change in found if at > now - rules.PARKED_FOR]

    def replace(self, calls: Sequence[tuple[Replacement, Millis]]) -> list[Message | None]:
        self._read(replacement.id for replacement, _ in calls)
        return [rules.replace(self, replacement, now) for replacement, now in calls]

    # What `rules.replace` asks for (rules.Contents)

    def rewrite(self, message: Message) -> None:
        self.flush()  # it may be new
        ask(self._db, "update_content", rows.of_content(message))
        if message.duplicate_window:
            self._recent.add(rules.fingerprint(message), message.id, message.duplicate_window)

    # Outbox ----------------------------------------------------------------------------------------------------------

    def delivered(self, calls: Sequence[tuple[Sequence[Receipt | Arrival], Millis]]) -> list[None]:
        gone = self._remove(row.seq for given, _ in calls for row in given)
        for given, now in calls:
            for row in given:
                if row.seq in gone and isinstance(row, Receipt):
                    gone.remove(row.seq)
                    self.line(rules.told(row, now))
        return [None] * len(calls)

    def drop_receipts(self, calls: Sequence[tuple[Sequence[Receipt | Arrival], str, Millis]]) -> list[None]:
        gone = self._remove(row.seq for given, _, _ in calls for row in given)
        for given, reason, now in calls:
            for row in given:
                if row.seq in gone and isinstance(row, Receipt):
                    gone.remove(row.seq)
                    self.line(rules.dropped(row, reason, now))
        return [None] * len(calls)

    def _remove(self, seqs: Iterable[int]) -> set[int]:
        """Take rows out of the outbox; which of them were there."""
        gone = ask(self._db, "delete_outbox", (_carray(seqs),))
        for _, account, channel in gone:
            self._more.outbox[account, channel] -= 1
        return {seq for seq, _, _ in gone}

    def receipts_by_http(self, calls: Sequence[tuple[str, Millis, int]]) -> list[list[Receipt]]:
        return [self._receipts_by_http(account, now, limit) for account, now, limit in calls]

    def _receipts_by_http(self, account: str, now: Millis, limit: int) -> list[Receipt]:
        self.flush()
        taken = [rows.receipt(row) for row in ask(self._db, "receipts_by_http", (account, now, limit))]
        ask(self._db, "put_off", (now + rules.PUT_OFF, _carray(receipt.seq for receipt in taken)))
        return taken

    def put_off(self, calls: Sequence[tuple[Sequence[Receipt], Millis]]) -> list[None]:
        for receipts, until in calls:
            ask(self._db, "put_off_and_count", (until, _carray(receipt.seq for receipt in receipts)))
        return [None] * len(calls)

    def incoming(self, calls: Sequence[tuple[str, Incoming, Millis]]) -> list[Arrival | None]:
        return [self._incoming(account, message, now) for account, message, now in calls]

    def _incoming(self, account: str, message: Incoming, now: Millis) -> Arrival | None:
        who = (account, bare(message.source), bare(message.destination))
        if not ask(self._db, "keep_incoming", (message.provider, message.ref, now, *who)):
            return None
        self._seq += 1
        arrival = Arrival(seq=self._seq, account=account, incoming=message)
        self._outbox += rows.of_arrival(arrival, now)
        self._more.outbox[account, Notify.SMPP] += 1
        return arrival

    def absent(self, calls: Sequence[Sequence[Absent]]) -> list[None]:
        _KEEP_ABSENT.run(self._db, [field for call in calls for one in call for field in rows.of_absent(one)])
        self._absent_now = self._any_absent()
        return [None] * len(calls)

    def reachable(self, calls: Sequence[tuple[Sequence[str], Millis]]) -> list[list[Arrival]]:
        return [self._reachable(subscribers, now) for subscribers, now in calls]

    def _reachable(self, subscribers: Sequence[str], now: Millis) -> list[Arrival]:
        found = [rows.absent(row) for row in ask(self._db, "take_absent", (texts(subscribers),))]
        alerts: list[Arrival] = []
        for absent in rules.in_turn(found, subscribers):
            self._seq += 1
            alert = rules.alert(self._seq, absent, now)
            self._outbox += rows.of_arrival(alert, now)
            self._more.outbox[alert.account, Notify.SMPP] += 1
            alerts.append(alert)
        self._absent_now = self._any_absent()
        return alerts

    def _any_absent(self) -> bool:
        [(any_absent,)] = ask(self._db, "any_absent")
        return bool(any_absent)

    def answer(self, calls: Sequence[Sequence[Wanted]]) -> list[list[str]]:
        return [[rules.answer(self, wanted) for wanted in call] for call in calls]

    # What `rules.answer` asks for (rules.Letters)

    def answered(self, message: int, provider: str) -> str:
        known = ask(self._db, "answered_by", (message,))
        return next((str(ref) for name, ref in known if name == provider), "")

    def addressee(self, provider: str, ref: str) -> str | None:
        return next((str(account) for (account,) in ask(self._db, "incoming_account", (provider, ref))), None)

    def newest_unanswered(self, wanted: Wanted) -> str:
        who = (wanted.provider, wanted.account, wanted.subscriber, wanted.number)
        return next((str(ref) for (ref,) in ask(self._db, "newest_unanswered", who)), "")

    def keep_answer(self, wanted: Wanted, ref: str) -> None:
        ask(self._db, "keep_answer", (wanted.message, wanted.provider, ref))

    def note(self, calls: Sequence[Sequence[Entry]]) -> list[None]:
        self._read(entry.message for entries in calls for entry in entries)
        self._lines += [entry for entries in calls for entry in entries if self.message(entry.message)]
        return [None] * len(calls)

    # Keeping ---------------------------------------------------------------------------------------------------------

    def purge(self, calls: Sequence[tuple[Millis, int]]) -> list[tuple[int, bool]]:
        """How many messages are gone, and whether there may be more of anything that is old."""
        return [self._purge(before, limit) for before, limit in calls]

    @property
    def behind(self) -> bool:
        """`sort` is to do something now."""
        return self._names.behind

    def newly_referred(self, provider: str, ref: str) -> int:
        """The message that a provider calls so, if that is in memory and durable, or 0. Asked from other threads."""
        return self._names.newly((provider, ref))

    def sort(self, calls: Sequence[None]) -> list[None]:
        """Bring some references to where they stay: see `references`."""
        self._names.sort()
        return [None] * len(calls)

    def _purge(self, before: Millis, limit: int) -> tuple[int, bool]:
        self.flush()
        db = self._db
        late = list(takewhile(lambda row: row[1] < before, ask(db, "oldest_outbox", (limit,))))
        self._remove(seq for seq, _ in late)
        more = len(late) == limit
        for name in ("forget_incoming", "forget_absent"):
            ask(db, name, (before, limit))
            more |= db.changes() == limit
        self._absent_now = self._any_absent()

        final, end = self._final(before, limit)
        told_about = {id for (id,) in ask(db, "spoken_of", (_carray(final),))}
        going = [id for id in final if id not in told_about]
        if going:
            self._keep_highest()
            for name in ("forget_lines", "forget_parts", "forget_multi", "forget_messages"):
                ask(db, name, (_carray(going),))
            for id in going:
                self._now.pop(id, None)
        self._names.purge(_carray(going), 2 * limit)
        return len(going), more or not end

    def _final(self, before: Millis, limit: int) -> tuple[list[int], bool]:
        """Ids of the next FINAL messages that are old enough, and whether all that is old was looked at. What is old
        and is not taken is passed over until then."""
        final: list[int] = []
        looked_at = 0
        rows = self._db.execute(SQL["oldest_messages"], (self._purged_to, limit * _LOOK))
        for id, accepted_at, stage in rows:
            if accepted_at >= before:
                break
            looked_at += 1
            self._purged_to = id
            if stage == Stage.FINAL:
                final.append(id)
                if len(final) == limit:
                    break
        rows.close()
        if len(final) == limit or looked_at == limit * _LOOK:
            return final, False
        self._purged_to = 0
        return final, True

    def _keep_highest(self) -> None:
        """The highest id may be about to go, and ids are never given twice."""
        ask(self._db, "keep_fact", ("last_id", self._highest()))

    def _highest(self) -> int:
        return max(self._more.highest, max(self._new, default=0), max(self._new_waiting, default=0))


def first_accepted(db: apsw.Connection, at: Millis) -> int:
    """The lowest id of a message accepted at `at` or later, or a little before: ids grow with time."""
    [(lowest, highest)] = ask(db, "bounds")
    at -= CLOCK_SET
    while lowest < highest:
        middle = (lowest + highest) // 2
        [(id, accepted_at)] = ask(db, "accepted_at", (middle,))
        if accepted_at >= at:
            highest = middle
        else:
            lowest = id + 1
    return int(lowest)


def _by_provider(keys: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for provider, ref in dict.fromkeys(keys):
        found[provider] = (*found.get(provider, ()), ref)
    return found


def _carray(ids: Iterable[int]) -> Any:
    # An empty array has no address to bind; no id, seq or n is 0.
    return apsw.carray(array("q", ids) or array("q", (0,)))
