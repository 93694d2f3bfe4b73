"""A load generator for SMPP servers: B binds, a window of W unanswered SUBMIT_SM each, every message different.

Written to cost as little as possible, so that what is measured is the server: frames are patched, not built, and only
the sixteen octets of a header are read of an answer. Run as a process of its own (`python -m bench.load …`); it prints
one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import time
from array import array
from collections.abc import Sequence
from typing import cast

import uvloop

from pdu import BindTransceiver, EnquireLink, SubmitSm, encode

_HEADER = struct.Struct(">IIII")
_SUBMIT_SM_RESP = 0x80000004
_DELIVER_SM = 0x00000005
_ENQUIRE_LINK = 0x00000015
_ENQUIRE_LINK_RESP = 0x80000015
_BIND_RESP = 0x80000009
#: Room for send times, by sequence_number modulo; larger than any window.
_TIMES = 65536
_MARK = b"0123456789ab"


class Run:
    """What all links of one run share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.sent = 0
        self.answered = 0
        self.refused = 0
        self.receipts = 0
        self.measuring = False
        self.latencies = array("d")
        self.enquiries = array("d")
        self.ids: list[bytes] = []
        self.bound = 0
        self.all_bound = asyncio.Event()
        self.done = asyncio.Event()
        # Each run says something else, or the messages of a second one would be repetitions of the first.
        text = b"%b %x The quick brown fox jumps over the lazy dog, and does so again." % (_MARK, time.time_ns())
        frame = encode(
            SubmitSm(
                source_addr_ton=5,
                source_addr="BENCH",
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=options.to,
                schedule_delivery_time=options.at,
                registered_delivery=1 if options.receipts else 0,
                short_message=text.ljust(100, b"."),
                sequence_number=1,
            )
        )
        at = frame.index(_MARK)
        self.head, self.middle, self.tail = frame[:12], frame[16:at], frame[at + len(_MARK) :]


class Link(asyncio.Protocol):
    def __init__(self, run: Run, number: int) -> None:
        self.run = run
        self.number = number
        self.sequence = 1
        self.open = 0
        self.times = array("d", bytes(8 * _TIMES))
        self.rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        options = self.run.options
        bind = BindTransceiver(
            system_id=options.system_id, password=options.password, interface_version=0x34, sequence_number=1
        )
        self.transport.write(encode(bind))

    def fill(self, now: float) -> None:
        run, options = self.run, self.run.options
        count = options.window - self.open
        if options.count:
            count = min(count, options.count - run.sent)
        if options.under_way:
            count = min(count, options.under_way - (run.sent - run.receipts))
        if count <= 0:
            return
        frames = []
        prefix = b"%03d" % (self.number % 1000)
        for _ in range(count):
            self.sequence = sequence = self.sequence + 1
            self.times[sequence % _TIMES] = now
            frames += (run.head, sequence.to_bytes(4, "big"), run.middle, prefix, b"%09d" % sequence, run.tail)
        self.open += count
        run.sent += count
        self.transport.write(b"".join(frames))

    def data_received(self, data: bytes) -> None:
        run = self.run
        if self.rest:
            data = self.rest + data
        now = time.perf_counter()
        at, end, answered = 0, len(data), 0
        out = []
        keep, times, latencies, measuring = run.options.ids, self.times, run.latencies, run.measuring
        while end - at >= 16:
            length, command, status, sequence = _HEADER.unpack_from(data, at)
            if end - at < length:
                break
            if command == _SUBMIT_SM_RESP:
                answered += 1
                if status:
                    run.refused += 1
                elif keep:
                    run.ids.append(data[at + 16 : at + length - 1])
                if measuring:
                    latencies.append(now - times[sequence % _TIMES])
            elif command == _DELIVER_SM:
                run.receipts += 1
                out.append(_HEADER.pack(17, 0x80000005, 0, sequence) + b"\0")
            elif command == _ENQUIRE_LINK:
                out.append(_HEADER.pack(16, _ENQUIRE_LINK_RESP, 0, sequence))
            elif command == _ENQUIRE_LINK_RESP:
                run.enquiries.append(now - times[sequence % _TIMES])
            elif command == _BIND_RESP:
                if status:
                    raise SystemExit(f"bind refused: 0x{status:08x}")
                run.bound += 1
                if run.bound == run.options.binds + 1:
                    run.all_bound.set()
            at += length
        self.rest = data[at:]
        if out:
            self.transport.write(b"".join(out))
        run.answered += answered
        self.open -= answered
        if run.options.count and run.answered >= run.options.count:
            if not run.options.receipts or run.receipts >= run.options.count:
                run.done.set()
        elif (answered or out) and not run.options.rate:
            self.fill(now)

    def enquire(self) -> None:
        self.sequence += 1
        self.times[self.sequence % _TIMES] = time.perf_counter()
        self.transport.write(encode(EnquireLink(sequence_number=self.sequence)))


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


