"""`smppbridge simulate`: its start, its end, and what is wrong with its command line."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import Any

import pytest


@pytest.mark.journey
def test_the_start_says_what_to_do_next_and_ctrl_c_ends_it() -> None:
    command = [sys.executable, "-m", "smppbridge", "simulate", "--listen", "127.0.0.1:0", "--misbehave", "iba=500"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = []
    while not said or "Ctrl-C" not in said[-1]:
        line = process.stdout.readline()
        assert line
        said.append(line)
    found = re.search(r"http://(\S+?);", said[0])
    assert found
    with urllib.request.urlopen(f"http://{found[1]}/") as page:
        assert b"500 (send, from now on)" in page.read()
    assert "  smppbridge serve --config conf/rehearsal.toml\n" in said
    assert any("/omnicell/ip2sms/" in line for line in said)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, rest, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--listen", "nowhere"], "--listen nowhere: expected an address and a port"),
        (["--delay", "soon"], "--delay soon: expected a duration"),
        (["--callback", "localhost:8080"], "--callback localhost:8080: expected an address that begins with http://"),
        (["--misbehave", "nobody=500"], "there is no nobody; there are: smsc, omnicell, smsgate, iba, naimar"),
        (["--misbehave", "iba"], "expected NAME=FAULT or NAME=FAULT:TIMES"),
        (["--misbehave", "iba=nonsense"], "faults are 500, 429, reset,"),
        (["--misbehave", "iba=500:never"], "expected NAME=FAULT or NAME=FAULT:TIMES"),
    ],
)
def test_mistakes_on_the_command_line(run: Any, options: list[str], sentence: str) -> None:
    result = run("simulate", *options)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_an_address_that_is_taken(run: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("simulate", "--listen", address)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"cannot listen on {address}: Address already in use; stop the program that has it")


def test_it_says_that_a_name_is_not_known(run: Any) -> None:
    result = run("simulate", "--listen", "nobody.invalid:8099")
    assert result.exit_code == 1
    assert result.stderr.startswith("cannot listen on nobody.invalid:8099: ")
    assert "Unknown error" not in result.stderr
