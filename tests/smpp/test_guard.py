"""What one address may open, how long its binds wait, what is forgiven, and how much of it is remembered."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.config import SmppConfig
from smppbridge.smpp import guard as module
from smppbridge.smpp.guard import Full, Guard, Rules, Slow, Visitor, place_of

MINUTE = 60_000
HOME = ip_address("203.0.113.7")
AWAY = ip_address("203.0.113.8")


def make(**keys: object) -> Guard:
    return Guard(Rules.of(SmppConfig.model_validate(keys)))


def come(guard: Guard, address: object = HOME, now: int = 0) -> Visitor:
    visitor, full = guard.enter(address, now)  # type: ignore[arg-type]
    assert full is None
    return visitor


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
    ],
)
def test_what_counts_as_one_address(address: str, place: str) -> None:
    assert place_of(ip_address(address)) == place


def test_what_has_no_address_counts_together() -> None:
    guard = make(max_unbound_per_address=1)
    come(guard, None)
    assert guard.enter(None, 0)[1] is Full.UNBOUND_ADDRESS


@pytest.mark.parametrize(
    ("keys", "full"),
    [
        ({"max_connections": 2}, Full.CONNECTIONS),
        ({"max_connections_per_address": 2}, Full.ADDRESS),
        ({"max_unbound": 2}, Full.UNBOUND),
        ({"max_unbound_per_address": 2}, Full.UNBOUND_ADDRESS),
    ],
)
def test_a_limit_refuses_the_next_one_and_frees_with_each_that_goes(keys: dict[str, int], full: Full) -> None:
    guard = make(**keys)
    visitor = come(guard)
    come(guard)
    assert guard.enter(HOME, 0) == (visitor, full)
    assert (guard.connections, guard.unbound, visitor.connections, visitor.unbound) == (2, 2, 2, 2)
    guard.leave(visitor, 0, bound=False)
    come(guard)


@pytest.mark.parametrize("key", ["max_connections_per_address", "max_unbound_per_address"])
def test_one_address_takes_no_room_of_another(key: str) -> None:
    guard = make(**{key: 1})
    come(guard)
    assert guard.enter(HOME, 0)[1] is not None
    come(guard, AWAY)


@pytest.mark.parametrize("key", ["max_unbound", "max_unbound_per_address"])
def test_who_is_bound_counts_as_unbound_no_longer(key: str) -> None:
    guard = make(**{key: 1})
    guard.bound(come(guard))
    come(guard)
    assert guard.enter(HOME, 0)[1] is not None


def test_strangers_get_half_of_the_places_of_who_has_not_bound() -> None:
    asked = []

    def neighbour(address: object) -> bool:
        asked.append(address)
        return address == HOME

    guard = Guard(Rules.of(SmppConfig(max_unbound=10)), neighbour)
    for _ in range(5):
        come(guard, AWAY)
    assert asked == []
    assert guard.enter(AWAY, 0)[1] is Full.UNBOUND
    assert guard.enter(None, 0)[1] is Full.UNBOUND
    for _ in range(5):
        come(guard, HOME)
    assert guard.enter(HOME, 0)[1] is Full.UNBOUND
    guard.bound(guard.visitors["203.0.113.7"])
    assert guard.enter(AWAY, 0)[1] is Full.UNBOUND
    come(guard, HOME)


def test_a_balancer_has_no_limits_of_its_own_and_each_client_has() -> None:
    guard = make(max_unbound_per_address=2, max_connections_per_address=2)
    balancer = [guard.enter(HOME, 0, balancer=True) for _ in range(5)]
    assert [full for _, full in balancer] == [None] * 5
    found = [guard.rename(visitor, AWAY, 0) for visitor, _ in balancer]
    assert [full for _, full in found] == [None, None, *[Full.ADDRESS] * 3]
    assert (guard.connections, guard.unbound) == (5, 5)
    assert repr(guard.visitors["203.0.113.7"]) == "<Visitor 203.0.113.7 connections=3 unbound=3>"
    assert repr(guard.visitors["203.0.113.8"]) == "<Visitor 203.0.113.8 connections=2 unbound=2>"


def test_zero_is_unlimited() -> None:
    guard = make(max_unbound=0, max_unbound_per_address=0, max_connections_per_address=0)
    for _ in range(2000):
        come(guard)


@given(st.lists(st.tuples(st.sampled_from(["enter", "bound", "leave"]), st.integers(0, 3)), max_size=200))
def test_what_is_counted_is_what_is_there(steps: list[tuple[str, int]]) -> None:
    guard = make(max_connections=20, max_unbound=6, max_unbound_per_address=3, max_connections_per_address=8)
    there: list[tuple[Visitor, bool]] = []
    for now, (step, number) in enumerate(steps):
        if step == "enter":
            visitor, full = guard.enter(ip_address(f"192.0.2.{number}"), now)
            if full is None:
                there.append((visitor, False))
        elif number < len(there):
            visitor, bound = there.pop(number)
            if step == "leave":
                guard.leave(visitor, now, bound=bound)
            else:
                if not bound:
                    guard.bound(visitor)
                there.append((visitor, True))
        assert guard.connections == len(there) <= 20
        assert guard.unbound == sum(not bound for _, bound in there) <= 6
        for visitor in guard.visitors.values():
            mine = [bound for one, bound in there if one is visitor]
            assert visitor.connections == len(mine) <= 8
            assert visitor.unbound == mine.count(False) <= 3


# Guessing ------------------------------------------------------------------------------------------------------------


def guess(guard: Guard, visitor: Visitor, times: int, system_id: str = "demo", now: int = 0) -> list[int]:
    """How long each waited, in seconds."""
    waits = []
    for _ in range(times):
        waits.append(guard.delay(visitor, now) // 1000)
        guard.failed(visitor, system_id, now)
    return waits


def test_each_bind_waits_twice_as_long_after_the_failures_that_pass() -> None:
    guard = make(bind_failures=5, bind_delay_max="10s")
    assert guess(guard, come(guard), 12) == [0, 0, 0, 0, 0, 1, 2, 4, 8, 10, 10, 10]


@pytest.mark.parametrize(("most", "waits"), [(0, [0, 0, 0]), ("500ms", [0, 500, 500]), ("1500ms", [0, 1000, 1500])])
def test_the_longest_wait_is_a_setting(most: object, waits: list[int]) -> None:
    rules = Rules.of(SmppConfig.model_validate({"bind_failures": 1, "bind_delay_max": most}))
    assert [rules.delay(failures) for failures in range(3)] == waits


def test_one_address_waits_and_the_others_do_not() -> None:
    guard = make()
    guess(guard, come(guard), 20)
    assert guard.delay(come(guard, AWAY), 0) == 0


def test_the_addresses_of_one_ipv6_network_wait_together() -> None:
    guard = make()
    guess(guard, come(guard, ip_address("2001:db8::1")), 20)
    assert guard.delay(come(guard, ip_address("2001:db8::2")), 0) == 10_000
    assert guard.delay(come(guard, ip_address("2001:db8:0:1::2")), 0) == 0


def test_hanging_up_forgives_nothing() -> None:
    guard = make()
    visitor = come(guard)
    guess(guard, visitor, 20)
    guard.leave(visitor, 0, bound=False)
    assert guard.delay(come(guard), 1) == 10_000


def test_the_right_password_forgives() -> None:
    guard = make()
    visitor = come(guard)
    guess(guard, visitor, 20)
    guard.proved(visitor, "demo")
    assert guard.delay(visitor, 0) == 0


def test_the_right_password_forgives_only_what_failed_under_its_own_name() -> None:
    guard = make(bind_failures=5)
    visitor = come(guard)
    waits = []
    for _ in range(20):
        waits += guess(guard, visitor, 1, "somebody")
        guard.proved(visitor, "own")
    assert waits[-1] == 10


def test_many_names_are_counted_together() -> None:
    guard = make()
    visitor = come(guard)
    waits = [guess(guard, visitor, 1, f"name{number}")[0] for number in range(1000)]
    assert waits[-1] == 10
    assert len(visitor.failures) <= 6
    assert visitor.system_ids == ["name995", "name996", "name997", "name998", "name999"]


def test_each_minute_in_peace_forgives_one_failure() -> None:
    guard = make(bind_failures=5)
    visitor = come(guard)
    guess(guard, visitor, 100)
    waits = [guard.delay(visitor, minute * MINUTE) // 1000 for minute in range(12)]
    assert waits == [10, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0]
    assert not visitor.failures


def test_a_wait_is_no_shorter_for_being_looked_at_often() -> None:
    often, seldom = make(), make()
    for guard, step in ((often, 1_000), (seldom, 5 * MINUTE)):
        visitor = come(guard)
        guess(guard, visitor, 100)
        for now in range(0, 5 * MINUTE + 1, step):
            guard.delay(visitor, now)
        assert sum(visitor.failures.values()) == 4


def test_a_guesser_is_told_after_more_failures_than_pass() -> None:
    guard = make(bind_failures=3)
    visitor = come(guard)
    assert [guard.failed(visitor, "demo", 0) for _ in range(5)] == [False, False, False, True, True]


# The log, and memory -------------------------------------------------------------------------------------------------


def test_one_line_a_minute_says_how_often() -> None:
    guard = make()
    visitor = come(guard)
    told = [guard.tell(visitor, "guessing", second * 1000) for second in range(0, 130, 10)]
    assert told == [1, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 6]
    assert guard.tell(visitor, "something else", 130_000) == 1


def test_a_crowd_of_addresses_does_not_fill_the_log() -> None:
    guard = make()
    lines = [guard.tell(come(guard, ip_address(f"198.51.{n // 250}.{n % 250}")), "x", 0) for n in range(1000)]
    assert sum(lines) == 60


def test_who_did_nothing_is_forgotten_when_he_goes() -> None:
    guard = make()
    for number in range(1000):
        visitor = come(guard, ip_address(f"198.51.{number // 250}.{number % 250}"), number)
        guard.leave(visitor, number, bound=False)
    assert len(guard.visitors) <= 1


def test_who_was_told_of_is_forgotten_in_time() -> None:
    guard = make()
    visitor, _ = guard.enter(HOME, 0)
    guard.tell(visitor, "refused", 0)
    guess(guard, visitor, 3)
    guard.leave(visitor, 0, bound=False)
    come(guard, AWAY, MINUTE)
    assert "203.0.113.7" in guard.visitors
    guard.leave(guard.visitors["203.0.113.8"], 5 * MINUTE, bound=False)
    assert "203.0.113.7" not in guard.visitors


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    guard = make()
    staying = come(guard, HOME)
    guess(guard, staying, 1)
    for number in range(100):
        visitor = come(guard, ip_address(f"198.51.100.{number}"))
        guess(guard, visitor, 1)
        guard.leave(visitor, 0, bound=False)
    assert len(guard.visitors) == 11
    assert guard.visitors["203.0.113.7"] is staying
    assert "198.51.100.99" in guard.visitors
    assert "198.51.100.0" not in guard.visitors


def test_who_introduces_himself() -> None:
    guard = make()
    visitor = come(guard)
    guess(guard, visitor, 2)
    assert repr(visitor) == "<Visitor 203.0.113.7 connections=1 unbound=1 failures=2>"
    assert repr(guard) == "<Guard 1 connections, 1 unbound, 1 addresses>"


# What is said ---------------------------------------------------------------------------------------------------------


def test_a_second_of_pdus_may_come_at_once_and_the_rest_is_paid_for_in_time() -> None:
    guard = make(max_pdu_rate=100)
    visitor = come(guard, now=MINUTE)
    assert guard.pay(visitor, 100, 0, MINUTE) == (0, None)
    assert guard.pay(visitor, 50, 0, MINUTE) == (500, Slow.RATE)
    # Who waits as it is told to sends at the rate that is allowed.
    assert guard.pay(visitor, 10, 0, MINUTE + 500) == (100, Slow.RATE)
    assert guard.pay(visitor, 10, 0, MINUTE + 600) == (100, Slow.RATE)
    # What was not used for long counts for a second.
    assert guard.pay(visitor, 101, 0, 2 * MINUTE) == (10, Slow.RATE)


def test_the_links_of_an_address_share_its_rate() -> None:
    guard = make(max_pdu_rate=10)
    first, second = come(guard), come(guard)
    assert first is second
    guard.pay(first, 10, 0, MINUTE)
    assert guard.pay(second, 5, 0, MINUTE) == (500, Slow.RATE)
    assert guard.pay(first, 5, 0, MINUTE) == (1000, Slow.RATE)
    assert guard.pay(come(guard, AWAY), 5, 0, MINUTE) == (0, None)


def test_without_a_rate_as_much_as_comes() -> None:
    guard = make(max_pdu_rate=0)
    assert guard.pay(come(guard), 1_000_000, 0, 0) == (0, None)


def test_each_bad_pdu_beyond_the_limit_costs_a_second() -> None:
    guard = make(max_bad_pdus=100)
    visitor = come(guard)
    assert guard.pay(visitor, 90, 90, 5) == (0, None)
    assert guard.pay(visitor, 12, 12, MINUTE - 1) == (2_000, Slow.BAD)
    assert guard.pay(visitor, 64, 64, MINUTE + 1) == (64_000, Slow.BAD)
    assert guard.pay(visitor, 1000, 0, MINUTE + 2) == (0, None)
    # The minute began with the first of them, and is over.
    assert guard.pay(visitor, 100, 100, MINUTE + 5) == (0, None)
    assert guard.pay(visitor, 1, 1, MINUTE + 6) == (1_000, Slow.BAD)


def test_bad_pdus_may_be_unlimited() -> None:
    guard = make(max_bad_pdus=0)
    assert guard.pay(come(guard), 1_000_000, 1_000_000, 0) == (0, None)


def test_what_leads_to_nothing_has_a_rate_of_its_own() -> None:
    guard = make(max_refused_rate=100)
    assert guard.pay_vain("demo", 100, 0, 1, MINUTE) == 0
    assert guard.pay_vain("demo", 50, 0, 1, MINUTE) == 500
    assert guard.pay_vain("demo", 10, 0, 1, MINUTE + 500) == 100
    # Another account, and an address where nobody has bound, have rates of their own.
    assert guard.pay_vain("other", 100, 0, 1, MINUTE) == 0
    assert guard.pay_vain(come(guard, now=MINUTE), 100, 0, 1, MINUTE) == 0
    assert guard.pay_vain(come(guard, now=MINUTE), 50, 0, 2, MINUTE) == 500
    # What was not used for long counts for a second.
    assert guard.pay_vain("demo", 101, 0, 1, 2 * MINUTE) == 10


def test_what_leads_to_nothing_weighs_as_much_as_it_is_long() -> None:
    guard = make(max_refused_rate=10)
    assert guard.pay_vain("demo", 1, 9 * 8192, 1, MINUTE) == 0
    assert guard.pay_vain("demo", 1, 9 * 8192, 1, MINUTE) == 1000


def test_an_enquire_link_does_not_pay_for_the_flood_of_another_link() -> None:
    guard = make(max_refused_rate=100)
    guard.pay_vain("demo", 1000, 0, 2, MINUTE)
    assert guard.pay_vain("demo", 1, 0, 2, MINUTE) == 20


def test_what_leads_to_nothing_may_be_unlimited() -> None:
    assert make(max_refused_rate=0).pay_vain("demo", 1_000_000, 0, 1, 0) == 0


def test_what_an_address_sent_in_vain_is_remembered_until_it_is_paid() -> None:
    guard = make(max_refused_rate=10)
    visitor = come(guard, now=MINUTE)
    guard.pay_vain(visitor, 64, 0, 1, MINUTE)
    guard.leave(visitor, MINUTE, bound=False)
    come(guard, AWAY, MINUTE + 100)
    assert guard.pay_vain(come(guard, now=MINUTE + 100), 64, 0, 1, MINUTE + 100) == 6_400
    guard.leave(visitor, MINUTE + 100, bound=False)
    come(guard, ip_address("198.51.100.1"), 3 * MINUTE)
    assert visitor.address not in guard.visitors


@given(links=st.integers(1, 20), counts=st.lists(st.integers(1, 64), min_size=1, max_size=200))
def test_however_many_links_flood_the_account_is_never_faster_than_its_rate(links: int, counts: list[int]) -> None:
    """Each waits as it is told to, and goes on at once."""
    guard, rate = make(max_refused_rate=100), 100
    free, now = [MINUTE] * links, MINUTE
    for count in counts:
        next = free.index(min(free))
        now = free[next]
        free[next] = now + guard.pay_vain("demo", count, 0, links, now)
    # A second's worth comes at once, and each link has sent before it waits for it.
    assert sum(counts) <= rate * (1 + (now - MINUTE) / 1000) + 64 * links


def test_connecting_again_forgives_nothing() -> None:
    guard = make(max_bad_pdus=3, max_pdu_rate=10)
    visitor = come(guard, now=MINUTE)
    guard.pay(visitor, 3, 3, MINUTE)
    guard.leave(visitor, MINUTE, bound=False)
    for number in range(50):
        other = come(guard, ip_address(f"198.51.100.{number}"), MINUTE + 500)
        guard.leave(other, MINUTE + 500, bound=False)
    assert guard.pay(come(guard, now=MINUTE + 600), 1, 1, MINUTE + 600) == (1_000, Slow.BAD)
    guard.leave(guard.visitors["203.0.113.7"], MINUTE + 600, bound=False)
    # A minute later there is nothing to remember.
    come(guard, AWAY, 3 * MINUTE)
    assert "203.0.113.7" not in guard.visitors


@given(
    rate=st.sampled_from([0.5, 10, 333, 10_000]),
    steps=st.lists(st.tuples(st.integers(1, 64), st.integers(0, 2_000)), min_size=1, max_size=50),
)
def test_who_waits_as_told_is_never_faster_than_its_rate(rate: float, steps: list[tuple[int, int]]) -> None:
    guard = make(max_pdu_rate=rate)
    visitor, now, taken = come(guard, now=MINUTE), MINUTE, 0
    for count, pause in steps:
        wait, _ = guard.pay(visitor, count, 0, now)
        taken += count
        now += wait + pause
        # A second's worth came at once.
        assert taken <= rate * (now - MINUTE + 1_000) / 1_000 + 1
