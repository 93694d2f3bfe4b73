"""Stores of earlier versions, stores of later ones, and copies of a store that is being written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import apsw

from bench.load import percentile
from bench.servers import ROOT
from pdu import SubmitSm, encode
from smppbridge.ids import IdGenerator, wall_clock
from smppbridge.model import Stage

from ..ground.esme import Esme
from ..ground.gateway import SANDBOX, Gateway, NotStarted
from ..ground.ledger import Books, Ledger, balance, enter, number_in, text
from ..ground.provider import Asked, Provider, Taken
from ..proof import Evidence, Ground, Unprovable, proof

MIGRATIONS = sorted((ROOT / "smppbridge/store/migrations").glob("[0-9]*.sql"))
#: The schema of this program.
NEWEST = len(MIGRATIONS)
HOUR, DAY = 3_600_000, 86_400_000


# Stores of earlier schemas -------------------------------------------------------------------------------------------


@proof("A store of every earlier schema is brought up to date at the start: nothing is lost, sent twice or silent.")
async def migrates(ground: Ground) -> Evidence:
    each = ground.choose(30, 500)
    fresh = Gateway(ground, folder=ground.place("fresh"))
    await fresh.start()
    await fresh.terminate()
    evidence = Evidence()
    # Side by side: each waits most of the time.
    for one in await asyncio.gather(*(_migrated(ground, schema, each, fresh) for schema in range(1, NEWEST))):
        evidence.rows += one.rows
        evidence.notes += one.notes
    return evidence


async def _migrated(ground: Ground, schema: int, each: int, fresh: Gateway) -> Evidence:
    """A store of one schema, with so many messages in each of the stages."""
    evidence = Evidence()
    provider, ledger = Provider(), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(when_in_doubt="ask"), folder=ground.place(f"schema-{schema}"))
    before = _old_store(gateway.path, schema, each, ledger, provider)
    took = await gateway.start()
    ground.tell(f"schema {schema} with {before['message']} messages opened after {took:.1f} s")
    esme = await Esme.connect(gateway.port, ledger)
    provider.callback = f"http://127.0.0.1:{gateway.http}"
    called = [await provider.call(ref, "delivered") for ref in before["called"]]
    await esme.settled(len(ledger.acknowledged), patience=ground.choose(90, 1200))
    esme.close()
    # One of every case, or of every other one.
    some = list(ledger.acknowledged.values())[:: ground.choose(4, 1) * each]
    shown = [await asyncio.to_thread(_shown, gateway, id) for id in some]
    await gateway.terminate()
    evidence.note(f"schema {schema}: {each} messages in each of the stages, the provider knows half of those in doubt")
    enter(evidence, balance(ledger, Books.read(gateway.path), provider.processed))
    missing = [
        number for number in ledger.acknowledged if not provider.processed[number] and number not in before["over"]
    ]
    evidence.must("accepted, and never processed by the provider", len(missing), exactly=0)
    evidence.must(
        "tables and indexes that differ from those of a new store", _differ(gateway.path, fresh.path), exactly=0
    )
    evidence.must("`messages show` without a whole time-line", shown.count(False), exactly=0)
    evidence.must("callbacks by references of then that were not taken", sum(c != 200 for c in called), exactly=0)
    kept = _counts(gateway.path)
    for table in ("part", "parked", "incoming"):
        evidence.must(f"rows of {table} lost", before[table] - kept[table], exactly=0)
    return evidence


def _schema(path: Path, schema: int) -> apsw.Connection:
    """An empty store as the program of that schema made it."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "off")
    for file in MIGRATIONS[:schema]:
        db.execute(file.read_text(encoding="utf-8")).fetchall()
    db.pragma("user_version", schema)
    path.chmod(0o600)
    return db


#: Stage of the row, whether its message is known to the provider, and by a reference of the provider's own.
_CASES = (
    (Stage.WAITING, False, False),
    (Stage.READY, False, False),
    (Stage.SENDING, False, False),
    (Stage.SENDING, True, False),
    (Stage.DOUBT, False, False),
    (Stage.DOUBT, True, False),
    (Stage.SENT, True, False),
    (Stage.SENT, True, True),
    (Stage.FINAL, True, False),
)


