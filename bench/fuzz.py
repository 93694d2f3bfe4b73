"""A million broken PDUs against a whole gateway: seeded, so that what breaks it once breaks it again.

Every PDU begins as one that is right and is then spoilt: octets flipped, cut, doubled or swapped, lengths that lie,
fields of other PDUs, TLVs of any shape, unknown commands, wrong states; now and then the framing itself. The gateway
may refuse, ignore or hang up; it may not meet an exception that nobody expected, and afterwards it still serves.

`python -m bench.fuzz [--count N] [--seed N]`; tests/conformance runs a smaller one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import structlog

from pdu import (
    PDUS,
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    CancelSm,
    CommandId,
    DataSm,
    DistributionList,
    Framer,
    Pdu,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Tlv,
    decode,
    encode,
)
from smppbridge.app import Gateway
from smppbridge.config import load

CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:0" }}]
max_bad_pdus = 0
max_refused_rate = 0
bind_failures = 1000000000
[http]
listen = ""
[store]
engine = "memory"
[log]
message_lines = 0
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]
max_binds = 1000
parts_timeout = "5s"
[distribution_lists.all]
accounts = ["demo"]
numbers = ["79990000001", "79990000002"]
[providers.sandbox]
adapter = "sandbox"
status_delay = "10ms"
[[routes]]
providers = ["sandbox"]
"""

#: Connections at once, and PDUs that are sent before the answers are looked at.
_LINKS = 8
_BURST = 250
_SUBMIT = {"source_addr": "FUZZ", "destination_addr": "79991234567", "registered_delivery": 1}


def right(random: Random) -> Pdu:
    """A PDU that is right, of any kind, with a bias to those that carry something."""
    number = random.randrange(1 << 31)
    text = random.choice(
        (
            b"Hello %d" % number,
            b"__VIBER__: %d" % number,
            b"__HLR__",
            b"__MAIL__: a\nsubj:b\nto:c@example.com",
            b"\0" * 9,
        )
    )
    match random.randrange(12):
        case 0 | 1 | 2 | 3:
            return SubmitSm(short_message=text, data_coding=random.choice((0, 1, 3, 4, 8)), **_SUBMIT)
        case 4:
            part = bytes((5, 0, 3, number & 255, 2, 1 + (number >> 8) % 2)) + text
            return SubmitSm(esm_class=0x40, short_message=part, **_SUBMIT)
        case 5:
            sar = [
                Tlv(Tag.SAR_MSG_REF_NUM, number.to_bytes(4)[:2]),
                Tlv(Tag.SAR_TOTAL_SEGMENTS, b"\2"),
                Tlv(Tag.SAR_SEGMENT_SEQNUM, bytes((1 + number % 2,))),
            ]
            return SubmitSm(short_message=text, tlvs=sar, **_SUBMIT)
        case 6:
            numbers = [SmeAddress(destination_addr=str(79990000000 + n)) for n in range(number % 5)]
            return SubmitMulti(
                source_addr="FUZZ", short_message=text, dest_addresses=[*numbers, DistributionList(dl_name="all")]
            )
        case 7:
            return DataSm(tlvs=[Tlv(Tag.MESSAGE_PAYLOAD, text)], **_SUBMIT)
        case 8:
            return QuerySm(message_id=str(number), source_addr="FUZZ")
        case 9:
            return CancelSm(message_id="" if number & 1 else str(number), source_addr="FUZZ", destination_addr="7999")
        case 10:
            return ReplaceSm(message_id=str(number), source_addr="FUZZ", short_message=text)
        case _:
            return random.choice(list(PDUS.values()))()


