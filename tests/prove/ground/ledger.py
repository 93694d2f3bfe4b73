"""The ledger: what was asked for, what was answered, what a provider did, what the store says, and how they agree.

Every message has a number of its own in its text, by which all of them are brought together. The store is read with
plain SQL: a proof does not rest on the code it is about.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from pdu import MessageState

from ..proof import Evidence

_NUMBER = re.compile(rb"#(\d+)#")
#: `stage` of what waits, and of what has come to its end (`model.Stage`).
_WAITING, _FINAL = 0, 5
#: What receipts call the states that they write otherwise (SMPP 3.4 appendix B), and those that end nothing.
_STAT = {"DELIVERED": "DELIVRD", "UNDELIVERABLE": "UNDELIV", "REJECTED": "REJECTD"}
_INTERMEDIATE = {"ENROUTE", "ACCEPTD"}
#: `notify` of what asked for a receipt by SMPP (`model.Notify`).
_SMPP = 1


def text(number: int) -> str:
    """What a message says that has this number."""
    return f"#{number}# The quick brown fox jumps over the lazy dog"


def number_in(said: bytes | str) -> int:
    """The number that such a text has; 0 for another text."""
    found = _NUMBER.search(said.encode() if isinstance(said, str) else said)
    return int(found[1]) if found else 0


class Ledger:
    """What clients know. One for all clients of a proof, whatever becomes of the gateway between."""

    def __init__(self, first: int = 1) -> None:
        self._numbers = itertools.count(first)
        #: Number → when it was sent (`time.monotonic`), until it is answered.
        self.open: dict[int, float] = {}
        #: Number → id.
        self.acknowledged: dict[int, int] = {}
        #: Number → command_status.
        self.refused: dict[int, int] = {}
        #: Sent, and the link ended before there was an answer: may be kept, may be not.
        self.unanswered: set[int] = set()
        #: Id → the states that receipts told of it, each with how often.
        self.receipts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        #: The same where an id may stand for several: id and subscriber → states. A client fills one or the other.
        self.receipts_by: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        #: Number → how many messages it is, where that is not one (SUBMIT_MULTI).
        self.several: dict[int, int] = {}
        #: Seconds from SUBMIT_SM to its response.
        self.latencies: list[float] = []

    def next(self) -> int:
        return next(self._numbers)

    @property
    def sent(self) -> int:
        return len(self.open) + len(self.acknowledged) + len(self.refused) + len(self.unanswered)

    @property
    def receipted(self) -> int:
        """Messages that a client has heard the end of."""
        return len(self.receipts) + len(self.receipts_by)

    def told(self, id: int, subscriber: str) -> Counter[str]:
        """What receipts said of a message."""
        return self.receipts.get(id) or self.receipts_by.get((id, subscriber)) or Counter()


@dataclass(frozen=True)
class Kept:
    """A message as the store has it; one that came in parts, once for each part."""

    #: By which a client knows it.
    id: int
    number: int
    stage: int
    state: int
    #: It asked for a receipt by SMPP.
    receipt: bool
    #: The row of it, 0 for a part that waits for others.
    message: int
    subscriber: str

    @property
    def final(self) -> bool:
        return self.stage == _FINAL


@dataclass
class Books:
    """The store's side: messages by number, and which of them have a receipt waiting."""

    kept: defaultdict[int, list[Kept]]
    receipts_waiting: set[int]

    @classmethod
    def read(cls, path: Path) -> Books:
        """Of a gateway that does not run. What it finds when it starts again is what it left: the log stays too."""
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            waiting = {id for (id,) in db.execute("SELECT message FROM outbox WHERE message IS NOT NULL")}
            return cls(_kept(db), waiting)
        finally:
            db.close()

    def every(self) -> Iterable[Kept]:
        return itertools.chain.from_iterable(self.kept.values())


