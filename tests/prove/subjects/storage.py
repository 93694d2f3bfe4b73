"""The disk fails, fills, hangs, lies, loses its power; somebody else locks, damages or takes away the files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import apsw

from pdu import CommandStatus

from ..ground.disk import Fault, Medium
from ..ground.esme import Esme
from ..ground.gateway import Gateway, NotStarted
from ..ground.ledger import Balance, Books, Ledger, balance, enter
from ..ground.provider import Provider
from ..ground.switches import Switches
from ..proof import Evidence, Ground, Unprovable, proof

#: What a client is told while there is no room, or another program holds the lock.
_LATER = CommandStatus.ESME_RMSGQFUL
#: More than is ever sent: until the link ends.
_ENDLESS = 10_000_000
#: As long as an ENQUIRE_LINK may take whatever the disk does, in seconds.
_ANSWERED = 1.0
#: For whatever is to come to its end, in seconds.
_PATIENCE = 300


class Case:
    """A gateway on a disk that can be told to fail, a provider that outlives it, a client, and the books of all."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.ledger = Ledger()
        # It tells the state with its answer: nothing is put off, so a short proof can see everything end.
        self.provider = Provider(at_once=True)
        self.starts: list[float] = []

    async def prepare(self, medium: Medium = Medium.TRUE) -> None:
        await self.provider.start(self.ground)
        self.gateway = Gateway(self.ground, self.provider.table(), faults=True)
        self.switches.medium = medium

    @property
    def switches(self) -> Switches:
        assert self.gateway.switches
        return self.gateway.switches

    async def start(self) -> Esme:
        self.starts.append(await self.gateway.start())
        return await Esme.connect(self.gateway.port, self.ledger)

    @contextlib.asynccontextmanager
    async def load(self, esme: Esme) -> AsyncIterator[None]:
        """A client sends as fast as it can meanwhile, and afterwards until the link ends."""
        pouring = asyncio.ensure_future(esme.pour(_ENDLESS))
        try:
            yield
        finally:
            esme.reset()
            await pouring

    async def settled(self) -> Balance:
        """All goes on to its end on a disk that works; then the books are compared."""
        self.switches.disk = Fault.NONE
        if not self.gateway.running:
            self.starts.append(await self.gateway.start())
        await Esme.connect(self.gateway.port, self.ledger)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.ground.choose(15, _PATIENCE)):
                while await self._under_way():
                    await asyncio.sleep(0.2)
        await self.gateway.terminate()
        return balance(self.ledger, Books.read(self.gateway.path), self.provider.processed)

    async def _under_way(self) -> bool:
        """Whether somebody has not heard the end yet, or the store has more to do: a disk may have forgotten ends."""
        if not self.ledger.receipts.keys() >= set(self.ledger.acknowledged.values()):
            return True
        names = ("messages_waiting", "messages_in_flight", "receipts_waiting")
        return any([await self.gateway.metric(f"smppbridge_{name}") for name in names])

    async def grown(self, by: int, patience: float = 60) -> None:
        """Until so many more messages are acknowledged."""
        target = len(self.ledger.acknowledged) + by
        async with asyncio.timeout(patience):
            while len(self.ledger.acknowledged) < target:
                await asyncio.sleep(0.01)

    def refused(self) -> dict[str, int]:
        """By command_status."""
        found: dict[str, int] = {}
        for status in self.ledger.refused.values():
            name = CommandStatus(status).name
            found[name] = found.get(name, 0) + 1
        return found


def integrity(path: Path) -> str:
    """What SQLite says of a copy of a store that nobody has open."""
    with contextlib.ExitStack() as stack:
        copy = path.with_name("looked-at.db")
        for suffix in ("", "-wal"):
            if os.path.exists(f"{path}{suffix}"):
                shutil.copy(f"{path}{suffix}", f"{copy}{suffix}")
                stack.callback(Path(f"{copy}{suffix}").unlink, missing_ok=True)
        stack.callback(Path(f"{copy}-shm").unlink, missing_ok=True)
        db = apsw.Connection(str(copy))
        stack.callback(db.close)
        try:
            return str(db.pragma("integrity_check"))
        except apsw.Error as error:
            return str(error)


