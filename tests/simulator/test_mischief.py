"""Orders to misbehave: which requests they hit, and how often."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from smppbridge.simulator.mischief import Fault, Misbehaviour, Mischief


def test_an_order_holds_for_its_requests_and_so_many_of_them() -> None:
    mischief = Mischief()
    assert mischief.next("send") is None
    mischief.set(Misbehaviour(fault=Fault.TIMEOUT, times=2))
    assert mischief.next("ask") is None
    assert [mischief.next("send") is not None for _ in range(3)] == [True, True, False]
    assert str(mischief) == "behaves"


def test_an_order_without_a_number_holds_until_the_next() -> None:
    mischief = Mischief()
    mischief.set(Misbehaviour(fault=Fault.ERROR, requests="all"))
    assert all(mischief.next(purpose) for purpose in ("send", "ask", "balance") * 5)
    assert str(mischief) == "500 (all, from now on)"
    mischief.set(Misbehaviour(fault=None))
    assert mischief.next("send") is None


@pytest.mark.parametrize(("fault", "processes"), [("500", False), ("429", False), ("timeout", True), ("reset", True)])
def test_what_is_processed(fault: str, processes: bool) -> None:
    assert Misbehaviour(fault=Fault(fault)).processes is processes
    assert Misbehaviour(fault=Fault(fault), processed=not processes).processes is not processes


def test_on_the_command_line() -> None:
    assert Misbehaviour.read("timeout") == Misbehaviour(fault=Fault.TIMEOUT)
    assert Misbehaviour.read("500:3") == Misbehaviour(fault=Fault.ERROR, times=3)


@pytest.mark.parametrize("text", ["", "nonsense", "500:x", "500:", "500:0"])
def test_what_is_no_order(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - every kind of it is one sentence on the command line
        Misbehaviour.read(text)
    with pytest.raises(ValidationError):
        Misbehaviour.model_validate({"fault": "500", "often": 3})