async def offer(run: Run, links: list[Link]) -> None:
    """An offered rate: what is due goes out every few milliseconds, over the links in turn."""
    start, due, turn = time.perf_counter(), 0.0, 0
    given = 0
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        due = (now - start) * run.options.rate
        while given < due:
            link = links[turn % len(links)]
            turn += 1
            if link.open < run.options.window:
                before = link.run.options.window
                link.run.options.window = link.open + 1
                link.fill(now)
                link.run.options.window = before
            given += 1


async def main(options: argparse.Namespace) -> None:
    run = Run(options)
    loop = asyncio.get_running_loop()
    links = []
    for number in range(options.binds + 1):
        _, link = await loop.create_connection(lambda n=number: Link(run, n), options.host, options.port)
        links.append(link)
    await run.all_bound.wait()
    *busy, watcher = links
    pacing = None
    start = time.perf_counter()
    if options.rate:
        pacing = asyncio.create_task(offer(run, busy))
    else:
        for link in busy:
            link.fill(start)
    warm = 0.0 if options.count else options.warm
    await asyncio.sleep(warm)
    run.measuring = True
    first, first_receipts, begun = run.answered, run.receipts, time.perf_counter()
    cpu = time.process_time()
    until = begun + options.seconds
    while not run.done.is_set() and time.perf_counter() < until:
        watcher.enquire()
        try:
            await asyncio.wait_for(run.done.wait(), min(0.05, max(until - time.perf_counter(), 0.001)))
        except TimeoutError:
            continue
    took = time.perf_counter() - begun
    if pacing:
        pacing.cancel()
    result = {
        "seconds": took,
        "answered": run.answered - first,
        "rate": (run.answered - first) / took,
        "receipts": run.receipts - first_receipts,
        "receipt_rate": (run.receipts - first_receipts) / took,
        "refused": run.refused,
        "p50_ms": percentile(run.latencies, 0.50) * 1000,
        "p99_ms": percentile(run.latencies, 0.99) * 1000,
        "p999_ms": percentile(run.latencies, 0.999) * 1000,
        "enquire_max_ms": max(run.enquiries, default=0.0) * 1000,
        "client_cpu": (time.process_time() - cpu) / took,
    }
    if options.ids:
        result["ids"] = [id.decode() for id in run.ids]
    print(json.dumps(result), flush=True)
    for link in links:
        link.transport.abort()


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=2775)
    options.add_argument("--system-id", default="demo")
    options.add_argument("--password", default="demo")
    options.add_argument("--to", default="79990000000", help="destination of all messages")
    options.add_argument("--at", default="", help="schedule_delivery_time of all messages")
    options.add_argument("--binds", type=int, default=10)
    options.add_argument("--window", type=int, default=10)
    options.add_argument("--under-way", type=int, default=0, help="messages without a receipt at most; 0: any number")
    options.add_argument("--seconds", type=float, default=5.0, help="how long to measure, at most")
    options.add_argument("--warm", type=float, default=1.0, help="seconds before measuring")
    options.add_argument("--count", type=int, default=0, help="stop after this many messages")
    options.add_argument("--rate", type=float, default=0.0, help="offer this many a second instead of filling windows")
    options.add_argument("--receipts", action="store_true", help="ask for receipts, and wait for them with --count")
    options.add_argument("--ids", action="store_true", help="list the acknowledged ids")
    return options


if __name__ == "__main__":
    uvloop.run(main(parser().parse_args()))
