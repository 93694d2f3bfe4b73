"""Mistakes in the configuration file, worded for the person who has to mend them.

A finding names the file, the table, the key, what was found and what was expected:

    conf/smppbridge.toml: [accounts.demo] throughput = "fast": expected a number of messages a second

pydantic finds most of them; `worded` turns its errors into findings, with words taken from the type of the field.
Nothing secret is ever shown: a key that is secret by its name, or a field with `repr=False`, reads `***`.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, JsonValue, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from .secrets import MASK, Place, is_secret, source_of

#: Characters of a value that are shown.
_SHOWN = 60


class Unit(NamedTuple):
    """What a number counts: metadata of a field, for messages and for docs/configuration.md."""

    name: str


class Finding(NamedTuple):
    """One mistake, or one warning."""

    file: str
    #: As it is written in the file: `[accounts.demo]`; empty for the file as a whole.
    table: str
    key: str
    #: What stands there, as it is written in the file; empty where nothing does.
    found: str
    said: str

    def __str__(self) -> str:
        where = " ".join(part for part in (self.table, self.key) if part)
        if self.found:
            where = f"{where} = {self.found}"
        if self.said.startswith("is missing"):
            return f"{self.file}: {where} {self.said}"
        return ": ".join(part for part in (self.file, where, self.said) if part)


class ConfigError(Exception):
    """The configuration cannot be used. `mistakes` are all that were found."""

    def __init__(self, mistakes: Iterable[Finding]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


# Where it stands -----------------------------------------------------------------------------------------------------


class Spot(NamedTuple):
    """A place in the file: how the operator sees it, and what was expected there."""

    table: str
    key: str
    #: The part of the place that the operator sees: what pydantic adds about unions is left out.
    place: Place
    annotation: Any
    metadata: tuple[Any, ...]
    #: The table that the key stands in.
    model: type[BaseModel]
    known: bool
    secret: bool


def spot(place: Place, model: type[BaseModel], above: Place = ()) -> Spot:
    """Follow `place` down from `model`, which describes the table at `above`."""
    names = list(above)
    depth = len(names)
    annotation: Any = model
    metadata: tuple[Any, ...] = ()
    known, secret = True, False
    for part in place:
        table = table_type(annotation)
        if table is not None:
            model, depth = table, len(names)
            field = model.model_fields.get(str(part)) or _by_alias(model, str(part))
            known = field is not None
            annotation, metadata = (field.annotation, tuple(field.metadata)) if field is not None else (Any, ())
            secret = is_secret(str(part)) or (field is not None and not field.repr)
        else:
            item = _item(annotation, part)
            if item is None:
                break
            annotation, metadata = item
        names.append(part)
    return Spot(*_written(names, depth), tuple(names), annotation, metadata, model, known, secret)


def table_type(annotation: Any) -> type[BaseModel] | None:
    """The model of a table, be it optional; None: it is not a table."""
    for one in _alternatives(annotation):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def is_table(annotation: Any) -> bool:
    """Whether it is written under a header of its own: a table, tables with free names, or an array of tables."""
    return any(
        table_type(one) is not None or any(table_type(inner) is not None for inner in get_args(one))
        for one in _alternatives(annotation)
    )


def _by_alias(model: type[BaseModel], name: str) -> FieldInfo | None:
    return next((field for field in model.model_fields.values() if field.alias == name), None)


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types that a value may have, without Annotated and None."""
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return tuple(one for branch in get_args(annotation) for one in _alternatives(branch))
    return () if annotation is type(None) else (annotation,)


def _item(annotation: Any, part: str | int) -> tuple[Any, tuple[Any, ...]] | None:
    """Type and metadata of what stands at `part` of a list, or of a table with free names."""
    for one in _alternatives(annotation):
        if one is Any or one is JsonValue:
            return Any, ()
        origin, args = get_origin(one), get_args(one)
        inner = None
        if isinstance(part, int) and origin in (list, tuple, set, frozenset):
            inner = args[0]
        elif isinstance(part, str) and origin is dict and part not in ("[key]",):
            inner = args[1]
        if inner is not None:
            return (inner, inner.__metadata__) if get_origin(inner) is Annotated else (inner, ())
    return None