# The power fails -----------------------------------------------------------------------------------------------------


@proof(
    "What was answered with status 0 outlives a power cut that takes everything the disk was not made to keep, or "
    "leaves torn pieces of it."
)
async def power_cut(ground: Ground) -> Evidence:
    cuts, case = ground.choose(5, 60), Case(ground)
    await case.prepare(Medium.SYNCED)
    damaged: list[str] = []
    for cut in range(cuts):
        case.switches.medium = (Medium.SYNCED, Medium.TORN)[cut % 2]
        esme = await case.start()
        pouring = asyncio.ensure_future(esme.pour(_ENDLESS))
        await asyncio.sleep(0.05 + 1.5 * ground.random.random())
        await case.gateway.kill()
        await pouring
        if (said := integrity(case.gateway.path)) != "ok":
            damaged.append(said)
        ground.tell(f"{cut + 1} of {cuts} cuts, {len(case.ledger.acknowledged)} acknowledged")
    case.switches.medium = Medium.SYNCED
    found = await case.settled()
    evidence = Evidence()
    evidence.must("power cuts", cuts, least=cuts)
    enter(evidence, found)
    evidence.must("databases with damage afterwards (PRAGMA integrity_check)", len(damaged), exactly=0)
    evidence.must("syncs that the disk was asked for", case.switches.syncs, least=cuts)
    evidence.count("start-up, s, at worst", max(case.starts))
    evidence.note(
        "Every other cut leaves of each write that was not synced all, nothing, or some sectors of 512 octets."
    )
    return evidence


@proof(
    "A disk that says it has kept what it forgets loses what was acknowledged since, and nothing before; "
    "the database is whole."
)
async def lying_disk(ground: Ground) -> Evidence:
    rounds, case = ground.choose(2, 20), Case(ground)
    await case.prepare(Medium.SYNCED)
    lies = early = damaged = 0
    honest: set[int] = set()
    for round in range(rounds):
        case.switches.medium = Medium.SYNCED
        esme = await case.start()
        pouring = asyncio.ensure_future(esme.pour(_ENDLESS))
        await case.grown(200)
        honest |= set(case.ledger.acknowledged)
        told = {id: states.copy() for id, states in case.ledger.receipts.items()}
        case.switches.medium = Medium.FORGETTING
        await case.grown(200)
        await case.gateway.kill()
        await pouring
        damaged += integrity(case.gateway.path) != "ok"
        kept = Books.read(case.gateway.path).kept
        gone = {number for number in case.ledger.acknowledged if not kept.get(number)}
        early += len(gone & honest)
        lies += len(gone - honest)
        for number in gone:
            del case.ledger.acknowledged[number]
        # The disk has forgotten whom these were told.
        case.ledger.receipts.clear()
        case.ledger.receipts.update(told)
        ground.tell(f"{round + 1} of {rounds}: {lies} lost by the disk")
    case.switches.medium = Medium.SYNCED
    found = await case.settled()
    evidence = Evidence()
    evidence.must("acknowledged before it began to lie, and lost", early, exactly=0)
    evidence.must("acknowledged while it lied, and lost", lies, least=1)
    evidence.must("databases with damage afterwards (PRAGMA integrity_check)", damaged, exactly=0)
    enter(evidence, found, processed_again=None)
    evidence.note(
        "No program can keep what the disk does not keep: a disk must have its cache protected, or not use it. "
        "What such a disk has lost is left out of the ledger below, and so are the receipts that were told meanwhile."
    )
    return evidence


