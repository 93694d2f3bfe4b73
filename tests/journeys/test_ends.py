"""The end of the gateway while requests are under way at a provider, for which a doubt costs something."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from smppbridge.app import Patience
from smppbridge.model import Stage

SLOW = """
[providers.slow]
adapter = "http"
kinds = ["sms"]
reference = "{{ id }}"
when_in_doubt = "give_up"
timeout = "10s"
[providers.slow.send]
url = "http://127.0.0.1:%d/"
json = { to = "{{ destination }}" }
[providers.slow.answer]
success.where = { "$.taken" = ["true"] }
"""


class Slow:
    """A provider that answers each request a while after it came."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked = threading.Semaphore(0)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                self.asked.release()
                time.sleep(self.seconds)
                peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"taken": true}')


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow(1.5)
    yield made
    made.server.close()


@pytest.mark.journey
def test_an_answer_is_waited_for_as_long_as_requests_have(start, connect, slow):
    gateway = start(SLOW % slow.port, **{'providers = ["sandbox"]': 'providers = ["slow"]'})
    esme = connect(gateway)
    esme.bind()
    id = int(esme.submit("one").message_id)
    assert slow.asked.acquire(timeout=10)
    gateway.call(gateway.gateway.stop(Patience(requests=20.0, writing=0.5, farewell=0.1)))
    again = start(SLOW % slow.port, **{'providers = ["sandbox"]': 'providers = ["slow"]'})
    assert again.call(again.gateway.store.find(id)).progress.stage is Stage.SENT
