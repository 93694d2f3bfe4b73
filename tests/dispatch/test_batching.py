from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.dispatch.batching import Queue
from smppbridge.model import Message

from .conftest import make_message

Make = Callable[..., Message]


def ids(messages: list[Message]) -> list[int]:
    return [one.id for one in messages]


Fill = Callable[..., Queue]


@pytest.fixture
def filled(message: Make) -> Fill:
    def fill(*what: tuple[int, str, int]) -> Queue:
        queue = Queue()
        for id, group, priority in what:
            queue.push(message(id, priority=priority), group)
        return queue

    return fill


def test_nothing_waits() -> None:
    assert Queue().take(10) == (None, [])


def test_one_message_is_not_held_back(filled: Fill) -> None:
    queue = filled((1, "a", 0))
    assert ids(queue.take(100)[1]) == [1]
    assert len(queue) == 0


def test_what_may_ride_together_leaves_together_in_order(filled: Fill) -> None:
    queue = filled((1, "a", 0), (2, "b", 0), (3, "a", 0), (4, "a", 0), (5, "b", 0))
    assert [(group, ids(batch)) for group, batch in (queue.take(10), queue.take(10), queue.take(10))] == [
        ("a", [1, 3, 4]),
        ("b", [2, 5]),
        (None, []),
    ]


def test_a_long_group_lets_the_others_in_between(filled: Fill) -> None:
    queue = filled((1, "a", 0), (2, "a", 0), (3, "a", 0), (4, "b", 0))
    assert [ids(queue.take(2)[1]) for _ in range(3)] == [[1, 2], [4], [3]]


def test_a_higher_priority_goes_first_and_takes_its_like_along(filled: Fill) -> None:
    queue = filled((1, "a", 0), (2, "b", 0), (3, "b", 3), (4, "b", 1), (5, "a", 1))
    assert len(queue) == 5
    assert [ids(queue.take(3)[1]) for _ in range(3)] == [[3, 4, 2], [5, 1], []]
    assert len(queue) == 0


def test_a_batch_that_could_not_go_is_the_next_again(filled: Fill) -> None:
    queue = filled((1, "a", 1), (2, "a", 0), (3, "a", 0))
    group, batch = queue.take(2)
    queue.put_back(batch, group)
    assert len(queue) == 3
    assert ids(queue.take(2)[1]) == [1, 2]


def test_everything_can_be_taken_out(filled: Fill) -> None:
    queue = filled((1, "a", 0), (2, "b", 2), (3, "a", 0))
    assert ids(queue.drain()) == [2, 1, 3]
    assert len(queue) == 0
    assert queue.take(5) == (None, [])


def test_what_has_expired_is_found(message: Make) -> None:
    queue = Queue()
    for id, expires in ((1, 50), (2, 20), (3, 90)):
        queue.push(message(id, expires=expires), "a")
    queue.push(message(4, expires=10, priority=2), "b")
    assert queue.take_expired(9) == []
    assert sorted(ids(queue.take_expired(20))) == [2, 4]
    assert len(queue) == 2
    assert queue.take_expired(49) == []
    assert ids(queue.take_expired(50)) == [1]
    assert ids(queue.take(5)[1]) == [3]


def test_many_groups_of_one_leave_in_order(filled: Fill) -> None:
    queue = filled(*((id, str(id), 0) for id in range(20_000)))
    taken = [ids(queue.take(10)[1])[0] for _ in range(20_000)]
    assert taken == list(range(20_000))


def test_it_knows_which_groups_fill_a_batch(message: Make) -> None:
    queue = Queue(2)
    for id, group in ((1, "a"), (2, "b"), (3, "b"), (4, "b"), (5, "c")):
        queue.push(message(id), group)
    assert [(group, ids(batch)) for group, batch in (queue.take_full(2), queue.take_full(2))] == [
        ("b", [2, 3]),
        (None, []),
    ]
    queue.push(message(6), "b")
    queue.push(message(7), "a")
    # Fewer may go, as the rate allows: then it is full no longer.
    assert ids(queue.take_full(1)[1]) == [4]
    assert ids(queue.take_full(2)[1]) == [1, 7]
    assert queue.take_full(2) == (None, [])
    queue.put_back([message(8), message(9)], "d")
    assert ids(queue.take_full(2)[1]) == [8, 9]
    assert [ids(queue.take(2)[1]) for _ in range(3)] == [[5], [6], []]


def test_what_was_taken_out_fills_no_batch(message: Make) -> None:
    queue = Queue(2)
    for id, group, expires in ((1, "a", 50), (2, "a", 90), (3, "b", 90), (4, "b", 90)):
        queue.push(message(id, expires=expires), group)
    assert ids(queue.take_expired(60)) == [1]
    assert ids(queue.take_full(2)[1]) == [3, 4]
    assert queue.take_full(2) == (None, [])
    queue.push(message(5), "a")
    assert ids(queue.take_out(lambda one: one.id == 5)) == [5]
    assert queue.take_full(2) == (None, [])
    assert ids(queue.drain()) == [2]


