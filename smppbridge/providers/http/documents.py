"""What a provider writes, as plain values, and the small path language that finds something in them.

Whatever the format, an answer or a callback becomes texts, numbers, lists and tables:

| format | what `$` is |
|---|---|
| json | the document |
| xml | a table with the root element: `$.response.id`; an attribute is `$.response.@id` |
| form, query | a table of the fields; of a field that comes twice the first one |
| text | a list of what stands between the separators: `$[0]` |

A path begins with `$` and goes down by `.name`, `["any name"]` and `[0]` (`[-1]` is the last one). That is all: no
search, no filter, no arithmetic, so a path is read in one look and costs its own length. XML cannot tell one element
from a list of one, so `[0]` of what is no list is the thing itself.

Nothing in here raises, whatever stands in a document; only `parse` does, for a path that is none.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from lxml import etree

from ...model import Millis
from .. import reading

Format: TypeAlias = Literal["json", "xml", "form", "query", "text"]
Path: TypeAlias = tuple[str | int, ...]

_STEP = re.compile(r"""\.(?P<name>@?[\w-]+)|\["(?P<quoted>[^"]+)"\]|\[(?P<index>-?[0-9]{1,6})\]""")
#: Seconds since 1970 stay below this until the year 5138, milliseconds are above it since 1973.
_MILLIS = 10**11


def parse(path: str) -> Path:
    """The steps of a path. Raises ValueError."""
    steps: list[str | int] = []
    at = 1
    while path.startswith("$") and at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            break
        steps.append(int(step["index"]) if step["index"] else step["name"] or step["quoted"])
        at = step.end()
    if not path.startswith("$") or at < len(path):
        raise ValueError('expected a path such as "$.messages[0].id"')
    return tuple(steps)


def find(document: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for step in path:
        if isinstance(step, str):
            document = document.get(step) if isinstance(document, Mapping) else None
        elif isinstance(document, Sequence) and not isinstance(document, str):
            document = document[step] if -len(document) <= step < len(document) else None
        elif step not in (0, -1):
            return None
    return document


def listed(found: Any) -> list[Any]:
    """A list, one thing as a list of one, nothing as an empty list."""
    if found is None or found == "":
        return []
    return found if isinstance(found, list) else [found]


def text(value: Any) -> str:
    """A text, a number or a truth as text; empty where it is neither."""
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case {"#text": str(inner)}:
            return inner
    return ""


def at(value: Any) -> Millis:
    """A time as services write it: seconds or milliseconds since 1970, ISO 8601, RFC 2822; 0 where it is none. What
    tells no zone is UTC."""
    written = text(value).strip()
    number = reading.number(written)
    if number is not None:
        return max(number if number >= _MILLIS else number * 1000, 0)
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            when = read(written)
            return max(int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000), 0)
        except (ValueError, TypeError, OverflowError, IndexError):
            continue
    return 0


def read(body: bytes, format: Format, *, charset: str = "utf-8", separator: str = "") -> Any:
    """The document, whether or not a byte order mark stands first; None where the octets are none of that format."""
    body = body.removeprefix(BOM_UTF8)
    match format:
        case "json":
            try:
                return msgspec.json.decode(body)
            except reading.UNREADABLE:
                return None
        case "xml":
            root = reading.xml(body)
            return None if root is None else {_name(root): _element(root)}
        case "text":
            written = body.decode(charset, "replace").strip()
            return [one.strip() for one in written.split(separator)] if separator else [written]
    return _fields(body, charset)


def fields(body: bytes, charset: str = "utf-8") -> list[tuple[str, str]]:
    """Names and values of a form or a query, in their order."""
    try:
        return parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, encoding=charset, errors="replace", max_num_fields=1000
        )
    except ValueError:
        return []


def _fields(body: bytes, charset: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for name, value in fields(body, charset):
        found.setdefault(name, value)
    return found or None


def _element(element: etree._Element) -> Any:
    """A leaf is its text; anything else a table of its attributes (`@name`), its elements, and its `#text`."""
    written = (element.text or "").strip()
    table: dict[str, Any] = {f"@{_local(name)}": value for name, value in reading.attributes(element).items()}
    for child in element:
        name, inner = _name(child), _element(child)
        if name not in table:
            table[name] = inner
        elif isinstance(table[name], list):
            table[name].append(inner)
        else:
            table[name] = [table[name], inner]
    if not table:
        return written
    if written:
        table["#text"] = written
    return table


def _name(element: etree._Element) -> str:
    return _local(str(element.tag))


def _local(name: str) -> str:
    """Without the namespace."""
    return name.rpartition("}")[2]
