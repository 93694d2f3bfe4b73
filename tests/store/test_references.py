"""References are found wherever they are on their way from the list to a run, and go when their messages have gone."""

from __future__ import annotations

import random
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smppbridge.store import database, references, rows, sieve
from smppbridge.store.reader import Reader
from smppbridge.store.references import References
from smppbridge.store.statements import Bulk


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "LIST", 8)
    monkeypatch.setattr(references, "RUN", 16)
    monkeypatch.setattr(references, "STEP", 3)
    # So small that a run is often looked at for nothing.
    monkeypatch.setattr(sieve, "OCTETS", 8)
    monkeypatch.setattr(sieve, "PIECE", 4)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    path = tmp_path / "smppbridge.db"
    database.prepare(path)
    db = database.connect(path, cache=1024, write=True)
    database.migrate(db, path)
    # Crashes are played by beginning anew, not by taking from the disk.
    db.pragma("synchronous", "off")
    yield db
    db.close()


def loaded(db: apsw.Connection) -> References:
    names = References(db)
    names.load()
    return names


def add(db: apsw.Connection, names: References, *pairs: tuple[str, int]) -> None:
    with db:
        names.add({("smsc", ref): id for ref, id in pairs})
    names.settle()


def step(db: apsw.Connection, names: References) -> None:
    with db:
        names.sort()
    names.settle()


