from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smppbridge import __version__

COMMANDS = ("serve", "check-config", "explain", "send", "messages list", "messages show", "hash-password", "simulate")


def test_version(run: Any) -> None:
    assert run("--version").stdout == f"smppbridge {__version__}\n"


def test_help_names_every_command(run: Any) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command.split()[0] in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Any, command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"smppbridge {command}" in " ".join(result.stdout.split())
    assert ("--config" in result.stdout) is (command != "hash-password")


@pytest.mark.parametrize("command", ["serve", "check-config", "explain x", "messages list", "messages show 5"])
def test_a_configuration_that_is_not_there(run: Any, tmp_path: Path, command: str) -> None:
    result = run(*command.split(), "--config", tmp_path / "none.toml")
    assert result.exit_code == 78
    assert f"{tmp_path}/none.toml: cannot be read: No such file or directory" in result.stderr
    assert "Traceback" not in result.output


def test_no_configuration_at_all(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if Path("/etc/smppbridge/smppbridge.toml").exists():
        pytest.skip("this machine has one")
    result = run("check-config")
    assert result.exit_code == 78
    assert "name one with --config FILE" in result.stderr


def test_the_configuration_is_found(run: Any, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("check-config", env={"SMPPBRIDGE_CONFIG": str(config)}).exit_code == 0
    (tmp_path / "conf").mkdir()
    config.rename(tmp_path / "conf" / "smppbridge.toml")
    assert "ok: conf/smppbridge.toml" in run("check-config").stdout


def test_a_wrong_command_line_has_its_own_exit_code(run: Any) -> None:
    result = run("serve", "--nonsense")
    assert result.exit_code == 2
    assert "--nonsense" in result.stderr


def test_as_a_module_and_into_a_closed_pipe(config: Path) -> None:
    command = [sys.executable, "-m", "smppbridge", "check-config", "--config", str(config)]
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "wb") as closed:
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in ended.stderr
    assert subprocess.run([*command[:3], "--version"], capture_output=True, text=True, check=True).stdout.startswith(
        "smppbridge "
    )


def test_ctrl_c_while_it_is_being_loaded_leaves_no_traceback() -> None:
    interrupted = """
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "smppbridge.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from smppbridge.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
