"""Templates of the configuration file: texts with `{{ name | filter }}` and `{% if %}`, and nothing else.

A template is jinja2's language cut down to what cannot do harm. Two locks keep it so:

* **What may stand in it is a list.** Before anything is compiled every node of the parsed template is looked at. There
  are names, texts, filters, `~`, comparisons for equality, `and`, `or`, `not` and `if`. There is no loop, no call,
  no attribute of an object, no arithmetic, no macro, no import: jinja2's sandbox leaves those in, and says itself that
  a template can then take all the memory there is (`'a' * 10**9`, `range`, `str.format` with a width). Without them
  what comes out is at most as long as what went in times the length of the template.
* **What a template sees is plain.** Every variable is a text; `secret` and `settings` are tables of texts. jinja2's
  own sandbox stands behind that (`ImmutableSandboxedEnvironment`, no loader, no globals, our filters in place of its).

A filter that makes a text longer does so at most `_DEEPEST` times in a row. No filter raises, and every variable is
always there, so a template that could be rendered once can always be rendered.

How a value gets in depends on the place (`Mode`): in a URL it is percent-encoded, in XML escaped and freed of what XML
cannot hold, into JSON and forms it goes as a value for their encoder. A header takes nothing that a subscriber or
client wrote unless a filter has taken the line ends out of it (`CLEANING`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import quote
from xml.sax.saxutils import escape

import jinja2
from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ...config.mistakes import did_you_mean
from .. import reading

#: Variables by name; `secret` and `settings` are tables.
Values: TypeAlias = Mapping[str, str | Mapping[str, str]]

#: Characters of a template.
LONGEST = 20_000
#: Characters that `replace` may lead to: it is the one filter that makes a text longer by a factor.
_LARGEST = 1_000_000
#: Filters one after the other: `hex` doubles a text each time.
_DEEPEST = 8


class BadTemplate(ValueError):
    """The text is no template, or one that may do too much. The message says what and where."""


class Mode(Enum):
    """Where the text of a template goes."""

    #: As a value into JSON, a form or a query, or as text.
    PLAIN = "plain"
    URL = "url"
    XML = "xml"
    HEADER = "header"


class Omitted:
    """What a leaf with `optional` is when it is empty."""


OMITTED = Omitted()


# Filters -------------------------------------------------------------------------------------------------------------


def _digits(value: str) -> str:
    return re.sub(r"[^0-9]", "", value)


def _plus(value: str) -> str:
    return f"+{_digits(value)}" if _is_number(value) else value


def _no_plus(value: str) -> str:
    return _digits(value) if _is_number(value) else value


def _is_number(value: str) -> bool:
    return re.fullmatch(r"\+?[0-9 ()-]+", value) is not None and any(map(str.isdigit, value))


def _limit(value: str, characters: int) -> str:
    return value[:characters]


def _default(value: str, otherwise: str) -> str:
    return value or otherwise


def _replace(value: str, old: str, new: str) -> str:
    if not old or len(value) + value.count(old) * (len(new) - len(old)) > _LARGEST:
        return value
    return value.replace(old, new)


def _url(value: str) -> str:
    """Percent-encoded whole. A value of dots alone would be a step up the path, so its dots are encoded too."""
    written = quote(value, safe="", errors="replace")
    return written.replace(".", "%2E") if not written.strip(".") else written


def _number(value: str) -> int | None:
    """Of as many digits as our ids have, which is one more than what anybody else calls a number."""
    written = value.strip()
    return int(written) if re.fullmatch(r"-?[0-9]{1,19}", written, re.ASCII) else None


def _at_least(value: str, least: int) -> str:
    return str(max(_number(value) or 0, least))


def _at_most(value: str, most: int) -> str:
    return str(min(_number(value) or 0, most))


def _divided(value: str, by: int) -> str:
    """Rounded up: half a minute of validity is a minute."""
    return str(-(-(_number(value) or 0) // by)) if by else value


def _date(value: str, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    try:
        return datetime.fromtimestamp(_number(value) or 0, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        # No year that a calendar has.
        return ""


def _octets(value: str) -> bytes:
    return value.encode("utf-8", "replace")


def _digest(algorithm: str) -> Callable[[str], str]:
    def filter(value: str) -> str:
        return hashlib.new(algorithm, _octets(value), usedforsecurity=False).hexdigest()

    return filter


def _hmac(value: str, algorithm: str, key: str, written: str = "hex") -> str:
    return digest_written(hmac.digest(_octets(key), _octets(value), algorithm), written)


def digest_written(digest: bytes, written: str) -> str:
    """A digest as hex or base64."""
    return base64.b64encode(digest).decode() if written == "base64" else digest.hex()


#: Types that a whole leaf of a JSON body may have instead of text; what is no such value becomes null.
TYPES: Mapping[str, Callable[[str], Any]] = {
    "number": _number,
    "boolean": lambda value: {"1": True, "true": True, "0": False, "false": False, "": False}.get(value.lower()),
    "optional": lambda value: value or OMITTED,
}

FILTERS: Mapping[str, Callable[..., str]] = {
    "digits": _digits,
    "plus": _plus,
    "no_plus": _no_plus,
    "limit": _limit,
    "default": _default,
    "replace": _replace,
    "trim": str.strip,
    "upper": str.upper,
    "lower": str.lower,
    "at_least": _at_least,
    "at_most": _at_most,
    "divided": _divided,
    "date": _date,
    "url": _url,
    "hex": lambda value: _octets(value).hex(),
    "base64": lambda value: base64.b64encode(_octets(value)).decode(),
    "md5": _digest("md5"),
    "sha1": _digest("sha1"),
    "sha256": _digest("sha256"),
    "hmac": _hmac,
}

#: Filters that leave nothing of a line end, whatever went in.
CLEANING = frozenset(
    {"digits", "at_least", "at_most", "divided", "date", "url", "hex", "base64", "md5", "sha1", "sha256", "hmac"}
)

#: What stands in the brackets of a filter: n for a whole number, t for a text; in capitals where it may be left out.
_ARGUMENTS: Mapping[str, str] = {
    "limit": "n",
    "default": "t",
    "replace": "tt",
    "at_least": "n",
    "at_most": "n",
    "divided": "n",
    "date": "T",
    "hmac": "ttT",
}

#: Filters whose constants have to be these.
_CHOICES: Mapping[str, Callable[[list[Any]], str]] = {
    "date": lambda given: (
        "" if re.fullmatch(r"([^%]|%[YmdHMSjyTFzZ%])*", str(given[0] or "%"))
        else "date: expected a format of %Y %m %d %H %M %S %j %y %F %T %z %Z"
    ),
    "hmac": lambda given: (
        "" if given[0] in ("md5", "sha1", "sha256", "sha512") and given[2:] in ([], ["hex"], ["base64"])
        else 'hmac: expected hmac("sha256", key) or hmac("sha256", key, "base64"), with md5, sha1, sha256 or sha512'
    ),
}  # fmt: skip


# What may stand in a template ----------------------------------------------------------------------------------------

_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.Filter, nodes.Getitem,
    nodes.If, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Concat,
)  # fmt: skip

_WORDS: Mapping[type[nodes.Node], str] = {
    nodes.For: "a loop",
    nodes.Call: "a call",
    nodes.Mul: "arithmetic",
    nodes.Add: "arithmetic (texts are joined by ~)",
    nodes.Sub: "arithmetic",
    nodes.Div: "arithmetic",
    nodes.FloorDiv: "arithmetic",
    nodes.Mod: "arithmetic",
    nodes.Pow: "arithmetic",
    nodes.Slice: "a slice (there is the filter limit)",
    nodes.Macro: "a macro",
    nodes.Test: "a test (is …)",
}

#: Tables that a template sees; everything else is a text.
TABLES = ("secret", "settings")


class Known(NamedTuple):
    """What a template may use."""

    #: Variables of the place.
    names: frozenset[str]
    #: Keys of `[providers.NAME.secret]` and `[providers.NAME.settings]`.
    tables: Mapping[str, frozenset[str]]
    #: Variables that a client or a provider wrote, so that they may hold anything.
    foreign: frozenset[str]
    #: Variables of other places, and why they are not known here.
    elsewhere: frozenset[str] = frozenset()
    why: str = ""


class Template:
    """A compiled template: call it with the variables."""

    def __init__(self, render: Callable[[Values], str], names: frozenset[str], type: str) -> None:
        self._render = render
        #: What it uses: "id", "secret.token".
        self.names = names
        self._type = type

    def __call__(self, values: Values) -> str:
        return self._render(values)

    def settled(self, values: Values) -> Template:
        """The same for good: for one whose variables never change."""
        written = self._render(values)
        return Template(lambda _: written, self.names, self._type)

    def value(self, values: Values) -> Any:
        """The same as a leaf of a body: a text unless it ends in one of the `TYPES`."""
        written = self._render(values)
        return TYPES[self._type](written) if self._type else written


def literal(text: str) -> Template:
    """A template without anything to fill in."""
    return Template(lambda _: text, frozenset(), "")


def compile(source: str, mode: Mode, known: Known, *, leaf: bool = False) -> Template:
    """Look at a template and make it ready. `leaf`: it may end in one of the `TYPES`. Raises BadTemplate."""
    if len(source) > LONGEST:
        raise BadTemplate(f"longer than the {LONGEST} characters of a template")
    if "{" not in source:
        return literal(source)
    environment = _ENVIRONMENTS[mode]
    try:
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        raise BadTemplate(f"not a template: {error.message}") from None
    except (RecursionError, ValueError):
        raise BadTemplate("not a template: too deep or with a number too large") from None
    try:
        tree = _Keys().visit(tree)
        type = _cut_type(tree) if leaf else ""
        names = frozenset(_names(tree, known))
        if mode is Mode.HEADER:
            _check_header(tree, known)
        render = _variable(tree, mode) or _rendering(environment.from_string(tree))
    except (RecursionError, MemoryError, SyntaxError):
        raise BadTemplate("not a template: too deep") from None
    return Template(render, names, type)


def _environment(finalize: Callable[[str], str] | None) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, finalize=finalize, keep_trailing_newline=True, cache_size=0
    )
    environment.globals = {}
    environment.tests = {}
    environment.filters = {name: _of_text(filter) for name, filter in FILTERS.items()}
    return environment


def _of_text(filter: Callable[..., str]) -> Callable[..., str]:
    """A comparison may stand before a filter: then it is one of a truth."""
    return lambda value, *arguments: filter(str(value), *arguments)


def _in_xml(value: object) -> str:
    return escape(reading.writable(str(value)), {'"': "&quot;", "'": "&apos;"})


def _in_url(value: object) -> str:
    return _url(str(value))


_ENVIRONMENTS = {
    Mode.PLAIN: _environment(None),
    Mode.HEADER: _environment(None),
    Mode.URL: _environment(_in_url),
    Mode.XML: _environment(_in_xml),
}


def _variable(tree: nodes.Template, mode: Mode) -> Callable[[Values], str] | None:
    """Most templates are one variable and nothing else: the way through jinja2 would take a hundred times as long."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.Name(name=name)])] if mode is Mode.PLAIN:
            return lambda values: str(values[name])
    return None


