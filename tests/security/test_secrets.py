"""A secret of the configuration is seen nowhere but in the request that it is for, whatever a provider answers."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import pytest
from typer.testing import CliRunner

from pdu import CommandStatus
from smppbridge.cli.main import app
from smppbridge.config import mask
from smppbridge.providers.reading import cut

ROOT = Path(__file__).parents[2]
PATIENCE = 60
SOURCES = ("omnicell", "omnikey", "smsgate", "smsgate-xml", "smsgate-get", "iba", "naimar", "smsc", "described")
DESCRIBED = """
[providers.described]
adapter = "http"
kinds = ["sms"]
when_in_doubt = "give_up"
proxy = "http://user:{proxy}@{there}"
[providers.described.secret]
token = "{token}"
[providers.described.send]
url = "http://{there}/send?key={{{{ secret.token }}}}&to={{{{ destination }}}}"
headers.authorization = "Basic {{{{ ('login:' ~ secret.token) | base64 }}}}"
[providers.described.send.form]
text = "{{{{ text }}}}"
[providers.described.answer]
success.status = [201]
id = "$.id"
err = "$.code"
reason = "$.message"

[[routes]]
source = ["described"]
providers = ["described"]
"""


class Echo(BaseHTTPRequestHandler):
    """Says back all that it was told, in every wording and with every status, as a careless provider's errors do."""

    #: Requests so far, and what all of them said.
    seen = 0
    heard: list[str]

    def answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        told = f"{self.path} {unquote(self.path)} {dict(self.headers)} {body}"
        type(self).seen += 1
        number = type(self).seen
        self.heard.append(told)
        kind = number % 5
        if kind == 4:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        words = {
            "error": told,
            "message": told,
            "error_code": 2,
            "code": told[:300],
            "id": f"ref-{number}",
            "status": told,
        }
        cut = {**words, "message": told[: 200 + number]}
        bodies = (
            json.dumps(words),
            f"<?xml version='1.0'?><response><error>{escape(told)}</error><status>{escape(told)}</status></response>",
            told,
            json.dumps(cut),
        )
        answer = bodies[kind].encode()
        self.send_response((200, 400, 500, 200, 403, 201, 422)[number % 7])
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def echo() -> Iterator[ThreadingHTTPServer]:
    handler = type("EchoHere", (Echo,), {"heard": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Configured:
    """The shipped rehearsal with a secret of its own in the place of each that everybody knows."""

    def __init__(self, folder: Path, there: str) -> None:
        self.secrets: list[str] = []
        self.smpp, self.http, self.database = free_port(), free_port(), folder / "state.db"
        text = (ROOT / "conf" / "rehearsal.toml").read_text(encoding="utf-8")
        text = text.replace(
            "[[routes]]", DESCRIBED.format(there=there, proxy=quote(self._new()), token=self._new()) + "[[routes]]", 1
        )
        text = re.sub(r'(password|billkey) = "demo"', lambda found: f'{found[1]} = "{self._new()}"', text)
        text = re.sub(r'(\w+) = "demo-[a-z-]+"', lambda found: f'{found[1]} = "{self._new()}"', text)
        handler = f'handler = {{ url = "http://{there}/handler?key={self._new()}", secret = "{self._new()}" }}'
        client = "Cl13nt-S"
        text = re.sub(r'(\[accounts.demo\]\n)password = "[^"]+"', rf'\1{handler}\npassword = "{client}"', text)
        self.secrets.append(client)
        self.client = client
        for old, new in (
            ("127.0.0.1:2775", f"127.0.0.1:{self.smpp}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.http}"),
            ("127.0.0.1:8099", there),
            ("var/rehearsal.db", str(self.database)),
            ("[smpp]\n", '[log]\nlevel = "debug"\ntexts = true\nmessage_lines = 100000\n[smpp]\n'),
        ):
            assert old in text
            text = text.replace(old, new)
        self.path = folder / "rehearsal.toml"
        self.path.write_text(text, encoding="utf-8")
        self.path.chmod(0o600)

    def _new(self) -> str:
        """Letters that URL, JSON and XML each write otherwise; its first six tell it from all others."""
        self.secrets.append(f"S{len(self.secrets):02d}-qZ+~xWv&'9")
        return self.secrets[-1]

    def leaks(self, text: str) -> list[str]:
        """Secrets in `text`, whole or begun, in whatever wording."""
        worded = (text, unquote(text))
        logins = ("demo", "login", "user")
        return [
            secret
            for secret in self.secrets
            for form in (secret[:6], *(b64encode(f"{login}:{secret}".encode()).decode()[:16] for login in logins))
            if any(form in words for words in worded)
        ]


def command(configured: Configured, *arguments: str) -> str:
    return CliRunner().invoke(app, [*arguments, "--config", str(configured.path)], catch_exceptions=False).output


@contextlib.contextmanager
def serving(configured: Configured, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    line = [sys.executable, "-m", "smppbridge", "serve", "--config", str(configured.path)]
    with log.open("wb") as stream, subprocess.Popen(line, cwd=ROOT, stdout=stream, stderr=stream) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def get(configured: Configured, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{configured.http}{path}", timeout=PATIENCE) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refused:
        with refused:
            return str(refused.read().decode())


@pytest.mark.journey
def test_no_secret_is_seen_after_a_journey_past_careless_providers(
    tmp_path: Path, echo: ThreadingHTTPServer, connect: Callable[..., Any]
) -> None:
    configured = Configured(tmp_path, f"127.0.0.1:{echo.server_address[1]}")
    log = tmp_path / "log"
    with serving(configured, log) as process:
        deadline = time.monotonic() + PATIENCE
        while '"ready"' not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running = type("Process", (), {"port": configured.smpp})
        stranger = connect(running)
        assert stranger.bind(password=configured.secrets[2][:8]).command_status == CommandStatus.ESME_RINVPASWD
        esme = connect(running)
        assert esme.bind(password=configured.client).command_status == 0
        ids = []
        for number in range(5):
            for source in SOURCES:
                to = {"iba": "375291234567", "naimar": "421901727051", "omnicell": "380631111111"}.get(
                    source, "79991234567"
                )
                # Without a receipt it is the handler that hears of it.
                answer = esme.submit(f"{source} {number}", to=to, source_addr=source, registered_delivery=number % 2)
                assert answer.command_status == 0
                ids.append(answer.message_id)
        for provider in SOURCES:
            get(configured, f"/callback/{provider}/{quote(configured.secrets[3])}x?psw={quote(configured.secrets[4])}")
        told = get(configured, "/metrics") + get(configured, "/readyz") + get(configured, "/openapi.json")
        handler: Any = echo.RequestHandlerClass
        deadline = time.monotonic() + PATIENCE
        while len(handler.heard) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        told += Path(f"/proc/{process.pid}/cmdline").read_text()
        told += "".join(
            command(configured, "messages", *show, *how)
            for show in (["list"], ["show", ids[0]])
            for how in ([], ["--json"])
        )
        told += "".join(command(configured, "messages", "show", id) for id in ids[1:12])
        told += "".join(
            command(configured, "explain", "Hello", "--account", "demo", "--from", source) for source in SOURCES
        )
        told += command(configured, "check-config")
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    # Else nothing was tried.
    assert len(configured.leaks(" ".join(handler.heard))) >= 6
    written = log.read_text()
    assert '"event":"in doubt"' in written
    assert "Traceback" not in written
    with contextlib.closing(sqlite3.connect(configured.database)) as database:
        stored = "\n".join(database.iterdump())
    assert configured.leaks(told) == []
    assert configured.leaks(written) == []
    assert configured.leaks(stored) == []
    for file in tmp_path.iterdir():
        if file != configured.path and file.is_file():
            assert configured.leaks(file.read_bytes().decode("latin-1")) == [], file


@pytest.mark.parametrize("kept", range(4, 18))
def test_a_secret_that_was_cut_off_is_hidden_too(kept: int) -> None:
    """Of an error no more is kept than there is room for, and where that ends a secret may have begun; whoever tells of
    the error may say more behind it."""
    secret = "S00-qZ+~xWv&'9&<"
    for written in (secret, quote(secret), escape(secret), json.dumps(secret)[1:-1]):
        said = cut("the address was " + written, len("the address was ") + kept + 1)
        hidden = "the address was ***" + ("…" if said.endswith("…") else "")
        for behind in ("", ", yet it has the id 7"):
            assert mask(said + behind, [secret, "another"]) == hidden + behind
    assert mask("a sentence, S00 and no more", [secret]) == "a sentence, S00 and no more"
