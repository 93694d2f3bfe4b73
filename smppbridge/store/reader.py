"""The reading side of the embedded store: a connection of its own, so that looking never delays a commit.

What it sees is what was committed when the question began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from pdu import MessageState

from ..model import Entry, Message, Millis, Part, Receipt
from . import rows, rules
from .base import Arrival, Filter
from .ledger import first_accepted
from .statements import ask

_END_OF_TIME = 2**63 - 1
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

    def find_by_ref(self, provider: str, ref: str) -> Message | None:
        if id := rules.own_id(ref):
            # Our own id has no row of its own.
            for row in ask(self._db, "find", (id,)):
                message = rows.message(row)
                if message.id == id and (message.progress.provider, message.progress.ref) == (provider, ref):
                    return message
        for row in ask(self._db, "find_by_ref", (provider, ref)):
            return rows.message(row)
        return None

    def timeline(self, id: int) -> Sequence[Entry]:
        message = self.find(id)
        if message is None or message.id != id:
            return []
        stored = ask(self._db, "lines", (id,))
        return [rules.accepted(message), *(Entry(message=id, at=at, event=e, detail=d) for at, e, d in stored)]

    def list(self, wanted: Filter) -> Sequence[Message]:
        # Times become ids, so that looking for yesterday does not read everything since.
        lowest = first_accepted(self._db, wanted.since) if wanted.since else 0
        values = {
            "lowest": lowest,
            "below": min(wanted.before or rules.HIGHEST_ID, rules.HIGHEST_ID),
            "account": wanted.account,
            "kind": wanted.kind or "",
            "stage": wanted.stage,
            "state": _STATES.get(wanted.state, -1) if wanted.state else None,
            "number": wanted.number,
            "comment": wanted.comment,
            "since": wanted.since,
            "until": wanted.until or _END_OF_TIME,
            "limit": wanted.limit,
        }
        return [rows.message(row) for row in ask(self._db, "list", values)]

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

    def due(self, now: Millis, limit: int, priorities: Sequence[int]) -> Sequence[int]:
        """WAITING messages that are due: highest priority, then longest due."""
        ids: Sequence[int] = []
        for priority in sorted(priorities, reverse=True):
            if len(ids) < limit:
                ids = [*ids, *self._ids("due_waiting", priority, now, limit - len(ids))]
        return ids

    def due_with_provider(self, now: Millis, limit: int) -> Sequence[int]:
        """SENT and DOUBT messages that are to be asked for, longest due first."""
        return self._ids("due_with_provider", now, limit)

    def _ids(self, name: str, *values: int) -> Sequence[int]:
        [(ids, _)] = ask(self._db, name, values)
        return _numbers(ids)

    def in_doubt(self, limit: int) -> Sequence[Message]:
        return [rows.message(row) for row in ask(self._db, "in_doubt", (limit,))]

    def next_due(self, priorities: Iterable[int]) -> Millis:
        times = [ask(self._db, "next_due_waiting", (priority,)) for priority in priorities]
        times.append(ask(self._db, "next_due_with_provider"))
        return min((due for [(due,)] in times if due is not None), default=0)

    def oldest(self) -> tuple[Millis, Millis]:
        """Since when the oldest WAITING message and the oldest row of the outbox are here; 0 for none."""
        waiting, receipts = ask(self._db, "oldest_waiting"), ask(self._db, "oldest_receipt")
        return (waiting[0][0] if waiting else 0, receipts[0][0] if receipts else 0)
