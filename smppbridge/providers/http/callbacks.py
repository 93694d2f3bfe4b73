"""Callbacks → reports and incoming messages, after a proof that they come from the provider.

The proof is over the octets as they were sent and comes before anything is read. Without one configured everything is
refused (403), unless the operator said `unsigned`. What is read is a message of a subscriber, a state, or something
that `ignore` names; anything else is refused (400), so that nothing is acknowledged that we did not keep. Where one of
several items is such a thing, the others are kept all the same: the provider may come again with all of them.
"""

from __future__ import annotations

import hmac
from typing import Any

from ...model import Incoming, StatusReport
from ..base import BadCallback, Callback, Reply
from . import documents
from .conditions import Fits, Reader, at_path, path, ref
from .settings import CallbackTable, HttpSettings, IncomingTable, Proof
from .templates import digest_written
from .wording import Wording


class Callbacks:
    """Reads what the provider tells of its own accord."""

    def __init__(self, provider: str, settings: HttpSettings, wording: Wording) -> None:
        assert settings.callback is not None
        self._provider = provider
        self._table: CallbackTable = settings.callback
        self._wording = wording
        self._reader = Reader(self._table, settings)
        self._when = Fits(self._table.when)
        self._ignore = [Fits(one) for one in self._table.ignore]
        self._ref = path(self._table.ref)
        self._incoming = _IncomingReader(provider, settings.incoming) if settings.incoming else None

    def read(self, callback: Callback) -> Reply:
        """Raises BadCallback, and nothing else whatever comes."""
        self._prove(callback)
        body = callback.query if self._table.format == "query" else callback.body
        document = self._reader.document(body)
        items = self._reader.items(document) if document is not None else None
        if items is None:
            raise BadCallback(f"not {self._table.format}, or without what `each` names")
        reports: list[StatusReport] = []
        incoming: list[Incoming] = []
        refused: BadCallback | None = None
        for item in items:
            try:
                if self._incoming is not None and self._incoming.fits(item):
                    incoming.append(self._incoming.read(item))
                elif not any(fits(item) for fits in self._ignore):
                    reports.append(self._report(item))
            except BadCallback as bad:
                refused = bad
        if refused is None:
            body, type = self._table.answer.encode(), self._table.answer_type
            return Reply(reports=reports, incoming=incoming, body=body, content_type=type)
        if not reports and not incoming:
            raise refused
        return Reply(reports=reports, incoming=incoming, body=str(refused).encode(), status=refused.status)

    def _report(self, item: Any) -> StatusReport:
        if not self._when(item):
            raise BadCallback("neither a state nor a message nor one to ignore")
        id, told = ref(item, self._ref), self._reader.told(item)
        if not id or not told.state:
            raise BadCallback("a callback without the id or the state of a message")
        return self._reader.report(told, id)

    # Proof

    def _prove(self, callback: Callback) -> None:
        proof = self._table.proof
        if proof is None:
            if not self._table.unsigned:
                raise BadCallback("there is no proof to hold a callback against", 403)
            return
        given = callback.headers.get(proof.header, "")
        right = self._right(proof, callback)
        if right is None or not hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
            raise BadCallback(f"the header {proof.header} is missing or wrong", 403)

    def _right(self, proof: Proof, callback: Callback) -> str | None:
        """What the header has to be; None where there is no secret that could make it."""
        values = self._wording.values({})
        if not proof.hmac:
            return self._wording.proof_equals(values) or None
        key = self._wording.proof_key(values).encode()
        if not key:
            return None
        signed = b"".join(self._part(part, callback) for part in proof.over)
        return proof.prefix + digest_written(hmac.digest(key, signed, proof.hmac), proof.written)

    def _part(self, part: str, callback: Callback) -> bytes:
        kind, _, rest = part.partition(":")
        match kind:
            case "body":
                return callback.body
            case "query":
                return callback.query
            case "url":
                path = f"/{callback.path}" if callback.path else ""
                query = b"?" + callback.query if callback.query else b""
                return (self._wording.callback_url + path).encode() + query
            case "sorted_form":
                fields = documents.fields(callback.body, self._table.charset)
                return "".join(name + value for name, value in sorted(fields)).encode("utf-8", "replace")
            case "header":
                return callback.headers.get(rest.lower(), "").encode("utf-8", "replace")
        return rest.encode()


class _IncomingReader:
    """Reads messages of subscribers."""

    def __init__(self, provider: str, table: IncomingTable) -> None:
        self._provider = provider
        self.fits = Fits(table.when)
        self._ref, self._from, self._to, self._text, self._at = (
            path(one) for one in (table.ref, table.from_, table.to, table.text, table.at)
        )

    def read(self, item: Any) -> Incoming:
        id = ref(item, self._ref)
        source, destination = (_address(at_path(item, one)) for one in (self._from, self._to))
        if not id or not source:
            raise BadCallback("an incoming message without an id or without its sender")
        return Incoming(
            provider=self._provider,
            ref=id,
            source=source,
            destination=destination,
            text=documents.text(at_path(item, self._text)),
            at=documents.at(at_path(item, self._at)),
        )


def _address(value: Any) -> str:
    return documents.text(value).strip().removeprefix("+")
