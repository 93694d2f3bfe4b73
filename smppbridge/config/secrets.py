"""What must never be seen, and where it may be kept instead of the configuration file.

Every text in the file may be replaced by a source: `{ file = "…" }`, `{ env = "NAME" }` or `{ credential = "NAME" }`
(systemd's LoadCredential). `open_sources` reads them; `is_secret` knows by its name what to hide; `mask` hides it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from . import files

MASK = "***"
#: Stands where a text was cut off.
CUT = "…"

#: Where in the file a value stands: names of tables and keys, numbers in lists.
Place: TypeAlias = tuple[str | int, ...]

_NAMES = re.compile(r"pass(word|wd|phrase)|psw|pwd|token|api[-_]?key|secret|authorization|^pass$", re.IGNORECASE)
_PLACES_OF = re.compile(r"_(file|env|hash)$|^cut_passwords$", re.IGNORECASE)


def is_secret(name: str) -> bool:
    """Whether something of this name is to be hidden. `password_file` names a place, not a secret, and
    `cut_passwords` a habit of clients."""
    return bool(_NAMES.search(name)) and not _PLACES_OF.search(name)


def secret_texts(table: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every text of a table that is secret by its name or stands in a table that is, with its place."""
    for name, value in table.items():
        if is_secret(name):
            yield from _texts(value, (name,))


def _texts(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, (*place, name))


def mask(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret replaced, also where it was encoded for a URL, JSON or XML, and where a text was cut off
    in the middle of one (`CUT`): of what a provider says no more is kept than there is room for."""
    begun = CUT in text
    for secret in sorted({secret for secret in secrets if secret}, key=len, reverse=True):
        forms = {
            secret,
            quote(secret, safe=""),
            quote(secret),
            quote_plus(secret),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            escape(secret),
            escape(secret, {'"': "&quot;", "'": "&apos;"}),
        }
        for form in sorted(forms, key=len, reverse=True):
            text = text.replace(form, MASK)
            if begun:
                text = _mask_begun(text, form)
    return text


def _mask_begun(text: str, form: str) -> str:
    """Where a text was cut off, the longest beginning of `form` that stands there."""
    begins = form[:_BEGUN]
    end = len(text)
    # From the last sign on: what is in front of it may have the sign within.
    while (end := text.rfind(CUT, 0, end)) >= 0:
        begin = text.find(begins, max(0, end - len(form) + 1), end)
        while begin >= 0 and not form.startswith(text[begin:end]):
            begin = text.find(begins, begin + 1, end)
        if begin >= 0:
            text = text[:begin] + MASK + text[end:]
            end = begin
    return text


#: Fewer characters before the sign may be a coincidence.
_BEGUN = 4


class Unreadable(Exception):
    """A source could not be read; the text says why."""


class Source(NamedTuple):
    """A text that stands somewhere else."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f'{{ {self.kind} = "{self.name}" }}'

    def read(self, environ: Mapping[str, str] = os.environ) -> str:
        """The text, without the line end that editors and `echo` put after it. Raises Unreadable."""
        match self.kind:
            case "env":
                if self.name not in environ:
                    raise Unreadable(f"the environment variable {self.name} is not set")
                text = environ[self.name]
            case "credential":
                if "/" in self.name:
                    raise Unreadable("names a file somewhere else: expected the name that LoadCredential= gives it")
                folder = environ.get("CREDENTIALS_DIRECTORY")
                if not folder:
                    raise Unreadable(
                        f"needs LoadCredential={self.name}:… in the systemd unit ($CREDENTIALS_DIRECTORY is not set)"
                    )
                text = _content(Path(folder) / self.name)
            case _:
                path = Path(os.path.expandvars(self.name))
                text = _content(path)
                # systemd hands credentials out with an access list, which shows as a group that may read.
                folder = environ.get("CREDENTIALS_DIRECTORY")
                if not (folder and path.is_relative_to(folder)) and readable_by_others(path):
                    raise Unreadable(f"{path} holds a secret and others may read it; run: chmod 600 {path}")
        if not text:
            raise Unreadable(f"{self} is empty")
        return text


def source_of(value: object) -> Source | None:
    """The source that a value of the file stands for, if it is one."""
    if isinstance(value, dict) and len(value) == 1:
        [(kind, name)] = value.items()
        if kind in ("file", "env", "credential") and isinstance(name, str):
            return Source(kind, name)
    return None


class Opened(NamedTuple):
    """The file with its sources read."""

    values: dict[str, Any]
    #: Which values came from somewhere else.
    sources: dict[Place, Source]
    #: Which of them could not be read, and why; `MASK` stands for them in `values`.
    unreadable: dict[Place, str]


def open_sources(raw: dict[str, Any], *, sealed: bool = False) -> Opened:
    """Replace every source by its text; `sealed`: by `MASK`, without reading anything."""
    sources: dict[Place, Source] = {}
    unreadable: dict[Place, str] = {}

    def opened(value: Any, place: Place) -> Any:
        source = source_of(value)
        if source is not None:
            sources[place] = source
            if sealed:
                return MASK
            try:
                return source.read()
            except Unreadable as error:
                unreadable[place] = str(error)
                return MASK
        if isinstance(value, dict):
            return {name: opened(inner, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list):
            return [opened(inner, (*place, number)) for number, inner in enumerate(value)]
        return value

    return Opened(opened(raw, ()), sources, unreadable)


def readable_by_others(path: Path) -> bool:
    """Whether anybody but the owner may read the file."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


#: Octets of a file that holds one secret.
_LARGEST = 65_536


def _content(path: Path) -> str:
    try:
        text = files.read(path, _LARGEST).decode("utf-8")
    except OSError as error:
        large = ": that is no secret" if error.errno == errno.EFBIG else ""
        raise Unreadable(f"{path} {files.why(error)}{large}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not text in UTF-8") from error
    return text.removesuffix("\n").removesuffix("\r")
