"""The servers that are measured, each in a process of its own, and the load beside them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: The state of a measured gateway lies on the disk of the project, not in a memory file system.
STATE = ROOT / "var"

CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:{port}" }}]
window = 1000
max_connections = 5000

[http]
listen = "127.0.0.1:{http}"

[store]
path = "{path}"

[log]
level = "warning"

[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
max_binds = 5000
max_pending = 10000
throughput = 1000000
{account}

[providers.measured]
adapter = "{adapter}"
{provider}

[[routes]]
providers = ["measured"]
"""


class Server:
    """A process that listens on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path | None = None, http: int = 0) -> None:
        self.process = process
        self.port = port
        self.http = http
        self.folder = folder

    def resident(self) -> int:
        """Resident memory in octets."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def processor(self) -> float:
        """Seconds of processor time used so far, by all its threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written(self) -> int:
        """Octets given to the disk so far."""
        lines = Path(f"/proc/{self.process.pid}/io").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def gateway(
    *, account: str = "", adapter: str = "sandbox", provider: str = "", http: int = 0, folder: Path | None = None
) -> Iterator[Server]:
    """A gateway with everything on, its state in an empty folder (or in `folder`, which stays)."""
    STATE.mkdir(exist_ok=True)
    own = folder is None
    folder = folder or Path(tempfile.mkdtemp(prefix="bench-", dir=STATE))
    port, http = free_port(), http or free_port()
    file = folder / "smppbridge.toml"
    path = folder / "state.db"
    file.write_text(CONFIG.format(port=port, http=http, path=path, account=account, adapter=adapter, provider=provider))
    file.chmod(0o600)
    process = subprocess.Popen([sys.executable, "-m", "smppbridge", "serve", "--config", str(file)], cwd=ROOT)
    server = Server(process, port, folder, http)
    try:
        wait_for(server)
        yield server
    finally:
        server.stop()
        if own:
            shutil.rmtree(folder)


@contextlib.contextmanager
def listening(*command: str) -> Iterator[Server]:
    """A server that prints its port on its first line."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    server = Server(process, int(process.stdout.readline()))
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
        process.stdout.close()


def bare() -> contextlib.AbstractContextManager[Server]:
    return listening(sys.executable, "-m", "bench.bare")


def node() -> contextlib.AbstractContextManager[Server] | None:
    """node-smpp's server; None without npm. Installed into `var/`, outside of what git knows."""
    npm, program = shutil.which("npm"), shutil.which("node")
    if npm is None or program is None:
        return None
    folder = STATE / "node-smpp"
    if not (folder / "node_modules").exists():
        shutil.copytree(ROOT / "bench" / "node", folder, dirs_exist_ok=True)
        installed = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=False)
        if installed.returncode:
            return None
    return listening(program, str(folder / "server.js"))


def wait_for(server: Server, seconds: float = 120) -> None:
    """Until it listens. Raises RuntimeError if it ended instead."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended with {server.process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the server does not listen")


def load(server: Server, *options: str) -> dict[str, Any]:
    """Run `bench.load` against it, in a process of its own."""
    command = [sys.executable, "-m", "bench.load", "--port", str(server.port), *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, env={**os.environ})
    result: dict[str, Any] = json.loads(done.stdout)
    return result
