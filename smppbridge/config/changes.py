"""What differs between two configurations, in lines for a person: what a reload did, and what it could not do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from .mistakes import dotted, written
from .secrets import is_secret
from .tables import Config

#: Tables and keys that are read once, at start-up.
AFTER_RESTART = ("smpp.listeners", "smpp.max_pending", "http", "store", "log", "control")

#: Lists of tables: one line says that one of them changed.
_LISTS = ("routes", "incoming")

#: Lists of which only the length is told: the log names nobody's number.
_COUNTED = ("numbers",)


def diff(old: Config, new: Config, after_restart: tuple[str, ...] = AFTER_RESTART) -> list[str]:
    """One line a change, such as `[accounts.demo] throughput: 0 → 50`; secrets only as "changed".

    What stands under a name of `after_restart` says that it needs one.
    """
    lines = []
    for place, before, after, secret in _changes(old, new, ()):
        if _is_table(before) or _is_table(after):
            line = f"[{dotted(place)}]: {'gone' if after is None else 'new'}"
        elif secret:
            line = f"[{dotted(place[:-1])}] {place[-1]}: changed"
        else:
            counted = place[-1] in _COUNTED
            line = f"[{dotted(place[:-1])}] {place[-1]}: {_shown(before, counted)} → {_shown(after, counted)}"
        path = ".".join(place)
        if any(path == name or path.startswith(f"{name}.") for name in after_restart):
            line += " (needs a restart)"
        lines.append(line)
    for name in _LISTS:
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            lines.append(f"[[{name}]]: changed, {len(before)} before, {len(after)} now")
    return lines


def _changes(old: Any, new: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any, bool]]:
    """Place, value before, value after, whether it is secret. A value that is not there is None."""
    before, after = _keys(old), _keys(new)
    fields = type(new).model_fields if isinstance(new, BaseModel) else {}
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name), after.get(name)
        if one == other or (not place and name in _LISTS):
            continue
        if _is_table(one) and _is_table(other):
            yield from _changes(one, other, (*place, name))
        else:
            hidden = any(is_secret(above) for above in (*place, name))
            secret = hidden or (name in fields and not fields[name].repr)
            yield (*place, name), one, other, secret


def _is_table(value: Any) -> bool:
    return isinstance(value, BaseModel | Mapping)


def _keys(table: Any) -> dict[str, Any]:
    if isinstance(table, BaseModel):
        return {**{name: getattr(table, name) for name in type(table).model_fields}, **(table.model_extra or {})}
    return {str(name): value for name, value in table.items()}


def _shown(value: Any, counted: bool = False) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, tuple) and (counted or any(isinstance(item, BaseModel) for item in value)):
        return f"{len(value)} of them"
    return written(value)