def _old_store(path: Path, schema: int, each: int, ledger: Ledger, provider: Provider) -> dict[str, Any]:
    """Messages in every stage, in the words of schema 1, and whatever else a store had then; how much of what."""
    ids, now = IdGenerator(), wall_clock()
    over: set[int] = set()
    callbacks: list[str] = []
    with closing(_schema(path, schema)) as db, db:
        for stage, known, called in _CASES:
            for _ in range(each):
                number, id = ledger.next(), ids.next()
                ledger.acknowledged[number] = id
                begun = stage >= Stage.SENDING
                ref = f"theirs-{id}" if called else str(id)
                if called:
                    callbacks.append(ref)
                    _insert(db, "reference", provider="stub", ref=ref, message=id)
                if known:
                    provider.messages[str(id)] = Taken(str(id), number)
                    provider.processed[number] += 1
                state = 2 if stage is Stage.FINAL else 1
                _insert(db, "message", **_message(id, number, now), stage=stage, state=state,
                        due=now + (DAY if called else 500),
                        provider="stub" if begun else "", ref=ref if stage >= Stage.SENT else "",
                        attempts=int(begun), done_at=now if stage is Stage.FINAL else 0)  # fmt: skip
                if stage >= Stage.SENT:
                    _insert(db, "line", message=id, n=1, at=now, event="sent", detail=f"stub has it as {ref}")
                if stage is Stage.FINAL:
                    over.add(number)
                    _insert(db, "line", message=id, n=2, at=now, event="final", detail="stub: DELIVERED")
                    _insert(db, "outbox", account="demo", channel=1, message=id, state=2, err=0, done_at=now,
                            attempts=0, due=now, queued_at=now)  # fmt: skip
        for n in range(each):
            part = ids.next()
            _insert(db, "part", id=part, account="demo", bind=1, source="PROOF", destination="79990000000", reference=n,
                    total=3, number=1, registered_delivery=1, notify=1, alphabet="gsm", pdu=_pdu(0), accepted_at=now,
                    expires=now + HOUR, round=0)  # fmt: skip
            _insert(db, "parked", provider="stub", ref=f"later-{n}", at=now,
                    change=json.dumps({"provider": "stub", "report": {"state": 2, "ref": f"later-{n}"}}))  # fmt: skip
            _insert(db, "incoming", provider="stub", ref=f"in-{n}", at=now)
    return _counts(path) | {"over": over, "called": callbacks}


def _pdu(number: int) -> bytes:
    return encode(
        SubmitSm(
            source_addr="PROOF", source_addr_ton=5, destination_addr="79991234567", registered_delivery=1,
            short_message=text(number).encode(), sequence_number=number + 1,
        )
    )  # fmt: skip


def _message(id: int, number: int, now: int) -> dict[str, Any]:
    """The columns of schema 1 that are settled with the acceptance."""
    return {
        "id": id, "account": "demo", "bind": 1, "sequence": number, "kind": "sms",
        "command": json.dumps({"kind": "sms", "text": text(number)}), "source": "PROOF", "source_ton": 5,
        "source_npi": 0, "destination": "79991234567", "destination_ton": 1, "destination_npi": 1, "priority": 0,
        "registered_delivery": 1, "notify": 1, "data_coding": 0, "pdu": _pdu(number), "accepted_at": now,
        "expires": now + DAY, "duplicate_window": 60_000,
    }  # fmt: skip


def _insert(db: apsw.Connection, table: str, **values: Any) -> None:
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))  # noqa: S608


def _counts(path: Path) -> dict[str, Any]:
    with closing(apsw.Connection(str(path))) as db:
        return {table: db.execute(f"SELECT count(*) FROM {table}").get  # noqa: S608
                for table in ("message", "line", "part", "parked", "incoming", "outbox")}  # fmt: skip


def _differ(one: Path, other: Path) -> int:
    return len(_made_of(one) ^ _made_of(other))


def _made_of(path: Path) -> set[Any]:
    with closing(apsw.Connection(str(path))) as db:
        return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


def _shown(gateway: Gateway, id: int) -> bool:
    """Whether the command for operators tells the story of a message from its first line to its last."""
    done = _command(gateway, "messages", "show", str(id), "--json")
    events = [line["event"] for line in json.loads(done.stdout)["timeline"]] if not done.returncode else []
    return events[:1] == ["accepted"] and {"final", "receipt"} <= set(events)


