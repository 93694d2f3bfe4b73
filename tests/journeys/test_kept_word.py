"""kill -9 while messages are cancelled and replaced: what was answered with status 0 holds, whatever happens next.

The provider outlives the gateway, so what it has processed can be counted: a cancelled message never, a replaced one
with its last text alone, everything else once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdu import CancelSm, ReplaceSm
from smppbridge.simulator.server import Simulator
from smppbridge.simulator.vendor import Settings
from smppbridge.web.listener import Listener

from ..conftest import Esme

CYCLES = 4
MESSAGES = 60
#: Seconds to see how things end. What was being asked for when the gateway was killed waits for a minute, and need not
#: be seen to the end.
PATIENCE = 12.0

CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:{port}" }}]
[http]
listen = ""
[store]
path = "{path}"
[log]
level = "error"
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
[providers.smsgate]
adapter = "smsgate"
door = "json"
base_url = "http://{provider}/smsgate/"
login = "demo"
password = "demo"
# Slow enough for a queue.
rate = 60
when_in_doubt = "{when_in_doubt}"
retry_first = "100ms"
poll_first = "200ms"
poll_max = "500ms"
[[routes]]
providers = ["smsgate"]
"""


@pytest.fixture
def provider() -> Iterator[tuple[Simulator, str]]:
    """The simulator in a thread of its own, and where it is."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    simulator = Simulator(Settings(delay=0.1))
    listener = asyncio.run_coroutine_threadsafe(Listener.start(simulator, "127.0.0.1:0"), loop).result(10)
    yield simulator, listener.address
    asyncio.run_coroutine_threadsafe(simulator.close(), loop).result(10)
    asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Ledger:
    """What was said, by the number that each text begins with."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self.cancelled: set[int] = set()
        #: The texts that may be sent: the last one that was taken, and those of which nobody knows.
        self.texts: dict[int, set[str]] = {}
        self.next = 0

    def play(self, esme: Esme) -> None:
        """Send, cancel and replace until the link breaks."""
        fresh = [self._send(esme) for _ in range(MESSAGES)]
        for place, number in enumerate(reversed(fresh)):
            named = {"message_id": self.ids[number], "source_addr": "TEST"}
            if place % 3 == 0 and esme.ask(CancelSm(**named)).command_status == 0:
                self.cancelled.add(number)
            if place % 3 == 1:
                text = f"{number} replaced"
                self.texts[number].add(text)
                put = ReplaceSm(short_message=text.encode(), registered_delivery=1, **named)
                taken = esme.ask(put).command_status == 0
                self.texts[number] = {text} if taken else self.texts[number] - {text}

    def _send(self, esme: Esme) -> int:
        number = self.next = self.next + 1
        self.texts[number] = {f"{number} sent"}
        answer = esme.submit(f"{number} sent", to="79801234567")
        assert answer.command_status == 0
        self.ids[number] = answer.message_id
        return number


@pytest.mark.journey
@pytest.mark.parametrize("when_in_doubt", ["repeat", "ask"])
def test_what_was_cancelled_or_replaced_stays_so(
    tmp_path: Path, provider: tuple[Simulator, str], when_in_doubt: str
) -> None:
    simulator, address = provider
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "smppbridge.toml"
    path = tmp_path / "state.db"
    config.write_text(CONFIG.format(port=port, path=path, provider=address, when_in_doubt=when_in_doubt))
    config.chmod(0o600)
    ledger, ends = Ledger(), defaultdict[str, set[str]](set)
    for cycle in range(CYCLES + 1):
        process = subprocess.Popen([sys.executable, "-m", "smppbridge", "serve", "--config", str(config)])
        try:
            esme = bound(port)
            with contextlib.closing(esme):
                if cycle < CYCLES:
                    # In the middle of cancelling and replacing, or soon after it.
                    end = threading.Timer(0.25 + 0.2 * cycle, os.kill, (process.pid, signal.SIGKILL))
                    end.start()
                    with contextlib.suppress(EOFError, OSError):
                        ledger.play(esme)
                    end.join()
                else:
                    listen(esme, set(ledger.ids.values()), ends)
        finally:
            process.kill()
            process.wait(30)
    assert ledger.cancelled
    sent = Counter(int(one.text.split()[0]) for one in list(simulator.vendors["smsgate"].messages.values()))
    texts = {int(one.text.split()[0]): one.text for one in list(simulator.vendors["smsgate"].messages.values())}
    assert not ledger.cancelled & set(sent)
    assert max(sent.values()) == 1
    assert all(text in ledger.texts[number] for number, text in texts.items())
    assert {ledger.ids[number] for number in ledger.cancelled} <= set(ends)
    for number, id in ledger.ids.items():
        assert ends.get(id) in (None, {"DELIVRD" if number in sent else "DELETED"}), number


def bound(port: int) -> Esme:
    deadline = time.monotonic() + 30
    while True:
        try:
            esme = Esme(port)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            assert esme.bind().command_status == 0
            return esme


def listen(esme: Esme, ids: set[str], ends: defaultdict[str, set[str]]) -> None:
    """To the receipts of all messages: nobody has answered one before."""
    deadline = time.monotonic() + PATIENCE
    esme.socket.settimeout(1)
    while ids - set(ends) and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            said = re.match(rb"id:(\S+) .* stat:(\S+)", esme.receipt().short_message)
            assert said
            ends[said[1].decode()].add(said[2].decode())