def _rendering(template: jinja2.Template) -> Callable[[Values], str]:
    """`template.render` without the copy of all variables that it makes each time: nothing in a template sets one."""

    def render(values: Values) -> str:
        context = template.new_context(cast(dict[str, Any], values), shared=True)
        return "".join(template.root_render_func(context))

    return render


class _Keys(NodeTransformer):
    """`secret.items` is the key of that name and not what Python has under it: the two ways to write a key are one."""

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Getitem:
        return nodes.Getitem(self.visit(node.node), nodes.Const(node.attr), node.ctx, lineno=node.lineno)


def _cut_type(tree: nodes.Template) -> str:
    """Take the type off the end of a leaf: `{{ id | number }}` → number."""
    match tree.body:
        case [nodes.Output(nodes=[nodes.Filter(name=name, node=nodes.Expr() as inner, args=[])]) as output] if (
            name in TYPES
        ):
            output.nodes = [inner]
            return str(name)
    return ""


def _names(node: nodes.Node, known: Known, filters: int = 0) -> Iterator[str]:
    """What a node and those within it use; it stands in so many filters. Raises BadTemplate for whatever may not stand
    in a template."""
    if not isinstance(node, _ALLOWED):
        what = _WORDS.get(type(node), f"`{type(node).__name__.lower()}`")
        raise BadTemplate(f"{what} is not possible in a template")
    match node:
        case nodes.Getitem():
            yield _key(node, known)
            return
        case nodes.Name(name=name):
            if name in TABLES:
                raise BadTemplate(f"{name} is a table: expected a key of it, such as {name}.key")
            if name in known.elsewhere - known.names:
                raise BadTemplate(f"{name} is not known here: {known.why}")
            if name not in known.names:
                raise BadTemplate(f'unknown variable "{name}"{did_you_mean(name, known.names)}')
            yield name
        case nodes.Filter():
            _check_filter(node)
            filters += 1
            if filters > _DEEPEST:
                raise BadTemplate(f"more than {_DEEPEST} filters in a row")
        case nodes.Compare():
            _check_compare(node)
        case nodes.Const(value=value) if not isinstance(value, str):
            raise BadTemplate(f'every value is a text: expected "{value}"')
        case nodes.CondExpr(expr2=None):
            raise BadTemplate("expected if … else …: say else '' for nothing")
    for child in _children(node):
        yield from _names(child, known, filters)