def spoilt(random: Random) -> bytes:
    """The same, spoilt once or more; its command_length is right again at the end, but for one in five thousand."""
    pdu = right(random)
    pdu.sequence_number = random.randrange(1, 1 << 31)
    frame = bytearray(encode(pdu))
    for _ in range(random.choice((0, 1, 1, 1, 2, 5))):
        body = len(frame) - 16
        at = 16 + random.randrange(body) if body else 16
        match random.randrange(8):
            case 0 if body:
                frame[at] ^= 1 << random.randrange(8)
            case 1 if body:
                frame[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del frame[at:]
            case 3 if body:
                del frame[at : at + random.randrange(1, 9)]
            case 4:
                frame[at:at] = random.randbytes(random.randrange(1, 40))
            case 5:
                length = random.choice((0, 1, 2, 255, 0xFFFF, random.randrange(64)))
                tag = random.choice((*Tag, random.randrange(1 << 16)))
                value = random.randbytes(min(length, 64)) if random.random() < 0.7 else b""
                frame += tag.to_bytes(2) + length.to_bytes(2) + value
            case 6:
                command = random.choice((*CommandId, random.randrange(1 << 32)))
                frame[4:8] = int(command).to_bytes(4)
            case _:
                frame[8:12] = random.randbytes(4)
    # An UNBIND that is right ends the link: that is for other tests, and only now and then for this one.
    if frame[4:8] == CommandId.UNBIND.to_bytes(4) and random.random() < 0.99:
        frame[4:8] = CommandId.ENQUIRE_LINK.to_bytes(4)
    length = len(frame) if random.random() < 0.9998 else random.choice((0, 15, 1 << 20, 0xFFFFFFFF, len(frame) + 1))
    frame[0:4] = length.to_bytes(4)
    return bytes(frame)


def frames(seed: int) -> Iterator[bytes]:
    random = Random(seed)
    while True:
        yield spoilt(random)


class _Client:
    """Sends what it is given over one connection, and opens another when that is closed."""

    def __init__(self, port: int, kind: type[Pdu], frames: Iterator[bytes], found: Counter[str]) -> None:
        self._port = port
        self._kind = kind
        self._frames = frames
        self._found = found

    async def run(self, count: int) -> None:
        sent = 0
        while sent < count:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._found["connections"] += 1
            reading = asyncio.create_task(self._read(reader))
            with contextlib.suppress(ConnectionError):
                if self._found["connections"] % 10:  # now and then nobody binds
                    writer.write(encode(self._kind(system_id="demo", password="demo", sequence_number=1)))
                while sent < count and not reading.done():
                    burst = [next(self._frames) for _ in range(min(_BURST, count - sent))]
                    writer.write(b"".join(burst))
                    sent += len(burst)
                    self._found["sent"] += len(burst)
                    await writer.drain()
                    await asyncio.sleep(0)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            await reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self._found["octets of answers"] += len(data)


async def storm(count: int, seed: int) -> dict[str, Any]:
    """Let them loose. What the gateway says at the levels error and critical is counted, and what its loop met."""
    found: Counter[str] = Counter()
    mistakes: list[str] = []

    def heard(logger: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        if level in ("error", "critical", "exception"):
            mistakes.append(f"{event.get('event')}: {event.get('reason', '')}")
            if event.get("exc_info"):
                mistakes.append(traceback.format_exc(limit=-3))
        raise structlog.DropEvent

    was = structlog.get_config()
    structlog.configure(processors=[heard])
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: mistakes.append(str(context.get("exception", context["message"]))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "smppbridge.toml"
        path.write_text(CONFIG.format())
        path.chmod(0o600)
        gateway = Gateway(load(path))
        try:
            await gateway.start()
            port = int(gateway.smpp.addresses[0].rpartition(":")[2])
            began = time.monotonic()
            kinds = (BindTransceiver, BindTransmitter, BindTransceiver, BindReceiver)
            clients = [_Client(port, kinds[n % len(kinds)], frames(seed + n), found) for n in range(_LINKS)]
            await asyncio.gather(*(client.run(count // _LINKS) for client in clients))
            seconds = time.monotonic() - began
            serves = await _serves(port)
        finally:
            await gateway.stop()
            structlog.configure(**was)
    return {
        **found,
        "accepted": sum(account.accepted for account in gateway.submission.accounts.values()),
        "unexpected": len(mistakes),
        "mistakes": mistakes,
        "serves": serves,
        "a second": found["sent"] / seconds,
    }


async def _serves(port: int) -> bool:
    """Whether an ordinary client is still served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    framer = Framer(65536)
    writer.write(encode(BindTransceiver(system_id="demo", password="demo", sequence_number=1)))
    writer.write(encode(SubmitSm(short_message=b"After the storm", sequence_number=2, **_SUBMIT)))
    async with asyncio.timeout(30):
        while data := await reader.read(65536):
            framer.feed(data)
            while (frame := framer.next()) is not None:
                pdu = decode(frame)
                if isinstance(pdu, SubmitSmResp):
                    writer.close()
                    return pdu.command_status == 0
    return False


def run(count: int = 1_000_000, seed: int = 1) -> dict[str, Any]:
    found = asyncio.run(storm(count, seed))
    for mistake in dict.fromkeys(found.pop("mistakes")):
        print(f"  {mistake}")
    return {
        "PDUs": found["sent"],
        "of them accepted as messages": found["accepted"],
        "connections, most of them closed by a lost framing": found["connections"],
        "exceptions that nobody expected (0)": found["unexpected"],
        "serves afterwards (1)": int(found["serves"]),
        "PDUs a second": found["a second"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for name, value in run(chosen.count, chosen.seed).items():
        print(f"{name:55} {value:14,.0f}")