def count(db: apsw.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608 (a name of ours)


def keep(db: apsw.Connection, nouns: Any, id: int) -> None:
    message = msgspec.structs.replace(nouns.message(), id=id)
    Bulk("insert_messages", len(rows.NEW_MESSAGE)).run(db, rows.of_new_message(message))


def test_they_are_found_at_every_step_and_after_every_crash(db: apsw.Connection) -> None:
    """A crash leaves what was committed: `References` is made anew between any two steps."""
    names, chance, known = loaded(db), random.Random(1), dict[str, int]()  # noqa: S311 (chooses, guards nothing)
    for id in range(1, 200):
        # Now and then a provider gives one again: it belongs to the later message.
        ref = chance.choice(sorted(known)) if known and chance.random() < 0.2 else f"{chance.random():.12f}"
        add(db, names, (ref, id))
        known[ref] = id
        for _ in range(chance.randrange(5)):
            step(db, names)
        if chance.random() < 0.1:
            names = loaded(db)
        asked = [("smsc", one) for one in known] + [("smsc", "unknown"), ("iba", ref)]
        assert names.find(asked) == {("smsc", one): id for one, id in known.items()}
    while names.unsorted:
        step(db, names)
    assert count(db, "reference_new") < 8
    assert count(db, "reference_run") > 3


def test_a_step_that_failed_is_done_again(db: apsw.Connection) -> None:
    names = loaded(db)
    add(db, names, *((f"ref-{n}", n) for n in range(1, 10)))
    while names.unsorted:
        db.execute("BEGIN")
        names.sort()
        names.add({("smsc", "never"): 77})
        db.execute("ROLLBACK")
        names.rollback()
        step(db, names)
        assert len(names.find(("smsc", f"ref-{n}") for n in range(1, 10))) == 9
        assert names.find([("smsc", "never")]) == {}
    assert (count(db, "reference_new"), count(db, "reference_sorted")) == (0, 9)


def test_its_steps_are_spread_over_what_comes(db: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "LIST", 600)
    names, steps = loaded(db), list[int]()
    for n in range(1, 1200):
        add(db, names, (f"ref-{n}", n))
        steps.append(0)
        while names.behind:
            step(db, names)
            steps[-1] += 1
    # None before the list is long; then some 450, a few at a time, and none any more when the next one is half full.
    assert not any(steps[:599])
    assert sum(steps) > 400
    assert max(steps[600:]) <= 2
    assert not any(steps[599 + 300 + 1 :])
    assert not names.unsorted


def test_the_list_stays_bounded_where_many_come_in_each_commit(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where commits are slow, each brings many, and there is one step between two of them at most."""
    monkeypatch.setattr(references, "LIST", 100)
    names, longest = loaded(db), list[int]()
    for first in range(1, 10_000, 10):
        add(db, names, *((f"ref-{n}", n) for n in range(first, first + 10)))
        if names.behind:
            step(db, names)
        longest.append(count(db, "reference_new"))
    assert max(longest) < 2000
    assert max(longest[-300:]) < 1.2 * max(longest[200:500])


def test_a_run_that_a_crash_left_without_a_sieve_grows_no_more(db: apsw.Connection) -> None:
    names = loaded(db)
    add(db, names, *((f"ref-{n}", n) for n in range(8)))
    while not count(db, "reference_sorted"):
        step(db, names)
    names = loaded(db)
    for first in range(8, 80, 8):
        while names.unsorted:
            step(db, names)
        add(db, names, *((f"ref-{n}", n) for n in range(first, first + 8)))
    sieves = {run for (run,) in db.execute("SELECT DISTINCT run FROM reference_sieve")}
    sizes = dict(db.execute("SELECT run, count(*) FROM reference_sorted GROUP BY run").fetchall())
    assert len(sizes) > 3
    assert [size for run, size in sizes.items() if run not in sieves] <= [8]
    assert len(names.find(("smsc", f"ref-{n}") for n in range(80))) == 80


def test_a_reference_that_nothing_can_be_called_is_found_nowhere(db: apsw.Connection) -> None:
    names = loaded(db)
    add(db, names, *((f"ref-{n}", n) for n in range(1, 9)))
    while names.unsorted:
        step(db, names)
    assert names.find([("smsc", "a\0b"), ("smsc", "ref-5")]) == {("smsc", "ref-5"): 5}


def test_a_run_goes_when_none_of_its_messages_is_kept(db: apsw.Connection, nouns: Any) -> None:
    names = loaded(db)
    for first in range(1, 65, 8):
        add(db, names, *((f"ref-{n}", n) for n in range(first, first + 8)))
        while names.unsorted:
            step(db, names)
    assert count(db, "reference_run") == 4
    keep(db, nouns, 20)
    for _ in range(40):
        with db:
            names.purge(apsw.carray(array("q", (0,))), 5)
        names.settle()
    # One of the second run is kept (id 20), and the last run still grows.
    assert [row[0] for row in db.execute("SELECT run FROM reference_run ORDER BY run")] == [2, 4]
    assert count(db, "reference_sorted") == 32
    assert names.find([("smsc", "ref-1"), ("smsc", "ref-20"), ("smsc", "ref-64")]) == {
        ("smsc", "ref-20"): 20,
        ("smsc", "ref-64"): 64,
    }


def test_what_an_older_version_has_kept_is_found_and_forgotten(db: apsw.Connection) -> None:
    db.execute("INSERT INTO reference VALUES ('smsc', 'old', 5), ('smsc', 'older', 6), ('smsc', 'again', 7)")
    names = loaded(db)
    add(db, names, ("again", 8))
    asked = [("smsc", ref) for ref in ("old", "older", "again")]
    assert names.find(asked) == dict(zip(asked, (5, 6, 8), strict=True))
    names.purge(apsw.carray(array("q", (6,))), 10)
    assert names.find(asked) == {asked[0]: 5, asked[2]: 8}


refs = st.one_of(st.integers(0, 9), st.integers(0, 10_000)).map(str)
deeds = st.one_of(
    st.tuples(st.just("add"), st.lists(refs, min_size=1, max_size=9, unique=True)),
    st.tuples(st.just("sort"), st.integers(1, 12)),
    st.tuples(st.just("forget"), st.integers(1, 40)),
    st.tuples(st.just("purge"), st.integers(1, 30)),
    st.tuples(st.just("crash"), st.just(0)),
)


class Kept:
    """References, and beside them a dictionary that knows what they are to know."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self.names = loaded(db)
        self.last = 0
        #: Which message a reference means, and all that it ever meant.
        self.means: dict[str, int] = {}
        self.meant: dict[str, set[int]] = {}
        #: Messages that are not forgotten.
        self.kept: set[int] = set()
        db.execute("CREATE TEMP TABLE message (id INTEGER PRIMARY KEY)")

    def within(self, work: Any, *, failing: bool) -> None:
        """A transaction, before which another one has failed with the same in it."""
        if failing:
            self.db.execute("BEGIN")
            work()
            self.names.add({("smsc", "never"): 77})
            self.db.execute("ROLLBACK")
            self.names.rollback()
            self.look()
        with self.db:
            work()
        self.names.settle()

    def do(self, deed: str, what: Any, *, failing: bool) -> None:
        match deed:
            case "add":
                given = {ref: self.last + n for n, ref in enumerate(what, 1)}
                self.last += len(what)
                self.db.executemany("INSERT INTO temp.message VALUES (?)", [(id,) for id in given.values()])
                self.kept.update(given.values())
                new = {("smsc", ref): id for ref, id in given.items()}
                self.within(lambda: self.names.add(new), failing=failing)
                self.means |= given
                for ref, id in given.items():
                    self.meant.setdefault(ref, set()).add(id)
            case "sort":
                for _ in range(what):
                    self.within(self.names.sort, failing=failing)
            case "forget":
                # Mostly the oldest; those that stay behind are kept for another reason.
                gone = [id for id in sorted(self.kept)[:what] if id % 13]
                self.kept.difference_update(gone)
                self.db.executemany("DELETE FROM temp.message WHERE id = ?", [(id,) for id in gone])
            case "purge":
                nothing = apsw.carray(array("q", (0,)))
                for _ in range(what):
                    self.within(lambda: self.names.purge(nothing, 5), failing=failing)
            case "crash":
                self.names = loaded(self.db)
        self.look()

    def look(self) -> None:
        asked = [("smsc", ref) for ref in self.means] + [("smsc", "never"), ("iba", "0")]
        found = self.names.find(asked)
        assert not {("smsc", "never"), ("iba", "0")} & found.keys()
        for ref, id in self.means.items():
            now = found.get(("smsc", ref), 0)
            if id in self.kept:
                assert now == id
            else:
                # What is forgotten may be known for a while, and what was called so before it, if that is kept.
                assert now in {0, *self.meant[ref]}
        # A run goes by the messages that it says it speaks of.
        strangers = """SELECT count(*) FROM reference_sorted AS s LEFT JOIN reference_run AS r ON r.run = s.run
            WHERE r.run IS NULL OR s.message NOT BETWEEN r.lowest AND r.highest"""
        assert self.db.execute(strangers).get == 0

    def drain(self) -> None:
        """Then the list is short, and no run is left of which nothing is kept."""
        while self.names.unsorted:
            self.do("sort", 1, failing=False)
        assert count(self.db, "reference_new") < 8
        self.do("purge", 200, failing=False)
        for _, lowest, highest in self.db.execute(
            "SELECT run, lowest, highest FROM reference_run ORDER BY run DESC LIMIT -1 OFFSET 1"
        ):
            assert any(lowest <= id <= highest for id in self.kept)
        assert (
            self.db.execute("SELECT count(*) FROM reference_sieve WHERE run NOT IN (SELECT run FROM reference_run)").get
            == 0
        )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(deeds, st.booleans()), min_size=20, max_size=50))