def _written(names: list[str | int], depth: int) -> tuple[str, str]:
    """Table and key as they are written in the file; the first `depth` names are the table."""
    table, key = names[:depth], names[depth:]
    counted = [number for number, name in enumerate(table) if isinstance(name, int)]
    if not counted:
        return (f"[{dotted(table)}]" if table else ""), dotted(key)
    last = counted[-1]
    return f"[[{dotted(table[:last])}]] #{int(table[last]) + 1}", dotted([*table[last + 1 :], *key])


def dotted(names: Iterable[str | int]) -> str:
    """`accounts."a b".handler`; places in a list are counted from one, as people do."""
    text = ""
    for name in names:
        if isinstance(name, int):
            text += f" (item {name + 1})"
        else:
            bare = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
            text += f".{bare}" if text else bare
    return text


# What was found ------------------------------------------------------------------------------------------------------


def written(value: object, name: str = "") -> str:
    """A value as TOML writes it, shortened. `name` is its key: what is secret by its name stays hidden."""
    if is_secret(name) and source_of(value) is None and value != "":
        return MASK
    return _shortened(_toml(value))


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | Enum():
            return json.dumps(_LOGIN.sub(MASK, str(value)), ensure_ascii=False)
        case Mapping():
            inner = ", ".join(f"{dotted([str(key)])} = {written(item, str(key))}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple() | set() | frozenset():
            items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            return f"[{', '.join(_toml(item) for item in items)}]"
        case Path() | IPv4Network() | IPv6Network():
            return json.dumps(str(value))
        case float() if value.is_integer():
            return str(int(value))
    return str(value)


#: A login within an address: `http://user:password@host/`.
_LOGIN = re.compile(r"(?<=://)[^/\s]+(?=@)")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def at(raw: object, place: Place) -> object:
    """What stands at a place of the file; None where nothing does."""
    for part in place:
        if isinstance(raw, Mapping):
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int) and part < len(raw):
            raw = raw[part]
        else:
            return None
    return raw


# What was expected ---------------------------------------------------------------------------------------------------


def expected(annotation: Any, metadata: Iterable[Any] = ()) -> str:
    """What belongs there, in words; empty where the type tells nothing."""
    notes = list(metadata)
    kinds = _alternatives(annotation)
    texts: list[str] = []
    for kind in kinds:
        text = _expected(kind, notes)
        if text and text not in texts:
            texts.append(text)
    return " or ".join(texts)


def _expected(kind: Any, notes: list[Any]) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _one_of([str(arg) for arg in args if arg != ""])
    if origin in (list, tuple, set, frozenset):
        inner = args[0] if args else Any
        if table_type(inner) is not None:
            return "at least one such table"
        few = "a list of at least one" if any(isinstance(note, MinLen) and note.min_length for note in notes) else ""
        each = expected(inner, getattr(inner, "__metadata__", ()))
        return f"{few or 'a list'}, each of them {each}" if each else few or "a list"
    if origin is dict or kind is dict:
        return "a table for every name" if is_table(kind) else "a table"
    if not isinstance(kind, type):
        return ""
    if issubclass(kind, BaseModel):
        return "a table"
    if issubclass(kind, Enum):
        return _one_of([str(member.value) for member in kind])
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return _number(kind, notes)
    if kind in (str, SecretStr):
        longest = next((note.max_length for note in notes if isinstance(note, MaxLen)), None)
        return "a text" if longest is None else f"a text of at most {longest} characters"
    if issubclass(kind, Path):
        return "the path of a file"
    if issubclass(kind, IPv4Network | IPv6Network):
        return 'a network such as "10.0.0.0/8"'
    return ""


