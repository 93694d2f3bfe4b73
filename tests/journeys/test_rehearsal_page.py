"""docs/rehearsal.md: every command in it is run, and says what the page shows; every table in it is the code's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from smppbridge.simulator.mischief import Fault, Misbehaviour
from smppbridge.simulator.server import VENDORS

from .test_rehearsal import CASES, free_port, reachable, until

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rehearsal.md").read_text(encoding="utf-8")

#: What differs from run to run.
NUMBERS = re.compile(r"\d+(\.\d+)?")


class Command(NamedTuple):
    line: str
    shown: list[str]


def commands() -> list[Command]:
    found: list[Command] = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            else:
                found[-1].shown.append(line)
    return found


def rows(words: str) -> list[list[str]]:
    """The rows of the next table below these words, without its head."""
    below = PAGE.partition(words)[2]
    assert below
    table = re.search(r"((?:^\|.*\n)+)", below, re.MULTILINE)
    assert table
    return [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in table[1].splitlines()[2:]]


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Simulator and gateway as the page starts them, on ports that are free; old address → new one."""
    ports = {f"127.0.0.1:{port}": f"127.0.0.1:{free_port()}" for port in (2775, 8080, 8099)}
    config = tmp_path / "rehearsal.toml"
    text = (ROOT / "conf" / "rehearsal.toml").read_text(encoding="utf-8")
    for old, new in {**ports, "var/rehearsal.db": f"{tmp_path}/rehearsal.db"}.items():
        text = text.replace(old, new)
    config.write_text(text, encoding="utf-8")
    config.chmod(0o644)
    command = [sys.executable, "-m", "smppbridge"]
    simulate = [*command, "simulate", "--listen", ports["127.0.0.1:8099"]]
    simulate += ["--callback", f"http://{ports['127.0.0.1:8080']}"]
    serve = [*command, "serve", "--config", str(config)]
    running = [subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for one in (simulate, serve)]
    try:
        for address in ports.values():
            until(partial(reachable, int(address.rpartition(":")[2])))
        yield {**ports, "conf/rehearsal.toml": str(config), ".venv/bin/smppbridge": f"{sys.executable} -m smppbridge"}
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


@pytest.mark.journey
def test_every_command_says_what_the_page_shows(ports: dict[str, str]) -> None:
    told = commands()
    assert len(told) == 9
    environ = {**os.environ, "TERM": "dumb"}
    for command in told:
        line = command.line
        for old, new in ports.items():
            line = line.replace(old, new)
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            environ[name] = value
            continue
        done = subprocess.run(
            ["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        said = [NUMBERS.sub("#", one) for one in done.stdout.splitlines()]
        # A message of a subscriber and a receipt may overtake each other.
        assert sorted(said) == sorted(NUMBERS.sub("#", one) for one in command.shown), (line, done.stderr)
        if line.startswith("curl") and "counts" in line:
            assert json.loads(done.stdout)["processed"] == 1


@pytest.mark.journey
def test_the_page_of_the_simulator_is_there(ports: dict[str, str]) -> None:
    with urllib.request.urlopen(f"http://{ports['127.0.0.1:8099']}/") as answer:
        assert b"Write as a subscriber" in answer.read()


@pytest.mark.parametrize("vendor", VENDORS, ids=[vendor.name for vendor in VENDORS])
def test_its_endings_are_those_of_the_code(vendor: type) -> None:
    assert rows(f"### {vendor.title}") == [[e.digits, e.says.replace("`", "")] for e in vendor.endings]


def test_its_faults_are_those_of_the_code() -> None:
    told = {fault: processed for fault, _, processed in rows("Other faults, for the next")}
    assert list(told) == [fault.value for fault in Fault]
    for fault in Fault:
        assert told[fault.value].startswith("not") is not Misbehaviour(fault=fault).processes


def test_its_outcomes_are_those_of_the_journeys() -> None:
    table = rows("`processed` is what would have been charged:")
    assert {source: stat for sources, _, stat in table for source in sources.split(", ")} == {
        case.source: case.in_doubt for case in CASES
    }


def test_its_senders_choose_the_provider_that_it_says() -> None:
    config = tomllib.loads((ROOT / "conf" / "rehearsal.toml").read_text(encoding="utf-8"))
    routed = [source for route in config["routes"] for source in route.get("source", ())]
    assert [row[0] for row in rows("The sender chooses it:")] == routed