def test_a_few_are_taken_by_their_ids(message: Make) -> None:
    queue = Queue(2)
    for id, group, priority in ((1, "a", 0), (2, "a", 0), (3, "a", 0), (4, "b", 0), (5, "b", 2), (6, "c", 0)):
        queue.push(message(id, priority=priority), group)
    assert ids(queue.take_these({1, 3, 4, 5, 99}, lambda one: one.id != 4)) == [5, 1, 3]
    assert len(queue) == 3
    assert not queue.urgent
    # Fewer than a batch are left, and nothing of a group that is empty.
    assert queue.take_full(2) == (None, [])
    assert ids(queue.take_these({6}, lambda one: True)) == [6]
    assert [(group, ids(batch)) for group, batch in (queue.take(2), queue.take(2))] == [("a", [2]), ("b", [4])]
    assert (len(queue), queue.take_these({1}, lambda one: True)) == (0, [])


def test_it_knows_whether_anything_is_urgent(filled: Fill) -> None:
    assert not Queue().urgent
    queue = filled((1, "a", 0), (2, "a", 3))
    assert queue.urgent
    queue.take(1)
    assert not queue.urgent


def test_accounts_take_turns(message: Make) -> None:
    queue = Queue()
    for id in range(1, 6):
        queue.push(message(id, account="many"), "a")
    queue.push(message(6, account="few"), "a")
    queue.push(message(7, account="some"), "b")
    queue.push(message(8, account="some"), "a")
    assert [ids(queue.take(1)[1]) for _ in range(9)] == [[1], [6], [7], [2], [8], [3], [4], [5], []]
    assert len(queue) == 0


def test_groups_of_one_do_not_make_an_account_longer_turns(message: Make) -> None:
    queue = Queue(10)
    for id in range(1, 50):
        queue.push(message(id, account="many"), str(id))
    queue.push(message(50, account="few"), "x")
    assert [ids(queue.take(10)[1]) for _ in range(3)] == [[1], [50], [2]]


def test_seats_that_are_left_are_taken_by_other_accounts(message: Make) -> None:
    queue = Queue(3)
    for id, account, priority in ((1, "one", 1), (2, "two", 0), (3, "two", 0), (4, "three", 0), (5, "one", 0)):
        queue.push(message(id, account=account, priority=priority), "a")
    queue.push(message(6, account="two"), "b")
    assert ids(queue.take(3)[1]) == [1, 2, 3]
    # Two fewer than fill a batch are left of the group, of whichever accounts.
    assert queue.take_full(3) == (None, [])
    queue.push(message(7, account="four"), "a")
    assert ids(queue.take_full(3)[1]) == [4, 5, 7]
    assert ids(queue.drain()) == [6]


def test_a_batch_of_several_accounts_is_the_next_again(message: Make) -> None:
    queue = Queue(2)
    queue.push(message(1, account="one"), "a")
    queue.push(message(2, account="two"), "a")
    group, batch = queue.take(2)
    queue.put_back(batch, group)
    assert len(queue) == 2
    assert ids(queue.take_full(2)[1]) == [1, 2]


@given(
    what=st.lists(
        st.tuples(st.just("push"), st.sampled_from("wxyz"), st.sampled_from("ab"))
        | st.tuples(st.sampled_from(["take", "put back"]), st.integers(1, 5), st.just("")),
        max_size=80,
    )
)
def test_nobody_waits_for_more_than_a_turn_of_each_other(what: list[tuple[str, Any, str]]) -> None:
    """Whatever comes and goes in whatever order: who has something waiting is passed over once by each other account at
    most, the groups of one account take turns, and each message leaves once."""
    queue = Queue()
    waiting: list[Message] = []
    left: list[int] = []
    passed: Counter[str] = Counter()
    for id, (do, one, group) in enumerate([*what, *[("take", 1, "")] * len(what)], 1):
        if do == "push":
            made = make_message(id, account=one, source=group)
            waiting.append(made)
            queue.push(made, group)
            continue
        found, batch = queue.take(one)
        if do == "put back":
            queue.put_back(batch, found)
            continue
        served = {taken.account for taken in batch}
        left += ids(batch)
        waiting = [other for other in waiting if other.id not in left]
        for account in "wxyz":
            there = any(other.account == account for other in waiting)
            passed[account] = passed[account] + 1 if there and account not in served else 0
            assert passed[account] <= 3
    assert len(left) == len(set(left)) == sum(do == "push" for do, _, _ in what)
    assert not waiting
