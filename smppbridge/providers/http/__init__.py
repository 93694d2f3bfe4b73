"""Any other HTTP API, without code: request, answer, states and callbacks are told in the configuration file.

`docs/providers/http.md` is the tutorial and the reference; `conf/http-twilio.toml` and `conf/http-infobip.toml` are
two services whole. What is told there is one table a station: `send` → `answer`, `status` → `status_answer`,
`balance`, `callback` and `incoming`; the words of the provider become states in `states` and `errs`.

| module | does |
|---|---|
| `settings` | the tables, and what can be said of one value |
| `rules` | what takes more than one value |
| `templates` | `{{ name \\| filter }}`, cut down to what cannot do harm |
| `variables`, `samples` | what templates see of a message; messages to try them with |
| `wording` | messages → requests |
| `documents`, `conditions` | JSON, XML, forms and text as values, paths into them |
| `answers`, `callbacks` | what comes back → outcomes, states, incoming messages |

**In doubt** a message ends as UNKNOWN (`give_up`): of an API that nobody has read for us nothing better is safe. The
operator may choose `repeat` where the request carries our `id` and the provider does nothing the second time, `ask`
and `wait` where it knows messages by a `reference` of ours; the rules hold him to that.

What can go wrong: a word that `states` does not have is UNKNOWN with the word on the time-line; an error that no rule
has is what its HTTP status tells, and in doubt where that may mean anything.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar

import httpx

from ...model import Kind, Message, Millis, StatusReport
from ..base import BadCallback, Callback, NotFound, Outcome, Provider, Reply, Unable
from . import answers, variables
from .answers import Answers, StatusAnswers
from .callbacks import Callbacks
from .rules import RuledSettings
from .wording import Wording

#: `err` of a receipt, from the smsc list: this provider has no way for it.
NO_ROUTE = 248


class Http(Provider[RuledSettings]):
    """See the head of the module."""

    Settings = RuledSettings
    #: `kinds` of the provider's table says which; the rules ask for it.
    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    #: What `[status]` makes possible; `__init__` takes it back where there is none.
    ask_batch = 1

    def __init__(self, name: str, settings: RuledSettings) -> None:
        super().__init__(name, settings)
        self._wording = Wording(settings)
        self._answers = Answers(settings)
        self._status_answers = StatusAnswers(settings) if settings.status_answer else None
        self._callbacks = Callbacks(name, settings, self._wording) if settings.callback else None
        self.batch = settings.send.most if settings.send.each else 1
        self.ask_batch = 1 if settings.status else 0

    # Sending

    def rides_with(self, message: Message) -> Hashable:
        # Outside of `each`, which is written for every message, a request says nothing of any.
        return 0 if self.settings.send.each else message.id

    def reference(self, message: Message) -> str:
        if not self.settings.reference:
            return ""
        return self._wording.reference(self._wording.values(variables.of(message)))

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        return self._wording.send.request([variables.of(message) for message in messages])

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        return self._answers.outcomes([self.reference(message) for message in messages], response)

    def objection(self, message: Message) -> Unable | None:
        """A charset that cannot write the text would send question marks, which cost as much as letters. An address
        with a step up its path would be another one of the provider's, wherever it is decoded first."""
        send, wording = self.settings.send, self._wording.send
        narrow = send.json_ is None and send.xml is None
        if not narrow and not wording.is_addressed:
            return None
        values = variables.of(message)
        try:
            values["text"].encode(send.charset if narrow else "utf-8")
        except UnicodeEncodeError:
            return Unable(reason=f"the text has characters that {send.charset} has not", err=NO_ROUTE)
        if wording.is_addressed and wording.steps_up(values):
            return Unable(reason='it would make "." or ".." of a part of the address', err=NO_ROUTE)
        return None

    # Asking

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        if self._wording.status is None:
            return super().ask(messages)
        (message,) = messages
        return self._wording.status.request([{**variables.of(message), "ref": self._known_by(message)}])

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        if self._status_answers is None:
            return super().asked(messages, response)
        return [self._status_answers.answer(self._known_by(message), response) for message in messages]

    def _known_by(self, message: Message) -> str:
        # In doubt no answer has told an id; then it is asked only where we chose it.
        return message.progress.ref or self.reference(message)

    # Balance

    def balance(self) -> httpx.Request | None:
        return self._wording.balance.request([{}]) if self._wording.balance else None

    def balance_read(self, response: httpx.Response) -> str:
        table = self.settings.balance
        if table is None:
            return super().balance_read(response)
        return answers.balance(table, response)

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        if self._callbacks is None:
            raise BadCallback("this provider has no callback", 404)
        return self._callbacks.read(callback)

    # Secrets

    def secrets(self) -> Sequence[str]:
        own = [*self.settings.secret_values().values(), self.settings.callback_token.get_secret_value()]
        return tuple(value for value in dict.fromkeys((*own, *self._wording.constants())) if value)
