"""The command against a gateway on the test's own terms, and what it makes of files, options and ends."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import stat
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pdu import EnquireLink, encode
from smppbridge.cli.capture import Rotating
from smppbridge.cli.console import Trouble
from smppbridge.cli.pcap import HEADER
from smppbridge.control.protocol import Lost, Over, Reply, Sorry, Welcome, read_order, write
from smppbridge.smpp.tap import Seen

PDU = encode(EnquireLink(sequence_number=1))


def seen(number: int, octets: bytes = PDU) -> Seen:
    return Seen(
        at=1_769_860_800_000_000 + number,
        link=1,
        account="demo",
        peer="127.0.0.1:50000",
        local="127.0.0.1:2775",
        received=True,
        offset=number * len(octets),
        beside=0,
        octets=octets,
    )


def times(data: bytes) -> list[int]:
    """The microseconds of each packet in a file."""
    assert data[:24] == HEADER
    found, at = [], 24
    while at < len(data):
        _, micros, length, _ = struct.unpack_from("=IIII", data, at)
        found.append(micros)
        at += 16 + length
    return found


class Fake:
    """Takes one order, says what it is told to, and then waits for the end of the caller."""

    def __init__(self, path: Path) -> None:
        self.orders: list[Any] = []
        self.says: Sequence[Reply | bytes] = [Welcome(gateway="test")]
        #: Said when the caller has had enough; None: gone without a word, whether it has or not.
        self.last: Reply | None = Over()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        caller, _ = self._listening.accept()
        # The command may have gone before it has heard all.
        with contextlib.suppress(OSError), caller, caller.makefile("rb") as lines:
            if not (line := lines.readline()):
                return
            self.orders.append(read_order(line))
            for reply in self.says:
                caller.sendall(reply if isinstance(reply, bytes) else write(reply) + b"\n")
            if self.last is not None:
                lines.read()
                caller.sendall(write(self.last) + b"\n")

    def close(self) -> None:
        # Nobody may have come: one comes now, and goes.
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._listening.getsockname())
        self._thread.join(5)
        self._listening.close()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    made = Fake(tmp_path / "store.sock")
    yield made
    made.close()


@pytest.fixture
def capture(run: Any, config: Path, tmp_path: Path) -> Callable[..., Any]:
    def capture(*arguments: object, out: str = "x.pcap") -> Any:
        return run("capture", "--out", out if out == "-" else tmp_path / out, *arguments, "--config", config)

    return capture


def test_what_is_seen_is_in_the_file(fake: Fake, capture: Any, tmp_path: Path) -> None:
    fake.says = [Welcome(gateway="test"), *(seen(number) for number in range(5))]
    result = capture("--account", "demo", "--peer", "127.0.0.1", "--count", 5)
    assert (result.exit_code, result.stderr) == (0, "5 PDUs, 0 lost\n")
    file = tmp_path / "x.pcap"
    assert times(file.read_bytes()) == [0, 1, 2, 3, 4]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (fake.orders[0].command, fake.orders[0].account, fake.orders[0].peer) == ("capture", "demo", "127.0.0.1")


def test_count_is_exact_however_much_comes_at_once(fake: Fake, capture: Any, tmp_path: Path) -> None:
    fake.says = [b"".join(write(reply) + b"\n" for reply in (Welcome(gateway="t"), *map(seen, range(9))))]
    assert capture("--count", 3, "--quiet").stderr == ""
    assert times((tmp_path / "x.pcap").read_bytes()) == [0, 1, 2]


def test_it_ends_after_so_many_seconds(fake: Fake, capture: Any, tmp_path: Path) -> None:
    fake.last = Over(lost=7)
    result = capture("--seconds", 0.01)
    assert (result.exit_code, result.stderr) == (0, "0 PDUs, 7 lost\n")
    assert (tmp_path / "x.pcap").read_bytes() == HEADER


def test_a_reply_may_be_cut_anywhere(fake: Fake, capture: Any, tmp_path: Path) -> None:
    whole = b"".join(write(reply) + b"\n" for reply in (Welcome(gateway="t"), seen(0), Lost(pdus=2), seen(1)))
    fake.says = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    result = capture("--count", 2)
    assert times((tmp_path / "x.pcap").read_bytes()) == [0, 1]
    assert result.exit_code == 0


def test_other_ports_are_told_for_wireshark(fake: Fake, capture: Any) -> None:
    one = json.loads(write(seen(0)))
    one["local"] = "127.0.0.1:12775"
    fake.says = [Welcome(gateway="t"), json.dumps(one).encode() + b"\n"]
    assert capture("--count", 1).stderr.endswith("for Wireshark: -d tcp.port==12775,smpp\n")


def test_standard_output_is_a_file_too(fake: Fake, capture: Any) -> None:
    fake.says = [Welcome(gateway="t"), seen(0), seen(1)]
    result = capture("--count", 2, out="-")
    assert times(result.stdout_bytes) == [0, 1]


# What goes wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "last", "sentence"),
    [
        ([Sorry(reason="there is no account 'x'")], None, "there is no account 'x'"),
        ([], None, "the gateway hung up"),
        ([b"220 mail.example.com ESMTP\n"], None, "are they of the same version?"),
        ([Over()], None, "the gateway answered something else than expected"),
        ([Welcome(gateway="t"), seen(0)], None, "the gateway has gone without a word; 1 PDUs are in "),
        ([Welcome(gateway="t"), seen(0), Over(reason="the gateway stops")], None, "the gateway stops; 1 PDUs are in"),
        ([Welcome(gateway="t"), seen(0), b"{}\n"], None, "are they of the same version?"),
    ],
)
def test_what_the_gateway_may_answer(
    fake: Fake, capture: Any, says: list[Reply | bytes], last: Reply | None, sentence: str
) -> None:
    fake.says, fake.last = says, last
    result = capture()
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_no_gateway_runs(capture: Any, tmp_path: Path) -> None:
    result = capture()
    assert result.exit_code == 1
    where = tmp_path / "store.sock"
    assert result.stderr == f"no gateway with this configuration runs: nobody listens at {where}\n"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(where))
    assert capture().stderr == result.stderr
    assert not (tmp_path / "x.pcap").exists()


@pytest.mark.parametrize(
    ("tables", "sentence"),
    [
        ("[control]\nsocket = 'off'\n", '[control] socket = "off": that gateway has no control socket'),
        (
            "[store]\nengine = 'memory'\n",
            '[control] socket = "auto" and [store] engine = "memory": that gateway has no',
        ),
    ],
)
def test_a_gateway_without_a_socket(run: Any, tmp_path: Path, tables: str, sentence: str) -> None:
    config = tmp_path / "x.toml"
    config.write_text(tables)
    result = run("capture", "--out", tmp_path / "x.pcap", "--config", config)
    assert result.exit_code == 1
    assert sentence in result.stderr


def test_a_file_that_is_there_stays_as_it_is(fake: Fake, capture: Any, tmp_path: Path) -> None:
    (tmp_path / "x.pcap").write_text("mine")
    result = capture()
    assert result.exit_code == 1
    assert "x.pcap is there already and is not overwritten: take it away, or name another" in result.stderr
    assert (tmp_path / "x.pcap").read_text() == "mine"


def test_a_folder_that_is_not_there(fake: Fake, capture: Any) -> None:
    result = capture(out="none/x.pcap")
    assert (result.exit_code, "cannot be written: No such file or directory" in result.stderr) == (1, True)


@pytest.fixture
def crowded() -> Iterator[None]:
    """As if the disk had room for a megabyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("crowded")
