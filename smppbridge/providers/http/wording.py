"""Messages → requests: every template of the settings, compiled once, and put together without a chance to inject.

A value gets into JSON and forms as a value, for their encoder to write; into a URL percent-encoded; into XML escaped.
Each template is rendered when it is compiled, with a message of every kind, so that what is wrong with it is found by
`smppbridge check-config` and not by the first message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlencode

import httpx
import msgspec

from ...config.secrets import Place
from .. import reading
from . import templates, variables
from .documents import Path, find, parse
from .samples import SAMPLES
from .settings import HttpSettings, Request, Send
from .templates import OMITTED, BadTemplate, Mode, Template, Values

#: What every template sees beside the variables of a message.
COMMON = frozenset({"callback_url"})

_TYPES = {
    "json_": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml",
    "text": "text/plain",
}

#: At the head of an XML document: its encoding need not be that of the text that it is tried out with.
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")

#: Variables that differ from message to message.
_OF_MESSAGES = variables.VARIABLES.keys() | {"ref"}

#: The variable `ref` of a message that no provider has yet.
_REF = {"ref": "a reference"}


class NotOneLine(ValueError):
    """A text that cannot stand in a header."""


class Each(NamedTuple):
    """Stands in a body where one item is written for each message."""

    item: Any


class Wording:
    """All templates of a provider, compiled. `problems`: what is wrong with them, by place."""

    def __init__(self, settings: HttpSettings) -> None:
        self.problems: dict[Place, str] = {}
        tables = {"secret": frozenset(settings.secret), "settings": frozenset(settings.settings)}
        of_message = frozenset(variables.VARIABLES)
        why = "there is no single message that it could be of"
        self.own = templates.Known(frozenset({"callback_token"}), tables, frozenset(), of_message, why)
        self.common = templates.Known(COMMON, tables, frozenset(), of_message, why)
        self.message = templates.Known(COMMON | of_message, tables, variables.FOREIGN)
        self.asking = templates.Known(self.message.names | {"ref"}, tables, variables.FOREIGN | {"ref"})
        self._base: Values = {
            "secret": settings.secret_values(),
            "settings": dict(settings.settings),
            "callback_token": settings.callback_token.get_secret_value(),
            "callback_url": "",
        }
        callback_url = self.template(("callback_url",), settings.callback_url, Mode.PLAIN, self.own)
        self.callback_url = callback_url({**self._base})
        self._base = {**self._base, "callback_url": self.callback_url}
        self.reference = self.template(("reference",), settings.reference, Mode.PLAIN, self.message)
        self.send = RequestWording(self, ("send",), settings.send, self.message)
        self.status = RequestWording(self, ("status",), settings.status, self.asking) if settings.status else None
        balance = settings.balance
        self.balance = RequestWording(self, ("balance",), balance, self.common) if balance else None
        proof = settings.callback.proof if settings.callback else None
        place = ("callback", "proof")
        self.proof_equals = self.template((*place, "equals"), proof.equals if proof else "", Mode.PLAIN, self.common)
        self.proof_key = self.template((*place, "key"), proof.key if proof else "", Mode.PLAIN, self.common)

    def template(
        self, place: Place, source: str, mode: Mode, known: templates.Known, *, leaf: bool = False
    ) -> Template:
        """A template that was rendered for a message of each kind; an empty one where something is wrong with it."""
        try:
            template = templates.compile(source, mode, known, leaf=leaf)
        except BadTemplate as bad:
            self.problems.setdefault(place, str(bad))
            return templates.literal("")
        try:
            for sample in SAMPLES:
                filled = template(self.values({**sample, **_REF}))
                if mode is Mode.HEADER:
                    _on_one_line(filled)
        except NotOneLine as error:
            self.problems.setdefault(place, str(error))
        except Exception as error:
            # Filters raise whatever Python does of arguments that do not fit. The text of it may hold a secret.
            self.problems.setdefault(place, f"cannot be filled in ({type(error).__name__}): look at the filters")
        if place not in self.problems and not template.names & _OF_MESSAGES:
            return template.settled(self.values({}))
        return template

    def values(self, of_message: Mapping[str, str]) -> Values:
        """What templates see: of a message, and of the settings."""
        return {**self._base, **of_message}

    def constants(self) -> Iterator[str]:
        """Every filled in value that is made of secrets and of nothing else, such as that of a Basic authorization."""
        values = self.values({})
        requests = [request for request in (self.send, self.status, self.balance) if request is not None]
        for template in (template for request in requests for template in request.templates):
            secret = any(name.startswith("secret.") for name in template.names)
            if secret and not template.names & _OF_MESSAGES:
                filled = template(values)
                yield from (filled, filled.partition(" ")[2])


class RequestWording:
    """The templates of one request."""

    def __init__(self, wording: Wording, place: Place, table: Request, known: templates.Known) -> None:
        self._wording = wording
        self._table = table
        #: Those that are filled in for each request.
        self.templates: list[Template] = []
        self._kind = next((kind for kind in _TYPES if getattr(table, kind) is not None), "")
        self.method = table.method or ("POST" if self._kind else "GET")
        each = parse(table.each) if isinstance(table, Send) and table.each else None
        # Outside of `each` a request has no single message to speak of.
        outer = known if each is None else wording.common
        self._url = self._template((*place, "url"), table.url, Mode.URL, outer)
        self._headers = {
            name: self._template((*place, "headers", name), value, Mode.HEADER, outer)
            for name, value in table.headers.items()
        }
        self._query = self._tree((*place, "query"), table.query, outer)
        self._body = self._compiled_body(place, each, outer, known)
        #: Whether a message has a part in the address.
        self.is_addressed = bool(self._url.names & _OF_MESSAGES)
        #: Read once where it is the same for every message.
        self._fixed_url: httpx.URL | None = None
        self._try_out(place)

    def _compiled_body(self, place: Place, each: Path | None, outer: templates.Known, known: templates.Known) -> Any:
        table = self._table
        match self._kind:
            case "json_":
                if each is None:
                    return self._tree((*place, "json"), table.json_, outer)
                item = self._tree((*place, "json", *each, 0), find(table.json_, (*each, 0)), known)
                around = self._tree((*place, "json"), _with(table.json_, each, []), outer)
                return _with(around, each, Each(item))
            case "form":
                return self._tree((*place, "form"), table.form, outer)
            case "xml":
                return self._template((*place, "xml"), table.xml or "", Mode.XML, outer)
            case "text":
                return self._template((*place, "text"), table.text or "", Mode.PLAIN, outer)
        return None

    def _template(
        self, place: Place, source: str, mode: Mode, known: templates.Known, *, leaf: bool = False
    ) -> Template:
        template = self._wording.template(place, source, mode, known, leaf=leaf)
        self.templates.append(template)
        return template

    def _tree(self, place: Place, value: Any, known: templates.Known) -> Any:
        """A body with a template in the place of every text."""
        match value:
            case str():
                return self._template(place, value, Mode.PLAIN, known, leaf=True)
            case dict():
                return {name: self._tree((*place, name), inner, known) for name, inner in value.items()}
            case list():
                return [self._tree((*place, number), inner, known) for number, inner in enumerate(value)]
        return value

    def _try_out(self, place: Place) -> None:
        """Each template is one, and yet there may be no URL or no XML in what comes of them."""
        problems = self._wording.problems
        if any(at[: len(place)] == place for at in problems):
            return
        try:
            url = self.request([{**SAMPLES[0], **_REF}]).url
        except (httpx.InvalidURL, ValueError) as error:
            problems[(*place, "url")] = f"makes no request ({type(error).__name__})"
            return
        if not self._query and not self.is_addressed:
            self._fixed_url = url
        if self._kind == "xml":
            written = str(self._body(self._wording.values({**SAMPLES[0], **_REF})))
            if reading.xml(_DECLARATION.sub("", written).encode()) is None:
                problems[(*place, "xml")] = "what comes of it is no XML document"

    def uses(self, name: str) -> bool:
        return any(name in template.names for template in self.templates)

    def steps_up(self, of_message: Mapping[str, str]) -> bool:
        """Whether "." or ".." is a part of the address's path, however it is encoded."""
        path = re.split("[?#]", self._url(self._wording.values(of_message)), maxsplit=1)[0]
        # Some servers take what is encoded, and the other slash, for the plain one.
        return not {".", ".."}.isdisjoint(re.split(r"[/\\]", unquote(path)))

    def request(self, of_messages: Sequence[Mapping[str, str]]) -> httpx.Request:
        """The request for all of them; one that has no `each` is for a single message."""
        several = [self._wording.values(one) for one in of_messages]
        values = several[0]
        headers = {"content-type": self._content_type()} if self._kind else {}
        headers |= {name: _on_one_line(template(values)) for name, template in self._headers.items()}
        url = self._fixed_url or self._address(values, several)
        return httpx.Request(self.method, url, headers=headers, content=self._content(values, several))

    def _address(self, values: Values, several: Sequence[Values]) -> str:
        url = self._url(values)
        pairs = list(_pairs(_filled(self._query, values, several)))
        if not pairs:
            return url
        return url + ("&" if "?" in url else "?") + urlencode(pairs, encoding=self._table.charset, errors="replace")

    def _content(self, values: Values, several: Sequence[Values]) -> bytes:
        charset = self._table.charset
        match self._kind:
            case "json_":
                return msgspec.json.encode(_filled(self._body, values, several))
            case "form":
                pairs = list(_pairs(_filled(self._body, values, several)))
                return urlencode(pairs, encoding=charset, errors="replace").encode()
            case "xml":
                return str(self._body(values)).encode(charset, "xmlcharrefreplace")
            case "text":
                return str(self._body(values)).encode(charset, "replace")
        return b""

    def _content_type(self) -> str:
        return _TYPES[self._kind] if self._kind == "json_" else f"{_TYPES[self._kind]}; charset={self._table.charset}"


def _with(body: Any, place: Path, inner: Any) -> Any:
    """The body with something else at a place; unchanged where there is no such place."""
    if not place:
        return inner
    if not isinstance(body, dict) or place[0] not in body:
        return body
    return {**body, place[0]: _with(body[place[0]], place[1:], inner)}


def _filled(tree: Any, values: Values, several: Sequence[Values]) -> Any:
    """A body with every template filled in; leaves that are left out are gone."""
    match tree:
        case Template():
            return tree.value(values)
        case Each(item=item):
            return [_filled(item, one, [one]) for one in several]
        case dict():
            filled = ((name, _filled(inner, values, several)) for name, inner in tree.items())
            return {name: inner for name, inner in filled if inner is not OMITTED}
        case list():
            return [one for inner in tree if (one := _filled(inner, values, several)) is not OMITTED]
    return tree


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            yield name, _written(one)


def _written(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
    return str(value)


def _on_one_line(value: str) -> str:
    """A header's value. The templates are held to it already; here nothing gets past that they might have missed."""
    if not (value.isascii() and value.isprintable()):
        raise NotOneLine("a header is one line of ASCII characters")
    return value
