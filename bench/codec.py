"""How fast a SUBMIT_SM with 100 octets of text and two TLVs is read and written: `python -m bench.codec`.

Four ways of doing it: construct from our declaration, the same compiled by construct, smpplib, and the readers and
writers generated from the declaration. They take turns, a short run each, so that a machine that slows down for a while
slows all of them; the median of the runs counts. What an application has at hand is given: octets to read, a filled-in
object to write.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import construct as cs
from smpplib import smpp

from pdu import CommandId, SubmitSm, Tag, codec, reference, tlv

ROUNDS = 25
#: One run of one contender takes about so many seconds.
RUN = 0.01

#: What has to be reached, as a ratio to the others.
TARGETS = {
    ("decode", "compiled construct"): 20,
    ("decode", "smpplib"): 15,
    ("encode", "compiled construct"): 20,
    ("encode", "smpplib"): 18,
}

TEXT = b"The quick brown fox jumps over the lazy dog, and the gateway hands it to the provider, no octet lost"
MESSAGE = SubmitSm(
    sequence_number=2,
    source_addr_ton=5,
    source_addr="SENDER",
    dest_addr_ton=1,
    dest_addr_npi=1,
    destination_addr="79991234567",
    registered_delivery=1,
    short_message=TEXT,
    tlvs=[tlv(Tag.USER_MESSAGE_REFERENCE, 7), tlv(Tag.SOURCE_PORT, 1234)],
)
FRAME = codec.encode(MESSAGE)

#: A function and the argument it is called with.
Contender = tuple[Callable[[Any], object], Any]
#: Operations a second, by direction and contender.
Rates = dict[str, dict[str, float]]


class _Client:
    """What smpplib asks of a client while it makes a PDU."""

    sequence = 1

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence


def contenders() -> dict[str, dict[str, Contender]]:
    """Return the ways to decode and to encode the message, ours last."""
    whole: Any = cs.Struct("header" / reference.HEADER, "body" / reference.BODIES[CommandId.SUBMIT_SM])
    compiled = whole.compile()
    parsed = whole.parse(FRAME)
    client = _Client()
    theirs = smpp.make_pdu(
        "submit_sm",
        client=client,
        source_addr_ton=5,
        source_addr="SENDER",
        dest_addr_ton=1,
        dest_addr_npi=1,
        destination_addr="79991234567",
        registered_delivery=1,
        short_message=TEXT,
        user_message_reference=7,
        source_port=1234,
    )
    theirs.sequence = MESSAGE.sequence_number
    if {whole.build(parsed), compiled.build(parsed), theirs.generate()} != {FRAME}:
        raise AssertionError("the contenders do not write the same message")
    return {
        "decode": {
            "construct": (whole.parse, FRAME),
            "compiled construct": (compiled.parse, FRAME),
            "smpplib": (lambda frame: smpp.parse_pdu(frame, client=client), FRAME),
            "ours": (codec.decode, FRAME),
        },
        "encode": {
            "construct": (whole.build, parsed),
            "compiled construct": (compiled.build, parsed),
            "smpplib": (type(theirs).generate, theirs),
            "ours": (codec.encode, MESSAGE),
        },
    }


def measure(rounds: int = ROUNDS) -> Rates:
    """Let them run."""
    return {direction: _race(racing, rounds) for direction, racing in contenders().items()}


def run() -> dict[str, float]:
    """Return the figures of `make bench`, by name."""
    rates = measure()
    figures = {f"{direction}, a second": by_name["ours"] for direction, by_name in rates.items()}
    for direction, name, ratio in _ratios(rates):
        target = TARGETS.get((direction, name))
        figures[f"{direction}, times {name}{f' (target {target})' if target else ''}"] = ratio
    return figures


def _ratios(rates: Rates) -> list[tuple[str, str, float]]:
    """Return how many times faster ours is than each other."""
    return [
        (direction, name, by_name["ours"] / rate)
        for direction, by_name in rates.items()
        for name, rate in by_name.items()
        if name != "ours"
    ]


def _race(racing: dict[str, Contender], rounds: int) -> dict[str, float]:
    times = {name: max(1, int(RUN / _seconds(*contender, times=20) * 20)) for name, contender in racing.items()}
    seconds: dict[str, list[float]] = {name: [] for name in racing}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, contender in racing.items():
                seconds[name].append(_seconds(*contender, times=times[name]) / times[name])
    finally:
        gc.enable()
    return {name: 1 / median(values) for name, values in seconds.items()}


def _seconds(function: Callable[[Any], object], argument: Any, times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        function(argument)
    return perf_counter() - start


def main() -> None:
    """Print the table."""
    rates = measure()
    ratios = {(direction, name): ratio for direction, name, ratio in _ratios(rates)}
    print(f"SUBMIT_SM, {len(TEXT)} octets of text, {len(MESSAGE.tlvs)} TLVs, {len(FRAME)} octets in all\n")
    print(f"{'':8}{'':20}{'a second':>12}{'µs':>9}{'ours is':>10}{'target':>9}")
    for direction, by_name in rates.items():
        for name, rate in by_name.items():
            ratio, target = ratios.get((direction, name)), TARGETS.get((direction, name))
            line = f"{direction:8}{name:20}{rate:12,.0f}{1e6 / rate:9.2f}"
            line += f"{ratio:8.1f} ×" if ratio else ""
            line += f"{target:7} ×" if target else ""
            print(line)


if __name__ == "__main__":
    main()
