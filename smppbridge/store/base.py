"""What each operation of a store promises.

A store is asked from one event loop. Whatever it returns has happened *durably*: an awaitable that ends without an
exception means the transaction is committed and fsynced (ARCHITECTURE.md, promise 1). Operations that arrive while one
commit runs ride together in the next one, in the order in which they were called (group commit), so callers never batch
for speed.

When durability fails (a full disk, a failed fsync) the operation raises `StoreFailed`, and the store refuses everything
else until it is opened again (ARCHITECTURE.md, promise 8); only a full disk and a lock of another program are
`temporary`. Nothing of its transaction is kept, unless the failure is `uncertain`.

A `Message` that was given to a store or came from one is not changed any more, by neither side: what changes a message
is `apply` or `replace`, and they return a new one. So a store may keep it, and nobody sees a state that is not durable.
Ids grow with time (`smppbridge.ids`): a store may take a higher id for a later message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from ..lifecycle import Change
from ..model import Command, Entry, Incoming, Kind, Message, Millis, Notify, Part, Receipt, Stage


class StoreFailed(Exception):
    """The store could not make it durable. `temporary`: it may work again without a restart (disk full). `uncertain`:
    it failed in the middle of a commit, and only the next `open` will show whether that is kept."""

    def __init__(self, reason: str, *, temporary: bool = False, uncertain: bool = False) -> None:
        super().__init__(reason)
        self.temporary = temporary
        self.uncertain = uncertain


# Verdicts on an arrival ----------------------------------------------------------------------------------------------


class Duplicate(msgspec.Struct, frozen=True, gc=False):
    """An identical message was accepted within the window: nothing was kept of this one."""

    #: The id, bind and time of the first.
    id: int
    bind: int
    accepted_at: Millis
    #: The id that the client was told of it, where that is another one (`Message.known_as`).
    told: int = 0

    @property
    def known_as(self) -> int:
        """What the client calls the first."""
        return self.told or self.id


#: None: accepted and durable. Duplicate: not kept, on account of the first. StoreFailed: not kept.
Verdict: TypeAlias = Duplicate | StoreFailed | None
#: The same of several at once.
Verdicts: TypeAlias = Sequence[Duplicate | None]
Arrived: TypeAlias = Callable[[Sequence[tuple[Message, Verdict]]], None]


class Held(msgspec.Struct, frozen=True, gc=False):
    """What holding a part led to."""

    #: The id that the part is known by.
    id: int
    #: The whole set in order, with the part that made it complete; empty while one is missing.
    parts: Sequence[Part] = ()


class Due(NamedTuple):
    """When the first message is due that waits somewhere."""

    #: WAITING ones by account, of those accounts that have any.
    waiting: Mapping[str, Millis]
    #: SENT and DOUBT ones, of those that are due later than was asked for; 0: there is none.
    with_provider: Millis


class Turn(NamedTuple):
    """Where a SENT or DOUBT message stands among those that are to be asked for."""

    due: Millis
    stage: Stage
    id: int


#: Before all of them.
FIRST = Turn(-1, Stage.WAITING, 0)


# Results of changes --------------------------------------------------------------------------------------------------


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What a change led to. `message` carries the new progress; None: there is no such message (or reference, yet)."""

    message: Message | None
    receipt: Receipt | None = None
    #: True where this very change made the state final.
    ended: bool = False
    #: Receipts made on the way, before `receipt`: where a parked report followed the change at once.
    earlier: tuple[Receipt, ...] = ()


