"""Files: who may read what the gateway writes, and what somebody else may put in its way."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer.testing import CliRunner

from smppbridge.cli.main import app
from smppbridge.store import database
from smppbridge.store.base import StoreFailed


@pytest.fixture(autouse=True)
def _generous_mask() -> Iterator[None]:
    """A user whose files others may read."""
    before = os.umask(0)
    yield
    os.umask(before)


def for_others(folder: Path) -> list[str]:
    """Files that anybody else may read or write."""
    return [str(file) for file in folder.rglob("*") if not file.is_symlink() and file.stat().st_mode & 0o077]


@pytest.mark.journey
def test_nobody_else_reads_what_a_gateway_writes(
    start: Callable[..., Any], connect: Callable[..., Any], tmp_path: Path
) -> None:
    running = start(**{f'path = "{tmp_path}/state.db"': f'path = "{tmp_path}/new/state.db"'})
    esme = connect(running)
    esme.bind()
    esme.submit("secret")
    esme.receipt()
    found = {file.name for file in (tmp_path / "new").iterdir()}
    assert found == {"state.db", "state.db-wal", "state.db-shm", "state.db.lock", "state.sock"}
    assert for_others(tmp_path) == []
    out = tmp_path / "out.pcap"
    command = ["capture", "--out", str(out), "--seconds", "1", "--config", str(running.path)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    # And it is never written over, nor is what a link leads to.
    link, victim = tmp_path / "link.pcap", tmp_path / "victim"
    victim.write_text("kept")
    link.symlink_to(victim)
    command[2] = str(link)
    assert CliRunner().invoke(app, command).exit_code == 1
    assert victim.read_text() == "kept"


def test_a_store_that_others_may_read_is_theirs_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for ending in ("", "-wal", "-shm"):
        Path(f"{path}{ending}").touch(0o666)
    database.prepare(path)
    assert [stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()] == [0o660] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_store_that_somebody_else_has_put_there_is_not_used() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o777)
        path = Path(folder, "state.db")
        path.touch()
        os.chown(path, 65534, 65534)
        pid = os.fork()
        if not pid:
            os.seteuid(12345)
            try:
                database.prepare(path)
            except StoreFailed as failed:
                os._exit(3 if "another user" in str(failed) else 4)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_a_link_in_the_place_of_the_lock_harms_nobody(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "state.db.lock").symlink_to(victim)
    with pytest.raises(StoreFailed, match=r"state\.db\.lock cannot be written"):
        database.Lock(tmp_path / "state.db")
    assert victim.read_text() == "kept"


def test_a_link_in_the_place_of_the_store_makes_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "state.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises((StoreFailed, apsw.Error)):
        database.prepare(tmp_path / "state.db")
    assert not (tmp_path / "elsewhere").exists()