def _children(node: nodes.Node) -> Iterator[nodes.Node]:
    """Without the whole numbers in the brackets of a filter, which `_check_filter` has looked at."""
    for child in node.iter_child_nodes():
        number = isinstance(node, nodes.Filter) and isinstance(child, nodes.Const) and child is not node.node
        if not number:
            yield child


def _key(node: nodes.Getitem, known: Known) -> str:
    match node:
        case nodes.Getitem(node=nodes.Name(name=table), arg=nodes.Const(value=str(key))) if table in TABLES:
            pass
        case _:
            raise BadTemplate("only secret and settings have keys; every other variable is a text")
    if key not in known.tables[table]:
        raise BadTemplate(f'there is no "{key}" in the table {table}{did_you_mean(key, known.tables[table])}')
    return f"{table}.{key}"


def _check_filter(node: nodes.Filter) -> None:
    if node.node is None or node.kwargs or node.dyn_args or node.dyn_kwargs:
        raise BadTemplate(f"{node.name}: expected a value before the filter and plain arguments")
    if node.name in TYPES:
        raise BadTemplate(f"{node.name} can only be the last filter of a whole value in json, form or query")
    if node.name not in FILTERS:
        raise BadTemplate(f'unknown filter "{node.name}"{did_you_mean(node.name, [*FILTERS, *TYPES])}')
    wanted = _ARGUMENTS.get(node.name, "")
    given = [one.value if isinstance(one, nodes.Const) else None for one in node.args]
    kinds = "".join("n" if type(one) is int else "t" if one is None or type(one) is str else "?" for one in given)
    least = len(wanted.rstrip("T"))
    if not (least <= len(kinds) and wanted.lower().startswith(kinds)):
        brackets = ", ".join("a whole number" if one == "n" else "a text" for one in wanted.lower()) or "nothing"
        raise BadTemplate(f"{node.name}: expected {brackets} in brackets")
    if given and (choice := _CHOICES.get(node.name)) and (wrong := choice(given)):
        raise BadTemplate(wrong)


def _check_compare(node: nodes.Compare) -> None:
    for operand in node.ops:
        if operand.op not in ("eq", "ne"):
            raise BadTemplate("only == and != compare: every value is a text")


def _check_header(tree: nodes.Template, known: Known) -> None:
    for name in _foreign(tree, known):
        raise BadTemplate(f"{name} may hold what cannot stand in a header: put it through url, base64, hex or digits")


def _foreign(node: nodes.Node, known: Known) -> Iterator[str]:
    """Variables of others that reach the output as they are."""
    if isinstance(node, nodes.Filter) and node.name in CLEANING:
        return
    if isinstance(node, nodes.Name) and node.name in known.foreign:
        yield node.name
    for child in node.iter_child_nodes():
        yield from _foreign(child, known)
