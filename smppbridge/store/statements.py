"""`queries.sql` → statements by name, and the bulk ones written out for many rows at once.

A statement in the file begins with `-- name: …` and a sentence. `{message}`, `{part}` and the like stand for the
columns that `rows` reads and writes. `{rows}` makes it a bulk statement: there stand as many rows of `?` as there are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import chain
from typing import Any, TypeAlias

import apsw

from . import rows

Row: TypeAlias = Sequence[Any]

_NAMES = {
    "message": ", ".join(f"m.{name}" for name in rows.MESSAGE),
    "new_message": ", ".join(rows.NEW_MESSAGE),
    "outbox": ", ".join(f"o.{name}" for name in rows.OUTBOX),
    "part": ", ".join(f"p.{name}" for name in rows.PART),
    "part_columns": ", ".join(rows.PART),
    # The first column of a change is the id, the others follow.
    "progress": ", ".join(f"{name} = v.column{n}" for n, name in enumerate(rows.PROGRESS, 2)),
}


def load() -> dict[str, str]:
    text = (files(__package__) / "queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for block in re.split(r"^-- name: ", text, flags=re.MULTILINE)[1:]:
        name, _, body = block.partition("\n")
        lines = [line for line in body.splitlines() if line.strip() and not line.startswith("--")]
        sql = "\n".join(lines).strip().removesuffix(";")
        for placeholder, columns in _NAMES.items():
            sql = sql.replace(f"{{{placeholder}}}", columns)
        found[name.strip()] = sql
    return found


#: Every statement of the store by its name.
SQL = load()


def ask(db: apsw.Connection, name: str, values: Row | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement; all rows that it returns."""
    return db.execute(SQL[name], values).fetchall()


class Bulk:
    """One statement for as many rows as there are, in few calls.

    `executemany` lets go of the interpreter lock at each row, and while the event loop is busy each return costs as
    much as twenty rows: 18 µs a row instead of 3 were measured. So rows travel by the hundred in one statement. Its
    sizes are powers of two, because SQLite prepares each size once; the longest stays below the 16 KiB that apsw
    keeps prepared.
    """

    def __init__(self, name: str, width: int) -> None:
        self.name, self.width = name, width
        marks = "(" + ",".join("?" * width) + ")"
        self._sized = [(1 << n, SQL[name].replace("{rows}", ",".join([marks] * (1 << n)))) for n in range(7, -1, -1)]

    def run(self, db: apsw.Connection, given: Sequence[Row]) -> list[tuple[Any, ...]]:
        """Returns the rows that the statement returns, if it does."""
        returned: list[tuple[Any, ...]] = []
        at, left = 0, len(given)
        for size, sql in self._sized:
            while left >= size:
                values = tuple(chain.from_iterable(given[at : at + size]))
                returned += db.execute(sql, values).fetchall()
                at += size
                left -= size
        return returned
