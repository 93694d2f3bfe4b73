from __future__ import annotations

import pytest

from smppbridge.config import Config, address, is_loopback
from smppbridge.config.tables import AccountConfig, ProviderConfig


@pytest.mark.parametrize(
    ("listen", "host", "port"),
    [("127.0.0.1:2775", "127.0.0.1", 2775), ("[::1]:0", "::1", 0), ("localhost:65535", "localhost", 65535)],
)
def test_address(listen: str, host: str, port: int) -> None:
    assert address(listen) == (host, port)


@pytest.mark.parametrize("listen", ["", ":2775", "127.0.0.1", "127.0.0.1:", "::1:2775", "h:65536", "h:-1", "h:٣"])
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(ValueError, match="an address and a port such as"):
        address(listen)


@pytest.mark.parametrize(
    ("host", "local"), [("127.3.2.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gw", False)]
)
def test_is_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1.5 m", 90), ("24h", 86400), ("3d", 259200), ("250ms", 0.25), (7, 7), (0.5, 0.5)],
)
def test_durations(text: object, seconds: float) -> None:
    account = AccountConfig.model_validate({"allowed_networks": [], "duplicate_window": text})
    assert account.duplicate_window == seconds


@pytest.mark.parametrize("text", ["", "s", "-5s", "5", "5 weeks", "1e3s", True, float("inf"), float("nan"), "٣s"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duplicate_window"):
        AccountConfig.model_validate({"allowed_networks": [], "duplicate_window": text})


def test_an_adapters_own_keys_are_kept_apart() -> None:
    provider = ProviderConfig.model_validate({"adapter": "smsc", "login": "me", "psw": "S3CRET", "rate": 5})
    assert provider.own == {"login": "me", "psw": "S3CRET"}
    assert "S3CRET" not in repr(provider)
    assert "rate=5" in repr(provider)


def test_settings_do_not_change() -> None:
    config = Config.model_validate({"accounts": {}, "providers": {}, "routes": []})
    with pytest.raises(ValueError, match="frozen"):
        config.smpp.window = 5  # type: ignore[misc]


def test_secrets_are_those_that_leave_in_requests() -> None:
    config = Config.model_validate(
        {
            "accounts": {
                "demo": {
                    "allowed_networks": [],
                    "password": "demo",
                    "handler": {"url": "http://127.0.0.1/", "secret": "one"},
                }
            },
            "providers": {"smsc": {"adapter": "smsc", "callback_token": "two", "psw": "three", "login": "me"}},
            "routes": [],
        }
    )
    assert config.secrets() == ("one", "two", "three")
