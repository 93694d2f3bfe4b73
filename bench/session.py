"""SMPP without a store: what a session costs beside decoding, and how fast a server answers that keeps nothing.

`python -m bench.session` prints three tables: nanoseconds a PDU in `Session`, SUBMIT_SM a second through real links
over loopback (the client is a process of its own, see `bench.load`), and what an idle link weighs.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import structlog
import uvloop

from pdu import BindTransceiver, DeliverSm, DeliverSmResp, EnquireLink, Framer, SubmitSm, Tag, decode, encode, tlv
from smppbridge.config import Listener, SmppConfig
from smppbridge.smpp.admission import Admission
from smppbridge.smpp.events import BindRequest, Ending
from smppbridge.smpp.link import Link
from smppbridge.smpp.server import SmppServer
from smppbridge.smpp.session import Counters, Session
from smppbridge.smpp.timers import Limits

_OFF = Limits(session_init=0, enquire_link_after=0, inactivity=0, response=0)
_SUBMIT_SM = encode(
    SubmitSm(
        source_addr_ton=5,
        source_addr="BENCH",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="79990000000",
        registered_delivery=1,
        short_message=b"x" * 100,
        tlvs=[tlv(Tag.USER_MESSAGE_REFERENCE, 5), tlv(Tag.SOURCE_PORT, 7)],
        sequence_number=7,
    )
)
_IDLE = 1000


class Desk:
    """The application that lets everybody in and answers at once."""

    def __init__(self) -> None:
        self.count = 1_000_000_000_000_000_000

    async def admit(self, request: BindRequest, peer: str, certificate: object) -> Admission:
        return Admission(account=request.system_id, max_binds=10_000)

    def neighbour(self, address: object) -> bool:
        return True

    def link_up(self, link: Link) -> None:
        pass

    def submitted(self, link: Link, pdu: SubmitSm, frame: bytes) -> None:
        self.count += 1
        link.respond_submit(pdu.sequence_number, 0, str(self.count))

    def answered(self, link: Link, token: Any, status: int | None) -> None:
        pass

    def link_down(self, link: Link, ending: Ending) -> None:
        pass


def _bound() -> Session:
    session = Session(_OFF, 1000, window=10_000, max_pdu=65_536, counters=Counters())
    session.receive(encode(BindTransceiver(system_id="bench", interface_version=0x34, sequence_number=1)), 1000)
    session.bind_accepted("us")
    session.data_to_send()
    return session


def _nanoseconds(work: Callable[[], int]) -> float:
    """Of the fastest of some runs; `work` says how many PDUs it did."""
    best = float("inf")
    for _ in range(15):
        start = time.perf_counter_ns()
        done = work()
        best = min(best, (time.perf_counter_ns() - start) / done)
    return best


def _take(session: Session, data: bytes) -> None:
    """One read, in as many turns as it takes."""
    session.receive(data, 2000)
    while session.paused:
        session.proceed(2000)


def sessions(reads: int) -> dict[str, float]:
    """Nanoseconds a PDU with so many of them in each read."""
    session, total = _bound(), 2000
    data, enquiries = _SUBMIT_SM * reads, encode(EnquireLink(sequence_number=1)) * reads
    framer = Framer(65_536)
    deliver = DeliverSm(source_addr="79990000000", destination_addr="BENCH", esm_class=4, short_message=b"x" * 120)

    def decoding() -> int:
        for _ in range(total):
            decode(_SUBMIT_SM)
        return total

    def framing() -> int:
        for _ in range(total // reads):
            framer.feed(data)
            while framer.next() is not None:
                pass
        return total

    def receiving() -> int:
        for _ in range(total // reads):
            _take(session, data)
        return total

    def responding() -> int:
        for _ in range(total // reads):
            for _ in range(reads):
                session.respond_submit(7, 0, "1234567890123456789")
            session.data_to_send()
        return total

    def enquiring() -> int:
        for _ in range(total // reads):
            _take(session, enquiries)
            session.data_to_send()
        return total

    def delivering() -> int:
        for _ in range(total // reads):
            sequences = []
            for _ in range(reads):
                session.deliver(deliver, None, 2000)
                sequences.append(deliver.sequence_number)
            session.data_to_send()
            _take(session, b"".join(encode(DeliverSmResp(sequence_number=number)) for number in sequences))
        return total

    decoded, received = _nanoseconds(decoding), _nanoseconds(receiving)
    return {
        "decode alone": decoded,
        "framing alone": _nanoseconds(framing),
        "SUBMIT_SM received": received,
        "  beyond decoding": received - decoded,
        "SUBMIT_SM_RESP written": _nanoseconds(responding),
        "ENQUIRE_LINK answered": _nanoseconds(enquiring),
        "DELIVER_SM out and answered": _nanoseconds(delivering),
    }


async def links(binds: int, window: int, seconds: float) -> dict[str, float]:
    """What `bench.load` measures against a server in this process."""
    server = SmppServer(SmppConfig(listeners=(Listener(listen="127.0.0.1:0"),)), Desk())
    await server.start()
    arguments = {"port": server.addresses[0].rpartition(":")[2], "binds": binds, "window": window, "seconds": seconds}
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-O",
        "-m",
        "bench.load",
        "--warm=0.3",
        *(f"--{name}={value}" for name, value in arguments.items()),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await asyncio.wait_for(client.communicate(), seconds + 10)
    finally:
        if client.returncode is None:
            client.kill()
        await server.stop(0)
    if client.returncode:
        raise SystemExit(f"bench.load ended with {client.returncode}")
    told = json.loads(output)
    return {name: told[name] for name in ("rate", "p50_ms", "p99_ms", "enquire_max_ms")}


async def weight() -> dict[str, float]:
    """What idle links cost: memory each, and of a second of the processor all together."""
    server = SmppServer(
        SmppConfig(listeners=(Listener(listen="127.0.0.1:0"),), max_connections=_IDLE, max_unbound_per_address=0),
        Desk(),
    )
    await server.start()
    host, _, port = server.addresses[0].rpartition(":")
    program = (
        "import socket,sys\n"
        f"bind=bytes.fromhex('{encode(BindTransceiver(system_id='bench', interface_version=0x34)).hex()}')\n"
        f"all=[socket.create_connection(('{host}',{port})) for _ in range({_IDLE})]\n"
        "for one in all: one.sendall(bind)\n"
        "for one in all: one.recv(100)\n"
        "print('bound',flush=True); sys.stdin.read()\n"
    )
    before = _resident()
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert client.stdout is not None
    await client.stdout.readline()
    after = _resident()
    cpu = time.process_time()
    await asyncio.sleep(2)
    idle = (time.process_time() - cpu) / 2
    await client.communicate(b"")
    await server.stop(0)
    return {"KiB a link": (after - before) / _IDLE / 1024, "% of a core, all": idle * 100}


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def run() -> dict[str, float]:
    """The figures of `make bench`, by name."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found = {}
    for reads in (1, 10, 100):
        for name, value in sessions(reads).items():
            found[f"ns a PDU, {reads} in a read: {name}"] = value
    for binds, window in ((10, 10), (10, 100)):
        for name, value in uvloop.run(links(binds, window, 1.5)).items():
            found[f"{binds} binds, window {window}: {name}"] = value
    for name, value in uvloop.run(weight()).items():
        found[f"{_IDLE} idle links: {name}"] = value
    return found


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:55} {value:12,.2f}")
