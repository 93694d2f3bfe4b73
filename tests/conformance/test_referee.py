"""tshark as the referee: of all that the gateway says when everything is asked of it, nothing is malformed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdu import (
    AlertNotification,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    Outbind,
    body_of,
)
from smppbridge.model import Incoming
from smppbridge.store.base import Absent
from tests.conformance.test_conformance import TAKEN, WRONG, request
from tests.conftest import ended

DIALECTS = """
[accounts.{name}]
password = "{name}"
allowed_networks = ["127.0.0.0/8"]
dialect = {dialect}
incoming_long = "{long}"
alerts = "always"
"""
ACCOUNTS = {
    "plain": ('"smsc.ru"', "parts"),
    "kannel": ('"kannel"', "sar"),
    "jasmin": ('"jasmin"', "payload"),
    "spec": ('"spec"', "parts"),
    "data": ('{ deliver_with = "data_sm", response_ids = "hex", receipt_dates = "YYYYMMDDhhmmss" }', "payload"),
}


@pytest.mark.journey
def test_tshark_finds_nothing_malformed(start: Any, connect: Any, capture: Any, tmp_path: Path) -> None:
    tshark = shutil.which("tshark") or pytest.skip("tshark is not on this machine (Debian: tshark)")
    tables = [DIALECTS.format(name=name, dialect=dialect, long=long) for name, (dialect, long) in ACCOUNTS.items()]
    called = socket.create_server(("127.0.0.1", 0))
    port = called.getsockname()[1]
    outbind = f"""
    [accounts.called]
    password = "called"
    allowed_networks = ["127.0.0.0/8"]
    outbind = {{ address = "127.0.0.1:{port}", password = "secret" }}
    """
    gateway = start(*tables, outbind, **{"[smpp]": "[smpp]\nmax_bad_pdus = 0"})
    process = capture(gateway, "all.pcap")
    _everything_that_is_wrong(connect(gateway))
    for name in ACCOUNTS:
        for version in (0x33, 0x34, 0x50):
            _everything_that_is_right(gateway, connect(gateway), name, version)
    _called(gateway, called, connect)
    ended(process)

    rows = _dissected(tshark, tmp_path, gateway.port, port)
    assert [row for row in rows if row["malformed"]] == []
    said = Counter(int(row["command"], 16) for row in rows)
    for pdu in (DeliverSm, DataSm, AlertNotification, Outbind):
        assert said[pdu.command_id], pdu
    requests = (1, 2, 3, 4, 5, 6, 7, 8, 9, 0x21, 0x103)
    assert [hex(one) for one in requests if not said[one | 0x80000000]] == []
    assert said[0x80000000], "GENERIC_NACK"


def _everything_that_is_wrong(client: Any) -> None:
    client.bind()
    for wrong in WRONG:
        if not wrong.request.startswith("bind"):
            client.socket.sendall(wrong.octets)
            client.receive()
    for name, _, octets in TAKEN:
        if name != "unbind":
            client.socket.sendall(octets)
            client.receive()
    client.socket.sendall(request("deliver_sm") + bytes.fromhex("00000010 00000999 00000000 00000001"))
    client.receive()
    client.receive()
    client.close()


def _everything_that_is_right(gateway: Any, client: Any, name: str, version: int) -> None:
    """Receipts of every kind, messages from subscribers of every length, and an alert, in this dialect and version."""
    client.bind(system_id=name, password=name, interface_version=version)
    mark = f"{name} {version}"
    wanted = 0
    for text, to in (
        (f"{mark} Hello", "79991234567"),
        (f"{mark} absent", "79990000004"),
        (f"{mark} rejected", "79990000003"),
        ("__HLR__", f"7999{version:03d}{len(name)}{ord(name[0])}"),
    ):
        assert client.submit(text, to).command_status == 0
        wanted += 1
    for _ in range(wanted):
        _answer(client)
    for length in (5, 150, 1000):
        text = Incoming(
            provider="sandbox", ref=f"{mark} {length}", source="79990000004", destination="4711", text="ж" * length
        )
        arrival = gateway.call(gateway.gateway.store.incoming(name, text, gateway.gateway.clock()))
        gateway.loop.call_soon_threadsafe(gateway.gateway.outbox.offer, [arrival])
        got = 0
        while got < length:
            got += len(body_of(_answer(client))) // 2
    _alert(gateway, name)
    client.wait_for(lambda pdu: isinstance(pdu, AlertNotification))
    client.unbind()


def _alert(gateway: Any, name: str) -> None:
    absent = Absent(
        account=name,
        subscriber="79990000004",
        destination="79990000004",
        destination_ton=1,
        destination_npi=1,
        source="TEST",
        source_ton=5,
        source_npi=0,
        at=gateway.gateway.clock(),
    )
    store = gateway.gateway.store
    gateway.call(store.absent([absent]))
    rows = gateway.call(store.reachable([absent.subscriber], absent.at))
    gateway.loop.call_soon_threadsafe(gateway.gateway.outbox.offer, rows)


def _answer(client: Any) -> Any:
    pdu = client.wait_for(lambda found: isinstance(found, DeliverSm | DataSm))
    response = DeliverSmResp if isinstance(pdu, DeliverSm) else DataSmResp
    client.send(response(sequence_number=pdu.sequence_number))
    return pdu


def _called(gateway: Any, called: socket.socket, connect: Callable[..., Any]) -> None:
    """A receipt waits, so the gateway calls; who is called binds."""
    client = connect(gateway)
    client.bind("transmitter", system_id="called", password="called")
    client.submit("call me")
    called.settimeout(20)
    there, _ = called.accept()
    called.close()
    client.socket.close()
    client.socket = there
    there.settimeout(20)
    outbind = client.receive()
    assert isinstance(outbind, Outbind)
    client.bind("receiver", system_id="called", password="called")
    client.receipt()
    client.unbind()


def _dissected(tshark: str, folder: Path, port: int, called: int) -> list[dict[str, str]]:
    """What the gateway said, a row a PDU: from its port, and to the client that it called."""
    ours = f"tcp.srcport == {port} || tcp.dstport == {called}"
    fields = {"command": "smpp.command_id", "malformed": "_ws.malformed"}
    command = [tshark, "-r", str(folder / "all.pcap"), "-Y", ours, "-T", "fields"]
    command += ["-d", f"tcp.port=={port},smpp", "-d", f"tcp.port=={called},smpp"]
    command += [part for field in fields.values() for part in ("-e", field)]
    environ = {**os.environ, "HOME": str(folder)}
    read = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=True)
    return [dict(zip(fields, line.split("\t"), strict=False)) for line in read.stdout.splitlines()]
