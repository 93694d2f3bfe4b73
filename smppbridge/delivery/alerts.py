"""ALERT_NOTIFICATION: a subscriber who was absent can be reached again (SMPP 3.4 §4.12). Pure.

A message ends undelivered because the subscriber was absent, and its client asked to hear when that changes: with the
TLV set_dpf (§5.3.2.29) in the message, or for all of them in the settings. The store remembers who waits for whom, over
restarts. Whatever tells later that this subscriber can be reached, for whichever account, makes a row of the outbox,
which waits there with the receipts and goes out as an ALERT_NOTIFICATION.

An alert is a hint and no receipt. A crash in the moment between the end of the message and the remembering loses it,
and nothing answers it, so one that a broken connection swallows is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pdu import AlertNotification, MessageState, PduError, Tag, decode, tlv

from ..config import AccountConfig
from ..model import Incoming, Kind, Message, bare
from ..store.base import Absent

#: What gets through only to a telephone that is switched on. What a computer may show (Viber, Telegram, mail) tells
#: nothing about the telephone.
_REACHES = frozenset({Kind.SMS.value, Kind.BINARY.value, Kind.PING.value, Kind.HLR.value, Kind.CALL.value})

#: SMPP 3.4 §5.3.2.30: ms_availability_status.
_AVAILABLE = tlv(Tag.MS_AVAILABILITY_STATUS, 0)


class Watch:
    """What has to be remembered and told since the last look. It gathers, so that the store is asked once for many, and
    a message that is delivered costs nothing where nobody waits for anybody."""

    def __init__(self, accounts: Mapping[str, AccountConfig], any_absent: Callable[[], bool]) -> None:
        """`any_absent` says whether anybody is remembered already (`Store.any_absent`)."""
        self.accounts = accounts
        self._any_absent = any_absent
        self._absent: dict[tuple[str, str], Absent] = {}
        self._reached: set[str] = set()

    def ended(self, messages: Sequence[Message]) -> None:
        """These have just reached their final states, in this order."""
        listens = bool(self._absent) or self._any_absent()
        for message in messages:
            progress = message.progress
            if progress.state is MessageState.DELIVERED:
                if listens and (progress.channel or message.kind.value) in _REACHES:
                    self.met(bare(message.destination))
            elif progress.err and self._wanted(message):
                one = _absent(message)
                self._absent[one.account, one.subscriber] = one
                self._reached.discard(one.subscriber)
                listens = True

    def _wanted(self, message: Message) -> bool:
        config = self.accounts.get(message.account)
        return config is not None and message.progress.err in config.alert_errors and _asked(message, config)

    def met(self, subscriber: str) -> None:
        """This number, without plus, can be reached. With a NUL it is none, and nobody waits for it."""
        if "\0" not in subscriber:
            self._reached.add(subscriber)

    def take(self) -> tuple[list[Absent], list[str]]:
        """Who is to be remembered first, and of whom is to be told then (`Store.absent`, `Store.reachable`)."""
        taken = list(self._absent.values()), list(self._reached)
        self._absent.clear()
        self._reached.clear()
        return taken

    def put_back(self, absent: Sequence[Absent], reached: Sequence[str]) -> None:
        """The store did not take them. What has been heard since then counts more."""
        since = {subscriber for _, subscriber in self._absent}
        self._absent = {(one.account, one.subscriber): one for one in absent} | self._absent
        self._reached |= set(reached) - since


def _absent(message: Message) -> Absent:
    return Absent(
        account=message.account,
        subscriber=bare(message.destination),
        destination=message.destination,
        destination_ton=message.destination_ton,
        destination_npi=message.destination_npi,
        source=message.source,
        source_ton=message.source_ton,
        source_npi=message.source_npi,
        at=message.progress.done_at,
    )


def _asked(message: Message, config: AccountConfig) -> bool:
    if config.alerts != "asked":
        return config.alerts == "always"
    try:
        return decode(message.pdu).option(Tag.SET_DPF) == 1
    except PduError:
        # A TLV of the wrong length asks for nothing.
        return False


def alert_notification(incoming: Incoming, interface_version: int) -> AlertNotification:
    """The PDU for a row of the outbox that is an alert. Raises nothing; a client before 3.4 gets no TLV."""
    assert incoming.alert is not None
    source_ton, source_npi, esme_ton, esme_npi = incoming.alert
    return AlertNotification(
        source_addr_ton=source_ton,
        source_addr_npi=source_npi,
        source_addr=incoming.source,
        esme_addr_ton=esme_ton,
        esme_addr_npi=esme_npi,
        esme_addr=incoming.destination,
        tlvs=[_AVAILABLE] if interface_version >= 0x34 else [],
    )
