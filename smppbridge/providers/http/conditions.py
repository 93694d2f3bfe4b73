"""Which answers and callbacks are meant by a condition of the settings, and what stands in one of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from pdu import MessageState

from ...model import Millis, StatusReport
from .. import reading
from . import documents
from .documents import Path
from .settings import Condition, HttpSettings, Reading

#: Characters of a word or a code. What is longer is neither, and is not told.
_WORD = 50
#: Characters of an id.
_REF = 255


class Fits:
    """A condition, made ready: call it with the HTTP status and the document."""

    def __init__(self, condition: Condition) -> None:
        self._status = frozenset(condition.status)
        self._where = [(documents.parse(path), words) for path, words in condition.where.items()]

    def __call__(self, document: Any, status: int = 200) -> bool:
        if self._status and not {str(status), f"{status // 100}xx"} & self._status:
            return False
        return all(any(_is(documents.find(document, path), word) for word in words) for path, words in self._where)


def _is(found: Any, word: str) -> bool:
    nothing = found is None or found in ("", [], {})
    if word in ("", "*"):
        return nothing == (word == "")
    written = documents.text(found)
    return written.startswith(word[:-1]) if word.endswith("*") else written == word


class Told(NamedTuple):
    """What a document tells of one message, in the provider's words; empty where it tells nothing."""

    state: str
    code: str
    reason: str
    cost: str
    parts: int
    at: Millis
    channel: str

    def said(self) -> str:
        return ": ".join(part for part in (_word(self.code), reading.cut(self.reason)) if part)


class Reader:
    """The paths of a table, made ready."""

    def __init__(self, table: Reading, settings: HttpSettings) -> None:
        self._table = table
        self._states = {word: MessageState[state] for word, state in settings.states.items()}
        self._errs = settings.errs
        self._each = path(table.each)
        self._reasons = [path(one) for one in table.reason]
        self._paths = {name: path(getattr(table, name)) for name in ("state", "err", "cost", "parts", "at", "channel")}

    def document(self, body: bytes) -> Any:
        """The document; None where the body is none."""
        table = self._table
        return documents.read(body, table.format, charset=table.charset, separator=table.separator)

    def items(self, document: Any) -> list[Any] | None:
        """One item a message; None where the document has no list of them."""
        if self._each is None:
            return [document]
        found = documents.listed(documents.find(document, self._each))
        return found or None

    def told(self, item: Any) -> Told:
        found = {name: at_path(item, where) for name, where in self._paths.items()}
        reasons = (documents.text(at_path(item, where)) for where in self._reasons)
        return Told(
            state=documents.text(found["state"]),
            code=documents.text(found["err"]),
            reason=" ".join(next(filter(None, reasons), "").split()),
            # What a service takes from its own account is a price below zero to some.
            cost=reading.cost(documents.text(found["cost"]).lstrip("-")),
            parts=reading.parts(found["parts"]),
            at=documents.at(found["at"]),
            channel=documents.text(found["channel"])[:20],
        )

    def err(self, code: str) -> int:
        """The `err` of the receipt for an error code of the provider."""
        if code in self._errs:
            return int(self._errs[code])
        return reading.err(code) if not code or reading.number(code) is not None else reading.UNKNOWN_ERROR

    def knows(self, state: str) -> bool:
        return state in self._states

    def report(self, told: Told, ref: str) -> StatusReport:
        """A word that `states` does not know is UNKNOWN: it is asked for again, or waited for."""
        raw = " ".join(part for part in (_word(told.state), told.said()) if part)
        return StatusReport(
            state=self._states.get(told.state, MessageState.UNKNOWN),
            ref=ref,
            err=self.err(told.code),
            at=told.at,
            cost=told.cost,
            parts=told.parts,
            channel=told.channel,
            raw=raw,
        )


def _word(written: str) -> str:
    return written if len(written) <= _WORD else ""


def path(written: str) -> Path | None:
    """A path of the settings; None where there is none."""
    return documents.parse(written) if written else None


def at_path(document: Any, where: Path | None) -> Any:
    return None if where is None else documents.find(document, where)


def ref(document: Any, where: Path | None) -> str:
    """An id; empty where there is none, or nothing that could be one."""
    found = documents.text(at_path(document, where)).strip()
    return found if len(found) <= _REF and found.isprintable() else ""
