"""kill -9 in the middle of a stream of SUBMIT_SM, DATA_SM and SUBMIT_MULTI: every acknowledged id is in the store,
exactly once; that of a SUBMIT_MULTI with all of its destinations."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from pdu import (
    BindTransceiver,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    Framer,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Tag,
    decode,
    encode,
    tlv,
)
from smppbridge.store.base import Filter
from smppbridge.store.sqlite import SqliteStore

CYCLES = 5
WINDOW = 50


class Stream(threading.Thread):
    """Submits with a window until the link breaks; remembers what was acknowledged, and which receipts it answered."""

    def __init__(self, port, cycle):
        super().__init__()
        self.cycle = cycle
        self.acknowledged = []
        #: Those of them that stand for two messages.
        self.double = []
        self.receipts = []
        self.started_flowing = threading.Event()
        self.socket = connect(port)

    def run(self):
        framer, sequence = Framer(65536), 1
        try:
            self.socket.sendall(encode(BindTransceiver(system_id="demo", password="demo", sequence_number=1)))
            while True:
                data = self.socket.recv(65536)
                if not data:
                    return
                framer.feed(data)
                out = []
                while frame := framer.next():
                    pdu = decode(frame)
                    fresh = 0
                    if isinstance(pdu, SubmitSmResp | DataSmResp | SubmitMultiResp):
                        assert pdu.command_status == 0
                        self.acknowledged.append(int(pdu.message_id))
                        if isinstance(pdu, SubmitMultiResp):
                            self.double.append(int(pdu.message_id))
                        fresh = 1
                    elif isinstance(pdu, DeliverSm):
                        self.receipts.append(int(pdu.option(Tag.RECEIPTED_MESSAGE_ID)))
                        out.append(encode(DeliverSmResp(sequence_number=pdu.sequence_number)))
                    elif sequence == 1:
                        fresh = WINDOW
                    for _ in range(fresh):
                        sequence += 1
                        out.append(encode(self.message(sequence)))
                if len(self.acknowledged) > 200:
                    self.started_flowing.set()
                self.socket.sendall(b"".join(out))
        except OSError:
            return
        finally:
            self.started_flowing.set()
            self.socket.close()

    def message(self, number):
        text = b"%d of %d" % (number, self.cycle)
        fields = {"source_addr": "TEST", "registered_delivery": 1, "sequence_number": number}
        if number % 8 == 0:
            both = [SmeAddress(destination_addr=to) for to in ("79991234567", "79991234568")]
            return SubmitMulti(dest_addresses=both, short_message=text, **fields)
        if number % 8 == 4:
            return DataSm(destination_addr="79991234567", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, text)], **fields)
        return SubmitSm(destination_addr="79991234567", short_message=text, **fields)


def connect(port):
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 30)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


async def kept_ids(path):
    """As the client knows them, once for each message."""
    store = SqliteStore(path)
    await store.open()
    try:
        ids, before = [], 0
        while page := await store.list(Filter(before=before, limit=1000)):
            ids += [message.known_as for message in page]
            before = page[-1].id
        return ids
    finally:
        await store.close()


@pytest.mark.journey
def test_every_acknowledged_id_survives_kill_9_exactly_once(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "smppbridge.toml"
    config.write_text(f"""
        [smpp]
        listeners = [{{ listen = "127.0.0.1:{port}" }}]
        [http]
        listen = "127.0.0.1:0"
        [store]
        path = "{tmp_path}/state.db"
        [log]
        level = "error"
        [accounts.demo]
        password = "demo"
        allowed_networks = ["127.0.0.0/8"]
        [providers.sandbox]
        adapter = "sandbox"
        [[routes]]
        providers = ["sandbox"]
    """)
    config.chmod(0o600)
    acknowledged, double = [], []
    for cycle in range(CYCLES):
        command = [sys.executable, "-m", "smppbridge", "serve", "--config", str(config)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            stream = Stream(port, cycle)
            stream.start()
            assert stream.started_flowing.wait(30)
            # Somewhere in the middle of things, at another point in every cycle.
            time.sleep(0.02 + 0.037 * cycle)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        stream.join(30)
        acknowledged += stream.acknowledged
        double += stream.double
    assert len(acknowledged) > 200 * CYCLES
    assert len(double) > CYCLES
    kept = Counter(asyncio.run(kept_ids(tmp_path / "state.db")))
    assert len(acknowledged) == len(set(acknowledged))
    assert {id: kept[id] for id in acknowledged} == dict.fromkeys(acknowledged, 1) | dict.fromkeys(double, 2)
