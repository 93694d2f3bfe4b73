"""Every regular expression that looks at what comes from outside, and texts over which one may take long."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from re import _compiler as compiler  # type: ignore[attr-defined]
from re import _constants as names  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pdu
import smppbridge

METHODS = {"match", "fullmatch", "search", "sub", "split", "findall", "finditer"}
#: What these look at comes from whoever runs the gateway, or from the gateway itself.
OWN = ("cli", "config", "simulator")


class Use(NamedTuple):
    """An expression, and how it looks at a text."""

    where: str
    pattern: re.Pattern[Any]
    method: str

    def on(self, text: str) -> None:
        subject: Any = text.encode("latin-1", "replace") if isinstance(self.pattern.pattern, bytes) else text
        if self.method in ("match", "fullmatch"):
            getattr(self.pattern, self.method)(subject)
        else:
            # All the others look from every place.
            list(self.pattern.finditer(subject))


def modules() -> Iterator[Any]:
    for package in (smppbridge, pdu):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.split(".")[-1] != "__main__" and found.name.split(".")[1] not in OWN:
                yield importlib.import_module(found.name)


def uses() -> Iterator[Use]:
    """Every expression that is written in a call of `re`, that has a name in a module, or is kept as its method."""
    for module in modules():
        path = Path(module.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=method), args=[written, *_]) if (
                    method in METHODS
                ):
                    # Some are put together of others in the module.
                    source = eval(compile(ast.Expression(written), str(path), "eval"), vars(module))  # noqa: S307
                    yield Use(f"{path.name}:{node.lineno}", re.compile(source), method)
                case ast.Attribute(value=ast.Name(id=held), attr=method) if method in METHODS:
                    if isinstance(pattern := getattr(module, held, None), re.Pattern):
                        yield Use(f"{path.name}:{node.lineno}", pattern, method)
        for held, value in vars(module).items():
            if isinstance(pattern := getattr(value, "__self__", None), re.Pattern):
                yield Use(f"{path.name} {held}", pattern, value.__name__)


# Texts that may take long --------------------------------------------------------------------------------------------

LETTERS = [chr(code) for code in (32, *range(33, 127), 9, 10, 13, 0, 233)]


def fitting(item: Any) -> str:
    """A short text that fits an item of an expression, mostly."""
    kind, argument = item
    if kind is names.LITERAL:
        return chr(argument)
    if kind in (names.IN, names.NOT_LITERAL, names.ANY):
        one = parser.SubPattern(parser.State(), [item])
        return next((letter for letter in LETTERS if compiler.compile(one).match(letter)), "")
    if kind is names.SUBPATTERN:
        return "".join(map(fitting, argument[3]))
    if kind is names.BRANCH:
        return "".join(map(fitting, argument[1][0]))
    if kind in (names.MAX_REPEAT, names.MIN_REPEAT, names.POSSESSIVE_REPEAT):
        return "".join(map(fitting, argument[2])) * max(argument[0], 1)
    return ""


def beginnings(items: Iterable[Any], before: str = "") -> Iterator[str]:
    """Texts that lead to each place of an expression."""
    for kind, argument in items:
        yield before
        match argument:
            case (_, _, _, parser.SubPattern() as inner) | (_, _, parser.SubPattern() as inner):
                yield from beginnings(inner, before)
            case (None, [*branches]):
                for branch in branches:
                    yield from beginnings(branch, before)
        before += fitting((kind, argument))


def texts(use: Use, size: int) -> Iterator[str]:
    """One letter very often, behind each beginning and with something at the end that mostly does not fit."""
    written = use.pattern.pattern
    source = written.decode("latin-1") if isinstance(written, bytes) else written
    repeated = {*" \t\n05aA_.", *(one for one in source if one.isascii() and not one.isalnum())}
    for begin in sorted(set(beginnings(parser.parse(source, use.pattern.flags)))):
        for letter in sorted(repeated):
            yield from (begin + letter * size + end for end in ("\0", "<", "a"))


FEW, SIZE = 22, 10_000
#: Seconds of the processor. Where each letter is looked at once it takes a tenth of that, and where it is looked at
#: once for each that follows a multiple.
LONG = 0.01


def seconds(use: Use, text: str) -> float:
    began = time.process_time()
    use.on(text)
    return time.process_time() - began


def takes_long(use: Use) -> bool:
    """Tried with few letters first: what takes exponential time would not come back from many."""
    # Once may be the host's fault.
    return any(all(seconds(use, text) > LONG for _ in range(3)) for size in (FEW, SIZE) for text in texts(use, size))
