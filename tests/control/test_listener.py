"""The control socket: who gets in, what is left of a dead gateway, and what garbage is answered with."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from smppbridge.config import ControlConfig, StoreConfig
from smppbridge.control import listener
from smppbridge.control.listener import Caller, Control, Refused
from smppbridge.control.protocol import Order, Over, Welcome, place


async def greet(order: Order, caller: Caller) -> None:
    """Says hello, and waits until the caller has enough."""
    if order.account == "nobody":
        raise Refused("nobody is not there")
    if order.account == "broken":
        raise RuntimeError("secret of ours")
    caller.say(Welcome(gateway="test"))
    await caller.enough()
    caller.say(Over())


def run(path: Path, work: Callable[[Control], Coroutine[Any, Any, None]]) -> None:
    async def both() -> None:
        control = Control(path, {"greet": greet})
        await control.start()
        try:
            await asyncio.wait_for(work(control), 20)
        finally:
            await control.stop()

    asyncio.run(both())


async def call(path: Path, said: bytes, *, end: bool = True) -> list[dict[str, Any]]:
    """Everything that is answered."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(said)
    if end:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return [json.loads(line) for line in answer.splitlines()]


def order(**fields: Any) -> bytes:
    return json.dumps({"type": "order", "version": 1, "command": "greet", **fields}).encode() + b"\n"


@pytest.mark.parametrize(
    ("socket_", "engine", "expected"),
    [
        ("auto", "sqlite", "var/state.sock"),
        ("auto", "memory", None),
        ("off", "sqlite", None),
        ("/run/x.sock", "memory", "/run/x.sock"),
    ],
)
def test_where_it_is(socket_: str, engine: Any, expected: str | None) -> None:
    found = place(ControlConfig(socket=socket_), StoreConfig(engine=engine, path=Path("var/state.db")))
    assert found == (expected and Path(expected))


def test_nobody_else_can_open_it_and_it_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def work(control: Control) -> None:
        found = path.lstat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert control.address == str(path)

    mask = os.umask(0)
    try:
        run(path, work)
        assert os.umask(0) == 0
    finally:
        os.umask(mask)
    assert not path.exists()


def test_an_order_is_done_until_the_caller_has_enough(tmp_path: Path) -> None:
    async def work(control: Control) -> None:
        assert await call(tmp_path / "x.sock", order()) == [
            {"type": "welcome", "gateway": "test"},
            {"type": "over", "reason": "", "lost": 0},
        ]

    run(tmp_path / "x.sock", work)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "expected one line of JSON such as"),
        (b"capture\n", "expected one line of JSON such as"),
        (b"\x16\x03\x01\xff\xfe\n", "expected one line of JSON such as"),
        (b"x" * 100_000, "expected one line of JSON such as"),
        (b"[" * 2_000 + b"\n", "expected one line of JSON such as"),
        (b'{"type": "order"}\n', "missing required field `command`"),
        (order(command=1), "Expected `str`, got `int`"),
        (order(only="me"), "unknown field `only`"),
        (order(version=2), "this gateway speaks version 1 of the control protocol, not 2"),
        (order(command="stop"), "this gateway has no command 'stop'; it has: greet"),
        (order(account="nobody"), "nobody is not there"),
        (order(account="broken"), "a mistake of the gateway; its log has it"),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_sentence(tmp_path: Path, said: bytes, reason: str) -> None:
    async def work(control: Control) -> None:
        [answer] = await call(tmp_path / "x.sock", said)
        assert answer["type"] == "sorry"
        assert reason in answer["reason"]

    run(tmp_path / "x.sock", work)


def test_who_says_nothing_is_sent_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_ORDER_WITHIN", 0.01)

    async def work(control: Control) -> None:
        [answer] = await call(tmp_path / "x.sock", b'{"type":', end=False)
        assert answer == {"type": "sorry", "reason": "nothing was ordered within 0.01 s"}

    run(tmp_path / "x.sock", work)


