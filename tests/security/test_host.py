"""What is seen of the gateway on its host, what it is made of, and what it opens by itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from typer.testing import CliRunner

import smppbridge
from smppbridge.cli.main import app
from smppbridge.config import is_secret

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "systemd" / "smppbridge.service").read_text(encoding="utf-8")


# The process ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "LimitCORE=0", "UMask=0077", "StateDirectoryMode=0700", "DynamicUser=yes", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectProc=invisible", "MemoryDenyWriteExecute=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "SystemCallFilter=@system-service",
    ],
)  # fmt: skip
def test_the_unit_leaves_an_intruder_little(line: str) -> None:
    assert line in UNIT.splitlines()


def test_no_command_needs_a_password_where_everybody_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments of a process are shown to every user of the host."""
    runner = CliRunner()
    assert runner.invoke(app, ["hash-password", "secret"]).exit_code == 2
    assert "password_hash" in runner.invoke(app, ["hash-password", "--stdin"], input="secret\n").output
    monkeypatch.setenv("SMPPBRIDGE_PASSWORD", "s3cr3t-in-environment")
    shown = runner.invoke(app, ["send", "--help"]).output
    assert "SMPPBRIDGE_PASSWORD" in shown
    assert "s3cr3t-in-environment" not in shown


#: What stands for a secret that is not there, how long one may be, and which PDUs have one.
HARMLESS = {"MASK", "MAX_PASSWORD", "_WITH_PASSWORD"}


def names(operand: ast.AST) -> Iterator[str]:
    """Every name within an operand, but for what only its length or whether there is one depends on."""
    match operand:
        case ast.Call(func=ast.Name(id="bool" | "len")):
            return
        case ast.Attribute(attr=name) | ast.Name(id=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
            yield name
    for inner in ast.iter_child_nodes(operand):
        yield from names(inner)


def compared(source: str) -> Iterator[str]:
    """Where something that is secret by its name is compared with == or !=, which take the longer the more fits."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Compare):
            continue
        operands = [node.left, *node.comparators]
        for one, how, another in zip(operands, node.ops, operands[1:], strict=False):
            found = {*names(one), *names(another)}
            if (
                isinstance(how, ast.Eq | ast.NotEq | ast.In | ast.NotIn)
                and any(map(is_secret, found))
                and not found & HARMLESS
                and not isinstance(one, ast.Constant)
                and not isinstance(another, ast.Constant)
            ):
                yield f"{node.lineno} {ast.unparse(node)}"


def test_secrets_are_compared_in_constant_time() -> None:
    found = []
    for path in Path(smppbridge.__file__).parent.rglob("*.py"):
        if not {"simulator", "config"} & set(path.parts):
            found += [f"{path.name}:{one}" for one in compared(path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("config.callback_token == token", True),
        ("settings.callback_secret.get_secret_value() == given", True),
        ("given.encode() == config.callback_token.encode()", True),
        ("match = given == _digest(secret)", True),
        ("a < b == token", True),
        ("settings.values['token'] == given", True),
        ("given not in [self.password[:8], self.password]", True),
        ("f'Basic {password}' == given", True),
        ("config.callback_token == ''", False),
        ("len(password) == length", False),
        ("bool(token) != bool(secret)", False),
        ("account.password != MASK", False),
        ("given == other", False),
        ("hmac.compare_digest(given, token)", False),
    ],
)
def test_the_look_for_comparisons_finds_them(source: str, seen: bool) -> None:
    assert bool(list(compared(source))) is seen


# What it is made of --------------------------------------------------------------------------------------------------


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def pinned() -> dict[str, tuple[int, ...]]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = (re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9.]+)", line) for line in lines)
    return {normal(one[1]): tuple(map(int, one[2].split("."))) for one in found if one}


def at_run_time() -> set[str]:
    """Everything that is installed with the gateway, those that others need too."""
    found: set[str] = set()
    waiting = ["smppbridge"]
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        waiting += [re.split(r"[^A-Za-z0-9._-]", one)[0] for one in needs if "extra ==" not in one]
    return found - {"smppbridge"}


def test_every_dependency_has_its_version() -> None:
    assert sorted(at_run_time() - pinned().keys()) == []


def at_least() -> dict[str, tuple[int, ...]]:
    """What an installation without constraints.txt may have at the least."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = (re.match(r"([A-Za-z0-9._-]+)>=([0-9.]+)", one) for one in needs)
    return {normal(one[1]): tuple(map(int, one[2].split("."))) for one in found if one}


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        ("h11", (0, 16)),  # CVE-2025-43859: chunked bodies
        ("httptools", (0, 6, 3)),  # CVE-2024-27982: a length behind a space, which others read otherwise
        ("jinja2", (3, 1, 6)),  # CVE-2025-27516: out of the sandbox by |attr
        ("starlette", (0, 49, 1)),  # CVE-2025-62727: ranges
        ("uvicorn", (0, 11, 7)),  # CVE-2020-7694, CVE-2020-7695: lines of others in the log and in answers
        ("idna", (3, 7)),  # CVE-2024-3651: quadratic time
        ("certifi", (2024, 7, 4)),  # CVE-2024-39689: an authority that is trusted no longer
        ("apsw", (3, 51, 3)),  # SQLite: corruption of the write-ahead log
        ("lxml", (5, 3)),
    ],
)
def test_no_version_is_older_than_what_mended_it(name: str, mended: tuple[int, ...]) -> None:
    assert pinned()[name] >= mended
    assert at_least()[name] >= mended


LOOKS = """
    import asyncio, sys
    from pathlib import Path

    seen = []
    watched = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system"}

    def look(event, given):
        # Its own listener asks what 127.0.0.1 means.
        if event in watched and given[:1] != ("127.0.0.1",):
            seen.append((event, given))

    sys.addaudithook(look)

    from smppbridge.app import Gateway
    from smppbridge.config import load
    from smppbridge.providers.registry import adapter_class

    async def once():
        gateway = Gateway(load(Path(sys.argv[1]), adapter_class))
        await gateway.start()
        await asyncio.sleep(0.2)
        await gateway.stop()

    asyncio.run(once())
    print(seen)
"""


def test_it_opens_nothing_by_itself(tmp_path: Path) -> None:
    """No file, no update, no name is fetched: what it connects to stands in the settings."""
    path = tmp_path / "smppbridge.toml"
    path.write_text(
        f'[smpp]\nlisteners = [{{ listen = "127.0.0.1:0" }}]\n[http]\nlisten = "127.0.0.1:0"\n'
        f'[store]\npath = "{tmp_path}/state.db"\n[accounts.demo]\npassword = "demo"\n'
        'allowed_networks = ["127.0.0.0/8"]\n'
        '[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]\n'
    )
    path.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LOOKS), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
