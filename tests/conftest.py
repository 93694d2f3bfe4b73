"""A whole gateway in a thread of its own, and clients on real sockets."""

import asyncio
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    DeliverSm,
    DeliverSmResp,
    Framer,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    decode,
    encode,
)
from smppbridge.app import Gateway
from smppbridge.config import load

BINDS = {"transmitter": BindTransmitter, "receiver": BindReceiver, "transceiver": BindTransceiver}

CONFIG = """
[smpp]
listeners = [{ listen = "127.0.0.1:0" }]

[http]
listen = "127.0.0.1:0"

[store]
path = "state.db"

[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[providers.sandbox]
adapter = "sandbox"
status_delay = "20ms"
retry_first = "50ms"
poll_first = "200ms"
timeout = "300ms"

[[routes]]
providers = ["sandbox"]
"""


class Running:
    """A gateway that runs; everything it is asked happens in its own loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gateway")
        self.thread.start()
        self.gateway = Gateway(load(path))
        self.call(self.gateway.start())

    @property
    def port(self) -> int:
        return int(self.gateway.smpp.addresses[0].rpartition(":")[2])

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def reload(self) -> None:
        config = load(self.path)
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (self.gateway.reload(config), done.set()))
        assert done.wait(5)

    def get(self, path: str, data: bytes | None = None) -> tuple[int, str]:
        """An HTTP request to its listener."""
        try:
            with urllib.request.urlopen(f"http://{self.gateway.http_address}{path}", data, 10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read().decode()

    def stop(self) -> None:
        if not self.thread.is_alive():
            return
        try:
            self.call(self.gateway.stop())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.loop.close()


class Esme:
    """A client that sends what it is told and nothing else."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.framer = Framer(65536)
        self.sequence = 0
        #: What came while something else was waited for.
        self.aside: list[Pdu] = []

    def send(self, pdu: Pdu) -> int:
        if not pdu.sequence_number:
            self.sequence += 1
            pdu.sequence_number = self.sequence
        self.socket.sendall(encode(pdu))
        return pdu.sequence_number

    def receive(self) -> Pdu:
        """The next PDU. Raises EOFError when the server has closed."""
        while not (frame := self.framer.next()):
            data = self.socket.recv(65536)
            if not data:
                raise EOFError
            self.framer.feed(data)
        return decode(frame)

    def wait_for(self, wanted: Callable[[Pdu], bool]) -> Pdu:
        for place, pdu in enumerate(self.aside):
            if wanted(pdu):
                return self.aside.pop(place)
        while not wanted(pdu := self.receive()):
            self.aside.append(pdu)
        return pdu

    def ask(self, pdu: Pdu) -> Pdu:
        """Send a request, wait for its own response."""
        sequence = self.send(pdu)
        return self.wait_for(lambda found: found.command_id & 0x80000000 and found.sequence_number == sequence)

    def bind(self, kind: str = "transceiver", system_id: str = "demo", password: str = "demo", **fields: Any) -> Pdu:
        # A client of 5.0 is told the reason of a refusal.
        fields.setdefault("interface_version", 0x50)
        return self.ask(BINDS[kind](system_id=system_id, password=password, **fields))

    def submit(self, text: str | bytes, to: str = "79991234567", **fields: Any) -> SubmitSmResp:
        fields.setdefault("registered_delivery", 1)
        fields.setdefault("source_addr", "TEST")
        data = text if isinstance(text, bytes) else text.encode("ascii")
        answer = self.ask(SubmitSm(destination_addr=to, short_message=data, **fields))
        assert isinstance(answer, SubmitSmResp)
        return answer

    def receipt(self, answer: bool = True) -> DeliverSm:
        """The next DELIVER_SM, answered with status 0 unless told otherwise."""
        pdu = self.wait_for(lambda found: isinstance(found, DeliverSm))
        assert isinstance(pdu, DeliverSm)
        if answer:
            self.send(DeliverSmResp(sequence_number=pdu.sequence_number))
        return pdu

    def receipts(self, count: int) -> dict[str, str]:
        """Id → line."""
        found = {}
        for _ in range(count):
            pdu = self.receipt()
            found[str(pdu.option(Tag.RECEIPTED_MESSAGE_ID))] = pdu.short_message.decode("ascii")
        return found

    def unbind(self) -> None:
        self.ask(Unbind())
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """End without a word: the peer gets an RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start gateways; `start(extra TOML, …)` adds tables, `**replaced` puts other words into the file."""
    running: list[Running] = []

    def start(*extra: str, **replaced: str) -> Running:
        text = CONFIG.replace("state.db", str(tmp_path / "state.db"))
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "smppbridge.toml"
        path.write_text(text + "\n".join(textwrap.dedent(one) for one in extra))
        path.chmod(0o600)
        gateway = Running(path)
        running.append(gateway)
        return gateway

    yield start
    for gateway in running:
        gateway.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Esme]]:
    """Open clients; they are closed at the end."""
    clients: list[Esme] = []

    def connect(gateway: Running, **options: Any) -> Esme:
        client = Esme(gateway.port, **options)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.close()


# Certificates --------------------------------------------------------------------------------------------------------


class Signed:
    """A certificate with its key."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"

    @property
    def fingerprint(self) -> str:
        """As openssl shows it: `AB:CD:…`."""
        command = ["openssl", "x509", "-in", str(self.certificate), "-noout", "-fingerprint", "-sha256"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True)
        return shown.stdout.strip().partition("=")[2]

    def client(self, trusted: Path) -> ssl.SSLContext:
        """What a client with this certificate connects with."""
        context = ssl.create_default_context(cafile=str(trusted))
        context.check_hostname = False
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Somebody who signs certificates, made by the openssl program."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.own = self._make(name, "basicConstraints=critical,CA:TRUE", ())
        #: What who trusts it has to know.
        self.file = self.own.certificate

    def sign(self, name: str, *, dns: tuple[str, ...] = (), days: int = 60) -> Signed:
        extension = f"subjectAltName={','.join(f'DNS:{one}' for one in dns)}" if dns else "keyUsage=digitalSignature"
        own = ("-CA", str(self.own.certificate), "-CAkey", str(self.own.key))
        return self._make(name, extension, own, days)

    def _make(self, name: str, extension: str, signer: tuple[str, ...], days: int = 60) -> Signed:
        made = Signed(self.folder, name)
        command = (
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256",
            "-days", str(days), "-subj", f"/CN={name}", "-addext", extension, *signer,
            "-keyout", str(made.key), "-out", str(made.certificate),
        )  # fmt: skip
        openssl = shutil.which("openssl") or pytest.skip("needs the openssl program to make a certificate")
        done = subprocess.run([openssl, *command], capture_output=True, text=True, check=False)
        assert not done.returncode, done.stderr
        made.key.chmod(0o600)
        return made


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    """Make authorities, each in a folder of its own."""

    def make(name: str = "authority") -> Authority:
        folder = tmp_path / name
        folder.mkdir()
        return Authority(folder, name)

    return make


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command; it is there once its file is."""
    running: list[subprocess.Popen[str]] = []

    def capture(gateway: Any, name: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "smppbridge", "capture", "--config", str(gateway.path)]
        process = subprocess.Popen(
            [*command, "--out", name, *arguments], stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        running.append(process)
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob(f"{Path(name).stem}*.pcap")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return process

    yield capture
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> str:
    """What it says when Ctrl-C ends it."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0, said
    return said
