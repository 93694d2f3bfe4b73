"""The tables of `[providers.NAME]` for `adapter = "http"`: one class a table, as in `config.tables`.

What can be told from one value is checked here. Templates, and what takes more than one value, are checked by
`wording` and `rules` as soon as all of it can be read, so that a mistake has the name of its table and key like every
other.
"""

from __future__ import annotations

import codecs
import re
from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, SecretStr

from ...config import Table
from ...config.tables import Switch, Whole
from ...model import Kind
from . import documents


def _path(value: str) -> str:
    if value:
        documents.parse(value)
    return value


def _status(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"[1-5]xx", value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return str(value)
    raise ValueError('expected an HTTP status such as 429, or "5xx" for all that begin with a 5')


def _word(value: object) -> object:
    """Numbers and truths of a document are compared as text."""
    if isinstance(value, bool | int | str):
        return documents.text(value)
    raise ValueError("expected a text, a number, true or false")


def _words(value: object) -> object:
    """One, or a list of them."""
    return value if isinstance(value, list | tuple) else [value]


def _url(value: str) -> str:
    """Nothing of a message may choose the host."""
    if not re.match(r"https?://[^/\s{?#@]+(/|$|\?)", value):
        raise ValueError("expected an address that begins with http:// or https:// and a host without templates")
    return value


def _table_or_list(value: JsonValue) -> JsonValue:
    if not isinstance(value, dict | list):
        raise ValueError("expected a table or a list")
    return value


def _charset(value: str) -> str:
    try:
        "1".encode(codecs.lookup(value).name)
    except (LookupError, UnicodeError):
        raise ValueError('expected the name of a character set such as "utf-8" or "windows-1251"') from None
    return value


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        raise ValueError("expected the name of a header")
    return value.lower()


PathText = Annotated[str, AfterValidator(_path)]
Status = Annotated[str, BeforeValidator(_status)]
Word = Annotated[str, BeforeValidator(_word)]
Paths = Annotated[tuple[PathText, ...], BeforeValidator(_words)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_words)]
Url = Annotated[str, AfterValidator(_url)]
Charset = Annotated[str, AfterValidator(_charset)]
HeaderName = Annotated[str, AfterValidator(_header)]
#: What a message may end as, or be on its way.
State = Literal[
    "ENROUTE", "ACCEPTED", "DELIVERED", "EXPIRED", "DELETED", "UNDELIVERABLE", "REJECTED", "UNKNOWN"
]  # fmt: skip
Err = Annotated[Whole, Ge(0), Le(999)]


class Condition(Table):
    """What an answer or a callback looks like; everything that is there has to fit."""

    #: HTTP statuses, any of them: 429, "5xx".
    status: tuple[Status, ...] = ()
    #: Path → the texts that may stand there. "abc*" is a beginning, "*" anything at all, "" nothing.
    where: dict[PathText, Words] = Field(default={})


class Error(Condition):
    """[[providers.NAME.answer.errors]]: what an error means; the first one that fits decides."""

    #: refused: no provider would take this message. unable: this provider does not, another may. everything: it takes
    #: nothing from us now. temporary: certainly not processed, later it may go through. doubt: it may have been sent.
    outcome: Literal["refused", "unable", "everything", "temporary", "doubt"]
    #: The `err` of the receipt; 0: what `err` of the answer tells.
    err: Err = 0


class Request(Table):
    """An HTTP request. At most one of json, form, xml and text is its body."""

    #: Empty: POST with a body, GET without.
    method: Literal["", "GET", "POST", "PUT", "PATCH"] = ""
    #: Template; what is filled in is percent-encoded. The host stands as it is.
    url: Url
    #: Templates by name.
    headers: dict[HeaderName, str] = Field(default={})
    #: Templates by name, appended to the URL. A list repeats the name.
    query: dict[str, JsonValue] = Field(default={})
    #: A table or a list, whose texts are templates.
    json_: Annotated[JsonValue, AfterValidator(_table_or_list)] = Field(default=None, alias="json")
    #: Templates by name. A list repeats the name.
    form: dict[str, JsonValue] | None = None
    #: A template; what is filled in is escaped.
    xml: str | None = None
    #: A template.
    text: str | None = None
    #: Of the query, a form, XML and text.
    charset: Charset = "utf-8"


class Send(Request):
    """[providers.NAME.send]: the request that sends a message."""

    #: Path of a list in json whose one item is written for each message: several messages ride in one request.
    each: PathText = ""
    #: How many at most.
    most: Annotated[Whole, Field(ge=1, le=1000)] = 100


class Reading(Table):
    """How a document is read, and where in it stands what it tells of a message."""

    #: What it is written in.
    format: documents.Format = "json"
    #: Of text: what stands between the fields; empty: all of it is one.
    separator: str = ""
    #: Of form, query and text.
    charset: Charset = "utf-8"
    #: Path of a list with one item a message: then every other path begins at the item.
    each: PathText = ""
    #: Path of the provider's word for the state; `states` says what it means.
    state: PathText = ""
    #: Path of its error code; `errs` says which `err` of the receipt it is.
    err: PathText = ""
    #: Path of its sentence about an error, for the time-line; of several the first that leads to one.
    reason: Paths = ()
    #: Path of the price: a decimal. A minus before it does not count.
    cost: PathText = ""
    #: Path of how many short messages it took.
    parts: PathText = ""
    #: Path of when it happened: seconds or milliseconds since 1970, ISO 8601, RFC 2822.
    at: PathText = ""
    #: Path of the channel that delivered.
    channel: PathText = ""


