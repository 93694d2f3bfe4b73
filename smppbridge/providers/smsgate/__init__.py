"""The platform for cascades of Viber, VKontakte, WhatsApp and SMS that many operators run under names of their own
(smsgate CascadingDoc): `sendmessagejson.php`, `xml/message.php` with `xml/state_message.php`, or `sendmessage.php`.

The operator says by `door` which of the three is taken, and by `channels` which channels a message of each kind is
tried by: `viber = ["viber", "sms"]` sends `__VIBER__: …` by Viber and, where that does not deliver, as SMS. The cascade
runs on the platform; which channel delivered, the price and the parts come back with the status.

**What a message is known by.** The JSON and XML doors take our number (`client_id_message`) for each recipient, and
answer with an id of the platform (`id_message`). Statuses can be asked for by the platform's id only.

**In doubt, JSON and XML repeat.** The platform sends nothing a second time under a number that it has had, whatever
request it stands in, so a repetition costs nothing and may come in other company. What it answers then is not
documented. With an id all is well. "Already sent" without an id says that the first request arrived: the message counts
as sent, under our own number; nobody can be asked what became of it, so it ends as UNKNOWN after validity and grace.
For this the numbers of one account must come from one gateway, or from gateways with different `node`s.

**In doubt, GET gives up.** That door knows no number of ours. A message in doubt ends as UNKNOWN and is not sent again.

What can go wrong: login, password or account are not accepted, or the SMS have run out: the provider is left alone for
`breaker_pause`. A message for which money is short stays on the platform and goes out once the account is paid; until
then it is in doubt. The GET door refuses what is identical within a minute, and has the password in its addresses
unless there is a token. Statuses are asked for: the platform calls nobody back about a cascade. A flash SMS goes as an
ordinary one. `validity_period_…` ends the legs by Viber and WhatsApp; a leg by SMS or VK has no end that could be told.

Callbacks bring messages from subscribers. Nothing is signed: keep `callback_token` to yourself, and set
`callback_networks`. Ask the platform's manager for the asynchronous mode, or the subscriber gets our answer as an SMS.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

import httpx

from ...model import Kind, Message, Millis, StatusReport, text_of
from .. import reading
from ..base import Callback, NotFound, Outcome, Provider, Refused, Reply, Unable, WhenInDoubt
from . import incoming
from .answers import WRONG_NUMBER, ours, refuses_everything, report
from .doors import Door, Get, Json, Xml
from .settings import SmsgateSettings
from .wording import LONGEST_NUMBER, LONGEST_TEXT, phone

_DOORS: Mapping[str, type[Json | Xml | Get]] = {"json": Json, "xml": Xml, "get": Get}


class Smsgate(Provider[SmsgateSettings]):
    """See the head of the module."""

    Settings = SmsgateSettings
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.VIBER, Kind.SOCIAL})
    when_in_doubt = WhenInDoubt.REPEAT
    #: How many are taken at once is not documented; a hundred keeps a lost answer small.
    batch = 100
    ask_batch = 100

    def __init__(self, name: str, settings: SmsgateSettings) -> None:
        super().__init__(name, settings)
        self._door: Door = _DOORS[settings.door](settings)
        if settings.door == "get":
            self.when_in_doubt = WhenInDoubt.GIVE_UP
            self.batch = self.ask_batch = 1
        # The class says what is possible, this one provider carries what has channels.
        self.kinds = frozenset(kind for kind in self.kinds if settings.channels.of(kind))  # type: ignore[misc]

    # Sending

    def rides_with(self, message: Message) -> Hashable:
        # What differs is written as another `message` of the same request.
        return 0

    def reference(self, message: Message) -> str:
        return "" if self.settings.door == "get" else ours(message)

    def objection(self, message: Message) -> Refused | Unable | None:
        if not 1 <= len(phone(message)) <= LONGEST_NUMBER:
            return Refused(reason=f"the number has not 1 to {LONGEST_NUMBER} digits", err=WRONG_NUMBER)
        length = len(text_of(message.command))
        for channel in self.settings.channels.of(message.kind):
            if length > LONGEST_TEXT.get(channel, length):
                return Unable(reason=f"{length} characters are too many for {channel}")
        return None

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        return self._door.send(messages)

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[Outcome]:
        outcomes = self._door.sent(messages, response)
        return [outcomes[message.id] for message in messages]

    # Asking

    def ask(self, messages: Sequence[Message]) -> httpx.Request:
        # One whose id is not known is asked for by ours, in vain: a request has to name something.
        return self._door.ask([message.progress.ref or self.reference(message) for message in messages])

    def asked(self, messages: Sequence[Message], response: httpx.Response) -> Sequence[StatusReport | NotFound | None]:
        states = self._door.states([message.progress.ref for message in messages], response)
        return [self._report(message, states) for message in messages]

    def _report(self, message: Message, states: Mapping[str, Mapping[str, object]]) -> StatusReport | NotFound | None:
        ref = message.progress.ref
        if not ref or ref == self.reference(message) or ref not in states:
            # By our own number the platform knows nothing: that it says so does not mean that nothing was sent.
            return None
        return report(states[ref], ref, self.settings.channels.of(message.kind))

    # Balance

    def balance(self) -> httpx.Request:
        return self._door.balance()

    def balance_read(self, response: httpx.Response) -> str:
        # The page belongs to the documents for plain SMS. A host that does not have it, or does not have it for this
        # account, is there all the same: only what would meet every message, too, speaks against it.
        error = self._door.error(response)
        if refuses_everything(error) or response.status_code in (401, 403):
            raise ValueError(f"HTTP {response.status_code}: {reading.cut(error)}")
        return self._door.balance_told(response)

    # Callbacks

    def callback(self, callback: Callback, now: Millis) -> Reply:
        return incoming.read(self.name, callback)