def _kept(db: apsw.Connection) -> defaultdict[int, list[Kept]]:
    kept: defaultdict[int, list[Kept]] = defaultdict(list)
    known_as = {message: id for id, message in db.execute("SELECT id, message FROM multi")}
    parts: list[Any] = db.execute("SELECT id, pdu, notify, destination, message FROM part").fetchall()
    joined = {message: (_WAITING, 0) for *_, message in parts}
    messages: Iterable[Any] = db.execute("SELECT id, command, stage, state, notify, destination FROM message")
    for id, command, stage, state, notify, subscriber in messages:
        if id in joined:
            joined[id] = stage, state
        else:
            number = number_in(command)
            kept[number].append(Kept(known_as.get(id, id), number, stage, state, notify == _SMPP, id, subscriber))
    for id, pdu, notify, subscriber, message in parts:
        number, (stage, state) = number_in(pdu), joined[message]
        kept[number].append(Kept(id, number, stage, state, notify == _SMPP, message or 0, subscriber))
    return kept


@dataclass
class Balance:
    """accepted = final + waiting + lost."""

    accepted: int = 0
    final: int = 0
    waiting: int = 0
    #: Acknowledged, and not in the store.
    lost: list[int] = field(default_factory=list)
    #: Kept twice, or a receipt told another end than the one it came to.
    doubled: list[int] = field(default_factory=list)
    #: Processed by the provider more than once.
    processed_again: list[int] = field(default_factory=list)
    #: Ended, a receipt was asked for, none waits and none ever came.
    silent: list[int] = field(default_factory=list)
    #: Refused by us, and kept or processed all the same.
    refused_and_kept: list[int] = field(default_factory=list)
    #: Sent without an answer: kept, and known to nobody but the store.
    unanswered_kept: int = 0
    unanswered_gone: int = 0
    #: Receipts that a client saw more than once (a link or the gateway ended before its answer was on disk).
    receipts_again: int = 0
    states: Counter[str] = field(default_factory=Counter)


def balance(ledger: Ledger, books: Books, processed: Mapping[int, int] | None = None) -> Balance:
    """Bring the sides together. `processed`: number → how often a provider has done it, and charged for it."""
    found = Balance(accepted=len(ledger.acknowledged))
    for number, id in ledger.acknowledged.items():
        copies, every = ledger.several.get(number, 1), books.kept[number]
        kept = [one for one in every if one.id == id]
        if len(kept) < copies:
            found.lost.append(number)
            continue
        if len(every) > copies:
            found.doubled.append(number)
        if all(one.final for one in kept):
            found.final += 1
        else:
            found.waiting += 1
        for one in kept:
            told = ledger.told(one.id, one.subscriber)
            state = MessageState(one.state).name if one.final else ""
            if one.final:
                found.states[state] += 1
                if one.receipt and not told and one.message not in books.receipts_waiting:
                    found.silent.append(number)
            if told.keys() - _INTERMEDIATE - {_STAT.get(state, state)}:
                found.doubled.append(number)
    found.receipts_again = sum(
        sum(states.values()) - 1 for states in itertools.chain(ledger.receipts.values(), ledger.receipts_by.values())
    )
    processed = processed or {}
    found.processed_again = [number for number, times in processed.items() if times > 1]
    found.refused_and_kept = [number for number in ledger.refused if books.kept.get(number) or processed.get(number)]
    for number in ledger.unanswered:
        if books.kept.get(number):
            found.unanswered_kept += 1
        else:
            found.unanswered_gone += 1
    return found


def enter(evidence: Evidence, found: Balance, *, processed_again: int | None = 0) -> None:
    """The rows that every proof with a ledger has. `processed_again`: None where a policy allows it and it is told."""
    evidence.count("accepted (SUBMIT_SM_RESP with status 0)", found.accepted)
    evidence.count("… of these at their end", found.final)
    evidence.count("… of these waiting", found.waiting)
    evidence.must("lost", len(found.lost), exactly=0)
    evidence.must("doubled (kept twice, or told another end)", len(found.doubled), exactly=0)
    evidence.must("processed by the provider again", len(found.processed_again), most=processed_again)
    evidence.must("silent (no receipt came, none waits)", len(found.silent), exactly=0)
    evidence.must("refused, and kept all the same", len(found.refused_and_kept), exactly=0)
    evidence.count("sent, link lost before the answer: kept", found.unanswered_kept)
    evidence.count("… not kept", found.unanswered_gone)
    evidence.count("receipts seen again", found.receipts_again)
