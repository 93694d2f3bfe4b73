"""docs/adding-a-provider.md works as it stands."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from smppbridge.config import ProviderConfig
from smppbridge.providers import registry
from smppbridge.providers.base import InDoubt, Outcome, Refused, Sent, Temporary, Unable, WhenInDoubt

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-provider.md").read_text(encoding="utf-8")


@pytest.fixture
def acme(monkeypatch) -> Any:
    """The adapter of the page, in a package of its own."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    module = types.ModuleType("mycompany.sms")
    monkeypatch.setitem(sys.modules, "mycompany", types.ModuleType("mycompany"))
    monkeypatch.setitem(sys.modules, "mycompany.sms", module)
    exec(compile(code, "mycompany/sms.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    config = ProviderConfig.model_validate({"adapter": "mycompany.sms.Acme", "key": "hush"})
    return registry.build("acme", config)


def test_the_least_that_works_works(acme, message):
    request = acme.send([message()])
    assert request.headers["authorization"] == "Bearer hush"
    assert "Привет, world" in request.content.decode()
    assert acme.secrets() == ("hush",)
    assert (acme.batch, acme.ask_batch, acme.when_in_doubt) == (1, 0, WhenInDoubt.GIVE_UP)
    assert acme.rides_with(message(1)) != acme.rides_with(message(2))
    for response, outcome in [
        (httpx.Response(200, json={"id": 7, "price": "0.02"}), Sent(ref="7", cost="0.02")),
        (httpx.Response(200, json={"error": "bad number"}), Refused(reason="bad number", err=249)),
        (httpx.Response(402, json={"error": "no credit"}), Unable(reason="no credit", everything=True)),
        (httpx.Response(503), Temporary(reason="HTTP 503 without a readable answer")),
        (httpx.Response(200, text="OK"), InDoubt(reason="HTTP 200 without a readable answer")),
    ]:
        assert list(acme.sent([message()], response)) == [outcome]


def test_every_outcome_and_every_policy_is_explained():
    outcomes = set(re.findall(r"^\| `(\w+)", PAGE, re.MULTILINE))
    assert {outcome.__name__ for outcome in get_args(Outcome)} <= outcomes
    assert {policy.name for policy in WhenInDoubt} <= outcomes


def test_files_and_names_that_it_speaks_of_are_there():
    root = Path(__file__).parents[2]
    for path in set(re.findall(r"`((?:smppbridge|tests|docs|conf)/[\w/.-]+\.\w+)`", PAGE)) - {
        "smppbridge/providers/acme.py"
    }:
        assert (root / path).exists() or "NAME" in path, path
