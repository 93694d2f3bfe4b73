"""A load that goes on for hours, in a process of its own: `python -m tests.prove.ground.load PORT [options]`.

What it is told comes on standard input, a line each: `fill N` (as fast as the gateway goes, with N messages under way
at most), `offer RATE` (so many a second), `stop` (nothing new; end when every message has its receipt, or when
`--patience` is over). What it sees goes to standard output, one line of JSON every few seconds and a last one with
`"end": true`.

The accounts of an hour have to fit: one octet for each message, found by the number in its text, which its receipt
repeats. Some links unbind and come back every minute; one only asks ENQUIRE_LINK, one says nothing at all and is asked.
All begin with a high sequence_number and reach 0x7FFFFFFF.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import sys
import time
from collections import Counter
from typing import Any, cast

import uvloop

from bench.load import percentile
from pdu import BindTransceiver, BindTransmitter, EnquireLink, SubmitSm, Unbind, encode

_HEADER = struct.Struct(">IIII")
_RESPONSE = 0x80000000
_SUBMIT_SM_RESP = 0x80000004
_DELIVER_SM = 0x00000005
_ENQUIRE_LINK = 0x00000015
_ENQUIRE_LINK_RESP = 0x80000015
_BIND_RESPONSES = (0x80000002, 0x80000009)
_UNBIND = 0x00000006
_UNBIND_RESP = 0x80000006
#: SMPP 3.4 §5.1.4: 1 to this, then from the beginning.
_LAST = 0x7FFFFFFF
_MARK = b"#0000000000#"

# What is known of a message, in one octet: whether it was taken or refused, and twice the number of its receipts.
_TAKEN, _RECEIPT, _REFUSED = 0x01, 0x02, 0x80
_RECEIPTS = 0x7E


class Load:
    """What all links share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.marks = bytearray()
        #: Receipted on a link that had sent UNBIND: the answer may have come too late, and the receipt comes again.
        self.parting: set[int] = set()
        self.rate = 0.0
        self.under_way = 0
        self.counts: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.enquiries: list[float] = []
        self.links: list[Link] = []
        frame = encode(
            SubmitSm(
                source_addr_ton=5, source_addr="SOAK", dest_addr_ton=1, dest_addr_npi=1,
                destination_addr="79990000000", registered_delivery=1, sequence_number=1,
                short_message=_MARK + b" The quick brown fox jumps over the lazy dog, and does so for an hour.",
            )
        )  # fmt: skip
        at = frame.index(_MARK) + 1
        self.head, self.middle, self.tail = frame[:12], frame[16:at], frame[at + 10 :]

    @property
    def open(self) -> int:
        """Sent, and neither refused nor at an end that the client has heard of."""
        counts = self.counts
        return len(self.marks) - counts["refused"] - counts["receipts"]

    def number(self) -> int:
        self.marks.append(0)
        return len(self.marks) - 1

    def fill(self) -> None:
        if self.under_way:
            for link in self.links:
                if link.ready:
                    link.send(min(self.options.window - len(link.open), self.under_way - self.open))

    async def offer(self) -> None:
        """What is due goes out every few milliseconds, over the links in turn."""
        rate, began, given, turn = 0.0, 0.0, 0, 0
        while True:
            await asyncio.sleep(0.002)
            now = time.monotonic()
            if rate != self.rate:
                rate, began, given = self.rate, now, 0
            ready = [link for link in self.links if link.ready]
            due = int((now - began) * rate) - given
            for _ in range(len(ready) if due > 0 else 0):
                turn += 1
                link = ready[turn % len(ready)]
                share = min(-(-due // len(ready)), due, self.options.window - len(link.open))
                link.send(share)
                due -= max(share, 0)
                given += max(share, 0)

    async def keep(self, place: int) -> None:
        """The link at this place, again and again where it is one of those that come back."""
        options = self.options
        loop = asyncio.get_running_loop()
        comes_back = place < options.come_back
        while True:
            _, link = await loop.create_connection(lambda: Link(self, BindTransceiver), "127.0.0.1", options.port)
            self.links.append(link)
            stays = options.stay * (1 + place / max(options.come_back, 1)) if comes_back else 1e9
            await asyncio.wait([asyncio.ensure_future(link.gone.wait())], timeout=stays)
            if not link.gone.is_set():
                link.unbind()
                await link.gone.wait()
                self.counts["come back"] += 1
            self.links.remove(link)

    async def watch(self) -> None:
        """ENQUIRE_LINK on a bind of its own: how long the gateway has no time for it."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Link(self, BindTransmitter), "127.0.0.1", self.options.port)
        await loop.create_connection(lambda: Link(self, BindTransmitter), "127.0.0.1", self.options.port)
        while not link.gone.is_set():
            await asyncio.sleep(0.1)
            link.asked[link.next()] = time.monotonic()
            link.transport.write(encode(EnquireLink(sequence_number=link.sequence)))

    def seen(self, **more: object) -> None:
        """One line for the proof, and the times begin anew."""
        counts, marks = self.counts, self.marks
        now = time.monotonic()
        waits = [now - asked for link in self.links for asked in link.asked.values()]
        line = {
            "sent": len(marks), "open": self.open, **counts,
            "p50": percentile(self.latencies, 0.5), "p99": percentile(self.latencies, 0.99),
            "enquire": max([*self.enquiries, *waits], default=0.0), **more,
        }  # fmt: skip
        self.latencies, self.enquiries = [], []
        print(json.dumps(line), flush=True)

    def balance(self) -> dict[str, int]:
        """Every message, by what is known of it."""
        again = sum(self.marks[number] & _RECEIPTS > _RECEIPT for number in self.parting)
        found = Counter(self.marks)
        taken = sum(times for mark, times in found.items() if mark & _TAKEN)
        return {
            "taken": taken,
            "without receipt": found[_TAKEN],
            "again after UNBIND": again,
            "receipted again": sum(times for mark, times in found.items() if mark & _RECEIPTS > _RECEIPT) - again,
            "refused and receipted": sum(
                times for mark, times in found.items() if mark & _REFUSED and mark & _RECEIPTS
            ),
            "without response": sum(times for mark, times in found.items() if not mark & (_TAKEN | _REFUSED)),
        }  # fmt: skip


class Link(asyncio.Protocol):
    def __init__(self, load: Load, bind: type[BindTransceiver | BindTransmitter]) -> None:
        self.load = load
        self.bind = bind
        self.sequence: int = _LAST - load.options.before
        self.ready = self.leaving = False
        #: sequence_number → number of the message, and when it was sent.
        self.open: dict[int, tuple[int, float]] = {}
        self.asked: dict[int, float] = {}
        self.gone = asyncio.Event()
        self.rest = b""
        #: Of the last request of the gateway.
        self.its_sequence = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        bind = self.bind(system_id="demo", password="demo", interface_version=0x34, sequence_number=self.next())
        self.transport.write(encode(bind))
        self.load.counts["binds"] += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.ready = False
        self.gone.set()

    def next(self) -> int:
        if self.sequence == _LAST:
            self.sequence = 0
            self.load.counts["our wraps"] += 1
        self.sequence += 1
        return self.sequence

    def send(self, count: int) -> None:
        load, now = self.load, time.monotonic()
        frames: list[bytes] = []
        for _ in range(count):
            number, sequence = load.number(), self.next()
            self.open[sequence] = number, now
            frames += (load.head, sequence.to_bytes(4, "big"), load.middle, b"%010d" % number, load.tail)
        if frames:
            self.transport.write(b"".join(frames))

    def unbind(self) -> None:
        self.ready, self.leaving = False, True
        self.transport.write(encode(Unbind(sequence_number=self.next())))

    def data_received(self, data: bytes) -> None:
        load, now = self.load, time.monotonic()
        counts, marks = load.counts, load.marks
        if self.rest:
            data = self.rest + data
        at, end, out = 0, len(data), []
        while end - at >= 16:
            length, command, status, sequence = _HEADER.unpack_from(data, at)
            if end - at < length:
                break
            if not command & _RESPONSE:
                self.met(sequence)
            if command == _SUBMIT_SM_RESP:
                number, sent = self.open.pop(sequence)
                load.latencies.append(now - sent)
                marks[number] |= _REFUSED if status else _TAKEN
                counts["refused" if status else "accepted"] += 1
            elif command == _DELIVER_SM:
                place = data.index(b"text:#", at, at + length) + 6
                number = int(data[place : place + 10])
                if self.leaving:
                    load.parting.add(number)
                if marks[number] & _RECEIPTS < _RECEIPTS:
                    marks[number] += _RECEIPT
                if marks[number] & _RECEIPTS == _RECEIPT:
                    counts["receipts"] += 1
                if data.find(b"stat:DELIVRD", at, at + length) < 0:
                    counts["not delivered"] += 1
                out.append(_HEADER.pack(17, 0x80000005, 0, sequence) + b"\0")
            elif command == _ENQUIRE_LINK:
                counts["enquired"] += 1
                out.append(_HEADER.pack(16, _ENQUIRE_LINK_RESP, 0, sequence))
            elif command == _ENQUIRE_LINK_RESP:
                load.enquiries.append(now - self.asked.pop(sequence))
            elif command in _BIND_RESPONSES and not status:
                self.ready = self.bind is BindTransceiver
            elif command == _UNBIND_RESP:
                self.transport.close()
            else:
                counts[f"unexpected 0x{command:08x} 0x{status:08x}"] += 1
            at += length
        self.rest = data[at:]
        if out:
            self.transport.write(b"".join(out))
        load.fill()

    def met(self, sequence: int) -> None:
        """A request of the gateway has this sequence_number."""
        if not 1 <= sequence <= _LAST:
            self.load.counts["bad sequence"] += 1
        elif sequence < self.its_sequence:
            self.load.counts["its wraps"] += 1
        self.its_sequence = sequence


async def told(load: Load, stop: asyncio.Event) -> None:
    """What the proof says on standard input; its end is a stop too."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().split():
        load.rate = float(line[1]) if line[0] == "offer" else 0.0
        load.under_way = int(line[1]) if line[0] == "fill" else 0
        load.fill()
        if line[0] == "stop":
            break
    load.rate, load.under_way = 0.0, 0
    stop.set()


async def main(options: argparse.Namespace) -> None:
    load, stop = Load(options), asyncio.Event()
    works: list[Any] = [load.keep(place) for place in range(options.binds)]
    tasks = [asyncio.ensure_future(work) for work in (*works, load.watch(), load.offer(), told(load, stop))]
    while not stop.is_set():
        await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=options.every)
        load.seen()
    until = time.monotonic() + options.patience
    while load.open and time.monotonic() < until:
        await asyncio.sleep(0.1)
    load.seen(end=True, **load.balance())
    for task in tasks:
        task.cancel()


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.prove.ground.load", description=__doc__)
    options.add_argument("port", type=int)
    options.add_argument("--binds", type=int, default=10)
    options.add_argument("--come-back", type=int, default=3, help="how many of them unbind and bind again …")
    options.add_argument("--stay", type=float, default=60.0, help="… after so many seconds, and some more")
    options.add_argument("--window", type=int, default=50)
    options.add_argument("--before", type=int, default=1000, help="how far before the last sequence_number they begin")
    options.add_argument("--every", type=float, default=5.0, help="seconds between two lines")
    options.add_argument("--patience", type=float, default=120.0, help="seconds for the last receipts")
    return options


if __name__ == "__main__":
    uvloop.run(main(parser().parse_args()))