@pytest.mark.parametrize("rotation", [[], ["--rotate-time", "1h"], ["--rotate-size", "2MB"]])
def test_a_disk_that_is_full(fake: Fake, capture: Any, tmp_path: Path, rotation: list[str]) -> None:
    fake.says = [Welcome(gateway="t"), *(seen(number, bytes(1000)) for number in range(1200))]
    result = capture("--count", 1200, *rotation)
    assert result.exit_code == 1
    assert "cannot be written: File too large; " in result.stderr
    assert "PDUs are in " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rotate-count", "3"], "--rotate-count goes with --rotate-size or --rotate-time"),
        (["--rotate-size", "10"], "standard output is one file"),
        (["--rotate-size", "ten"], "--rotate-size ten: expected a size such as 500kB, 10MB or 1GB"),
        (["--rotate-size", "0"], "--rotate-size 0: expected a size such as 500kB, 10MB or 1GB"),
        (["--rotate-size", "-1MB"], "--rotate-size -1MB: expected a size such as 500kB, 10MB or 1GB"),
        (["--rotate-time", "soon"], '--rotate-time soon: expected a duration such as "90s"'),
    ],
)
def test_a_wrong_command_line(capture: Any, arguments: list[str], sentence: str) -> None:
    result = capture(*arguments, out="-")
    assert result.exit_code == 2
    assert sentence in result.stderr


# Rotation ------------------------------------------------------------------------------------------------------------


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_another_file_before_one_is_too_large(tmp_path: Path) -> None:
    with Rotating(tmp_path / "x.pcap", size=34, every=0, keep=0, clock=lambda: 0) as file:
        for octets in (b"12345", b"67890", b"a", b"longer than a file", b"b"):
            file.write(octets)
    assert written(tmp_path) == {
        "x-00001.pcap": HEADER + b"1234567890",
        "x-00002.pcap": HEADER + b"a",
        "x-00003.pcap": HEADER + b"longer than a file",
        "x-00004.pcap": HEADER + b"b",
    }


def test_another_file_after_so_long_and_only_the_newest_stay(tmp_path: Path) -> None:
    now = [0.0]
    with Rotating(tmp_path / "x", size=0, every=10, keep=2, clock=lambda: now[0]) as file:
        for at in (0, 9, 10, 19, 20, 35):
            now[0] = at
            file.write(b"%d;" % at)
            file.flush()
        assert file.name == str(tmp_path / "x-00004.pcap")
    assert written(tmp_path) == {"x-00003.pcap": HEADER + b"20;", "x-00004.pcap": HEADER + b"35;"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_rotating_files_are_not_written_over_others(tmp_path: Path) -> None:
    (tmp_path / "x-00001.pcap").write_text("mine")
    with pytest.raises(Trouble, match="is there already"), Rotating(tmp_path / "x", size=1, every=0, keep=0, clock=int):
        pass


def test_rotation_by_the_command(fake: Fake, capture: Any, tmp_path: Path) -> None:
    fake.says = [Welcome(gateway="t"), *map(seen, range(4))]
    # A packet with its headers is 72 octets here.
    result = capture("--count", 4, "--rotate-size", "170b", "--rotate-count", 1, out="day.pcap")
    assert result.exit_code == 0
    assert [path.name for path in tmp_path.glob("*.pcap")] == ["day-00002.pcap"]
    assert times((tmp_path / "day-00002.pcap").read_bytes()) == [2, 3]