def _command(gateway: Gateway, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "smppbridge", *words, "--config", str(gateway.config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


# Stores that the programs of then have written -----------------------------------------------------------------------


@proof("A store that an earlier program of this repository wrote, and was killed over, is taken up without a loss.")
async def older_programs(ground: Ground) -> Evidence:
    if not (ROOT / ".git").exists():
        raise Unprovable("there is no git history here to take the earlier programs from")
    evidence = Evidence()
    cycles = ground.choose(1, 5)
    programs: set[str] = set()
    for schema in range(1, NEWEST, ground.choose(4, 1)):
        commit = _last_with(schema)
        if commit is None or commit in programs:
            evidence.note(f"schema {schema}: this history has no program of its own for it")
            continue
        programs.add(commit)
        program = ground.folder / f"program-{schema}"
        await asyncio.to_thread(_git, "worktree", "add", "--detach", str(program), commit)
        ground.stack.callback(_git, "worktree", "remove", "--force", str(program))
        for cycle in range(cycles):
            folder = ground.place(f"written-{schema}-{cycle}")
            found, differ = await _taken_over(ground, program, folder)
            ground.tell(f"schema {schema} ({commit[:8]}): {found.accepted} acknowledged")
            evidence.note(f"schema {schema}, by the program of {commit[:8]}")
            enter(evidence, found)
            evidence.must("accepted by the earlier program", found.accepted, least=100)
            evidence.must("tables and indexes that differ from those of a new store", differ, exactly=0)
    if not programs:
        raise Unprovable("the earlier programs are not in this git history; a whole clone has them")
    evidence.must("earlier programs", len(programs), least=1)
    return evidence


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _last_with(schema: int) -> str | None:
    """The last commit before the next schema; None where the history does not go back so far."""
    following = MIGRATIONS[schema].relative_to(ROOT)
    added = _git("log", "--diff-filter=A", "--format=%H", "--", str(following)).split()
    if not added:
        # Not committed yet.
        return _git("rev-parse", "HEAD")
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{added[-1]}^")
    except subprocess.CalledProcessError:
        return None


#: Understood by every program since the first schema.
_CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:{port}" }}]

[http]
listen = "127.0.0.1:{http}"

[store]
path = "{path}"

[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
throughput = 100000

[providers.stub]
adapter = "smsc"
base_url = "http://127.0.0.1:{provider}/sys/"
login = "proof"
password = "proof"
retry_first = 1
poll_first = 1
poll_max = 2
breaker_pause = 1

[[routes]]
providers = ["stub"]
"""


class Smsc(Provider):
    """An honest provider that speaks as smsc.ru does: the adapter that the earliest programs have."""

    async def take(self, asked: Asked) -> None:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if asked.path.endswith("/send.php"):
            number, phone = number_in(form["mes"]), form["phones"].strip("+")
            key = f"{form['id']}:{phone}"
            self.processed[number] += 1
            self.messages[key] = Taken(key, number)
            # Slow enough for a crash to cut requests off.
            await asyncio.sleep(0.02)
            answer: Any = {"id": form["id"], "cnt": 1, "cost": "1", "phones": [{"phone": phone, "status": "0"}]}
        else:
            keys = zip(form["id"].strip(",").split(","), form["phone"].strip(",").split(","), strict=True)
            answer = [
                {"id": id, "phone": phone, "status": 1 if f"{id}:{phone}" in self.messages else -3}
                for id, phone in keys
            ]
        await asked.answer(json.dumps(answer).encode())


async def _taken_over(ground: Ground, program: Path, folder: Path) -> tuple[Any, int]:
    """An earlier program takes messages and is killed; this one goes on with what it finds."""
    provider, ledger = Smsc(), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, folder=folder)
    config = {"port": gateway.port, "http": gateway.http, "path": gateway.path, "provider": provider.port}
    gateway.config.write_text(_CONFIG.format(**config))
    gateway.program = program
    await gateway.start()
    esme = await Esme.connect(gateway.port, ledger, window=20)
    # So few that what waits for the provider at the crash is not more than it does in seconds.
    pouring = asyncio.ensure_future(esme.offer(500, 60))
    await asyncio.sleep(1 + ground.random.random())
    await gateway.kill()
    await pouring
    gateway.program = ROOT
    await gateway.start()
    esme = await Esme.connect(gateway.port, ledger)
    await esme.settled(len(ledger.acknowledged), patience=300)
    await gateway.terminate()
    fresh = folder / "fresh.db"
    _schema(fresh, NEWEST).close()
    return balance(ledger, Books.read(gateway.path), provider.processed), _differ(gateway.path, fresh)


# A store of a later schema -------------------------------------------------------------------------------------------


@proof("A store of a newer version is refused with a sentence and exit code 1, and not one octet of it changes.")
async def newer(ground: Ground) -> Evidence:
    evidence = Evidence()
    for how in ("stopped", "killed", "restored"):
        gateway = Gateway(ground, folder=ground.place(how))
        await gateway.start()
        esme = await Esme.connect(gateway.port, Ledger())
        await esme.pour(100)
        await gateway.end(signal.SIGTERM if how == "stopped" else signal.SIGKILL)
        _as_newer(gateway.path, how)
        before = _octets(gateway.path)
        try:
            await gateway.start()
            code = 0
        except NotStarted as refused:
            code, said = gateway.process.returncode, str(refused)
            named = f"has schema {NEWEST + 1}" in said and "start the version that wrote it, or a newer one" in said
        evidence.must(f"exit code ({how})", code, exactly=1)
        evidence.must("… with the sentence that says what to do", int(named), exactly=1)
        evidence.must("… files that have changed", len(before ^ _octets(gateway.path)), exactly=0)
        done = _command(gateway, "backup", str(gateway.folder / "copy.db"))
        evidence.must("… exit code of a backup of it", done.returncode, exactly=1)
    return evidence


def _as_newer(path: Path, how: str) -> None:
    """The version in the header is one more; the rest is as the last end has left it."""
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("wal_autocheckpoint", 0)
        # What was killed has its last transactions in the log, this one too.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 if how == "killed" else 0)
        db.pragma("user_version", NEWEST + 1)
        if how == "restored":
            db.pragma("journal_mode", "delete")


def _octets(path: Path) -> set[tuple[str, str]]:
    """What lies there, but for what every reader of SQLite may touch."""
    files = (file for file in path.parent.glob(path.name + "*") if not file.name.endswith(("-shm", ".lock")))
    return {(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files if file.stat().st_size}


# kill -9 while a store is brought up to date -------------------------------------------------------------------------

#: Runs the program until a moment of its opening of the store: `ops N` (ten times as many steps of SQLite's machine),
#: `commit N` (before the N-th commit), `committed N` (after it); `count` tells how many there are of each.
_UNTIL = """
import os, signal, sys, apsw
what, at = sys.argv[1], int(sys.argv[2])
seen = {"ops": 0, "commit": 0, "committed": 0}
def met(kind):
    seen[kind] += 1
    if what == "count" and kind == "committed":
        print(*seen.values(), flush=True)
    if kind == what and seen[kind] == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0
def hook(db):
    db.set_progress_handler(lambda: bool(met("ops")), 10)
    db.set_commit_hook(lambda: bool(met("commit")))
apsw.connection_hooks.append(hook)
from pathlib import Path
from smppbridge.store import database
db = database.connect(Path(sys.argv[3]), cache=16384, write=True)
db.set_wal_hook(lambda *_: met("committed"))
database.migrate(db, Path(sys.argv[3]))
"""


@proof("kill -9 at any moment of bringing a store up to date leaves one that the next start brings up to date.")
async def interrupted(ground: Ground) -> Evidence:
    evidence = Evidence()
    # The first schema goes through all the steps.
    rows, moments, last = ground.choose((10_000, 3, 1), (200_000, 20, NEWEST - 1))
    kills = half = lost = differ = 0
    fresh = ground.folder / "fresh.db"
    _schema(fresh, NEWEST).close()
    for schema in range(1, last + 1):
        folder = ground.place(f"schema-{schema}")
        old = folder / "old.db"
        await asyncio.to_thread(_large, old, schema, rows)
        before = _counts(old)
        trial = folder / "state.db"
        counted = await _until(old, trial, "count", 0)
        ops, *_ = map(int, counted.split()[-3:])
        points = [("ops", ground.random.randint(1, max(ops, 1))) for _ in range(moments)]
        points += [(kind, n) for kind in ("commit", "committed") for n in range(1, NEWEST - schema + 1)]
        for kind, at in points:
            await _until(old, trial, kind, at)
            kills += 1
            with closing(apsw.Connection(str(trial))) as db:
                reached = int(db.pragma("user_version"))
            half += _made_of(trial) != _of_schema(reached)
            with closing(apsw.Connection(str(trial))) as db:
                lost += db.pragma("integrity_check") != "ok"
            gateway = Gateway(ground, folder=folder)
            await gateway.start()
            await gateway.kill()
            differ += _differ(trial, fresh)
            lost += sum(before[table] != there for table, there in _counts(trial).items() if table != "line")
        ground.tell(
            f"schema {schema} with {rows} rows in each table: killed {len(points)} times, {ops} moments between"
        )
    evidence.must("kill -9", kills, least=kills)
    evidence.must("stores between two schemas", half, exactly=0)
    evidence.must("tables and indexes that differ from those of a new store", differ, exactly=0)
    evidence.must("tables that are damaged or have not kept their rows", lost, exactly=0)
    return evidence


def _large(path: Path, schema: int, rows: int) -> None:
    """Every table that a later step may touch has that many rows; messages wait for tomorrow."""
    now = wall_clock()
    with closing(_schema(path, schema)) as db, db:
        first = _message(0, 0, now) | {"stage": 0, "state": 1, "due": now + DAY - HOUR}
        values = [*first.values()]
        columns = ", ".join(first)
        several = f"WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {rows})"  # noqa: S608
        marks = ", ".join(["(n << 8)", *["?"] * (len(values) - 1)])
        db.execute(f"{several} INSERT INTO message ({columns}) SELECT {marks} FROM n", values[1:]).fetchall()  # noqa: S608
        db.execute(f"{several} INSERT INTO incoming (provider, ref, at) SELECT 'stub', 'in-' || n, {now} FROM n")  # noqa: S608


def _of_schema(schema: int) -> set[Any]:
    with closing(apsw.Connection(":memory:")) as db:
        for file in MIGRATIONS[:schema]:
            db.execute(file.read_text(encoding="utf-8")).fetchall()
        return set(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema"))


async def _until(old: Path, trial: Path, kind: str, at: int) -> str:
    """A copy of the old store, and a program that ends in the middle of opening it; what it said."""
    for rest in ("", "-wal", "-shm"):
        trial.with_name(trial.name + rest).unlink(missing_ok=True)
    shutil.copy(old, trial)
    command = [sys.executable, "-c", _UNTIL, kind, str(at), str(trial)]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode != (0 if kind == "count" else -signal.SIGKILL):
        raise AssertionError(f"{kind} {at}: it ended with {done.returncode}: {done.stderr}")
    return done.stdout


# Copies --------------------------------------------------------------------------------------------------------------


@proof("A backup made under load has everything that was acknowledged before it began, and the load goes on.")
async def backup(ground: Ground) -> Evidence:
    copies, rate, rest = ground.choose((3, 300, 2), (100, 2000, 5))
    provider, ledger = Provider(), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table())
    await gateway.start()
    esme = await Esme.connect(gateway.port, ledger)
    load = asyncio.ensure_future(esme.offer(rate, 24 * 3600))
    await asyncio.sleep(rest)
    alone = percentile(ledger.latencies, 0.99)
    missing = damaged = inconsistent = loose = 0
    longest, beside = 0.0, []
    for n in range(copies):
        copy, acknowledged, from_ = (
            ground.folder / f"copy-{n}.db",
            set(ledger.acknowledged.values()),
            len(ledger.latencies),
        )
        began = time.monotonic()
        done = await asyncio.to_thread(_command, gateway, "backup", str(copy), "--json")
        longest = max(longest, json.loads(done.stdout)["seconds"]) if not done.returncode else longest
        beside += ledger.latencies[from_:]
        if done.returncode:
            damaged += 1
            ground.tell(done.stderr)
            continue
        with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            damaged += db.pragma("integrity_check") != "ok"
            missing += len(acknowledged - {id for (id,) in db.execute("SELECT id FROM message")})
            inconsistent += sum(1 for _ in _inconsistencies(db))
        loose += (copy.stat().st_mode & 0o777) != 0o600
        ground.tell(f"copy {n + 1} of {copies} after {time.monotonic() - began:.1f} s, {len(acknowledged)} messages")
        if n < copies - 1:
            copy.unlink()
    load.cancel()
    evidence = Evidence()
    evidence.must("copies", copies, least=copies)
    evidence.must("… that failed, or are damaged", damaged, exactly=0)
    evidence.must("… that others may read", loose, exactly=0)
    evidence.must("acknowledged before a copy began, and not in it", missing, exactly=0)
    evidence.must("messages in copies that disagree with their lines or their receipts", inconsistent, exactly=0)
    evidence.must("refused meanwhile", len(ledger.refused), exactly=0)
    evidence.count("a copy took, s, at worst", longest)
    evidence.count("SUBMIT_SM answered within, ms, 99 %, alone", alone * 1000)
    evidence.count("… while copies are made", percentile(beside, 0.99) * 1000)
    await esme.settled(len(ledger.acknowledged), patience=300)
    await gateway.terminate()
    enter(evidence, balance(ledger, Books.read(gateway.path), provider.processed))
    # Somebody looks whether the copy is worth anything: beside the real one, and without sending.
    other = Gateway(ground, SANDBOX.replace("sandbox", "stub").replace('adapter = "stub"', 'adapter = "sandbox"'),
                    folder=ground.place("restored"))  # fmt: skip
    copy.rename(other.path)
    await other.start()
    again = Ledger()
    esme = await Esme.connect(other.port, again)
    await esme.pour(100)
    async with asyncio.timeout(60):
        while await other.metric("smppbridge_messages_waiting"):
            await asyncio.sleep(0.1)
    await other.terminate()
    evidence.must("accepted by a gateway that runs on the last copy", len(again.acknowledged), exactly=100)
    return evidence


@proof(
    "After a restore with --unsent end nothing is paid for twice: not what was sent since, and no id is given again."
)
async def restored(ground: Ground) -> Evidence:
    cycles, evidence = ground.choose(1, 20), Evidence()
    # It does not recognise a repetition, and what is in doubt would be repeated: the worst that can be configured.
    provider, ledger = Provider(recognises=False), Ledger()
    provider.behave = _slowly
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(when_in_doubt="repeat"))
    await gateway.start()
    behind = ended = again = unsent = same = 0
    for cycle in range(cycles):
        copy, before = ground.folder / f"copy-{cycle}.db", set(ledger.acknowledged.values())
        esme = await Esme.connect(gateway.port, ledger)
        load = asyncio.ensure_future(esme.offer(200, 24 * 3600))
        await asyncio.sleep(1 + ground.random.random())
        kept = json.loads((await asyncio.to_thread(_command, gateway, "backup", str(copy), "--json")).stdout)
        await asyncio.sleep(1 + ground.random.random())
        load.cancel()
        await gateway.idle(patience=120)
        esme.close()
        await gateway.end(ground.random.choice((signal.SIGTERM, signal.SIGKILL)))
        behind += kept["unsent"]
        ids = set(ledger.acknowledged.values())
        processed = provider.processed.total()
        done = await asyncio.to_thread(_command, gateway, "restore", str(copy), "--unsent", "end")
        ground.tell(done.stdout or done.stderr)
        evidence.must(f"exit code of restore ({cycle + 1})", done.returncode, exactly=0)
        await gateway.start()
        fresh = Ledger(first=10**9 * (cycle + 1))
        esme = await Esme.connect(gateway.port, fresh)
        await gateway.idle(patience=120)
        again += provider.processed.total() - processed
        with closing(apsw.Connection(str(gateway.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            unsent += db.execute("SELECT count(*) FROM message WHERE stage < 5").get
            ended += db.execute("SELECT count(*) FROM message WHERE state = 7 AND err = 245").get
        await esme.pour(100)
        await gateway.idle(patience=120)
        esme.close()
        same += len(ids & set(fresh.acknowledged.values())) + (min(fresh.acknowledged.values()) < max(ids))
        ground.tell(f"{cycle + 1} of {cycles} restored, {kept['unsent']} were not sent yet, {len(ids - before)} in all")
    await gateway.terminate()
    evidence.must("messages that were not sent yet when the backup was made", behind, least=cycles)
    evidence.must("… processed again after the restore", again, exactly=0)
    evidence.must("ended as UNKNOWN", ended, least=cycles)
    evidence.must("without an end after it", unsent, exactly=0)
    evidence.must("ids given again, or lower than before", same, exactly=0)
    return evidence


async def _slowly(provider: Provider, asked: Asked) -> None:
    """So that something waits at any time."""
    await asyncio.sleep(0.1)
    await provider.take(asked)


def _inconsistencies(db: apsw.Connection) -> Iterator[int]:
    """Messages that no transaction can have left so."""
    rows = db.execute("""
        SELECT m.id, m.stage,
               (SELECT count(*) FROM line AS l WHERE l.message = m.id AND l.event = 'final'),
               (SELECT count(*) FROM line AS l WHERE l.message = m.id AND l.event = 'receipt'),
               (SELECT count(*) FROM outbox AS o WHERE o.message = m.id)
        FROM message AS m""")
    for id, stage, final, receipt, waiting in rows:
        ended = stage == Stage.FINAL
        if final != ended or receipt + waiting != ended:
            yield id
