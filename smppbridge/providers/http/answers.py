"""Answers → outcomes and states. Whatever cannot be read is safe: in doubt after sending, nothing after asking.

An answer is read in this order: the first of `errors` that fits; else, where `success` fits, the id; else what the
HTTP status alone tells (`reading.by_status`). A 2xx without an id is in doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from ...model import StatusReport
from .. import reading
from ..base import InDoubt, NotFound, Outcome, Refused, Sent, Temporary, Unable
from . import documents
from .conditions import Fits, Reader, Told, at_path, path, ref
from .documents import text
from .settings import BalanceQuestion, Error, HttpSettings


class Answers:
    """Reads the answers to `send`."""

    def __init__(self, settings: HttpSettings) -> None:
        table = settings.answer
        self._reader = Reader(table, settings)
        self._errors = [(Fits(error), error) for error in table.errors]
        self._success = Fits(table.success)
        self._id = path(table.id)
        self._match = path(table.match)
        self._each = bool(table.each)

    def outcomes(self, references: Sequence[str], response: httpx.Response) -> Sequence[Outcome]:
        """One outcome a message; `references` are ours, empty where the provider's id counts."""
        document = self._reader.document(response.content)
        items = self._reader.items(document) if document is not None else None
        if items is None:
            # No list: it is about the request as a whole.
            return [self._whole(document, response)] * len(references)
        if not self._each:
            return [self._outcome(items[0], one, response) for one in references]
        return self._several(items, references, response)

    def _several(self, items: list[Any], references: Sequence[str], response: httpx.Response) -> Sequence[Outcome]:
        if self._match is not None:
            names = [text(at_path(item, self._match)) for item in items]
            times = Counter(names)
            by_match = {name: item for name, item in zip(names, items, strict=True) if times[name] == 1}
            found = [by_match.get(one) for one in references]
        elif len(items) == len(references):
            found = items
        else:
            return [InDoubt(reason="the answer has another number of items than the request")] * len(references)
        return [
            InDoubt(reason="the answer does not mention it, or more than once")
            if item is None
            else self._outcome(item, one, response)
            for item, one in zip(found, references, strict=True)
        ]

    def _outcome(self, item: Any, reference: str, response: httpx.Response) -> Outcome:
        if not self._success(item, response.status_code) or self._fitting(item, response) is not None:
            return self._whole(item, response)
        told = self._reader.told(item)
        id = reference or ref(item, self._id)
        if not id:
            return InDoubt(reason=": ".join(filter(None, ("success without an id", told.said()))))
        report = self._reader.report(told, id) if self._reader.knows(told.state) else None
        return Sent(ref=id, report=report, cost=told.cost, parts=told.parts)

    def _whole(self, item: Any, response: httpx.Response) -> Outcome:
        """What an answer that is no success means."""
        told = self._reader.told(item)
        error = self._fitting(item, response)
        if error is not None:
            return self._failed(error, told, response)
        outcome = reading.by_status(response)
        if isinstance(outcome, Sent | Refused) or not told.said():
            return outcome
        return msgspec.structs.replace(outcome, reason=f"HTTP {response.status_code}: {told.said()}")

    def _fitting(self, item: Any, response: httpx.Response) -> Error | None:
        return next((error for fits, error in self._errors if fits(item, response.status_code)), None)

    def _failed(self, error: Error, told: Told, response: httpx.Response) -> Outcome:
        said = told.said() or f"HTTP {response.status_code}"
        err = error.err or self._reader.err(told.code)
        match error.outcome:
            case "refused":
                return Refused(reason=said, err=err)
            case "unable" | "everything":
                return Unable(reason=said, err=err, everything=error.outcome == "everything")
            case "temporary":
                return Temporary(reason=said, retry_after=reading.retry_after(response))
        return InDoubt(reason=said)


def balance(table: BalanceQuestion, response: httpx.Response) -> str:
    """What the answer to `balance` shows. Raises ValueError where it shows nothing."""
    document = documents.read(response.content, table.format)
    shown = [text(at_path(document, path(one))) for one in table.value]
    if not Fits(table.success)(document, response.status_code) or not shown[0]:
        raise ValueError(f"HTTP {response.status_code} without a balance")
    return " ".join(filter(None, shown))


class StatusAnswers:
    """Reads the answers to `status`."""

    def __init__(self, settings: HttpSettings) -> None:
        table = settings.status_answer
        assert table is not None
        self._reader = Reader(table, settings)
        self._success = Fits(table.success)
        self._not_found = Fits(table.not_found) if table.not_found else None
        self._match = path(table.match)

    def answer(self, id: str, response: httpx.Response) -> StatusReport | NotFound | None:
        """What it tells of the message with this id; None where it tells nothing."""
        document = self._reader.document(response.content)
        if document is None:
            return None
        if self._not_found is not None and self._not_found(document, response.status_code):
            return NotFound()
        if not self._success(document, response.status_code):
            return None
        items = self._reader.items(document) or []
        if self._match is not None:
            items = [item for item in items if text(at_path(item, self._match)) == id]
        if not items:
            return None
        told = self._reader.told(items[-1])
        return self._reader.report(told, id) if told.state else None