@proof(
    "Of a disk that lies and writes in whatever order, the next start either reads a whole database or says why it "
    "does not start.",
    long_only=True,
)
async def lying_disorder(ground: Ground) -> Evidence:
    rounds = ground.choose(3, 40)
    whole = refused = hidden = strange = 0
    for round in range(rounds):
        case = Case(ground)
        folder = ground.place(str(round))
        case.gateway = Gateway(ground, faults=True, folder=folder)
        case.switches.medium = Medium.SYNCED
        esme = await case.start()
        case.switches.medium = Medium.LYING
        pouring = asyncio.ensure_future(esme.pour(_ENDLESS))
        await case.grown(ground.random.randrange(100, 5000))
        await case.gateway.kill()
        await pouring
        sound = integrity(case.gateway.path) == "ok"
        case.switches.medium = Medium.TRUE
        try:
            await case.gateway.start()
        except NotStarted as failed:
            refused += 1
            strange += "cannot start" not in str(failed) or "Traceback" in str(failed)
        else:
            whole += sound
            hidden += not sound
            await case.gateway.terminate()
        ground.tell(f"{round + 1} of {rounds}: {whole} whole, {refused} refused, {hidden} damaged and started")
    evidence = Evidence()
    evidence.must("crashes of a disk that lies", rounds, least=rounds)
    evidence.count("databases that were whole", whole)
    evidence.count("refused to start, with the reason", refused)
    evidence.must("refused in another way (a traceback, no reason)", strange, exactly=0)
    evidence.count("started on a database with damage that the start does not meet", hidden)
    return evidence


# The disk fails ------------------------------------------------------------------------------------------------------


@proof(
    "When the disk fails while it writes or syncs, the gateway ends with exit code 1, acknowledges nothing more, and "
    "what it refused is never sent."
)
async def failing(ground: Ground) -> Evidence:
    faults = (Fault.SYNC_LOG, Fault.SYNC_LOG_ONCE, Fault.WRITE, Fault.SYNC_DATABASE, Fault.SYNC_DATABASE_ONCE)
    media = (Medium.TRUE, Medium.SYNCED, Medium.TORN)
    rounds, case = ground.choose(5, 90), Case(ground)
    await case.prepare()
    codes: list[int] = []
    ends: list[float] = []
    unsaid = 0
    for round in range(rounds):
        case.switches.medium = media[round % len(media)]
        fault = faults[round % len(faults)]
        esme = await case.start()
        async with case.load(esme):
            await asyncio.sleep(0.1 + ground.random.random())
            before = len(case.gateway.said())
            began = time.monotonic()
            case.switches.disk = fault
            codes.append(await case.gateway.wait(120))
            ends.append(time.monotonic() - began)
        unsaid += "the store failed, the gateway ends" not in case.gateway.said()[before:]
        case.switches.disk = Fault.NONE
        ground.tell(f"{round + 1} of {rounds}: {fault.name}, exit code {codes[-1]} after {ends[-1]:.1f} s")
    found = await case.settled()
    evidence = Evidence()
    evidence.must("times that the disk failed", rounds, least=rounds)
    evidence.must("ended with exit code 1", codes.count(1), exactly=rounds)
    evidence.must("ended without a word in the log", unsaid, exactly=0)
    evidence.must("seconds until the end, at worst (a checkpoint has to come first)", max(ends), most=60)
    enter(evidence, found)
    for status, count in case.refused().items():
        evidence.count(f"refused with {status}", count)
    return evidence


