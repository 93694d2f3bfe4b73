"""What an account limits and how it says so, by a clock that is an argument and a store that only counts."""

from __future__ import annotations

from typing import Any

import pytest

from pdu import CommandStatus
from smppbridge.config import AccountConfig
from smppbridge.model import Kind
from smppbridge.submission.account import AccountState
from smppbridge.submission.refusal import Refusal

NOW = 1_750_000_000_000


class Queue:
    """So many messages wait."""

    def __init__(self, waiting: int = 0) -> None:
        self.waiting = waiting

    def unsent_of(self, account: str) -> int:
        return self.waiting


def settings(**some: Any) -> AccountConfig:
    return AccountConfig(allowed_networks=(), **some)


def state(store: Queue | None = None, **some: Any) -> AccountState:
    return AccountState("demo", settings(**some), store or Queue())


def judged(account: AccountState, destination: str = "79991234567", source: str = "INFO", kind: Kind = Kind.SMS) -> str:
    """The reason of a refusal; empty if there is none."""
    try:
        account.judge(kind, destination, source, NOW)
    except Refusal as refusal:
        return refusal.reason
    return ""


def admitted(account: AccountState, count: int = 1, now: int = NOW) -> bool:
    try:
        account.admit(now, count)
    except Refusal:
        return False
    return True


def test_several_at_once_are_admitted_together_or_not_at_all() -> None:
    account = state(throughput=10, burst=5, per_minute=8)
    assert admitted(account, 3)
    assert not admitted(account, 3)
    assert admitted(account, 2)
    assert not admitted(account, 4, NOW + 1_000)
    assert admitted(account, 3, NOW + 1_000)


def test_several_at_once_are_stored_together_or_not_at_all() -> None:
    account = state(max_pending=3, max_waiting=0)
    account.pending = 2
    assert not admitted(account, 2)
    assert admitted(account)
    account.pending = 3
    # A part of a long message that is paid for is stored like any other.
    assert not admitted(account, 0)
    assert account.limited == {"max_pending": 2}


def test_what_is_being_stored_waits_too() -> None:
    queue = Queue(7)
    account = state(queue, max_waiting=10)
    account.pending = 2
    assert not admitted(account, 2)
    assert admitted(account)
    queue.waiting = 8
    with pytest.raises(Refusal, match="10 messages of yours wait for a provider") as refused:
        account.admit(NOW)
    assert refused.value.status is CommandStatus.ESME_RMSGQFUL
    assert account.limited == {"max_waiting": 2}


def test_a_reason_has_room_for_few_of_many_values() -> None:
    account = state(destinations=("1*", "2*", "3*", "4*", "5*"))
    assert judged(account) == "this account may send to 1*, 2*, 3* and 2 more alone"


def test_a_refused_message_belongs_to_no_flood_and_a_kept_one_does_after_a_reload_too() -> None:
    some = {"flood_messages": 2, "senders": ("INFO",)}
    account = state(**some)
    assert [judged(account, source=source) for source in ("SHOP", "INFO", "SHOP")][1] == ""
    account.apply(settings(**some))
    assert judged(account, "+79991234567") == ""
    assert "free again in 30 s" in judged(account)
    account.forget("79991234567", NOW)
    assert judged(account) == ""


def test_no_reload_begins_a_rate_anew() -> None:
    account = state(throughput=1, burst=2, per_day=5)
    assert [admitted(account) for _ in range(3)] == [True, True, False]
    account.apply(settings(throughput=1, burst=2, per_day=5, reasons="always"))
    assert not admitted(account)
    account.apply(settings(per_day=3))
    assert [admitted(account) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("waiting", "pending", "taken", "outstanding", "level"),
    [
        (0, 0, 0, 0, 0),
        (50, 0, 0, 0, 50),
        (0, 170, 0, 0, 85),
        (0, 0, 9, 0, 90),
        (0, 0, 0, 380, 95),
        (100, 0, 0, 0, 99),
        (500, 900, 9, 900, 99),
        (60, 20, 5, 80, 60),
    ],
)
def test_congestion_is_how_full_the_fullest_is(
    waiting: int, pending: int, taken: int, outstanding: int, level: int
) -> None:
    queue = Queue()
    account = state(queue, max_waiting=100, max_pending=200, submit_window=400, throughput=1, burst=9)
    assert all(admitted(account) for _ in range(taken))
    queue.waiting, account.pending = waiting, pending
    assert account.congestion(outstanding, NOW) == level
