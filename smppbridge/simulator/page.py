"""What the vendors were sent, on one plain page: no script, nothing from elsewhere, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from itertools import islice
from typing import TYPE_CHECKING

from .mischief import Fault
from .vendor import Push, Taken, Vendor, stamp

if TYPE_CHECKING:
    from .server import Seen

#: Rows of each table.
ROWS = 50

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 1.5em }
th, td { text-align: left; vertical-align: top; padding: .15em .8em .15em 0; border-bottom: 1px solid #ddd }
td.text { max-width: 34em; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: 13px }
form { display: inline-block; margin-right: 2em }
h2 { margin: 1.2em 0 .2em }
"""


def render(vendors: Mapping[str, Vendor], seen: Iterable[Seen], pushes: Iterable[Push], now: float) -> str:
    """The page."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>smppbridge simulate</title>",
        f"<style>{_STYLE}</style><h1>Rehearsal</h1>",
        "<p>Reload to see what has come since. <a href=/requests.json>requests.json</a> "
        "<a href=/messages.json>messages.json</a></p>",
        _counts(vendors.values()),
        _forms(vendors),
        "<h2>Requests</h2>",
        _table(
            ("time", "vendor", "request", "fields", "answer"),
            (_request(one) for one in islice(seen, ROWS)),
        ),
    ]
    for vendor in vendors.values():
        if vendor.messages:
            parts.append(f"<h2>{escape(vendor.title)}</h2>")
            newest = islice(reversed(vendor.messages.values()), ROWS)
            columns = ("time", "id", "our id", "from", "to", "as", "text", "state")
            parts.append(_table(columns, (_message(one, now) for one in newest)))
    parts.append("<h2>Pushed to the gateway</h2>")
    rows = ((one.vendor, one.what, one.ref, str(one.tries), one.last, "taken" if one.done else "") for one in pushes)
    parts.append(_table(("vendor", "what", "id", "tries", "last answer", ""), islice(rows, ROWS)))
    return "\n".join(parts)


def _counts(vendors: Iterable[Vendor]) -> str:
    columns = ("vendor", "requests", "processed", "repeated", "refused", "asked", "")
    rows = (
        (
            vendor.title,
            *(str(n) for n in (vendor.counts.requests, vendor.counts.processed, vendor.counts.repeated)),
            *(str(n) for n in (vendor.counts.refused, vendor.counts.asked)),
            str(vendor.mischief),
        )
        for vendor in vendors
    )
    return _table(columns, rows)


def _forms(vendors: Mapping[str, Vendor]) -> str:
    """A form takes its vendor from the button that is pressed: an address cannot hold a choice without a script."""
    faults = "".join(f"<option>{fault.value}" for fault in Fault)
    writing = "".join(f"<button formaction=/incoming/{escape(name)}>{escape(name)}</button> " for name in vendors)
    misbehaving = "".join(f"<button formaction=/misbehave/{escape(name)}>{escape(name)}</button> " for name in vendors)
    return (
        "<h2>Write as a subscriber</h2><form method=post>"
        "<input name=source placeholder=from value=79991234567> <input name=destination placeholder=to value=7401> "
        f"<input name=text placeholder=text value=Yes> <input name=prefix placeholder=prefix> {writing}</form>"
        "<h2>Misbehave</h2><form method=post>"
        f"<select name=fault><option value=''>behave{faults}</select> "
        "<input name=times placeholder='times (empty: always)' size=18> "
        "<select name=requests><option>send<option>ask<option>all</select> "
        f"<input name=seconds placeholder=seconds size=8> {misbehaving}</form>"
    )


def _request(one: Seen) -> tuple[str, ...]:
    fields = "\n".join(f"{name}: {value}" for name, value in one.fields.items())
    answer = f"HTTP {one.status}\n{one.answer}" if one.status else "none"
    return (
        stamp(one.at, "%H:%M:%S"),
        one.vendor,
        f"{one.method} {one.path}",
        fields,
        f"({one.fault}) {answer}" if one.fault else answer,
    )


def _message(one: Taken, now: float) -> tuple[str, ...]:
    state = one.state(now) or "sent"
    return (stamp(one.at, "%H:%M:%S"), one.id, one.client_id, one.source, one.to, one.what, one.text, state)


def _table(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}" for name in columns)
    body = "".join("<tr>" + "".join(f"<td class=text>{_lines(cell)}" for cell in row) for row in rows)
    return f"<table><tr>{head}{body}</table>"


def _lines(text: str) -> str:
    return "<br>".join(escape(line) for line in text.splitlines())