@proof(
    "A disk that cannot be read lets nothing be lost or sent twice: the gateway refuses, or does not start.",
    long_only=True,
)
async def unreadable(ground: Ground) -> Evidence:
    rounds, case = ground.choose(1, 15), Case(ground)
    await case.prepare()
    not_started = 0
    for round in range(rounds):
        esme = await case.start()
        async with case.load(esme):
            await case.grown(300)
            case.switches.disk = Fault.READ
            await asyncio.sleep(0.5 + ground.random.random())
            case.switches.disk = Fault.NONE
        await case.gateway.kill()
        case.switches.disk = Fault.READ
        try:
            await case.gateway.start()
        except NotStarted as failed:
            not_started += "exit code 1" in str(failed) and "cannot start" in str(failed)
        case.switches.disk = Fault.NONE
        ground.tell(f"{round + 1} of {rounds}")
    found = await case.settled()
    evidence = Evidence()
    evidence.must("starts on a disk that cannot be read, refused with exit code 1", not_started, exactly=rounds)
    enter(evidence, found)
    return evidence


@proof(
    "While the disk hangs, links live, `/readyz` says that the store does not answer, and nothing is acknowledged; "
    "afterwards everything goes on."
)
async def hanging(ground: Ground) -> Evidence:
    seconds, case = ground.choose(8, 60), Case(ground)
    await case.prepare()
    esme = await case.start()
    async with case.load(esme):
        await case.grown(300)
        case.switches.disk = Fault.HANG
        await asyncio.sleep(0.5)
        before = len(case.ledger.acknowledged)
        began = time.monotonic()
        ready = asyncio.ensure_future(case.gateway.get("/readyz"))
        while time.monotonic() < began + seconds:
            await esme.enquire()
            await asyncio.sleep(0.1)
        answer = await ready
        asked = answer.elapsed.total_seconds()
        acknowledged = len(case.ledger.acknowledged) - before
        case.switches.disk = Fault.NONE
        await case.grown(300)
        again = await case.gateway.get("/readyz")
        stayed = not esme.gone.is_set()
    found = await case.settled()
    evidence = Evidence()
    evidence.must("seconds that the disk hung", seconds, least=seconds)
    evidence.must("acknowledged meanwhile", acknowledged, exactly=0)
    evidence.must("ENQUIRE_LINK, s, at worst", max(esme.enquiries), most=_ANSWERED)
    evidence.must("/readyz: status", answer.status_code, exactly=503)
    evidence.must("/readyz: seconds", asked, most=7)
    evidence.must("/readyz: names the store", int("does not answer" in answer.text), exactly=1)
    evidence.must("/readyz afterwards: status", again.status_code, exactly=200)
    evidence.must("the link stayed up", int(stayed), exactly=1)
    enter(evidence, found)
    return evidence


# There is no room ----------------------------------------------------------------------------------------------------


@dataclass
class Meanwhile:
    """What was seen while the store took nothing."""

    refused: int = 0
    elsewise: int = 0
    stayed: bool = False
    running: bool = False
    went_on: bool = False


async def _in_the_way(
    case: Case, esme: Esme, begin: Callable[[], None], end: Callable[[], None], until: int
) -> Meanwhile:
    """Something that passes: `until` so many were refused it goes on, and then everything is to go on by itself."""
    seen, before = Meanwhile(), set(case.ledger.refused)
    async with case.load(esme):
        await case.grown(300)
        begin()
        async with asyncio.timeout(_PATIENCE):
            while len(case.ledger.refused) < len(before) + until:
                await esme.enquire()
                await asyncio.sleep(0.05)
        end()
        with contextlib.suppress(TimeoutError):
            await case.grown(300)
            seen.went_on = True
        seen.stayed, seen.running = not esme.gone.is_set(), case.gateway.running
    since = [status for number, status in case.ledger.refused.items() if number not in before]
    seen.refused = since.count(_LATER)
    seen.elsewise = len(since) - seen.refused
    return seen


def _tell(evidence: Evidence, seen: Meanwhile, esme: Esme) -> None:
    evidence.must("refused with ESME_RMSGQFUL", seen.refused, least=1)
    evidence.must("refused in another way", seen.elsewise, exactly=0)
    evidence.must("ENQUIRE_LINK, s, at worst", max(esme.enquiries), most=_ANSWERED)
    evidence.must("the link stayed up", int(seen.stayed), exactly=1)
    evidence.must("the process stayed", int(seen.running), exactly=1)
    evidence.must("accepted again without a restart", int(seen.went_on), exactly=1)


