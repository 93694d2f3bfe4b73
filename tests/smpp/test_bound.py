"""Who is bound, and how those ended who were."""

from types import SimpleNamespace
from typing import Any

import pytest

from smppbridge.smpp.bound import Bound
from smppbridge.smpp.events import Ending, How


def link(number: int, account: str = "demo", can_receive: bool = True, leaving: bool = False) -> Any:
    return SimpleNamespace(
        id=number,
        account=account,
        can_receive=can_receive,
        unwritten=0,
        fileno=-1,
        leaving=leaving,
        half_closed=False,
    )


CLEAN = Ending(How.UNBOUND, "", clean=True)
LOST = Ending(How.LOST, "")


def test_links_are_found_by_account_and_id() -> None:
    bound = Bound()
    first, second, other = link(1), link(2, can_receive=False), link(3, "other")
    for each in (first, second, other):
        bound.add(each)
    assert bound.links == {1: first, 2: second, 3: other}
    assert list(bound.of("demo")) == [first, second]
    assert list(bound.receivers("demo")) == [first]
    assert (bound.count("demo"), bound.count("other"), bound.count("nobody")) == (2, 1, 0)
    assert list(bound.receivers("nobody")) == []
    bound.remove(first, CLEAN, 0)
    assert list(bound.receivers("demo")) == []
    assert list(bound.of("demo")) == [second]
    bound.remove(second, CLEAN, 0)
    bound.remove(second, CLEAN, 0)
    assert (bound.count("demo"), list(bound.links)) == (0, [3])


def test_how_a_bind_ended_is_remembered_for_a_while() -> None:
    bound = Bound()
    for number, ending in ((1, CLEAN), (2, LOST), (3, CLEAN)):
        bound.add(link(number))
        assert bound.ended_cleanly(number) is None
        bound.remove(bound.links[number], ending, number * 1_000_000)
    assert [bound.ended_cleanly(number) for number in (1, 2, 3, 4)] == [True, False, True, None]
    bound.add(link(4))
    bound.remove(bound.links[4], LOST, 4_700_000)
    assert [bound.ended_cleanly(number) for number in (1, 2, 3, 4)] == [None, False, True, False]


def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smppbridge.smpp.bound._REMEMBERED", 3)
    bound = Bound()
    for number in range(5):
        bound.add(link(number))
        bound.remove(bound.links[number], CLEAN, 0)
    assert [bound.ended_cleanly(number) for number in range(5)] == [None, None, True, True, True]


def test_what_is_not_written_is_not_read() -> None:
    waiting = link(1)
    waiting.unwritten = 5
    assert Bound().unread(waiting)
    assert not Bound().unread(link(2))


def test_who_has_closed_its_half_may_be_gone_and_is_not_counted() -> None:
    bound = Bound()
    here, gone = link(1), link(2)
    bound.add(here)
    bound.add(gone)
    gone.half_closed = True
    assert bound.count("demo") == 1
    assert bound.unread(gone)
    assert not bound.unread(here)


@pytest.mark.parametrize(
    ("links", "max_binds", "oldest", "late"),
    [
        # What each is: s stays, l is leaving already. Oldest first.
        ("ss", 2, [0], []),
        ("sls", 2, [0], []),
        ("lss", 2, [1], []),
        ("llss", 2, [2], [0]),
        ("l", 1, [], []),
        ("ll", 2, [], []),
        ("sls", 1, [0, 2], [1]),
        ("ssss", 2, [0, 1, 2], []),
    ],
)
def test_who_has_to_go_for_one_bind_more(links: str, max_binds: int, oldest: list[int], late: list[int]) -> None:
    bound = Bound()
    for number, what in enumerate(links):
        bound.add(link(number, leaving=what == "l"))
    going, closed = bound.in_the_way("demo", max_binds)
    assert ([one.id for one in going], [one.id for one in closed]) == (oldest, late)


def test_of_those_who_have_closed_their_half_the_oldest_go() -> None:
    bound = Bound()
    for number in range(6):
        bound.add(link(number))
    for number in (1, 2, 4):
        bound.links[number].half_closed = True
    assert [one.id for one in bound.forsaken("demo", 1)] == [1, 2]
    assert [one.id for one in bound.forsaken("demo", 3)] == []
    assert [one.id for one in bound.forsaken("nobody", 1)] == []
