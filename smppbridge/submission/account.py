"""An account while the gateway runs: what is counted for it, and its settings in the form the hot path wants them."""

from __future__ import annotations

from collections import Counter

from pdu import Alphabet, CommandStatus

from ..config import AccountConfig
from ..model import Kind, Millis, Notify
from ..smpp.throttle import Throttle
from .refusal import Refusal

# By this name because looking a member up in its enum costs more than what is done with it on the hot path.
_BY_SMPP = Notify.SMPP


class AccountState:
    """What is counted for an account while the gateway runs, and its settings in the form the hot path wants them."""

    __slots__ = (
        "accepted",
        "alphabet",
        "config",
        "conventions",
        "duplicate_status",
        "max_pending",
        "max_validity",
        "name",
        "pending",
        "refused",
        "resent",
        "silent",
        "throttle",
        "validity",
        "window",
    )

    def __init__(self, name: str, config: AccountConfig) -> None:
        self.name = name
        self.pending = 0
        self.accepted = 0
        self.resent = 0
        self.refused: Counter[str] = Counter()
        self.apply(config)

    def apply(self, config: AccountConfig) -> None:
        """Take new settings (a reload) without forgetting what was counted."""
        self.config = config
        self.alphabet = Alphabet(config.alphabet)
        self.conventions = config.conventions
        self.duplicate_status = CommandStatus[config.duplicate_status]
        self.max_pending = config.max_pending
        self.throttle = Throttle(config.throughput, config.burst)
        # In milliseconds
        self.window = int(config.duplicate_window * 1000)
        self.validity = int(config.default_validity * 1000)
        self.max_validity = int(config.max_validity * 1000)
        #: Who hears of a message whose registered_delivery is not set (smsc.ru, SMPP statuses).
        self.silent = Notify.HTTP if config.handler else Notify.NOBODY

    def admit(self, now: Millis) -> None:
        """Whether one more may be taken from this client now, whatever it says. Raises Refusal."""
        if self.pending >= self.max_pending:
            raise Refusal(CommandStatus.ESME_RMSGQFUL, f"{self.max_pending} messages of yours are being stored")
        if not self.throttle.take(now):
            raise Refusal(CommandStatus.ESME_RTHROTTLED, f"more than {self.throttle.rate:g} messages a second")

    def judge(self, kind: Kind, destination: str, source: str, now: Millis) -> None:
        """Whether this client may send such a message. Raises Refusal."""

    def write_id(self, id: int) -> str:
        """A message id as this client is told it."""
        return str(id)

    def alphabet_of(self, system_type: str) -> Alphabet:
        """What data_coding 0 is over such a bind."""
        return self.config.alphabet_at(system_type) if system_type else self.alphabet

    def notify(self, registered_delivery: int) -> Notify:
        """Who hears of a message: asked are bits 1-0 and bit 4 (SMPP 3.4 §5.2.17)."""
        return _BY_SMPP if registered_delivery & 0x13 else self.silent
