"""Every statement is one that SQLite understands, and the hot ones cost the same however much waits."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import apsw
import apsw.ext
import pytest

from smppbridge.store import database, ledger, reader, references
from smppbridge.store.statements import SQL, Bulk, ask

IDS = apsw.carray(array("q", [1, 2, 3]))
NAMES = apsw.carray(("a", "b"))


@pytest.fixture
def db(tmp_path: Path) -> Any:
    path = tmp_path / "smppbridge.db"
    database.prepare(path)
    db = database.connect(path, cache=1024, write=True)
    database.migrate(db, path)
    yield db
    db.close()


def plan(db: apsw.Connection, name: str, values: Any = None) -> list[str]:
    sql = SQL[name].replace("{rows}", "(?)") if values is None else SQL[name]
    return [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, values or ()).fetchall()]


@pytest.mark.parametrize("name", SQL)
def test_every_statement_names_only_what_there_is(db: apsw.Connection, name: str) -> None:
    sql = SQL[name]
    if "{rows}" in sql:
        # As many values as the widest has; which of them are used is for `Bulk`'s own test.
        sql = sql.replace("{rows}", "(" + ",".join("?" * width(name)) + ")")
    cursor = db.cursor()
    cursor.execute("EXPLAIN " + sql, dict.fromkeys(cursor_names(db, sql)) or (None,) * count(db, sql))
    assert "{" not in sql


def width(name: str) -> int:
    every = [*vars(ledger).values(), *vars(reader).values(), *vars(references).values()]
    [bulk] = [one for one in every if isinstance(one, Bulk) and one.name == name]
    return bulk.width


def count(db: apsw.Connection, sql: str) -> int:
    return apsw.ext.query_info(db, sql).bindings_count


def cursor_names(db: apsw.Connection, sql: str) -> list[str]:
    return [name for name in apsw.ext.query_info(db, sql).bindings_names if name and not name.isdigit()]


HOT = {
    "due_waiting": (
        ("demo", 0, 1, 10),
        "SEARCH message USING INDEX message_waiting (account=? AND priority=? AND due<?)",
    ),
    "to_be_asked": (
        (0, 3, 1, 1, 10),
        "SEARCH m USING INDEX message_with_provider ((due,stage)>(?,?) AND due<?)",
    ),
    "in_doubt": ((10,), "SEARCH m USING INDEX message_unsent (stage=?)"),
    "ready_to_waiting": ((), "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"),
    "next_due_with_provider": ((1,), "SEARCH message USING COVERING INDEX message_with_provider (due>?)"),
    "count_waiting": ((), "SCAN message USING COVERING INDEX message_waiting"),
    "oldest_waiting": ((), "SEARCH message USING INDEX message_unsent (stage=?)"),
    "messages": ((IDS,), "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)"),
    "receipts": (("demo", 0, 10), "SEARCH o USING INDEX outbox_account (account=? AND rowid>?)"),
    "receipts_by_http": (("demo", 1, 10), "SEARCH o USING INDEX outbox_handler (account=? AND due<?)"),
    "queue_head": (("demo", 10), "SEARCH outbox USING INDEX outbox_account (account=?)"),
    "delete_outbox": ((IDS,), "SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"),
    "sorted_references": (
        (1, "smsc", NAMES),
        "SEARCH reference_sorted USING PRIMARY KEY (run=? AND provider=? AND ref=?)",
    ),
    "any_message_between": ((1, 2), "SCAN CONSTANT ROW"),
    "bounds": ((), "SCAN CONSTANT ROW"),
    "forget_sorted": ((1, 10), "SEARCH reference_sorted USING PRIMARY KEY (run=? AND provider=? AND ref=?)"),
    "delete_new_references": ((1, 10), "SEARCH reference_new USING INTEGER PRIMARY KEY (rowid=?)"),
    "referred": (("smsc", NAMES), "SEARCH reference USING PRIMARY KEY (provider=? AND ref=?)"),
    "parked": (("smsc", NAMES), "SEARCH parked USING INDEX parked_ref (provider=? AND ref=?)"),
    "accepted_at": ((1,), "SEARCH message USING INTEGER PRIMARY KEY (rowid>?)"),
    "oldest_messages": ((1, 10), "SEARCH message USING INTEGER PRIMARY KEY (rowid>?)"),
    "oldest_outbox": ((10,), "SCAN outbox"),
    "oldest_receipt": ((), "SCAN outbox"),
    "spoken_of": ((IDS,), "SEARCH outbox USING COVERING INDEX outbox_message (message=?)"),
    "answered_by": ((1,), "SEARCH incoming USING COVERING INDEX incoming_answered (answered_by=?)"),
    "incoming_account": (("p", "r"), "SEARCH incoming USING PRIMARY KEY (provider=? AND ref=?)"),
    "newest_unanswered": (
        ("p", "a", "1", "2"),
        "SEARCH incoming USING INDEX incoming_unanswered (provider=? AND account=? AND source=? AND destination=?)",
    ),
    "take_absent": ((NAMES,), "SEARCH absent USING PRIMARY KEY (subscriber=?)"),
    "find": ((1,), "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)"),
    "find_all": ((1,), "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)"),
    "find_part": ((1,), "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)"),
    "forget_multi": ((IDS,), "SEARCH multi USING COVERING INDEX multi_message (message=?)"),
    "forget_lines": ((IDS,), "SEARCH line USING PRIMARY KEY (message=?)"),
    "forget_parts": ((IDS,), "SEARCH part USING COVERING INDEX part_message (message=?)"),
    "forget_messages": ((IDS,), "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"),
    "looked_at": ((1, 9, 3), "SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    "list_unsent": (None, "SEARCH m USING INDEX message_unsent (stage=? AND rowid>? AND rowid<?)"),
    "list": (None, "SEARCH m USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
}


@pytest.mark.parametrize("name", HOT)
def test_what_is_asked_often_goes_by_an_index(db: apsw.Connection, name: str) -> None:
    values, first = HOT[name]
    if values is None:
        values = dict.fromkeys(cursor_names(db, SQL[name]), 0)
    steps = plan(db, name, values)
    steps = [step for step in steps if "subquery" not in step]
    assert steps[0] == first
    assert not [step for step in steps if "TEMP B-TREE" in step and name not in ("parked",)]
    steps = [step for step in steps[1:] if step != "SCAN CONSTANT ROW"]
    assert not [step for step in steps if step.startswith("SCAN") and "carray" not in step]


def test_a_start_does_not_read_the_rows_of_what_waits(db: apsw.Connection) -> None:
    assert plan(db, "count_waiting", ()) == ["SCAN message USING COVERING INDEX message_waiting"]
    assert plan(db, "count_unsent", ())[0] == "SEARCH message USING INDEX message_unsent (stage=?)"


def test_a_cancel_of_many_does_not_read_what_is_kept(db: apsw.Connection) -> None:
    looks = "SEARCH m USING INDEX message_unsent (stage<?)"
    assert plan(db, "unsent", ("demo", "bank", "380501234567", 10)) == [looks, "USE TEMP B-TREE FOR ORDER BY"]


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("update_progress", "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)"),
        ("next_due_waiting", "SEARCH message USING COVERING INDEX message_waiting (account=? AND priority=?)"),
        ("insert_lines", "SEARCH line USING PRIMARY KEY (message=?)"),
        ("sets_held", "SEARCH p USING INDEX part_held (account=? AND source=? AND destination=? AND reference=?"),
        ("sets_joined", "SEARCH p USING INDEX part_joined (account=? AND source=? AND destination=? AND reference=?"),
    ],
)
def test_bulk_statements_go_from_the_rows_to_the_table(db: apsw.Connection, name: str, looks: str) -> None:
    marks = "(" + ",".join("?" * width(name)) + ")"
    sql = SQL[name].replace("{rows}", ", ".join([marks] * 5))
    steps = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + sql, (None,) * (5 * width(name))).fetchall()]
    assert [step for step in steps if step.startswith(looks)], steps
    assert not [step for step in steps if step.startswith(("SCAN message", "SCAN p", "SCAN line"))]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 5, 47, 127, 128, 129, 300])
def test_as_many_rows_as_there_are_arrive(db: apsw.Connection, rows: int) -> None:
    Bulk("insert_references", 4).run(db, [field for n in range(1, rows + 1) for field in (n, "smsc", str(n), n)])
    assert db.execute("SELECT count(*), count(DISTINCT message) FROM reference_new").get == (rows, rows)


def test_a_bulk_statement_gives_back_what_it_found(db: apsw.Connection) -> None:
    Bulk("insert_lines", 5).run(db, [7, 1, 10, "one", "", 7, 2, 11, "two", "", 8, 1, 12, "other", ""])
    Bulk("insert_lines", 5).run(db, [7, 1, 13, "three", "detail"])
    assert [event for _, event, _ in ask(db, "lines", (7,))] == ["one", "two", "three"]


@pytest.mark.parametrize("name", [name for name in SQL if "{rows}" in SQL[name]])
def test_rows_of_null_are_passed_over(db: apsw.Connection, name: str) -> None:
    before = db.total_changes()
    marks = "(" + ",".join("?" * width(name)) + ")"
    assert db.execute(SQL[name].replace("{rows}", f"{marks}, {marks}"), [None] * 2 * width(name)).fetchall() == []
    assert db.total_changes() == before
