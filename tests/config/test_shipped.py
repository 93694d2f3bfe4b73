"""The shipped configuration is a tutorial: it holds as it stands, and so does every example in it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from smppbridge import config
from smppbridge.config.tables import HttpConfig, LogConfig, SmppConfig, StoreConfig
from smppbridge.providers.registry import adapter_class

SHIPPED = Path(__file__).parents[2] / "conf" / "smppbridge.toml"
REHEARSAL = SHIPPED.with_name("rehearsal.toml")

#: A commented example or default: no blank after the sign.
EXAMPLE = re.compile(r"^#(?=[\[a-z])", re.MULTILINE)


def test_as_shipped_it_has_neither_mistakes_nor_warnings(tmp_path: Path) -> None:
    path = tmp_path / "smppbridge.toml"
    path.write_bytes(SHIPPED.read_bytes())
    # git knows no other modes than 0644 and 0755, so this is how it arrives everywhere.
    path.chmod(0o644)
    checked = config.check(path, adapter_class)
    assert (checked.mistakes, checked.warnings) == ((), ())
    settings = config.load(path, adapter_class)
    assert [listener.listen for listener in settings.smpp.listeners] == ["127.0.0.1:2775"]
    assert settings.http.listen == "127.0.0.1:8080"
    assert settings.store.path == Path("var/smppbridge.db")
    assert list(settings.accounts) == ["demo"]
    assert settings.accounts["demo"].password == "demo"
    assert all(network.is_loopback for network in settings.accounts["demo"].allowed_networks)
    assert [provider.adapter for provider in settings.providers.values()] == ["sandbox"]
    assert settings.routes == (config.Route(providers=("sandbox",)),)


@pytest.fixture
def uncommented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> Path:
    """The file with every example in force, and the files it names."""
    text = EXAMPLE.sub("", SHIPPED.read_text(encoding="utf-8"))
    for name, path in zip(("/etc/smppbridge/tls.pem", "/etc/smppbridge/tls.key"), certificate, strict=True):
        assert name in text
        text = text.replace(name, str(path))
    staff = tmp_path / "staff.txt"
    staff.write_text("79990000003\n", encoding="utf-8")
    assert "/etc/smppbridge/staff.txt" in text
    text = text.replace("/etc/smppbridge/staff.txt", str(staff))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for name in re.findall(r'^[^#\n]*credential = "([^"]+)"', text, re.MULTILINE):
        (tmp_path / name).write_text("0123456789abcdef\n", encoding="utf-8")
    path = tmp_path / "all.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "tls.pem", tmp_path / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-days", "90", "-nodes", "-subj", "/CN=a.example"]
    try:
        subprocess.run([*command, "-keyout", files[1], "-out", files[0]], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl makes the certificate")
    files[1].chmod(0o600)
    return files


def test_every_example_in_it_holds(uncommented: Path) -> None:
    checked = config.check(uncommented, adapter_class)
    assert checked.mistakes == ()
    assert checked.warnings == ()
    settings = config.load(uncommented, adapter_class)
    assert len(settings.smpp.listeners) == 2
    assert set(settings.accounts) == {"demo", "shop"}
    adapters = {provider.adapter for provider in settings.providers.values()}
    assert adapters == {"iba", "naimar", "omnicell", "sandbox", "smsc", "smsgate"}
    assert len(settings.routes) == 4
    assert len(settings.distribution_lists["staff"].numbers) == 3


@pytest.mark.parametrize(
    ("table", "model"), [("smpp", SmppConfig), ("http", HttpConfig), ("store", StoreConfig), ("log", LogConfig)]
)
def test_commented_defaults_are_the_defaults(uncommented: Path, table: str, model: type[Any]) -> None:
    given = tomllib.loads(uncommented.read_text(encoding="utf-8"))[table]
    given = {key: value for key, value in given.items() if key not in ("listeners", "public_url")}
    assert given
    shown = model.model_validate(given)
    for key in given:
        assert getattr(shown, key) == getattr(model(), key), key


def test_the_rehearsal_has_neither_mistakes_nor_warnings_where_anybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "rehearsal.toml"
    path.write_bytes(REHEARSAL.read_bytes())
    path.chmod(0o644)
    checked = config.check(path, adapter_class)
    assert (checked.mistakes, checked.warnings) == ((), ())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("127.0.0.1:8099/iba", "192.0.2.1/iba"),
        ('user = "demo"\npassword = "demo"', 'user = "demo"\npassword = "S3cret"'),
    ],
)
def test_what_is_no_rehearsal_holds_no_secret_where_anybody_may_read_it(tmp_path: Path, old: str, new: str) -> None:
    text = REHEARSAL.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "rehearsal.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    path.chmod(0o644)
    found = {(mistake.table, mistake.key) for mistake in config.check(path, adapter_class).mistakes}
    assert ("[providers.iba]", "password") in found
