"""From the name in the configuration to a provider."""

import sys
import types

import pytest

from smppbridge.config import ProviderConfig
from smppbridge.providers import registry
from smppbridge.providers.base import Provider
from smppbridge.providers.sandbox import Sandbox
from smppbridge.providers.smsc import Smsc
from smppbridge.providers.smsgate import Smsgate


def test_the_file_name_is_the_registration():
    assert {"sandbox", "skeleton", "smsc"} < set(registry.names())
    assert list(registry.names()) == sorted(registry.names())
    assert registry.adapter_class("smsc") is Smsc
    # A package, for an adapter that fills several files; what stands beside the class is no adapter.
    assert registry.adapter_class("smsgate") is Smsgate
    assert not {"doors", "settings"} & set(registry.names())


@pytest.mark.parametrize("name", ["nothing", "base", "registry", "reading", "", "Smsc"])
def test_a_name_without_an_adapter_says_which_there_are(name):
    with pytest.raises(registry.UnknownAdapter, match=r"sandbox, skeleton, .*smsc"):
        registry.adapter_class(name)


@pytest.fixture
def foreign(monkeypatch):
    """Somebody else's module."""
    module = types.ModuleType("somebody_else")
    monkeypatch.setitem(sys.modules, "somebody_else", module)
    return module


def test_a_dotted_name_is_somebody_elses_class(foreign):
    foreign.Theirs = type("Theirs", (Sandbox,), {})
    provider = registry.build("main", ProviderConfig(adapter="somebody_else.Theirs"))
    assert type(provider) is foreign.Theirs
    assert repr(provider) == "<Theirs main>"


def test_a_dotted_name_that_leads_nowhere(foreign):
    foreign.Unfinished = type("Unfinished", (Provider,), {})
    foreign.number = 5
    for name, said in [
        ("not_installed.anywhere.Theirs", "cannot be imported: ModuleNotFoundError"),
        ("../smsc", "cannot be imported"),
        ("somebody_else.Missing", "cannot be imported: AttributeError"),
        ("somebody_else.Unfinished", "not a complete subclass"),
        ("somebody_else.number", "not a complete subclass"),
    ]:
        with pytest.raises(registry.UnknownAdapter, match=said):
            registry.adapter_class(name)


def test_settings_that_do_not_fit_are_named_without_what_stood_there():
    config = ProviderConfig.model_validate({"adapter": "sandbox", "failures": 7, "late": "hush hush", "pirce": "1"})
    with pytest.raises(registry.BadSettings) as bad:
        registry.build("main", config)
    assert sorted(bad.value.problems) == ["failures", "late", "pirce"]
    assert "[providers.main] failures: " in str(bad.value)
    assert "hush" not in str(bad.value)
    # Nor in what a traceback would show.
    assert bad.value.__cause__ is None
    assert bad.value.__suppress_context__


def test_every_build_is_a_provider_of_its_own():
    first, second = (registry.build(name, ProviderConfig(adapter="sandbox")) for name in ("one", "two"))
    assert (first.name, second.name) == ("one", "two")
    assert set(first.secrets()).isdisjoint(second.secrets())
