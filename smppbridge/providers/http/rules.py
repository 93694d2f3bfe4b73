"""What has to fit together in the tables of `adapter = "http"`: the rules that take more than one value.

Each rule is one function; all that it finds has a place, so that `smppbridge check-config` names table and key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from ...config.secrets import Place, secret_texts
from . import documents
from .settings import Condition, HttpSettings, Reading, Request
from .wording import Wording

Found: TypeAlias = Iterator[tuple[Place, str]]

_BODIES = {"json_": "json", "form": "form", "xml": "xml", "text": "text"}
_OF_THE_WIRE = {"connection", "content-length", "host", "transfer-encoding"}
_SIGNED = ("body", "url", "query", "sorted_form")
#: What has to be among it, so that nobody writes something else under a signature that he has seen.
_COVERS = {"query": ("query", "url"), "form": ("body", "sorted_form")}


class RuledSettings(HttpSettings):
    """The settings, held to the rules."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> RuledSettings:
        """Raises ValidationError, which names every mistake by its place."""
        settings = super().model_validate(obj, **options)
        if found := problems(settings):
            details = [
                InitErrorDetails(type="value_error", loc=place, input=None, ctx={"error": ValueError(said)})
                for place, said in found.items()
            ]
            raise ValidationError.from_exception_data(cls.__name__, details, hide_input=True)
        return settings


def problems(settings: HttpSettings) -> dict[Place, str]:
    """Everything that is wrong, one sentence a place."""
    wording = Wording(settings)
    found = dict(wording.problems)
    for rule in (_kinds, _requests, _batch, _names, _answer, _status, _callback, _incoming, _states, _conditions):
        for place, said in rule(settings, wording):
            found.setdefault(place, said)
    for place, said in _doubt(settings, wording):
        found.setdefault(place, said)
    return found


def _kinds(settings: HttpSettings, _: Wording) -> Found:
    if not settings.kinds:
        yield ("kinds",), 'is missing: expected the kinds that the request is good for, such as ["sms"]'


def _requests(settings: HttpSettings, _: Wording) -> Found:
    for name, table in (("send", settings.send), ("status", settings.status), ("balance", settings.balance)):
        if table is not None:
            yield from _request((name,), table)


def _request(place: Place, table: Request) -> Found:
    bodies = [key for attribute, key in _BODIES.items() if getattr(table, attribute) is not None]
    if len(bodies) > 1:
        yield (*place, bodies[1]), f"stands beside {bodies[0]}: a request has one body"
    if bodies and table.method == "GET":
        yield (*place, "method"), f"a GET has no body: say POST, or put what stands in {bodies[0]} into query"
    for name in sorted(_OF_THE_WIRE & table.headers.keys()):
        yield (*place, "headers", name), "belongs to the connection, which sees to it"
    for key, fields in (("query", table.query), ("form", table.form or {})):
        for name, value in fields.items():
            inner = value if isinstance(value, list) else [value]
            if any(isinstance(one, dict | list) for one in inner):
                yield (*place, key, name), "expected a text, a number, true, false or a list of them"
    written = {"headers": table.headers, "query": table.query, "form": table.form, "json": table.json_}
    for within, named in _tables(written, place):
        for at, value in secret_texts(named):
            if value and "{{" not in value:
                yield (
                    (*within, *at),
                    'looks like a secret: keep it in [providers.NAME.secret] and say "{{ secret.KEY }}" here; what is '
                    "none may stand in [providers.NAME.settings]",
                )


