"""The real gateway, a process with a configuration and a store of its own: started, killed, stopped, starved."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from bench.servers import ROOT, Server, free_port

from ..proof import Ground
from .switches import Switches

CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:{port}" }}]
{smpp}

[http]
listen = "127.0.0.1:{http}"

[store]
path = "{path}"
{store}

[log]
level = "info"
message_lines = 0

[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
max_binds = 100
throughput = 1000000
max_pending = 10000
{account}

{rest}
"""

SANDBOX = """
[providers.sandbox]
adapter = "sandbox"
status_delay = "20ms"

[[routes]]
providers = ["sandbox"]
"""


#: What counts messages that are not at their end, and receipts that nobody has answered.
_OPEN = ("smppbridge_messages_waiting", "smppbridge_messages_in_flight", "smppbridge_receipts_waiting")


class NotStarted(Exception):
    """It ended instead of serving; the text is what it said."""


class Gateway(Server):
    """One configuration and one store; `start` and `kill` as often as wanted.

    `rest` are providers, routes and whatever else; `account`, `smpp` and `store` are lines for those tables. With
    `faults` it runs on `ground.host`, and `switches` say what goes wrong. It ends with the proof at the latest.
    """

    process: subprocess.Popen[bytes]
    folder: Path

    def __init__(
        self, ground: Ground, rest: str = SANDBOX, *, account: str = "", smpp: str = "", store: str = "",
        faults: bool = False, folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder = folder or ground.folder
        ground.stack.push_async_callback(self.kill)
        self.port, self.http = free_port(), free_port()
        self.path = folder / "state.db"
        self.config = folder / "smppbridge.toml"
        self.log = folder / "gateway.log"
        self.switches = Switches(folder / "switches", create=True) if faults else None
        self.environment: dict[str, str] = {}
        #: Where the program lies: a folder with another version of it runs that one.
        self.program = ROOT
        self.configure(rest, account=account, smpp=smpp, store=store)

    def configure(self, rest: str, *, account: str = "", smpp: str = "", store: str = "") -> None:
        """Write the configuration; what runs has to be told (`reload`)."""
        self.config.write_text(
            CONFIG.format(
                port=self.port, http=self.http, path=self.path, account=account, smpp=smpp, store=store, rest=rest
            )
        )  # fmt: skip
        self.config.chmod(0o600)

    @property
    def running(self) -> bool:
        return hasattr(self, "process") and self.process.poll() is None

    def launch(self) -> None:
        """Begin to start."""
        assert not self.running
        module = ["smppbridge"]
        if self.switches:
            module = ["tests.prove.ground.host", str(self.folder / "switches")]
        command = [sys.executable, "-m", *module, "serve", "--config", str(self.config)]
        with self.log.open("ab") as log:
            #: Where this run of it begins in the log.
            self.launched_at = log.tell()
            self.process = subprocess.Popen(
                command, cwd=self.program, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )

    async def start(self, *, patience: float = 120) -> float:
        """Seconds until clients can bind. Raises NotStarted."""
        began = time.monotonic()
        self.launch()
        while time.monotonic() < began + patience:
            if self.process.poll() is not None:
                raise NotStarted(f"exit code {self.process.returncode}: {self.said_since().decode()}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                took = time.monotonic() - began
                writer.close()
                return took
        await self.kill()
        raise NotStarted(f"it does not listen after {patience:.0f} s")

    async def kill(self) -> None:
        """kill -9, as a crash would."""
        await self.end(signal.SIGKILL)

    async def terminate(self, *, patience: float = 120) -> float:
        """SIGTERM; the seconds that the end took."""
        began = time.monotonic()
        await self.end(signal.SIGTERM, patience=patience)
        return time.monotonic() - began

    async def end(self, number: int, *, patience: float = 120) -> None:
        if self.running:
            self.process.send_signal(number)
            # A process that is stopped does not see anything but SIGKILL.
            await asyncio.to_thread(self.process.wait, patience)

    async def wait(self, patience: float = 60) -> int:
        """Until it ends of its own accord; its exit code. Raises subprocess.TimeoutExpired."""
        return await asyncio.to_thread(self.process.wait, patience)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def get(self, path: str) -> httpx.Response:
        """A request to its HTTP listener."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.http}{path}", timeout=30)

    async def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0.0 where there is none."""
        found = 0.0
        for line in (await self.get("/metrics")).text.splitlines():
            if line.partition("{")[0].partition(" ")[0] == name:
                found += float(line.rpartition(" ")[2])
        return found

    async def idle(self, patience: float = 60) -> float:
        """Until nothing waits, is under way or is owed to a client; the seconds that took. Raises TimeoutError."""
        began = time.monotonic()
        async with asyncio.timeout(patience):
            while sum([await self.metric(name) for name in _OPEN]):
                await asyncio.sleep(0.05)
        return time.monotonic() - began

    def said_since(self) -> bytes:
        """Its log since it was launched."""
        with self.log.open("rb") as log:
            log.seek(self.launched_at)
            return log.read()

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")
