"""The reading side of the embedded store: a connection of its own, so that looking never delays a commit.

What it sees is what was committed when the question began.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import apsw
import msgspec

from pdu import MessageState

from ..model import Entry, Message, Millis, Part, Receipt, Stage
from . import rows, rules
from .base import Arrival, Due, Filter, Turn
from .ledger import CLOCK_SET, Place, first_accepted
from .references import Run, older
from .statements import Bulk, ask

_NEXT_DUE = Bulk("next_due_waiting", 2)
_END_OF_TIME = 2**63 - 1
#: Messages that `list` looks at in one question: a tenth of a second's work.
_LOOK = 50_000
_numbers = msgspec.json.Decoder(list[int]).decode
_STATES = {state.name: int(state) for state in MessageState}


class Reader:
    """Each question is one method; they are asked one after the other, by one thread."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def close(self) -> None:
        self._db.close()

    def find(self, id: int) -> Message | None:
        if not 0 < id <= rules.HIGHEST_ID:
            return None
        found = ask(self._db, "find", (id,))
        return rows.message(found[0]) if found else None

    def find_all(self, id: int) -> Sequence[Message]:
        if not 0 < id <= rules.HIGHEST_ID:
            return []
        return [rows.message(row) for row in ask(self._db, "find_all", (id,))]

    def find_part(self, id: int) -> Part | None:
        if not 0 < id <= rules.HIGHEST_ID:
            return None
        found = ask(self._db, "find_part", (id,))
        return rows.part(found[0]) if found else None

    def parts_of(self, message: int) -> Sequence[Part]:
        """What a long message was made of, in order; of any other message nothing."""
        return [rows.part(row) for row in ask(self._db, "parts_of", (message,))]

    def receipts_of(self, message: int) -> Sequence[Receipt]:
        """Receipts of a message that nobody has answered yet, by whichever channel."""
        return [rows.receipt(row) for row in ask(self._db, "receipts_of", (message,))]

    def unsent(self, account: str, source: str, destination: str, limit: int) -> Sequence[Message]:
        return [rows.message(row) for row in ask(self._db, "unsent", (account, source, destination, limit))]

    def find_by_ref(self, provider: str, ref: str, newly: int) -> Message | None:
        """`newly`: the message that the reference means, of those that the writer has in memory; 0: it is not there."""
        if id := rules.own_id(ref):
            # Our own id has no row of its own.
            for row in ask(self._db, "find", (id,)):
                message = rows.message(row)
                if message.id == id and (message.progress.provider, message.progress.ref) == (provider, ref):
                    return message
        known = [newly] if newly else []
        if not known:
            runs = [Run(*row) for row in ask(self._db, "runs")]
            known = [id for _, id in older(self._db, provider, [ref], runs, True)]
        for row in ask(self._db, "messages", (apsw.carray(array("q", known)),)) if known else ():
            return rows.message(row)
        return None

    def timeline(self, id: int) -> Sequence[Entry]:
        message = self.find(id)
        if message is None or message.id != id:
            return []
        stored = ask(self._db, "lines", (id,))
        return [rules.accepted(message), *(Entry(message=id, at=at, event=e, detail=d) for at, e, d in stored)]

    def list(self, wanted: Filter, tell: Callable[[int, Millis], None] | None = None) -> Sequence[Message]:
        """A part of the table after the other: a question that reads all of a long history at once would keep the log
        from being copied for minutes, and everything would get slower. `tell` hears after each of them how many were
        looked at so far, and when the last of those was accepted."""
        # Times become ids, so that looking for yesterday reads neither what came before nor what came since.
        lowest = first_accepted(self._db, wanted.since) if wanted.since else 0
        below = min(wanted.before or rules.HIGHEST_ID, rules.HIGHEST_ID)
        if wanted.until:
            below = min(below, first_accepted(self._db, wanted.until + 2 * CLOCK_SET) + 1)
        values = {
            "lowest": lowest,
            "account": wanted.account,
            "kind": wanted.kind or "",
            "stage": wanted.stage,
            "state": _STATES.get(wanted.state, -1) if wanted.state else None,
            "number": wanted.number,
            "comment": wanted.comment,
            "since": wanted.since,
            "until": wanted.until or _END_OF_TIME,
        }
        if wanted.stage is not None and wanted.stage < Stage.SENT:
            return self._listed("list_unsent", {**values, "below": below, "limit": wanted.limit})
        found: Sequence[Message] = ()
        looked_at = 0
        while len(found) < wanted.limit:
            last = ask(self._db, "looked_at", (lowest, below, _LOOK - 1))
            part = {**values, "below": below, "limit": wanted.limit - len(found)}
            if not last:
                return [*found, *self._listed("list", part)]
            [(down_to, accepted_at)] = last
            found = [*found, *self._listed("list", {**part, "lowest": down_to})]
            below = down_to
            looked_at += _LOOK
            if tell:
                tell(looked_at, accepted_at)
        return found

    def _listed(self, name: str, values: dict[str, Any]) -> Sequence[Message]:
        return [rows.message(row) for row in ask(self._db, name, values)]

    def receipts(self, account: str, after: int, limit: int) -> Sequence[Receipt | Arrival]:
        return [rows.queued(row) for row in ask(self._db, "receipts", (account, after, limit))]

    def old_receipts(self, account: str, before: Millis, beyond: int, limit: int) -> Sequence[Receipt | Arrival]:
        """Of the first `limit` those queued before `before`, and the first `beyond` in any case."""
        head = ask(self._db, "queue_head", (account, limit))
        old = [seq for n, (seq, queued_at) in enumerate(head) if n < beyond or queued_at < before]
        found = self.receipts(account, 0, len(old)) if old else ()
        return [receipt for receipt in found if receipt.seq in old]

    def held_parts(self, before: Millis, limit: int) -> Sequence[Sequence[Part]]:
        keys = ask(self._db, "sets_to_settle", (before, limit))
        # One that was joined between the two looks is empty, and no longer held.
        sets = ([rows.part(row) for row in ask(self._db, "held_set", key)] for key in keys)
        return [parts for parts in sets if parts]

    def due(self, now: Millis, wanted: Mapping[str, int], places: Sequence[Place]) -> Sequence[int]:
        """WAITING messages that are due, as many of each account as are wanted: highest priority, then longest due."""
        ids: list[int] = []
        left = dict(wanted)
        for account, priority in sorted(places, key=lambda place: (-place[1], place[0])):
            if limit := left.get(account, 0):
                found = self._ids("due_waiting", account, priority, now, limit)
                left[account] -= len(found)
                ids += found
        return ids

    def _ids(self, name: str, *values: int | str) -> Sequence[int]:
        [(ids, _)] = ask(self._db, name, values)
        return _numbers(ids)

    def to_be_asked(self, now: Millis, after: Turn, limit: int) -> Sequence[Message]:
        """SENT and DOUBT messages that are due, longest due first, of those behind a place."""
        return [rows.message(row) for row in ask(self._db, "to_be_asked", (*after, now, limit))]

    def in_doubt(self, limit: int) -> Sequence[Message]:
        return [rows.message(row) for row in ask(self._db, "in_doubt", (limit,))]

    def next_due(self, places: Iterable[Place], later: Millis) -> Due:
        waiting: dict[str, Millis] = {}
        # Thousands of accounts may have something waiting.
        for account, due in _NEXT_DUE.run(self._db, [value for place in places for value in place]):
            if due is not None:
                waiting[account] = min(waiting.get(account, due), due)
        [(with_provider,)] = ask(self._db, "next_due_with_provider", (later,))
        return Due(waiting, with_provider or 0)

    def oldest(self) -> tuple[Millis, Millis]:
        """Since when the oldest WAITING message and the oldest row of the outbox are here; 0 for none."""
        waiting, receipts = ask(self._db, "oldest_waiting"), ask(self._db, "oldest_receipt")
        return (waiting[0][0] if waiting else 0, receipts[0][0] if receipts else 0)