class Answer(Reading):
    """[providers.NAME.answer]: what the answer to `send` means."""

    #: What an answer looks like when the message was taken.
    success: Condition = Condition(status=("2xx",))
    #: Path of the provider's id of the message.
    id: PathText = ""
    #: With `each`: path, in an item, of our `reference`, by which items belong to messages …
    match: PathText = ""
    #: … or: the provider promises that items come in the order of the messages.
    in_order: Switch = False
    #: What errors mean: tables `[[providers.NAME.answer.errors]]`; the first one that fits decides.
    errors: tuple[Error, ...] = ()


class StatusQuestion(Request):
    """[providers.NAME.status]: the request that asks what became of a message. The variable `ref` is its id."""


class StatusAnswer(Reading):
    """[providers.NAME.status_answer]: what the answer to it means."""

    #: What an answer looks like that tells a state.
    success: Condition = Condition(status=("2xx",))
    #: With `each`: path, in an item, of the provider's id; the item with that of the message counts.
    match: PathText = ""
    #: What an answer looks like by which the provider certainly says that it never had the message. **A message in
    #: doubt is then sent again.**
    not_found: Condition | None = None


class BalanceQuestion(Request):
    """[providers.NAME.balance]: the cheapest request that proves login and reachability."""

    #: What the answer is written in.
    format: documents.Format = "json"
    #: Paths of what is shown, in their order: the amount, the currency.
    value: Annotated[Paths, Field(min_length=1)]
    #: What an answer looks like that tells it.
    success: Condition = Condition(status=("2xx",))


class Proof(Table):
    """How a callback proves that it comes from the provider: a header that nobody else can write."""

    #: Its name.
    header: HeaderName
    #: A template that it equals: a password, a key …
    equals: str = Field(default="", repr=False)
    #: … or it is a signature.
    hmac: Literal["", "sha1", "sha256", "sha512"] = ""
    #: Template of the key of the signature.
    key: str = Field(default="", repr=False)
    #: What is signed, one after the other: "body", "url" (`callback_url` with path and query), "query",
    #: "sorted_form" (names and values of the form, sorted by name), "header:NAME", "text:…".
    over: tuple[str, ...] = ("body",)
    #: How the signature is written.
    written: Literal["hex", "base64"] = "hex"
    #: What stands before the signature in the header, such as "sha256=".
    prefix: str = ""


class CallbackTable(Reading):
    """[providers.NAME.callback]: what the provider tells of its own accord."""

    #: The header that proves where it comes from.
    proof: Proof | None = None
    #: Believe whoever knows the address.
    unsigned: Switch = False
    #: Which ones tell a state; empty: all that are neither incoming messages nor ignored.
    when: Condition = Condition()
    #: Path of the id of the message.
    ref: PathText = Field(min_length=1)
    #: Which ones say nothing that we need: they are answered like the others.
    ignore: tuple[Condition, ...] = ()
    #: What we answer once it is kept.
    answer: str = "OK"
    #: The content type of that.
    answer_type: str = Field(default="text/plain; charset=utf-8", pattern=r"^[\x20-\x7e]+$")


class IncomingTable(Table):
    """[providers.NAME.incoming]: which callbacks are messages of subscribers."""

    #: Which callbacks are messages.
    when: Condition
    #: Path of its id: the same id again is the same message.
    ref: PathText = Field(min_length=1)
    #: Path of the subscriber's number.
    from_: PathText = Field(min_length=1, alias="from")
    #: Path of the number that it was sent to.
    to: PathText = Field(min_length=1)
    text: PathText = Field(min_length=1)
    #: Path of when it came.
    at: PathText = ""


class HttpSettings(Table):
    #: Which kinds of messages the request is good for. As for every provider, but it has to be said.
    kinds: frozenset[Kind] = frozenset()
    #: As for every provider; what it needs of these tables is checked.
    when_in_doubt: Literal["", "repeat", "ask", "wait", "give_up"] = ""
    #: As for every provider; templates may use it.
    callback_token: SecretStr = SecretStr("")
    #: Texts that templates use as `{{ secret.NAME }}`; never shown.
    secret: dict[str, SecretStr] = Field(default={})
    #: Texts that templates use as `{{ settings.NAME }}`.
    settings: dict[str, str] = Field(default={})
    #: Template of what the provider is to know a message by, where we may choose; it has `id` in it.
    reference: str = ""
    #: Template of the address of our callbacks, for requests and signatures.
    callback_url: str = Field(default="", repr=False)
    #: The request that sends …
    send: Send
    #: … and what the answer to it means.
    answer: Answer = Answer()
    #: The request that asks what became of a message …
    status: StatusQuestion | None = None
    #: … and what the answer to it means.
    status_answer: StatusAnswer | None = None
    #: The cheapest request that proves login and reachability.
    balance: BalanceQuestion | None = None
    #: What the provider tells of its own accord.
    callback: CallbackTable | None = None
    #: Which callbacks are messages of subscribers.
    incoming: IncomingTable | None = None
    #: The provider's words for states → states of SMPP. What is not here is UNKNOWN.
    states: dict[str, State] = Field(default={})
    #: The provider's error codes → `err` of receipts, 0 to 999. What is not here is the code itself, or 99.
    errs: dict[str, Err] = Field(default={})

    def secret_values(self) -> dict[str, str]:
        return {name: value.get_secret_value() for name, value in self.secret.items()}
