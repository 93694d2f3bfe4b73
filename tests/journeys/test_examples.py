"""Every program in examples/ runs against the gateway as it is shipped, and gets its receipt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "esme")


@pytest.mark.journey
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_example_runs(start, program):
    gateway = start()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{program}.py")],
        env={**os.environ, "SMPP_PORT": str(gateway.port)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stat:DELIVRD" in done.stdout
