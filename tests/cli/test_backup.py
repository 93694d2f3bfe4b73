"""`smppbridge backup`: what it says, and that it leaves nothing behind when it is ended."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from smppbridge.store.sqlite import SqliteStore

#: Pages of the large store: some seconds of copying and checking.
LARGE = 200 * 1024 * 1024


@pytest.fixture
def store(config: Path, tmp_path: Path) -> Path:
    path = tmp_path / "store.db"

    async def make() -> None:
        store = SqliteStore(path)
        await store.open()
        await store.close()

    asyncio.run(make())
    return path


def test_it_says_what_is_in_the_copy(run: Any, config: Path, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    result = run("backup", target, "--config", config)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first.startswith(f"{target}: 0.1 MB in ")
    assert ", checked, as of 20" in first
    assert second.startswith("0 messages; 0 not sent yet, 0 with providers; ")
    assert target.stat().st_mode & 0o777 == 0o600


def test_as_json(run: Any, config: Path, store: Path, tmp_path: Path) -> None:
    said = json.loads(run("backup", tmp_path / "copy.db", "--json", "--config", config).stdout)
    assert said["file"] == str(tmp_path / "copy.db")
    assert said["octets"] == (tmp_path / "copy.db").stat().st_size
    assert {"as_of", "seconds", "schema", "messages", "unsent", "with_provider", "outbox", "parts"} <= set(said)


def test_nothing_is_written_over(run: Any, config: Path, store: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    result = run("backup", tmp_path / "copy.db", "--config", config)
    assert result.exit_code == 1
    assert "is there already and is not written over" in result.stderr
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_store_that_is_not_there(run: Any, config: Path, tmp_path: Path) -> None:
    result = run("backup", tmp_path / "copy.db", "--config", config)
    assert result.exit_code == 1
    assert "there is no store at" in result.stderr


def test_a_store_in_memory(run: Any, config: Path, tmp_path: Path) -> None:
    text = config.read_text().replace(f'path = "{tmp_path}/store.db"', 'engine = "memory"')
    config.write_text(text)
    result = run("backup", tmp_path / "copy.db", "--config", config)
    assert result.exit_code == 1
    assert "only the gateway itself knows its messages" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ended_by_somebody_it_leaves_nothing_behind(
    config: Path, store: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """On a terminal, where the progress tells that it is under way."""
    db = apsw.Connection(str(store))
    db.pragma("synchronous", "off")
    db.execute(
        "INSERT INTO line (message, n, at, event, detail) VALUES (1, 1, 1, 'x', hex(zeroblob(?)))", (LARGE // 2,)
    )
    db.close()
    there = {file.name for file in tmp_path.iterdir()}
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "smppbridge", "backup", tmp_path / "copy.db", "--config", config]
    process = subprocess.Popen(command, stderr=end, stdout=subprocess.DEVNULL)
    os.close(end)
    try:
        assert b"copying" in os.read(terminal, 1000)
        process.send_signal(number)
        assert process.wait(30) == 1
        until, said = time.monotonic() + 10, b""
        while b"nothing was left behind" not in said and time.monotonic() < until:
            said += os.read(terminal, 1000)
        assert b"nothing was left behind" in said
        assert {file.name for file in tmp_path.iterdir()} - {"store.db-wal", "store.db-shm"} == there
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def test_restore_puts_it_back(run: Any, config: Path, store: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    assert run("backup", target, "--config", config).exit_code == 0
    result = run("restore", target, "--unsent", "end", "--config", config)
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert first.startswith(f"{store} is {target} now: 0 messages; ")
    assert second == "0 messages ended as UNKNOWN"
    assert third.startswith(f"what was there before is {store}.before-restore-20")


def test_restore_wants_to_be_told_what_becomes_of_what_was_not_sent(run: Any, config: Path, store: Path) -> None:
    before = store.read_bytes()
    assert run("restore", store, "--config", config).exit_code == 2
    assert store.read_bytes() == before
