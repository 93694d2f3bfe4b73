"""A client that floods, in a process of its own: `python -m tests.prove.ground.flood PORT KIND …`, or `flood`.

KIND is what it sends over each of its links: `rate` SUBMIT_SM, so many a second, whatever is answered; `submits` as
many as the socket takes, without a window; `maximal` the same, each as long as the gateway takes them; `enquiries`
ENQUIRE_LINK; `garbage` what nobody can read. It reads all answers, and goes on until its time is over. What it learnt
is one line of JSON. It gives way to other processes of this host (nice): elsewhere a flood has a host of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import struct
import time
from collections import Counter
from typing import Any, cast

import uvloop

from pdu import BindTransceiver, EnquireLink, SubmitSm, Tag, decode, encode, tlv

from . import apart
from .ledger import Ledger, text

_HEADER = struct.Struct(">IIII")
_SUBMIT_SM_RESP, _DELIVER_SM = 0x80000004, 0x00000005
_PIECE = 100
#: Digits of a number, so that frames can be patched instead of made.
_MARK = 9_000_000_000


class Link(asyncio.Protocol):
    def __init__(self, flood: Flood) -> None:
        self.flood = flood
        self.sequence = 1
        self.open: dict[int, int] = {}
        self.writable = asyncio.Event()
        self.writable.set()
        self.bound, self.gone = asyncio.Event(), asyncio.Event()
        self.rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        options = self.flood.options
        bind = BindTransceiver(
            system_id=options.system_id, password="demo", interface_version=0x50, sequence_number=1
        )  # fmt: skip
        self.transport.write(encode(bind))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.writable.set()
        self.bound.set()
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        flood = self.flood
        data = self.rest + data
        at, end, out = 0, len(data), []
        while end - at >= 16:
            length, command, status, sequence = _HEADER.unpack_from(data, at)
            if end - at < length:
                break
            if command == _SUBMIT_SM_RESP:
                number = self.open.pop(sequence, 0)
                flood.statuses[status] += 1
                if not status:
                    flood.acknowledged[number] = int(data[at + 16 : at + length - 1].split(b"\0")[0])
                else:
                    flood.refused += 1
                    if not flood.why.get(status):
                        reason = decode(data[at : at + length]).option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
                        flood.why[status] = str(reason or "")
            elif command == _DELIVER_SM:
                flood.receipts += 1
                out.append(_HEADER.pack(17, 0x80000005, 0, sequence) + b"\0")
            elif command == 0x80000009:
                self.bound.set()
            else:
                flood.others += 1
            at += length
        self.rest = data[at:]
        if out:
            self.transport.write(b"".join(out))

    def submits(self, count: int) -> None:
        flood = self.flood
        frames: list[bytes] = []
        for _ in range(count):
            self.sequence = self.sequence % 0x7FFFFFFF + 1
            flood.number += 1
            self.open[self.sequence] = flood.number
            head, middle, tail = flood.parts
            frames += (head, self.sequence.to_bytes(4, "big"), middle, b"%d" % flood.number, tail)
        self.transport.write(b"".join(frames))


class Flood:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.number = _MARK + options.first
        self.acknowledged: dict[int, int] = {}
        self.statuses: Counter[int] = Counter()
        self.why: dict[int, str] = {}
        self.refused = self.receipts = self.others = self.octets = 0
        said = text(_MARK).encode()
        longest = options.kind == "maximal"
        frame = encode(
            SubmitSm(
                source_addr="FLOOD", source_addr_ton=5, destination_addr="79990000001", sequence_number=1,
                registered_delivery=options.registered, short_message=b"" if longest else said,
                tlvs=[tlv(Tag.MESSAGE_PAYLOAD, said.ljust(60_000, b"."))] if longest else [],
            )
        )  # fmt: skip
        at = frame.index(b"%d" % _MARK)
        self.parts = frame[:12], frame[16:at], frame[at + len(str(_MARK)) :]

    async def pour(self, link: Link, until: float) -> None:
        options, began, given = self.options, time.monotonic(), 0
        rest = {
            "enquiries": encode(EnquireLink(sequence_number=7)) * _PIECE,
            "garbage": bytes.fromhex("00000020 00000a0a 00000000 00000001") * 2 * _PIECE
            + bytes.fromhex("00000012 00000004 00000000 00000002 ffff") * _PIECE,
        }.get(options.kind, b"")
        while (now := time.monotonic()) < until and not link.gone.is_set():
            if not link.writable.is_set():
                # It is not read from, perhaps for minutes.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(link.writable.wait(), until - now)
                continue
            if options.kind == "rate":
                due = int((now - began) * options.rate / options.links) - given
                link.submits(due)
                given += due
                await asyncio.sleep(0.005)
            elif rest:
                link.transport.write(rest)
                self.octets += len(rest)
                await asyncio.sleep(0)
            else:
                link.submits(1 if options.kind == "maximal" else _PIECE)
                await asyncio.sleep(0)

    async def run(self) -> None:
        options = self.options
        loop = asyncio.get_running_loop()
        links = []
        for _ in range(options.links):
            _, link = await loop.create_connection(
                lambda: Link(self), "127.0.0.1", options.port, local_addr=("127.0.0.9", 0)
            )
            links.append(link)
            await link.bound.wait()
        began = time.monotonic()
        until = began + options.seconds
        await asyncio.gather(*(self.pour(link, until) for link in links))
        # What is on its way is answered, or its link ends, or it is too much.
        until = time.monotonic() + 2
        while any(link.open and not link.gone.is_set() for link in links) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        told = {
            "sent": self.number - _MARK - options.first, "acknowledged": self.acknowledged, "refused": self.refused,
            "unanswered": [number for link in links for number in link.open.values()], "others": self.others,
            "statuses": {f"0x{status:08x}": count for status, count in self.statuses.items()},
            "why": {f"0x{status:08x}": why for status, why in self.why.items()}, "receipts": self.receipts,
            "cut": sum(link.gone.is_set() for link in links), "octets": self.octets,
            "seconds": time.monotonic() - began,
        }  # fmt: skip
        print(json.dumps(told), flush=True)


async def flood(port: int, ledger: Ledger, kind: str, **options: object) -> dict[str, Any]:
    """Flood until it is over. What it knows goes into `ledger`; it asks for no receipts unless `registered` is 1."""
    told = await apart.told(__name__, str(port), kind, *apart.options(**options))
    ledger.acknowledged.update({int(number): id for number, id in told["acknowledged"].items()})
    ledger.unanswered.update(told["unanswered"])
    return told


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.prove.ground.flood", description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("kind", choices=["rate", "submits", "maximal", "enquiries", "garbage"])
    options.add_argument("--system-id", default="demo")
    options.add_argument("--first", type=int, default=0, help="where its numbers begin")
    options.add_argument("--links", type=int, default=4)
    options.add_argument("--rate", type=float, default=2000.0)
    options.add_argument("--seconds", type=float, default=5.0)
    options.add_argument("--registered", type=int, default=0, help="registered_delivery")
    return options


if __name__ == "__main__":
    os.nice(10)
    uvloop.run(Flood(parser().parse_args()).run())
