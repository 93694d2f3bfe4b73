"""What is being stored at once is bounded over all accounts, and nobody's part of it can be taken by the others."""

from __future__ import annotations

import pytest

from pdu import CommandStatus, SubmitSm
from smppbridge.config import AccountConfig
from smppbridge.ids import IdGenerator
from smppbridge.journal import Journal
from smppbridge.smpp.bound import Bound
from smppbridge.store.memory import MemoryStore
from smppbridge.submission.refusal import Refusal
from smppbridge.submission.station import Submission

NOW = 1_763_000_000_000


def station(*accounts: str, max_pending: int) -> Submission:
    config = AccountConfig(allowed_networks=(), max_pending=1_000_000)
    return Submission(
        accounts=dict.fromkeys(accounts, config),
        lists={},
        max_pending=max_pending,
        store=MemoryStore(),
        ids=IdGenerator(0),
        bound=Bound(),
        outlet=None,  # type: ignore[arg-type]  # nothing gets so far
        clock=lambda: NOW,
        applied=lambda applied: None,
        journal=Journal(0),
    )


def taken(station: Submission, name: str, most: int) -> int:
    """How many messages of an account are taken, one after the other, while none of them is stored."""
    account = station.accounts[name]
    for number in range(most):
        try:
            station.admit(account, SubmitSm(), NOW)
        except Refusal:
            return number
        station.begun(account)
    return most


def test_one_account_may_take_it_all_and_no_more() -> None:
    here = station("one", "two", max_pending=100)
    assert taken(here, "one", 1000) == 100
    with pytest.raises(Refusal) as refusal:
        here.admit(here.accounts["one"], SubmitSm(), NOW)
    assert refusal.value.status is CommandStatus.ESME_RMSGQFUL
    assert refusal.value.reason == "100 messages are being stored, all clients"


@pytest.mark.parametrize(("others", "part"), [(1, 50), (3, 25), (200, 1)])
def test_where_one_has_taken_all_the_others_have_their_part(others: int, part: int) -> None:
    names = [f"other{number}" for number in range(others)]
    here = station("greedy", *names, max_pending=100)
    assert taken(here, "greedy", 1000) == 100
    assert [taken(here, name, 1000) for name in names] == [part] * others
    assert taken(here, "greedy", 1000) == 0
    # What is stored makes room for whoever has less than the part.
    here.done(here.accounts[names[0]])
    assert taken(here, "greedy", 1000) == 0
    assert taken(here, names[0], 1000) == 1


def test_many_at_once_are_taken_whole_or_not_at_all() -> None:
    here = station("greedy", "other", max_pending=100)
    assert taken(here, "greedy", 1000) == 100
    other = here.accounts["other"]
    with pytest.raises(Refusal):
        here.admit(other, SubmitSm(), NOW, 51)
    assert here.admit(other, SubmitSm(), NOW, 50) == 50