class Arrival(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message from a subscriber on its way to a client: a row of the outbox like a `Receipt`, in the same order."""

    seq: int
    account: str
    incoming: Incoming


class Wanted(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A message that answers one of a subscriber's (`Store.answer`). Numbers without plus."""

    message: int
    provider: str
    account: str
    subscriber: str
    number: str
    #: The id that the client named.
    named: str = ""


class Replacement(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a client puts in the place of a message that still waits (SMPP 3.4 §4.10, `Store.replace`)."""

    id: int
    command: Command
    kind: Kind
    registered_delivery: int
    notify: Notify
    due: Millis
    expires: Millis
    #: It was taken out of the queue of its lane, so that nobody holds the old one.
    recalled: bool = False
    detail: str = ""


class Absent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A subscriber that could not be reached, and who wants to hear when it can (SMPP 3.4 §4.12)."""

    account: str
    #: Number without plus (`model.bare`), and as the client wrote it.
    subscriber: str
    destination: str
    destination_ton: int
    destination_npi: int
    #: Who sent to it: esme_addr of the ALERT_NOTIFICATION.
    source: str
    source_ton: int
    source_npi: int
    at: Millis


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages to list; empty fields match everything. Newest first."""

    account: str = ""
    kind: Kind | None = None
    stage: Stage | None = None
    #: Name of a MessageState.
    state: str = ""
    #: Source or destination, whole.
    number: str = ""
    #: Part of the comment.
    comment: str = ""
    since: Millis = 0
    until: Millis = 0
    #: Only older than this id: the next page.
    before: int = 0
    limit: int = 50


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counted by the store, for `/metrics` and `/readyz`; cheap enough for every scrape."""

    waiting: int
    #: Messages of each account that no provider has for certain: WAITING, READY or SENDING. Zeroes may be left away.
    unsent: dict[str, int]
    #: Messages a provider has, or may have.
    in_flight: int
    #: Rows of the outbox, by account.
    outbox: dict[str, int]
    #: When the oldest was accepted / queued, 0 where there is none.
    oldest_waiting: Millis
    oldest_receipt: Millis


class Store(Protocol):
    """See the head of the module for what a return means."""

    async def open(self) -> None:
        """Open, migrate, and make of everything READY a WAITING one. Raises StoreFailed with what to do about it."""

    async def close(self) -> None:
        """Finish what was asked, then close. What is asked afterwards raises StoreFailed."""

    def when_failed(self, tell: Callable[[StoreFailed], None]) -> None:
        """Whom to tell, once and in the loop, that nothing can be made durable until the store is opened again. It is
        called before anybody hears of the work that failed: what is `uncertain` must not be answered at all."""

    # Arrivals

    def accept(self, message: Message, arrived: Arrived) -> None:
        """Keep a new message (`progress` has a state, a due, and a stage: READY or WAITING, as the caller has room, or
        SENDING with the provider and one attempt where that provider recognises a repetition, so that nothing need be
        noted before the first octet of the request; nothing else yet) and its "accepted" line.

        Never blocks and never raises. `arrived` is called in the loop, once a batch, with each message and its
        verdict, in the order of the calls. The one-minute rule is decided here, in one transaction with the insert:
        identical means same account, source, destination and command (kind and data), accepted less than
        `duplicate_window` before this one.
        """

    async def accept_many(self, messages: Sequence[Message], known_as: int) -> Verdicts:
        """Keep the messages that one SUBMIT_MULTI makes, in one transaction, each as in `accept`; raises StoreFailed,
        and then none is kept. Those that are kept are found under `known_as` too, the id that the client is told
        (`find_all`); it is an id of ours and never given again, whether a message has it or not."""

    async def hold(self, part: Part) -> Held:
        """Keep one part.

        The same part again (account, source, destination, reference, total, number and pdu but for its sequence_number)
        is a resend: nothing is kept of it, and the answer carries the id of the first, also when the set was joined in
        the last few minutes. The set stays held until `join` or `drop_parts`.
        """

    async def join(self, message: Message, parts: Sequence[Part]) -> Duplicate | None:
        """Keep the message that the parts make and mark them as its own, in one transaction.

        The parts are held no longer, but their ids still find the message (`find`). On Duplicate they are held as
        before: whoever asked says what becomes of them, and a crash before that leaves them to `held_parts`. Parts that
        were joined already make nothing new: Duplicate tells of the message they went into.
        """

    async def drop_parts(self, parts: Sequence[Part]) -> None:
        """Forget held parts (a set that means nothing, or whose rest never came)."""

    async def held_parts(self, before: Millis, limit: int) -> Sequence[Sequence[Part]]:
        """Sets with a part that expires before `before`, or with no part missing (left by a crash), to be settled:
        accounts in turns, and of each what is whole, then the most overdue."""

    # Work

    async def claim(self, now: Millis, wanted: Mapping[str, int]) -> Sequence[Message]:
        """Take WAITING messages with due <= now, of each account no more than are wanted of it; they are READY. Of an
        account those with the highest priority, then the longest due."""

    async def to_be_asked(self, now: Millis, after: Turn, limit: int) -> Sequence[Message]:
        """SENT and DOUBT messages with due <= now, the longest due first, of those behind one. Nothing is taken:
        whoever asks for them knows whom it asks for, and their answers set times of their own."""

    async def in_doubt(self, limit: int) -> Sequence[Message]:
        """SENDING messages, left by a crash (call at start-up only, before any dispatching)."""

    async def apply(self, changes: Sequence[Change], now: Millis) -> Sequence[Applied]:
        """Run `lifecycle.step` on each and keep what it says: progress, time-line, receipt, in one transaction.

        Results are in the order of the changes. A `Reported` finds its message by `id`, or by (provider, report.ref);
        one whose reference is not known yet is parked for a day and applied when a `Handed` brings that reference
        (a callback may come before the answer of the send).
        """

    async def replace(self, replacement: Replacement, now: Millis) -> Message | None:
        """Put another command and other times in the place of a message, in one transaction with a "replaced" line: it
        is WAITING then, due as the replacement says, as if it had not been tried. Only one that is WAITING, or READY or
        SENDING and recalled, and on the first leg of its route: None where it is not, or not there."""

    async def next_due(self, later: Millis = FIRST.due) -> Due:
        """When there will be something to claim, and something to be asked for that is due later than `later`."""

    # Outbox

    async def receipts(self, account: str, after: int, limit: int) -> Sequence[Receipt | Arrival]:
        """SMPP rows of the outbox with seq > after, in order: receipts and messages from subscribers."""

    async def accounts_by_http(self) -> Sequence[str]:
        """Accounts that have HTTP rows, due or not."""

    async def receipts_by_http(self, account: str, now: Millis, limit: int) -> Sequence[Receipt]:
        """HTTP rows of the account whose time has come. Each is put off by a minute, so that none is taken twice while
        its handler is told; what comes of that sets a time of its own."""

    async def delivered(self, receipts: Sequence[Receipt | Arrival], now: Millis) -> None:
        """The client answered with status 0 (or its handler with 200): the rows go, the "receipt" lines stay."""

    async def drop_receipts(self, receipts: Sequence[Receipt | Arrival], reason: str, now: Millis) -> None:
        """Nobody came for them in time: the rows go, a "dropped" line with the reason stays."""

    async def old_receipts(self, account: str, before: Millis, keep: int, limit: int) -> Sequence[Receipt | Arrival]:
        """SMPP rows of the account older than `before`, or more than `keep` of them: the oldest first."""

    async def note(self, entries: Sequence[Entry]) -> None:
        """Lines for time-lines, and nothing else."""

    async def put_off(self, receipts: Sequence[Receipt], until: Millis) -> None:
        """A handler did not answer: count the attempt and try again at `until`."""

    async def incoming(self, account: str, message: Incoming, now: Millis = 0) -> Arrival | None:
        """Keep a message from a subscriber for an account. None: this (provider, ref) was there already."""

    async def absent(self, subscribers: Sequence[Absent]) -> None:
        """Remember whom an account is to be told of; the same account and subscriber once, the latest."""

    def any_absent(self) -> bool:
        """Whether anybody is to be told of anybody, at once: asked for every batch of messages that end."""

    async def reachable(self, subscribers: Sequence[str], now: Millis) -> Sequence[Arrival]:
        """These (numbers without plus) can be reached: who is to hear of it gets a row of the outbox with
        `Incoming.alert`, in the transaction that forgets the wish. Cheap where nobody has one."""

    async def answer(self, wanted: Sequence[Wanted]) -> Sequence[str]:
        """Find each the subscriber's message that it answers, and remember that it does: `Incoming.ref`, or empty where
        there is none.

        One that was found before is found again. One that is `named` is taken, answered or not, unless it came for
        another account; one that is named and not known is taken as it is named. Otherwise it is the newest that came
        to the account from that subscriber to that number and has no answer.
        """

    # Looking

    async def find(self, id: int) -> Message | None:
        """The message with this id, or the one that the part with this id went into."""

    async def find_all(self, id: int) -> Sequence[Message]:
        """What a client may mean by an id: that message, the one that the part with this id went into, or all of a
        SUBMIT_MULTI (`accept_many`). In order of their ids."""

    async def find_part(self, id: int) -> Part | None:
        """A part that is still held."""

    async def unsent(self, account: str, source: str, destination: str, limit: int) -> Sequence[Message]:
        """Messages of an account from a source to a destination, as they were written, that no provider has for
        certain: WAITING, READY or SENDING. In order of their ids."""

    async def find_by_ref(self, provider: str, ref: str) -> Message | None:
        """The message that a provider calls so."""

    async def timeline(self, id: int) -> Sequence[Entry]:
        """Its lines, oldest first, "accepted" being the first."""

    async def list(self, wanted: Filter) -> Sequence[Message]:
        """Newest first."""

    async def stats(self) -> Stats:
        """See `Stats`."""

    def unsent_of(self, account: str) -> int:
        """`Stats.unsent` of one account, at once: asked for every arrival that is limited by it."""

    async def last_id(self) -> int:
        """The highest id ever given (message or part), so that ids never repeat, even if the clock went back."""

    # Keeping

    async def purge(self, before: Millis, limit: int) -> int:
        """Forget up to `limit` FINAL messages accepted before `before` that have no receipt waiting, with their lines
        and references, and receipts older than that. Returns how many messages; small steps, so that nothing waits."""
