"""The unit says what the program does, and systemd understands it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from smppbridge.app import Patience
from smppbridge.cli.console import EX_CONFIG

UNIT = Path(__file__).parents[1] / "systemd" / "smppbridge.service"


def values(key: str) -> Sequence[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with programs that are on this machine: systemd looks whether they are."""
    for program in ("smppbridge", "kill"):
        (tmp_path / program).write_text("#!/bin/sh\n", encoding="utf-8")
        (tmp_path / program).chmod(0o755)
    text = UNIT.read_text(encoding="utf-8")
    text = text.replace("/opt/smppbridge/.venv/bin/smppbridge", str(tmp_path / "smppbridge"))
    text = text.replace("/bin/kill", str(tmp_path / "kill"))
    path = tmp_path / "smppbridge.service"
    path.write_text(text, encoding="utf-8")
    return path


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze") or pytest.skip("systemd is not on this machine")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_accepts_it(unit: Path) -> None:
    verified = analyze("verify", "--man=no", str(unit))
    # Other units of this machine are looked at on the way; what is said of them is not about us.
    assert [line for line in verified.stderr.splitlines() if "smppbridge" in line] == []
    assert verified.returncode == 0


def test_its_exposure_stays_low(unit: Path) -> None:
    answer = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", answer.stdout)
    if found is None:
        pytest.skip(f"this systemd cannot tell: {answer.stderr.strip()}")
    assert float(found[1]) <= 2.0


def test_it_does_not_start_again_what_a_person_has_to_mend() -> None:
    [statuses] = values("RestartPreventExitStatus")
    assert set(statuses.split()) == {"2", str(EX_CONFIG)}


def test_it_waits_for_ready_reloads_and_watches() -> None:
    assert values("Type") == ["notify"]
    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert float(values("WatchdogSec")[0]) > 0
    assert values("KillSignal") == ["SIGTERM"]


def test_its_control_socket_has_a_place_that_nobody_else_sees() -> None:
    assert values("StateDirectory") == ["smppbridge"]
    assert values("StateDirectoryMode") == ["0700"]
    assert "AF_UNIX" in values("RestrictAddressFamilies")[0].split()


def test_every_sandboxing_group_has_a_reason_above_it() -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    section = lines[lines.index("[Service]") + 1 : lines.index("[Install]")]
    groups = "\n".join(section).strip().split("\n\n")
    assert len(groups) > 10
    for group in groups:
        assert group.startswith("# "), group


def test_its_end_has_the_time_that_all_steps_of_ours_may_take() -> None:
    # The HTTP listener and the closing of the store need little, but not nothing.
    ours = Patience()
    assert ours.requests + 2 * ours.writing + ours.farewell + 10 <= float(values("TimeoutStopSec")[0])
