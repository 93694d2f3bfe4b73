"""Big stores in minutes: the messages of a store that the gateway has written itself, over and over.

Each copy has an id and times of its own, a reference of its own, and the same time-line, so that the tables, and the
indexes on them, are what they would be had the gateway taken as many messages. References come in no order, as those do
that a provider draws by lot, and are brought to their runs as the gateway does it (`smppbridge.store.references`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import apsw

from smppbridge.ids import EPOCH
from smppbridge.model import Millis, Stage
from smppbridge.store import sieve
from smppbridge.store.references import LIST, RUN
from smppbridge.store.statements import ask

Columns: TypeAlias = "dict[str, str]"

#: Messages that are copied in one statement.
_STEP = 1_000_000
#: Prime, and of the golden ratio to 2**32: its multiples are strewn evenly.
_SPREAD = 2_654_435_761

_TIMES = ("expires", "due", "done_at", "leg_ends")


@dataclass(frozen=True)
class Copies:
    """How many, of messages in which stage, accepted from when until when; `columns` have other values (SQL)."""

    count: int
    stage: Stage
    first: Millis
    last: Millis
    columns: tuple[tuple[str, str], ...] = ()


def multiply(path: Path, copies: Copies) -> None:
    """Copy the messages of a store whose gateway does not run. The originals stay."""
    db = apsw.Connection(str(path))
    try:
        db.pragma("locking_mode", "exclusive")
        db.pragma("journal_mode", "off")
        db.pragma("synchronous", "off")
        db.pragma("cache_size", -1_000_000)
        db.pragma("temp_store", "memory")
        _multiply(db, copies)
        db.pragma("journal_mode", "delete")
    finally:
        db.close()


def _multiply(db: apsw.Connection, copies: Copies) -> None:
    names = [str(row[1]) for row in db.execute("PRAGMA table_info(message)")]
    db.execute("CREATE TEMP TABLE model AS SELECT row_number() OVER (ORDER BY id) - 1 AS k, * FROM message "
               "WHERE stage = ?", (copies.stage,)).fetchall()  # fmt: skip
    db.execute("CREATE UNIQUE INDEX temp.model_k ON model (k)").fetchall()
    db.execute("CREATE TEMP TABLE model_line AS SELECT m.k, m.accepted_at, l.* FROM model AS m "
               "JOIN line AS l ON l.message = m.id").fetchall()  # fmt: skip
    db.execute("CREATE INDEX temp.model_line_k ON model_line (k, n)").fetchall()
    [(models,)] = db.execute("SELECT count(*) FROM model")
    if not models:
        raise ValueError(f"there is no message in stage {copies.stage.name} to be copied")
    # The n-th is accepted at `at`, and called `id`.
    each = (copies.last - copies.first) / copies.count
    at = f"{copies.first} + cast(w.n * {each!r} AS INTEGER)"
    id = f"(((({at}) - {EPOCH}) << 22) | ((w.n & 16383) << 8))"
    ref = f"printf('%08x%08x', w.n * {_SPREAD} % 4294967296, w.n)"
    values = {name: f"m.{name}" for name in names}
    values |= {name: f"CASE WHEN m.{name} THEN m.{name} + ({at}) - m.accepted_at ELSE 0 END" for name in _TIMES}
    values |= {"id": id, "accepted_at": at, "sequence": "w.n"}
    values["ref"] = f"CASE WHEN m.ref = '' THEN '' ELSE {ref} END"
    values |= dict(copies.columns)
    for first in range(0, copies.count, _STEP):
        numbers = _numbers(first, min(_STEP, copies.count - first))
        db.execute(f"""{numbers} INSERT INTO message ({", ".join(values)}) SELECT {", ".join(values.values())}
            FROM w CROSS JOIN model AS m ON m.k = w.n % {models}""").fetchall()  # noqa: S608 (all of it is ours)
        db.execute(f"""{numbers} INSERT INTO line (message, n, at, event, detail)
            SELECT {id}, l.n, l.at + ({at}) - l.accepted_at, l.event, l.detail
            FROM w CROSS JOIN model_line AS l ON l.k = w.n % {models} ORDER BY w.n, l.n""").fetchall()  # noqa: S608
    [(run,)] = db.execute("SELECT ifnull(max(run), 0) FROM reference_run")
    for first in range(0, copies.count, LIST):
        some = min(LIST, copies.count - first)
        run += not first % RUN
        db.execute(f"""{_numbers(first, some)} INSERT INTO reference_sorted (run, provider, ref, message)
            SELECT {run}, m.provider, {ref}, {id} FROM w CROSS JOIN model AS m ON m.k = w.n % {models} AND m.ref <> ''
            ORDER BY 2, 3""").fetchall()  # noqa: S608
        db.execute(f"""{_numbers(first, some)} INSERT INTO reference_run (run, size, lowest, highest)
            SELECT {run}, {some}, min({id}), max({id}) FROM w WHERE true ON CONFLICT DO UPDATE
            SET size = size + excluded.size, highest = excluded.highest""").fetchall()  # noqa: S608
    _sieves(db)


def _sieves(db: apsw.Connection) -> None:
    """Those of the runs that have none."""
    new = "SELECT run FROM reference_run WHERE run NOT IN (SELECT run FROM reference_sieve)"
    for (run,) in db.execute(new).fetchall():
        made = sieve.Sieve()
        rows = db.execute("SELECT provider, ref FROM reference_sorted WHERE run = ?", (run,))
        while some := list(islice(rows, LIST)):
            made.add(some)
        for piece in range(sieve.pieces()):
            ask(db, "keep_sieve", (run, piece, made.piece(piece)))


def _numbers(first: int, count: int) -> str:
    return f"WITH RECURSIVE w(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM w WHERE n < {first + count - 1})"  # noqa: S608
