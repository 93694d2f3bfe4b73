"""A running gateway, the real command in a process of its own, and clients: all that was said is in the file."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import smpplib.client

from pdu import BindTransceiver, CommandId, EnquireLink, Outbind, SubmitSm, decode, encode
from tests.conftest import ended

pytestmark = pytest.mark.journey


def packets(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Source port, destination port and data of each packet of a file."""
    data, at = path.read_bytes(), 24
    while at < len(data):
        (length,) = struct.unpack_from("=8xI", data, at)
        ports = struct.unpack_from(">HH", data, at + 16 + 20)
        yield *ports, data[at + 16 + 40 : at + 16 + length]
        at += 16 + length


def commands(path: Path, port: int) -> list[str]:
    """What was said, in order: names from the client, and with a < from the gateway."""
    return [
        ("<" if source == port else "") + CommandId(int.from_bytes(data[4:8])).name.lower()
        for source, _, data in packets(path)
    ]


def test_everything_is_there_in_order_and_no_password(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    gateway = start()
    process = capture(gateway, "all.pcap")
    client = connect(gateway)
    bind = encode(BindTransceiver(system_id="demo", password="demo", sequence_number=1))
    for at in range(0, len(bind), 9):
        client.socket.sendall(bind[at : at + 9])
    client.sequence = 1
    client.receive()
    client.submit("Hello")
    client.receipt()
    client.ask(EnquireLink())
    client.unbind()
    assert ended(process).startswith("10 PDUs, 0 lost\n")
    assert commands(tmp_path / "all.pcap", gateway.port) == [
        "bind_transceiver",
        "<bind_transceiver_resp",
        "submit_sm",
        "<submit_sm_resp",
        "<deliver_sm",
        "deliver_sm_resp",
        "enquire_link",
        "<enquire_link_resp",
        "unbind",
        "<unbind_resp",
    ]
    first, *rest = [data for _, _, data in packets(tmp_path / "all.pcap")]
    assert first == bind.replace(b"demo\0demo\0", b"demo\0****\0")
    submit: Any = decode(rest[1])
    assert submit.short_message == b"Hello"
    assert (tmp_path / "all.pcap").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state.sock").stat().st_mode & 0o777 == 0o600


def test_a_capture_of_one_account_has_nobody_else(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    gateway = start("""
        [accounts.shop]
        password = "shop"
        allowed_networks = ["127.0.0.0/8"]
        """)
    process = capture(gateway, "shop.pcap", "--account", "shop", "--count", "4")
    for account in ("demo", "shop"):
        client = connect(gateway)
        client.bind("transmitter", account, account)
        client.ask(EnquireLink())
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said.split("\n")[0]) == (0, "4 PDUs, 0 lost")
    assert commands(tmp_path / "shop.pcap", gateway.port)[0] == "bind_transmitter"
    assert {data for _, _, data in packets(tmp_path / "shop.pcap") if b"demo" in data} == set()


def test_rotating_files_are_each_whole(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    gateway = start()
    process = capture(gateway, "day.pcap", "--rotate-size", "500b")
    client = connect(gateway)
    client.bind()
    for _ in range(20):
        client.ask(EnquireLink())
    ended(process)
    files = sorted(tmp_path.glob("day-*.pcap"))
    assert len(files) > 3
    assert all(file.stat().st_size <= 500 for file in files)
    assert sum(len(commands(file, gateway.port)) for file in files) == 42


def test_who_does_not_read_loses_pdus_and_holds_nobody_up(start: Any, connect: Any) -> None:
    gateway = start()
    with socket.socket(socket.AF_UNIX) as slow, contextlib.ExitStack() as stack:
        slow.settimeout(20)
        slow.connect(gateway.gateway.control.address)
        slow.sendall(b'{"type":"order","version":1,"command":"capture"}\n')
        lines = stack.enter_context(slow.makefile("rb"))
        assert json.loads(lines.readline())["type"] == "welcome"
        client = connect(gateway)
        client.bind()
        # Far more than the gateway keeps for a caller; each is answered all the same.
        large = encode(SubmitSm(sequence_number=9))
        large = (120_000).to_bytes(4) + large[4:] + b"\x14\0\xff\xff" + bytes(120_000 - len(large) - 4)
        for _ in range(60):
            client.socket.sendall(large)
            assert client.wait_for(lambda pdu: pdu.sequence_number == 9)
        slow.shutdown(socket.SHUT_WR)
        replies = [json.loads(line) for line in lines]
    seen = [reply for reply in replies if reply["type"] == "pdu"]
    over = replies[-1]
    assert over["type"] == "over"
    assert over["lost"] > 0
    assert len(seen) + over["lost"] == 2 + 2 * 60


def test_a_capture_ends_with_the_gateway(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    gateway = start()
    process = capture(gateway, "x.pcap")
    client = connect(gateway)
    client.bind()
    gateway.stop()
    _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "the gateway stops; " in said
    assert commands(tmp_path / "x.pcap", gateway.port)[:2] == ["bind_transceiver", "<bind_transceiver_resp"]
    assert not (tmp_path / "state.sock").exists()


def test_wireshark_reads_it_and_finds_nothing_malformed(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    tshark = shutil.which("tshark") or pytest.skip("tshark is not on this machine")
    gateway = start()
    process = capture(gateway, "all.pcap")
    library = smpplib.client.Client("127.0.0.1", gateway.port, timeout=10, allow_unknown_opt_params=True)
    library.connect()
    library.bind_transceiver(system_id="demo", password="demo")
    library.send_message(
        source_addr="TEST", destination_addr="79991234567", short_message=b"Hello", registered_delivery=1
    )
    library.read_once()
    library.read_once()
    library.unbind()
    library.disconnect()
    raw = connect(gateway)
    raw.bind("receiver", password="wrong")
    raw.bind(interface_version=0x50)
    raw.submit("too short", to="1")
    raw.submit(b"\x04\x1f" * 60, data_coding=8)
    raw.receipt()
    raw.ask(Outbind(system_id="demo", password="demo"))
    raw.unbind()
    ended(process)
    fields = ["frame.number", "smpp.command_id", "smpp.password", "_ws.malformed", "tcp.checksum.status"]
    command = [tshark, "-r", str(tmp_path / "all.pcap"), "-d", f"tcp.port=={gateway.port},smpp", "-T", "fields"]
    command += ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command += [part for field in fields for part in ("-e", field)]
    environ = {**os.environ, "HOME": str(tmp_path)}
    read = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=True)
    rows = [line.split("\t") for line in read.stdout.splitlines()]
    expected = [int.from_bytes(data[4:8]) for _, _, data in packets(tmp_path / "all.pcap")]
    assert [int(row[1], 16) for row in rows] == expected
    assert [row[3] for row in rows if row[3]] == []
    assert {row[4] for row in rows} == {"1"}
    assert {row[2] for row in rows if row[2]} == {"****", "*****"}