@proof(
    "While the disk is full, SUBMIT_SM is answered with ESME_RMSGQFUL, links stay up, and with room again everything "
    "goes on without a restart."
)
async def full(ground: Ground) -> Evidence:
    case = Case(ground)
    await case.prepare()
    esme = await case.start()

    def fill(fault: Fault) -> None:
        case.switches.disk = fault

    seen = await _in_the_way(
        case, esme, lambda: fill(Fault.FULL), lambda: fill(Fault.NONE), ground.choose(2_000, 100_000)
    )
    found = await case.settled()
    evidence = Evidence()
    _tell(evidence, seen, esme)
    enter(evidence, found)
    return evidence


@proof("The same on a file system that is truly full.", long_only=True)
async def full_disk(ground: Ground) -> Evidence:
    place = ground.place("small")
    _mount(ground, place, ground.choose(24, 96))
    case = Case(ground)
    await case.provider.start(ground)
    case.gateway = Gateway(ground, faults=True)
    case.gateway.path = place / "state.db"
    case.gateway.configure(case.provider.table())
    ballast = place / "ballast"

    def fill() -> None:
        # All that is left but a little, which messages fill.
        free = os.statvfs(place)
        ballast.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - 256 * 1024)))

    esme = await case.start()
    seen = await _in_the_way(case, esme, fill, ballast.unlink, ground.choose(2_000, 50_000))
    found = await case.settled()
    evidence = Evidence()
    _tell(evidence, seen, esme)
    enter(evidence, found)
    return evidence


def _mount(ground: Ground, place: Path, mebibytes: int) -> None:
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(place)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        raise Unprovable(f"a small file system needs root: {made.stderr.strip()}")
    ground.stack.callback(subprocess.run, ["umount", "--lazy", str(place)], check=False)


def _remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


@proof(
    "While another program holds the lock of the database, SUBMIT_SM is answered with ESME_RMSGQFUL, and afterwards "
    "everything goes on."
)
async def locked(ground: Ground) -> Evidence:
    case = Case(ground)
    await case.prepare()
    other: list[apsw.Connection] = []

    def lock() -> None:
        other.append(apsw.Connection(str(case.gateway.path)))
        other[0].set_busy_timeout(10_000)
        other[0].execute("BEGIN EXCLUSIVE")

    def release() -> None:
        other[0].execute("ROLLBACK")
        other.pop().close()

    esme = await case.start()
    seen = await _in_the_way(case, esme, lock, release, ground.choose(2_000, 50_000))
    await case.gateway.terminate()
    # At the start.
    lock()
    try:
        await case.gateway.start()
        said = ""
    except NotStarted as failed:
        said = str(failed)
    release()
    found = await case.settled()
    evidence = Evidence()
    _tell(evidence, seen, esme)
    evidence.must(
        "a start meanwhile: exit code 1, and the reason", int("exit code 1" in said and "locked" in said), exactly=1
    )
    enter(evidence, found)
    return evidence


# The files are not as they were --------------------------------------------------------------------------------------


def _overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _log(path: Path) -> Path:
    return Path(f"{path}-wal")