def _number(kind: type, notes: list[Any]) -> str:
    unit = next((note.name for note in notes if isinstance(note, Unit)), "")
    if unit == "seconds":
        return 'a duration such as "90s", "5m", "24h", "3d" or a number of seconds'
    words = "a whole number" if kind is int else "a number"
    if unit:
        words += f" of {unit}"
    low: Any = next((n.ge if isinstance(n, Ge) else n.gt for n in notes if isinstance(n, Ge | Gt)), None)
    high: Any = next((n.le if isinstance(n, Le) else n.lt for n in notes if isinstance(n, Le | Lt)), None)
    if low is not None and high is not None:
        return f"{words} from {low} to {high}"
    if low is not None and low != 0:
        return f"{words}, {low} or more"
    return words


def _one_of(names: list[str]) -> str:
    return "one of " + ", ".join(json.dumps(name, ensure_ascii=False) for name in names)


def did_you_mean(name: object, names: Iterable[str]) -> str:
    """`; did you mean "smsc"?`, or nothing."""
    close = get_close_matches(str(name), list(names), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


# Findings ------------------------------------------------------------------------------------------------------------


def finding(file: str, raw: object, it: Spot, said: str) -> Finding:
    """A finding about one place. `raw` is the file before its sources were read: no secret out of them can be shown."""
    value = at(raw, it.place)
    if value is None:
        return Finding(file, it.table, it.key, "", said)
    tables = isinstance(value, Mapping) or (isinstance(value, list) and value)
    if tables and source_of(value) is None and is_table(it.annotation):
        # The rule that was broken belongs to the table as a whole.
        table, key = _written(list(it.place), len(it.place))
        return Finding(file, f"[{table}]" if isinstance(value, list) and not key else table, key, "", said)
    hidden = it.secret and source_of(value) is None and value != ""
    name = next((str(part) for part in reversed(it.place) if isinstance(part, str)), "")
    return Finding(file, it.table, it.key, MASK if hidden else written(value, name), said)


def worded(
    error: ValidationError,
    *,
    file: str,
    raw: object,
    model: type[BaseModel],
    above: Place = (),
    others: Iterable[str] = (),
) -> list[Finding]:
    """pydantic's errors as findings, one for each value, in its order.

    `above` is the place of the table that was validated, `others` are keys that may stand in it beside those of
    `model`.
    """
    findings: dict[Place, Finding] = {}
    for one in error.errors(include_url=False, include_input=False):
        it = spot(tuple(one["loc"]), model, above)
        value = at(raw, it.place)
        words = expected(it.annotation, it.metadata)
        match one["type"]:
            case "missing" if is_table(it.annotation) and table_type(it.annotation) is None:
                free_names = any(get_origin(kind) is dict for kind in _alternatives(it.annotation))
                header = f"[{dotted(it.place)}.NAME]" if free_names else f"[[{dotted(it.place)}]]"
                found = Finding(file, header, "", "", "is missing: expected at least one")
            case "missing":
                found = Finding(file, it.table, it.key, "", f"is missing: expected {words}" if words else "is missing")
            case "extra_forbidden":
                name = str(it.place[-1])
                fields = it.model.model_fields.items()
                hint = did_you_mean(name, [*(field.alias or key for key, field in fields), *others])
                if isinstance(value, Mapping) and source_of(value) is None:
                    found = Finding(file, f"[{dotted(it.place)}]", "", "", f"unknown table{hint}")
                else:
                    found = finding(file, raw, it, f"unknown key{hint}")
            case "string_pattern_mismatch":
                found = finding(file, raw, it, f"expected a text that fits {one['ctx']['pattern']}")
            case "value_error" | "assertion_error":
                found = finding(file, raw, it, str(one["ctx"]["error"]))
            case _:
                said = f"expected {words}" if words else one["msg"].replace("Input should be", "expected", 1)
                if isinstance(value, str):
                    said += did_you_mean(value, _options(it.annotation))
                found = finding(file, raw, it, said)
        findings.setdefault(it.place, found)
    return list(findings.values())


def _options(annotation: Any) -> list[str]:
    """The names that may stand there, where they are few."""
    names: list[str] = []
    for one in _alternatives(annotation):
        if get_origin(one) is Literal:
            names += [str(arg) for arg in get_args(one)]
        elif isinstance(one, type) and issubclass(one, Enum):
            names += [str(member.value) for member in one]
    return names
