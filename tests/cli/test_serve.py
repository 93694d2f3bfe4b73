"""The process as systemd sees it: notices, signals, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smppbridge.app import serve
from smppbridge.config import ConfigError

from ..conftest import Esme

CONFIG = """
[smpp]
[[smpp.listeners]]
listen = "127.0.0.1:{port}"
[http]
listen = ""
[store]
path = "{folder}/store.db"
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
[providers.sandbox]
adapter = "sandbox"
[[routes]]
providers = ["sandbox"]
"""


class Systemd:
    """Starts the gateway and hears what it says."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "gateway.toml"
        self.log = folder / "log"
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notices.bind(str(folder / "notify"))
        self._notices.settimeout(20)
        self._environ = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "smppbridge", "serve", "--config", str(self.config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stderr=log, env=self._environ)
        return self.process

    def heard(self) -> str:
        return self._notices.recv(1000).decode().split("\n")[0]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines()]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._notices.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    made = Systemd(tmp_path)
    made.config.write_text(CONFIG.format(port=0, folder=tmp_path), encoding="utf-8")
    made.config.chmod(0o600)
    yield made
    made.close()


@pytest.mark.journey
def test_ready_reload_stop(systemd: Systemd) -> None:
    process = systemd.start()
    assert systemd.heard() == "READY=1"
    text = systemd.config.read_text(encoding="utf-8")
    systemd.config.write_text(text.replace("[providers", "throughput = 5\n[providers"), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    assert [systemd.heard(), systemd.heard()] == ["RELOADING=1", "READY=1"]
    systemd.config.write_text(text.replace("[providers", "throughput = 'x'\n[providers"), encoding="utf-8")
    process.send_signal(signal.SIGHUP)
    assert [systemd.heard(), systemd.heard()] == ["RELOADING=1", "READY=1"]
    process.send_signal(signal.SIGTERM)
    assert systemd.heard() == "STOPPING=1"
    assert process.wait(20) == 0
    events = systemd.events()
    assert [event for event in events if event != "listening"] == [
        "ready",
        "reloaded",
        "not reloaded: the old settings stay",
        "stopping",
        "stopped",
    ]


@pytest.mark.journey
@pytest.mark.parametrize(("texts", "shown"), [("false", "6 characters"), ("true", "secret")])
def test_texts_are_in_the_log_only_when_asked_for(systemd: Systemd, texts: str, shown: str) -> None:
    text = systemd.config.read_text(encoding="utf-8")
    systemd.config.write_text(f"[log]\ntexts = {texts}\n{text}", encoding="utf-8")
    process = systemd.start()
    assert systemd.heard() == "READY=1"
    ready = next(line for line in systemd.lines() if line["event"] == "ready")
    host, _, port = ready["smpp"][0].rpartition(":")
    command = [sys.executable, "-m", "smppbridge", "send", "secret", "--to", "79991234567", "--host", host]
    account = ["--port", port, "--system-id", "demo", "--password", "demo"]
    subprocess.run([*command, *account], check=True, capture_output=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    [accepted] = [line for line in systemd.lines() if line["event"] == "accepted"]
    assert accepted["text"] == shown
    assert ("secret" in systemd.log.read_text(encoding="utf-8")) is (texts == "true")


@pytest.mark.journey
def test_a_reload_that_fails_is_not_the_last_one(systemd: Systemd, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    openssl = shutil.which("openssl") or pytest.skip("openssl makes the certificate")
    made = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run(made, check=True, capture_output=True)
    key.chmod(0o600)
    text = systemd.config.read_text(encoding="utf-8")
    with_tls = f'listen = "127.0.0.1:0"\ntls = {{ certificate = "{certificate}", key = "{key}" }}'
    systemd.config.write_text(text.replace('listen = "127.0.0.1:0"', with_tls), encoding="utf-8")
    process = systemd.start()
    assert systemd.heard() == "READY=1"
    # The new file is right, but the listener that is there still has a certificate that is gone.
    systemd.config.write_text(text, encoding="utf-8")
    certificate.rename(tmp_path / "aside")
    process.send_signal(signal.SIGHUP)
    assert [systemd.heard(), systemd.heard()] == ["RELOADING=1", "READY=1"]
    (tmp_path / "aside").rename(certificate)
    process.send_signal(signal.SIGHUP)
    assert [systemd.heard(), systemd.heard()] == ["RELOADING=1", "READY=1"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    events = systemd.events()
    assert events.index("not reloaded: the old settings stay") < events.index("reloaded")


@pytest.mark.journey
def test_a_mistake_in_the_configuration_has_its_own_exit_code(systemd: Systemd) -> None:
    text = systemd.config.read_text(encoding="utf-8")
    systemd.config.write_text(text.replace('"demo"', '"demo"\nmax_binds = 0'), encoding="utf-8")
    assert systemd.start().wait(20) == 78
    [line] = systemd.log.read_text(encoding="utf-8").splitlines()
    assert line.endswith("[accounts.demo] max_binds = 0: expected a whole number of binds, 1 or more")


@pytest.mark.journey
def test_a_port_that_is_taken_is_worth_another_try(systemd: Systemd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        systemd.config.write_text(CONFIG.format(port=port, folder=tmp_path), encoding="utf-8")
        assert systemd.start().wait(20) == 1
    assert systemd.events()[-1] == "cannot start"
    assert str(port) in systemd.log.read_text(encoding="utf-8")


def test_a_reload_that_comes_too_early_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP while the settings are read: without a handler it would end this very process."""

    def interrupted(path: Path) -> Any:
        os.kill(os.getpid(), signal.SIGHUP)
        raise ConfigError([])

    monkeypatch.setattr("smppbridge.app._checked", interrupted)
    before = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(ConfigError):
            serve(tmp_path / "gateway.toml")
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.journey
def test_a_second_signal_ends_it_at_once(systemd: Systemd) -> None:
    text = systemd.config.read_text(encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        slow = f"""
[providers.slow]
adapter = "http"
kinds = ["sms"]
reference = "{{{{ id }}}}"
when_in_doubt = "give_up"
timeout = "50s"
send = {{ url = "http://127.0.0.1:{silent.getsockname()[1]}/", json = {{ to = "{{{{ destination }}}}" }} }}
answer = {{ success.where = {{ "$.taken" = ["true"] }} }}
"""
        systemd.config.write_text(text.replace('"sandbox"]', '"slow"]') + slow, encoding="utf-8")
        process = systemd.start()
        assert systemd.heard() == "READY=1"
        ready = next(line for line in systemd.lines() if line["event"] == "ready")
        esme = Esme(int(ready["smpp"][0].rpartition(":")[2]))
        esme.bind()
        esme.submit("one")
        peer, _ = silent.accept()
        process.send_signal(signal.SIGTERM)
        assert systemd.heard() == "STOPPING=1"
        # The same signal by another way does not hurry it.
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 1
        esme.close()
        peer.close()
    assert systemd.events()[-1] == "told again to end: what is under way is cut off"