def _garbage_in_the_middle(path: Path) -> None:
    _overwrite(path, path.stat().st_size // 8192 * 4096, b"\xa5" * 4096)


def _notes(path: Path) -> None:
    path.write_text("notes\n" * 1000)


def _garbage_beside(path: Path) -> None:
    Path(f"{path}-shm").write_bytes(b"\xa5" * 32768)


def _another_programs(path: Path) -> None:
    path.unlink()
    _log(path).unlink()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    db.close()


def _newer(path: Path) -> None:
    db = apsw.Connection(str(path))
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    db.pragma("user_version", 999)
    db.close()


#: What is done to the files of a gateway that was killed, and whether the next start must refuse them (True), must lose
#: nothing (False), or may do either (None).
DAMAGES: dict[str, tuple[Callable[[Path], None], bool | None]] = {
    "nothing": (lambda path: None, False),
    "a page in the middle overwritten": (_garbage_in_the_middle, None),
    "the database cut in half": (lambda path: os.truncate(path, path.stat().st_size // 8192 * 4096), None),
    "the database emptied": (lambda path: os.truncate(path, 0), True),
    "the database gone, its log left": (lambda path: path.unlink(), True),
    "text in place of the database": (_notes, None),
    "the head of the database overwritten": (lambda path: _overwrite(path, 0, b"\xa5" * 100), None),
    "the head of the log overwritten": (lambda path: _overwrite(_log(path), 0, b"\xa5" * 32), True),
    "-shm overwritten": (_garbage_beside, False),
    "-shm deleted": (lambda path: Path(f"{path}-shm").unlink(), False),
    "a database of another program": (_another_programs, True),
    "a database of a newer version": (_newer, True),
}


def _contents(path: Path) -> dict[str, bytes]:
    return {suffix: Path(f"{path}{suffix}").read_bytes() for suffix in ("", "-wal", "-shm")}


def _put_back(path: Path, contents: dict[str, bytes]) -> None:
    for suffix, data in contents.items():
        Path(f"{path}{suffix}").write_bytes(data)


def _sums(path: Path) -> dict[str, str]:
    return {
        suffix: hashlib.sha256(file.read_bytes()).hexdigest()
        for suffix in ("", "-wal")
        if (file := Path(f"{path}{suffix}")).exists() and file.stat().st_size
    }


@proof(
    "Files that are damaged, gone, of another program or of a newer version are refused with the reason and exit code "
    "1. What can be told before anything is written is left as it is."
)
async def damaged(ground: Ground) -> Evidence:
    case = Case(ground)
    await case.prepare()
    esme = await case.start()
    async with case.load(esme):
        await case.grown(ground.choose(1_500, 40_000))
    # Some in the database, some only in the log.
    await case.gateway.terminate()
    esme = await case.start()
    async with case.load(esme):
        await case.grown(300)
        await case.gateway.kill()
    kept = _contents(case.gateway.path)
    refused = strange = changed = met = wrongly = lost = 0
    # Those that may go either way are told of in the full counts.
    kinds = [(what, kind) for what, kind in DAMAGES.items() if ground.long or kind[1] is not None]
    for what, (damage, refuses) in kinds:
        _put_back(case.gateway.path, kept)
        damage(case.gateway.path)
        before = _sums(case.gateway.path)
        try:
            await case.gateway.start()
        except NotStarted as failed:
            refused += 1
            said = str(failed)
            strange += not said.startswith("exit code 1") or "cannot start" not in said or "Traceback" in said
            touched = _sums(case.gateway.path) != before
            changed += touched and refuses is True
            met += touched and refuses is not True
            wrongly += refuses is False
            ground.tell(f"{what}: refused: {said.partition('reason')[2][:150]}")
        else:
            wrongly += refuses is True
            await case.gateway.kill()
            if refuses is False:
                lost += len(balance(case.ledger, Books.read(case.gateway.path)).lost)
            ground.tell(f"{what}: started")
    evidence = Evidence()
    evidence.must("kinds of damage", len(kinds), least=ground.choose(8, len(DAMAGES)))
    evidence.count("refused", refused)
    evidence.must("refused without the reason or with another exit code", strange, exactly=0)
    evidence.must("refused for what they are, and changed by it", changed, exactly=0)
    evidence.count("refused for damage that was met after the start had begun to write", met)
    evidence.must("started where it must not, or refused where it need not", wrongly, exactly=0)
    evidence.must("lost where nothing of the store was damaged", lost, exactly=0)
    evidence.note(
        "SQLite keeps no sums of pages: damage within a page is met when the page is read, or never. "
        "A log that was deleted while the gateway did not run cannot be missed by it."
    )
    return evidence


def _rescued(path: Path) -> list[Path]:
    return list(path.parent.glob("*.rescued-*"))


@proof(
    "A file that is deleted or replaced under the running gateway is noticed before anything is acknowledged into it."
)
async def taken_away(ground: Ground) -> Evidence:
    evidence = Evidence()
    acknowledged = not_ended = lost = doubled = 0
    times = ground.choose(1, 10)
    for suffix in ("", "-wal", "-shm"):
        for time_of in range(times):
            case = Case(ground)
            folder = ground.place(f"gone{suffix}{time_of}")
            case.gateway = Gateway(ground, faults=True, folder=folder)
            esme = await case.start()
            async with case.load(esme):
                await case.grown(300 + ground.random.randrange(300))
                os.unlink(f"{case.gateway.path}{suffix}")
                # What was committed before may be told until now.
                at = case.ledger.next()
                not_ended += await case.gateway.wait(60) != 1
            acknowledged += sum(number > at for number in case.ledger.acknowledged)
            path = case.gateway.path
            if not suffix:
                [path] = _rescued(path)
            found = balance(case.ledger, Books.read(path))
            lost += len(found.lost)
            doubled += len(found.doubled)
            ground.tell(f"state.db{suffix}: {len(case.ledger.acknowledged)} acknowledged, {len(found.lost)} lost")
    evidence.must("files deleted under load: state.db, -wal, -shm", 3 * times, least=3 * times)
    evidence.must("sent after it was deleted, and acknowledged", acknowledged, exactly=0)
    evidence.must("did not end with exit code 1", not_ended, exactly=0)
    evidence.must("acknowledged, and neither in the database nor in what was rescued", lost, exactly=0)
    evidence.must("doubled", doubled, exactly=0)
    return evidence


@proof("A second gateway on the same store does not start, and the first one does not notice.")
async def second(ground: Ground) -> Evidence:
    case = Case(ground)
    await case.prepare()
    folder = ground.place("second")
    other = Gateway(ground, folder=folder)
    other.path = case.gateway.path
    other.configure('[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]')
    esme = await case.start()
    said = ""
    async with case.load(esme):
        await case.grown(300)
        try:
            await other.start()
        except NotStarted as failed:
            said = str(failed)
        await case.grown(300)
        stayed = not esme.gone.is_set()
    found = await case.settled()
    evidence = Evidence()
    evidence.must(
        "exit code 1, and by which process it is in use",
        int("exit code 1" in said and "in use by process" in said),
        exactly=1,
    )
    evidence.must("the link to the first one stayed up", int(stayed), exactly=1)
    enter(evidence, found)
    return evidence


@proof("A store that may not be written is refused with the reason and exit code 1.", long_only=True)
async def read_only(ground: Ground) -> Evidence:
    case = Case(ground)
    place = ground.place("still")
    _mount(ground, place, 64)
    await case.provider.start(ground)
    case.gateway = Gateway(ground, faults=True)
    case.gateway.path = place / "state.db"
    case.gateway.configure(case.provider.table())
    esme = await case.start()
    async with case.load(esme):
        await case.grown(300)
        await case.gateway.kill()
    before, said = _sums(case.gateway.path), ""
    _remount(place, "ro")
    try:
        await case.gateway.start()
    except NotStarted as failed:
        said = str(failed)
    after = _sums(case.gateway.path)
    _remount(place, "rw")
    found = await case.settled()
    evidence = Evidence()
    evidence.must(
        "exit code 1, and that it cannot be written",
        int("exit code 1" in said and "cannot be written" in said),
        exactly=1,
    )
    evidence.must("files changed by that", int(before != after), exactly=0)
    enter(evidence, found)
    return evidence
