"""An account while the gateway runs: what is counted for it, and its settings in the form the hot path wants them.

Its limits are asked in two steps. `admit`, before anything is read: being stored, waiting, rates and quotas, the same
for every message. `judge`, once it is known what the message is: kinds, destinations, senders, and floods to one
subscriber. A refusal names its limit with the number and says when there is room again, where that is known. What was
let in and is refused for another reason afterwards (its text, its route, a duplicate, the store) is given back to the
quotas and to the flood limit, though not to `throughput`: see `limits`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NoReturn, Protocol

from pdu import Alphabet, BadHeader, CommandStatus, SubmitSm, segment_of

from ..commands import reader_for
from ..config import AccountConfig, Patterns
from ..model import Kind, Millis, Notify, bare
from .limits import Flood, Rates, Sets, lasting
from .mending import mender_for
from .refusal import Refusal

# By this name because looking a member up in its enum costs more than what is done with it on the hot path.
_BY_SMPP = Notify.SMPP

#: Values of one setting that a reason names; all of them would fill the parameter that it stands in.
_NAMED = 3


class Waiting(Protocol):
    """What an account asks the store, where its waiting messages are limited."""

    def unsent_of(self, account: str) -> int: ...


class AccountState:
    """What is counted for an account while the gateway runs, and its settings in the form the hot path wants them."""

    __slots__ = (
        "_destinations",
        "_kinds",
        "_rated",
        "_senders",
        "_store",
        "accepted",
        "alphabet",
        "config",
        "conventions",
        "duplicate_status",
        "flood",
        "flood_status",
        "limited",
        "max_pending",
        "max_schedule",
        "max_validity",
        "max_waiting",
        "mend",
        "name",
        "pending",
        "picky",
        "rates",
        "read",
        "read_id",
        "refused",
        "resent",
        "sets",
        "silent",
        "submit_window",
        "validity",
        "window",
        "write_id",
    )

    def __init__(self, name: str, config: AccountConfig, store: Waiting) -> None:
        self.name = name
        self._store = store
        self.pending = 0
        self.accepted = 0
        self.resent = 0
        #: Answered with an error, by the status; and those of them that met a limit, by its key in the settings.
        self.refused: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.rates = Rates()
        self.flood: Flood | None = None
        self.sets: Sets | None = None
        self.apply(config)

    def apply(self, config: AccountConfig) -> None:
        """Take new settings (a reload) without forgetting what was counted."""
        self.config = config
        self.alphabet = Alphabet(config.alphabet)
        self.conventions = config.conventions
        self.duplicate_status = CommandStatus[config.duplicate_status]
        self.max_pending = config.max_pending
        self.max_waiting = config.max_waiting
        self.submit_window = config.submit_window
        self._limit(config)
        # In milliseconds
        self.window = int(config.duplicate_window * 1000)
        self.validity = int(config.default_validity * 1000)
        self.max_validity = int(config.max_validity * 1000)
        self.max_schedule = int(config.max_schedule * 1000)
        #: Who hears of a message whose registered_delivery is not set (smsc.ru, SMPP statuses).
        self.silent = Notify.HTTP if config.handler else Notify.NOBODY
        #: A message id as responses tell it to this client; `str` itself, unless its dialect says otherwise.
        self.write_id = config.dialect.write_response_id
        #: What it gives back as a message_id; None: no id of ours.
        self.read_id = config.dialect.read_id
        #: Puts a PDU of this client as SMPP has it; None: it needs no mending. And what it says, as a command.
        self.mend = mender_for(config.dialect)
        self.read = reader_for(config.dialect)

    def _limit(self, config: AccountConfig) -> None:
        """Limits in the form in which one that is off costs nothing; what was counted under the old ones stays."""
        self.rates.apply(
            config.throughput,
            config.burst,
            per_minute=config.per_minute,
            per_hour=config.per_hour,
            per_day=config.per_day,
        )
        self._rated = bool(self.rates)
        if not self._rated or config.parts_count == "each":
            self.sets = None
        elif self.sets is None:
            self.sets = Sets()
        self._destinations = Patterns(config.destinations)
        self._senders = Patterns(config.senders)
        self._kinds = config.kinds
        if not config.flood_messages:
            self.flood = None
        else:
            if self.flood is None:
                self.flood = Flood(0, 0)
            self.flood.most, self.flood.gap = config.flood_messages, int(config.flood_gap * 1000)
        self.flood_status = CommandStatus[config.flood_status]
        #: Whether `judge` has anything to say.
        self.picky = bool(self._destinations or self._senders or self._kinds or config.flood_messages)

    def admit(self, now: Millis, count: int = 1) -> None:
        """Whether so many more may be taken from this client now, whatever they say; all of them or none. They count
        in every rate then, and in no rate if one is in the way. Raises Refusal."""
        if self.pending + (count or 1) > self.max_pending:
            self.over(
                "max_pending", CommandStatus.ESME_RMSGQFUL, f"{self.max_pending} messages of yours are being stored"
            )
        if self.max_waiting and self._store.unsent_of(self.name) + self.pending + count > self.max_waiting:
            reason = f"{self.max_waiting} messages of yours wait for a provider"
            self.over("max_waiting", CommandStatus.ESME_RMSGQFUL, reason)
        if self._rated and count and (exceeded := self.rates.take(now, count)):
            self.over(exceeded.limit, CommandStatus.ESME_RTHROTTLED, exceeded.reason)

    def admit_once(self, pdu: SubmitSm, now: Millis) -> int:
        """`admit` where a long message in parts counts once (`limits.Sets`). Returns as how many messages it counts."""
        assert self.sets is not None
        try:
            segment = segment_of(pdu)
        except BadHeader:
            segment = None
        if segment is None:
            self.admit(now)
            return 1
        key = (pdu.source_addr, pdu.destination_addr, segment.reference, segment.total)
        weight = self.sets.weight(key, segment.number, now)
        self.admit(now, weight)
        self.sets.saw(key, segment.number, segment.total, now, int(self.config.parts_timeout * 1000))
        return weight

    def judge(self, kind: Kind, destination: str, source: str, now: Millis) -> None:
        """Whether this client may send such a message; it counts as one to its subscriber then. Raises Refusal."""
        if self._kinds and kind not in self._kinds:
            reason = f"this account may not send {kind.value}, only {_named(sorted(self._kinds))}"
            self.over("kinds", CommandStatus.ESME_RSUBMITFAIL, reason)
        self.judge_addresses(destination, source)
        if self.flood is not None and (wait := self.flood.take(bare(destination), now)):
            reason = (
                f"more than {self.flood.most} messages to one subscriber at gaps under {lasting(self.flood.gap)}, "
                f"free again in {lasting(wait)}"
            )
            self.over("flood_messages", self.flood_status, reason)

    def judge_addresses(self, destination: str, source: str) -> None:
        """The part of `judge` that can be told before the whole of a long message is there. Raises Refusal."""
        if self._destinations and not self._destinations.fit(destination):
            reason = f"this account may send to {_named(self.config.destinations)} alone"
            self.over("destinations", CommandStatus.ESME_RINVDSTADR, reason)
        if self._senders and not self._senders.fit(source):
            reason = f"source_addr of this account is {_named(self.config.senders)}"
            self.over("senders", CommandStatus.ESME_RINVSRCADR, reason)

    def over(self, limit: str, status: CommandStatus, reason: str) -> NoReturn:
        """Count and refuse what goes over a limit; `limit` is its key in the settings."""
        self.limited[limit] += 1
        raise Refusal(status, reason)

    def give_back(self, at: Millis, count: int = 1) -> None:
        """So many that were paid for at that time are refused for another reason: nobody pays for that."""
        if self._rated:
            for _ in range(count):
                self.rates.give_back(at)

    def forget(self, destination: str, at: Millis) -> None:
        """What was judged at that time was not kept: it counts as none to its subscriber."""
        if self.flood is not None:
            self.flood.give_back(bare(destination), at)

    def congestion(self, outstanding: int, now: Millis) -> int:
        """How near the next refusal is, for a bind with so many unanswered requests: congestion_state, 0 to 99, of
        which 80 to 89 is the best use of us and 90 to 99 nearly too much (SMPP 5.0 §4.8.4.18)."""
        level = max(
            self.pending / self.max_pending,
            self._store.unsent_of(self.name) / self.max_waiting if self.max_waiting else 0.0,
            self.rates.throttle.level(now),
            outstanding / self.submit_window,
        )
        return min(99, round(level * 100))

    def alphabet_of(self, system_type: str) -> Alphabet:
        """What data_coding 0 is over such a bind."""
        return self.config.alphabet_at(system_type) if system_type else self.alphabet

    def notify(self, registered_delivery: int) -> Notify:
        """Who hears of a message: asked are bits 1-0 and bit 4 (SMPP 3.4 §5.2.17)."""
        return _BY_SMPP if registered_delivery & 0x13 else self.silent


def _named(values: Iterable[str]) -> str:
    names = list(values)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