def test_callers_beyond_the_limit_are_refused_and_places_are_free_again(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def work(control: Control) -> None:
        inside = []
        for _ in range(16):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(order())
            assert b"welcome" in await reader.readline()
            inside.append(writer)
        [answer] = await call(path, order())
        assert answer == {"type": "sorry", "reason": "16 callers are connected, which is the limit"}
        # One just goes, without a word.
        inside.pop().transport.abort()
        while (last := await call(path, order())) == [answer]:
            pass
        assert last[0]["type"] == "welcome"
        for writer in inside:
            writer.close()
            await writer.wait_closed()

    run(path, work)


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_callers_that_just_go_leave_nothing_behind(tmp_path: Path, loop: Callable[..., Any]) -> None:
    path, complaints = tmp_path / "x.sock", []

    async def goes() -> None:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.setblocking(False)
            running = asyncio.get_running_loop()
            await running.sock_connect(caller, str(path))
            await running.sock_sendall(caller, order())
            assert b"welcome" in await running.sock_recv(caller, 1000)

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        control = Control(path, {"greet": greet})
        await control.start()
        # More than may be there at once.
        for _ in range(40):
            await goes()
        assert (await call(path, order()))[0]["type"] == "welcome"
        await control.stop()

    loop(work())
    assert complaints == []


def test_callers_hear_that_the_gateway_stops(tmp_path: Path) -> None:
    async def work(control: Control) -> None:
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "x.sock"))
        writer.write(order())
        assert b"welcome" in await reader.readline()
        stopping = asyncio.create_task(control.stop())
        assert json.loads(await reader.readline())["reason"] == "the gateway stops"
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await stopping

    run(tmp_path / "x.sock", work)


def test_another_user_is_refused_whatever_the_file_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who calls is told by the kernel; here the gateway is taken for somebody else than who calls.
    path = tmp_path / "x.sock"
    others = {0: 0, os.geteuid(): os.geteuid()}

    async def work(control: Control) -> None:
        monkeypatch.setattr(listener, "_credentials", lambda sock: (1, max(others) + 1))
        with structlog.testing.capture_logs() as logged:
            [answer] = await call(path, order())
        assert answer == {"type": "sorry", "reason": "only the gateway's own user and root may call"}
        assert [line["event"] for line in logged] == ["caller refused"]

    run(path, work)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_really_is_refused() -> None:
    """A process of another user, for which somebody opened the file to everybody."""
    import subprocess
    import sys
    import tempfile

    script = (
        "import os, socket, sys\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try:\n"
        "    s.connect(sys.argv[1])\n"
        "except PermissionError:\n"
        "    print('the file refuses'); sys.exit()\n"
        "print(s.makefile().readline())\n"
    )

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        path = Path(folder) / "x.sock"

        async def other() -> str:
            command = [sys.executable, "-c", script, str(path)]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
            return done.stdout

        async def work(control: Control) -> None:
            assert await other() == "the file refuses\n"
            path.chmod(0o666)
            assert "only the gateway's own user and root may call" in await other()

        run(path, work)


# What lies there already ---------------------------------------------------------------------------------------------


def opened(path: Path) -> tuple[bool, list[Any]]:
    """Whether a control socket could be opened there, and what was logged."""
    with structlog.testing.capture_logs() as logged:
        control = Control(path, {})
        found: list[bool] = []

        async def work() -> None:
            await control.start()
            found.append(bool(control.address))
            await control.stop()

        asyncio.run(work())
    return found[0], logged


def test_what_a_dead_gateway_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert path.exists()
    assert opened(path) == (True, [])


@pytest.mark.parametrize("backlog", [0, 5])
def test_a_gateway_that_lives_keeps_its_socket(tmp_path: Path, backlog: int) -> None:
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(backlog)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(str(path))
        ok, [line] = opened(path)
        for one in waiting:
            one.close()
    assert not ok
    assert (line["event"], line["reason"]) == ("no control socket", "another gateway, which runs, listens there")
    assert path.exists()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("gone")])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path = tmp_path / "x.sock"
    make(path)
    ok, [line] = opened(path)
    assert not ok
    assert line["reason"] == "something else has this name, which is left alone"
    assert path.is_symlink() or path.exists()


def test_a_path_that_is_too_long_or_leads_nowhere_is_no_reason_not_to_start(tmp_path: Path) -> None:
    ok, [line] = opened(tmp_path / ("x" * 120))
    assert not ok
    assert line["log_level"] == "warning"
    assert "a Unix socket has room for 107: name a shorter one in [control] socket" in line["reason"]
    ok, [line] = opened(tmp_path / "none" / "x.sock")
    assert (ok, line["reason"]) == (False, "No such file or directory")
    longest = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
    assert opened(longest) == (True, [])


def test_a_file_that_somebody_else_put_there_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"

    async def work(control: Control) -> None:
        path.unlink()
        path.touch()

    run(path, work)
    assert path.exists()


def test_without_a_path_there_is_none() -> None:
    async def work() -> None:
        control = Control(None, {})
        await control.start()
        assert control.address == ""
        await control.stop()

    asyncio.run(work())