def test_whatever_happens_a_reference_means_what_it_meant(asked: list[tuple[tuple[str, Any], bool]]) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        small(patch)
        path = Path(folder) / "smppbridge.db"
        database.prepare(path)
        db = database.connect(path, cache=1024, write=True)
        try:
            database.migrate(db, path)
            db.pragma("synchronous", "off")
            kept = Kept(db)
            for (deed, what), failing in asked:
                kept.do(deed, what, failing=failing)
            kept.drain()
        finally:
            db.close()


def test_what_nobody_knows_is_looked_for_in_no_run(db: apsw.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "OCTETS", 4096)
    names = loaded(db)
    add(db, names, *((f"ref-{n}", n) for n in range(1, 65)))
    while names.unsorted:
        step(db, names)
    asked: list[str] = []
    db.exec_trace = lambda cursor, sql, values: bool(asked.append(sql) or True)
    # As it was built, and as it was written down.
    for one in (names, loaded(db)):
        asked.clear()
        assert one.find(("smsc", f"unknown-{n}") for n in range(100)) == {}
        assert not asked
        assert one.find([("smsc", "ref-7")]) == {("smsc", "ref-7"): 7}
        assert len(asked) == 1
    db.exec_trace = None


def test_the_reading_side_finds_the_same(db: apsw.Connection, nouns: Any) -> None:
    """In memory, in a run, and where an older version has kept it."""
    reader = Reader(db)
    keep(db, nouns, 3)
    db.execute("INSERT INTO reference VALUES ('smsc', 'older', 3)")
    names = loaded(db)
    add(db, names, *((f"ref-{n}", n) for n in range(1, 10)))
    while True:
        for ref in ("ref-3", "older"):
            found = reader.find_by_ref("smsc", ref, names.newly(("smsc", ref)))
            assert found is not None
            assert found.id == 3
        assert reader.find_by_ref("smsc", "unknown", names.newly(("smsc", "unknown"))) is None
        if not names.unsorted:
            break
        step(db, names)
