"""`queries.sql` → statements by name, and the bulk ones written out for many rows at once.

A statement in the file begins with `-- name: …` and a sentence. `{message}`, `{part}` and the like stand for the
columns that `rows` reads and writes. `{rows}` makes it a bulk statement (`Bulk`): there stand as many rows of `?` as
there are, and perhaps some of NULL.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any, TypeAlias

import apsw

from . import rows

Row: TypeAlias = Sequence[Any]

_NAMES = {
    "message": ", ".join(f"m.{name}" for name in rows.MESSAGE),
    "new_message": ", ".join(rows.NEW_MESSAGE),
    "outbox": ", ".join(f"o.{name}" for name in rows.OUTBOX),
    "absent": ", ".join(rows.ABSENT),
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


def texts(values: Iterable[str]) -> Any:
    """Names for an `IN carray(?)`. One with a NUL stands in no column: no provider and no subscriber is called so, and
    SQLite would read it up to there."""
    return apsw.carray(tuple(value for value in values if "\0" not in value) or ("",))


class Bulk:
    """One statement for as many rows as there are, in few calls.

    A call costs as much as ten rows, and `executemany` is one call a row: 18 µs a row were measured where another
    thread wanted the interpreter, instead of 3. So rows travel by the hundred in one statement, as one flat list of
    values. SQLite prepares each size once; what is missing to the next size is filled up with rows of NULL, which every
    bulk statement passes over. The longest stays below the 16 KiB that apsw keeps prepared.
    """

    SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128)

    def __init__(self, name: str, width: int) -> None:
        self.name, self.width = name, width
        marks = "(" + ",".join("?" * width) + ")"
        self._sql = {size: SQL[name].replace("{rows}", ",".join([marks] * size)) for size in self.SIZES}

    def run(self, db: apsw.Connection, values: list[Any]) -> list[tuple[Any, ...]]:
        """Returns the rows that the statement returns, if it does."""
        returned: list[tuple[Any, ...]] = []
        longest = self.SIZES[-1] * self.width
        for at in range(0, len(values), longest):
            some = values[at : at + longest] if len(values) > longest else values
            rows = len(some) // self.width
            size = self.SIZES[bisect_left(self.SIZES, rows)]
            if size > rows:
                some = some + [None] * ((size - rows) * self.width)
            returned += db.execute(self._sql[size], some).fetchall()
        return returned