def _tables(value: Any, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every table in a value, however deep, with its place."""
    if isinstance(value, dict):
        yield place, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for at, inner in items:
        yield from _tables(inner, (*place, at))


def _batch(settings: HttpSettings, _: Wording) -> Found:
    send, answer = settings.send, settings.answer
    if not send.each:
        return
    found = documents.find(send.json_ or {}, documents.parse(send.each))
    steps = documents.parse(send.each)
    if any(isinstance(step, int) for step in steps) or not isinstance(found, list) or len(found) != 1:
        yield ("send", "each"), "expected the path of a list in json that has one item, the one for each message"
    if not answer.each:
        yield ("answer", "each"), "is missing: expected the path of the list with an item for each message"
    elif answer.match and not settings.reference:
        yield ("answer", "match"), "finds items by our reference: expected reference beside it"
    elif not answer.match and not answer.in_order:
        yield (
            ("answer", "match"),
            "is missing: expected the path of our reference in an item, or in_order = true if the provider promises "
            "the order of the messages",
        )


def _names(settings: HttpSettings, wording: Wording) -> Found:
    for table, names in (("secret", settings.secret), ("settings", settings.settings)):
        for name in names:
            if not name.isidentifier():
                yield (table, name), "expected a name of letters, digits and _, as templates can use it"
    for name, value in settings.secret_values().items():
        if not value:
            yield ("secret", name), "expected a text that is not empty"
    if settings.reference and "id" not in wording.reference.names:
        yield ("reference",), "expected a template with id in it: a reference belongs to one message alone"
    url = wording.callback_url
    if (
        settings.callback_url
        and ("callback_url",) not in wording.problems
        and not url.startswith(("http://", "https://"))
    ):
        yield ("callback_url",), "expected an address that begins with http:// or https://"


def _answer(settings: HttpSettings, _: Wording) -> Found:
    if not settings.answer.id and not settings.reference:
        yield (
            ("answer", "id"),
            'is missing: expected the path of the provider\'s id, such as "$.id", or reference, if it knows messages '
            "by an id of ours",
        )
    if settings.answer.id and settings.reference:
        yield ("answer", "id"), "stands beside reference: the provider knows a message by the one or by the other"
    if settings.reference and not settings.answer.success.where:
        yield (
            ("answer", "success", "where"),
            "is missing: with reference no id proves that a message was taken, so something else in the answer has to",
        )


def _status(settings: HttpSettings, _: Wording) -> Found:
    answer = settings.status_answer
    if settings.status is not None and answer is None:
        yield ("status_answer",), "is missing: expected what the answer to [status] means"
    if answer is None:
        return
    if settings.status is None:
        yield ("status",), "is missing: expected the request whose answer [status_answer] reads"
    if answer.each and not answer.match:
        yield ("status_answer", "match"), "is missing: expected the path, in an item, of the id that was asked for"
    if not answer.state:
        yield ("status_answer", "state"), "is missing: expected the path of the provider's word for the state"
    if answer.not_found is not None and not answer.not_found.where:
        yield (
            ("status_answer", "not_found"),
            "an HTTP status alone may come from anything on the way, and the message is sent again: expected where",
        )


def _callback(settings: HttpSettings, _: Wording) -> Found:
    callback = settings.callback
    if callback is None:
        return
    if not settings.callback_token.get_secret_value():
        yield ("callback_token",), "is missing: nobody can call back without one"
    if not callback.state:
        yield ("callback", "state"), "is missing: expected the path of the provider's word for the state"
    proof = callback.proof
    if proof is None:
        if not callback.unsigned:
            yield (
                ("callback", "proof"),
                "is missing: expected the header that proves where a callback comes from, or unsigned = true to "
                "believe whoever knows the address",
            )
        return
    if callback.unsigned:
        yield ("callback", "unsigned"), "stands beside proof: keep one of them"
    if bool(proof.equals) == bool(proof.hmac):
        yield ("callback", "proof"), "expected equals, or hmac with key"
    if proof.hmac and not proof.key:
        yield ("callback", "proof", "key"), "is missing: expected the template of the key"
    for number, part in enumerate(proof.over):
        if part not in _SIGNED and not part.startswith(("header:", "text:")):
            yield (
                ("callback", "proof", "over", number),
                'expected "body", "url", "query", "sorted_form", "header:NAME" or "text:…"',
            )
        if part == "url" and not settings.callback_url:
            yield ("callback_url",), "is missing: the signature covers the address that the provider was told"
    covers = _COVERS.get(callback.format, ("body",))
    if proof.hmac and not set(covers) & set(proof.over):
        needed = " or ".join(f'"{one}"' for one in covers)
        yield (
            ("callback", "proof", "over"),
            f'the signature does not cover what is read: expected {needed} in it, with format = "{callback.format}"',
        )


def _incoming(settings: HttpSettings, _: Wording) -> Found:
    if settings.incoming is None:
        return
    if settings.callback is None:
        yield ("callback",), "is missing: expected how callbacks are proved and read"
    if not settings.incoming.when.where:
        yield ("incoming", "when", "where"), "is missing: expected what tells an incoming message from a state"


def _states(settings: HttpSettings, _: Wording) -> Found:
    tables: tuple[Reading | None, ...] = (settings.answer, settings.status_answer, settings.callback)
    if not settings.states and any(table is not None and table.state for table in tables):
        yield ("states",), 'is missing: expected what the provider\'s words mean, such as delivered = "DELIVERED"'


def _conditions(settings: HttpSettings, _: Wording) -> Found:
    for number, error in enumerate(settings.answer.errors):
        if not error.status and not error.where:
            yield ("answer", "errors", number), "fits every answer: expected status or where"
    ignore: tuple[Condition, ...] = settings.callback.ignore if settings.callback else ()
    for number, one in enumerate(ignore):
        if not one.where:
            yield ("callback", "ignore", number), "fits every callback: expected where"


def _doubt(settings: HttpSettings, wording: Wording) -> Found:
    place = ("when_in_doubt",)
    match settings.when_in_doubt:
        case "repeat" if not wording.send.uses("id"):
            yield place, "send never says id, by which the provider could recognise a repetition: it would do it twice"
        case "ask" if settings.status is None:
            yield place, "there is no [status] to ask with"
        case "ask" | "wait" if not settings.reference:
            yield place, "without reference nobody knows the provider's id of a message whose answer was lost"
        case "wait" if settings.callback is None:
            yield place, "there is no [callback] to wait for"
