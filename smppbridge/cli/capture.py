"""`smppbridge capture`: what clients and the running gateway say to each other, as a file for Wireshark."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Protocol, Self

import msgspec
import typer

from ..config import ControlConfig, StoreConfig, address, duration, peek
from ..control.protocol import Lost, Order, Over, Reply, Sorry, Welcome, place, read_reply, write
from ..smpp.tap import Seen
from .console import ConfigOption, Trouble, config_path, examples
from .pcap import HEADER, packets

EXAMPLES = examples(
    "smppbridge capture --account demo --out demo.pcap",
    "smppbridge capture --peer 192.0.2.7 --seconds 60 --out client.pcap",
    "smppbridge capture --rotate-size 10MB --rotate-count 20 --out day.pcap",
    "smppbridge capture --out - | wireshark -k -i -",
    "tshark -r demo.pcap -d tcp.port==12775,smpp",
)

#: The port that Wireshark knows for SMPP.
_WELL_KNOWN = 2775
#: Seconds after which a wait looks whether there is something else to do.
_LOOK = 0.2
#: Seconds in which the gateway says the rest after we have had enough.
_REST = 10.0
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


def capture(
    out: Annotated[
        str,
        typer.Option("--out", "-o", metavar="FILE", help="A file that is not there yet, or - for standard output."),
    ],
    account: Annotated[
        str,
        typer.Option("--account", "-a", help="Binds of this account. Without it every connection, also before a bind."),
    ] = "",
    peer: Annotated[str, typer.Option(help="Clients at this address, or in this network.")] = "",
    count: Annotated[int, typer.Option(min=0, help="End after so many PDUs; 0: do not.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, help="End after so many seconds; 0: do not.")] = 0,
    rotate_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Begin another file before one is larger: 500kB, 10MB.")
    ] = "",
    rotate_time: Annotated[str, typer.Option(metavar="TIME", help="Begin another file after so long: 10m, 1h.")] = "",
    rotate_count: Annotated[int, typer.Option(min=0, help="Keep only so many files, the newest; 0: all.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but mistakes.")] = False,
    config: ConfigOption = None,
) -> None:
    """Write what clients and the running gateway say to each other to a file that Wireshark opens.

    Every PDU is there as it stood on the wire, within TLS too; texts can be read, passwords are masked before they
    leave the gateway. It ends with Ctrl-C. With --rotate-size or --rotate-time the files are called FILE-00001.pcap,
    FILE-00002.pcap, …; each is whole. Where SMPP has another port than 2775, Wireshark wants to be told:
    -d tcp.port==PORT,smpp.
    """
    size, every = _size(rotate_size), _time(rotate_time)
    if rotate_count and not (size or every):
        raise Trouble("--rotate-count goes with --rotate-size or --rotate-time", 2)
    if out == "-" and (size or every):
        raise Trouble("standard output is one file: --rotate-size and --rotate-time need a name", 2)
    file: Output
    if out == "-":
        file = Pipe(sys.stdout.buffer)
    elif size or every:
        file = Rotating(Path(out), size=size, every=every, keep=rotate_count, clock=time.monotonic)
    else:
        file = Single(Path(out))
    with Gateway(_socket(config), Order(command="capture", account=account, peer=peer)) as gateway, file:
        _Taking(gateway, file, count=count, seconds=seconds, quiet=quiet).run()


class _Taking:
    """From the gateway to the file, until somebody has enough."""

    def __init__(self, gateway: Gateway, file: Output, *, count: int, seconds: float, quiet: bool) -> None:
        self._gateway = gateway
        self._file = file
        self._count = count
        self._until = time.monotonic() + seconds if seconds else float("inf")
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = 0.0
        self._enough = False
        self._taken = 0
        self._lost = 0
        self._ports: set[int] = set()

    def run(self) -> None:
        """Raises Trouble where it ended otherwise than was wanted; what came until then is in the file."""
        over: Over | None = None
        before = [(number, signal.signal(number, self._stop)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            over = self._take()
            self._file.flush()
        except BrokenPipeError:
            # Whoever read our output has seen enough.
            self._enough = True
        except OSError as error:
            raise Trouble(f"{self._file.name} cannot be written: {error.strerror}; {self._so_far()}") from None
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            self._progress(last=True)
        if over is None and not self._enough:
            raise Trouble(f"the gateway has gone without a word; {self._so_far()}")
        if over is not None and over.reason:
            raise Trouble(f"{over.reason}; {self._so_far()}")

    def _stop(self, *_: object) -> None:
        """Ctrl-C: not here and now, but between two PDUs."""
        self._enough = True

    def _take(self) -> Over | None:
        ended = 0.0
        while True:
            now = time.monotonic()
            if not ended and (self._enough or now >= self._until):
                self._enough, ended = True, now
                self._gateway.enough()
            if ended and now - ended > _REST:
                return None
            replies = self._gateway.hear()
            if replies is None:
                return None
            for reply in replies:
                if isinstance(reply, Over):
                    self._lost = reply.lost
                    return reply
                if isinstance(reply, Lost):
                    self._lost = reply.pdus
                elif isinstance(reply, Seen) and not (self._count and self._taken >= self._count):
                    self._keep(reply)
            self._file.flush()
            self._progress()

    def _keep(self, seen: Seen) -> None:
        self._file.write(b"".join(packets(seen)))
        self._taken += 1
        if self._taken == self._count:
            self._enough = True
        with contextlib.suppress(ValueError):
            self._ports.add(address(seen.local)[1])

    # What is said on standard error

    def _progress(self, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._live and (last or now - self._shown >= 1):
            self._shown = now
            sys.stderr.write(f"\r{self._numbers()} {'' if last else '(Ctrl-C ends it) '}\x1b[K" + "\n" * last)
            sys.stderr.flush()
        elif last and not self._quiet:
            sys.stderr.write(self._numbers() + "\n")
        if last and not self._quiet and (others := self._ports - {_WELL_KNOWN}):
            told = " ".join(f"-d tcp.port=={port},smpp" for port in sorted(others))
            sys.stderr.write(f"for Wireshark: {told}\n")

    def _numbers(self) -> str:
        return f"{self._taken} PDUs, {self._lost} lost"

    def _so_far(self) -> str:
        return f"{self._taken} PDUs are in {self._file.name}"


# The gateway ---------------------------------------------------------------------------------------------------------


class Gateway:
    """The running gateway's end of the control socket."""

    def __init__(self, path: Path, order: Order) -> None:
        self._path = path
        self._order = order
        self._rest = b""

    def __enter__(self) -> Self:
        """Connect and order. Raises Trouble."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(_REST)
            self._socket.connect(str(self._path))
            self._socket.sendall(write(self._order) + b"\n")
            first = self._first()
            self._socket.settimeout(_LOOK)
            if isinstance(first, Sorry):
                raise Trouble(first.reason)
            if not isinstance(first, Welcome):
                raise Trouble("the gateway answered something else than expected")
        except OSError as error:
            self._socket.close()
            raise Trouble(_unreachable(self._path, error)) from None
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def hear(self) -> list[Reply] | None:
        """What came, if anything did; None: nothing will come any more. Waits a moment at most. Raises Trouble."""
        # What followed the first reply at once is here already.
        if b"\n" not in self._rest:
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                return []
            except OSError:
                return None
            if not data:
                return None
            self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [_reply(line) for line in lines]

    def enough(self) -> None:
        """We want no more, but the rest of what was under way."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _first(self) -> Reply:
        while b"\n" not in self._rest:
            data = self._socket.recv(1 << 16)
            if not data:
                raise Trouble("the gateway hung up")
            self._rest += data
        first, _, self._rest = self._rest.partition(b"\n")
        return _reply(first)


def _reply(line: bytes) -> Reply:
    try:
        reply: Reply = read_reply(line)
    except msgspec.MsgspecError:
        raise Trouble("the gateway speaks otherwise than this command: are they of the same version?") from None
    return reply


def _socket(given: Path | None) -> Path:
    """Where the gateway with this configuration listens. Raises Trouble."""
    path = config_path(given)
    control, store = peek(path, "control", ControlConfig), peek(path, "store", StoreConfig)
    found = place(control, store)
    if found is None:
        why = f'[control] socket = "{control.socket}"'
        if control.socket != "off":
            why += f' and [store] engine = "{store.engine}"'
        raise Trouble(f"{path} says {why}: that gateway has no control socket; give it the path of one")
    return found


def _unreachable(path: Path, error: OSError) -> str:
    """Why the gateway was not reached, and what to do."""
    where = str(path) if path.is_absolute() else f"{path}, which is {path.absolute()} from here"
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"no gateway with this configuration runs: nobody listens at {where}"
    if isinstance(error, PermissionError):
        return f"{where} is for the gateway's own user and root alone"
    return f"the gateway at {where} cannot be reached: {error.strerror or error}"


# The file ------------------------------------------------------------------------------------------------------------


class Output(Protocol):
    """Where packets go."""

    @property
    def name(self) -> str:
        """What it is called."""

    def write(self, data: bytes) -> None:
        """Packets that belong together. Raises OSError."""

    def flush(self) -> None:
        """Nothing of what was written is to be lost any more, and others may read it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None: ...


class Pipe:
    """Standard output."""

    name = "-"

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        # Whoever draws packets as they come waits for this.
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(HEADER)
            self._stream.flush()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            # Or Python would complain of the same when it flushes its output at the very end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


class Single:
    """One file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def name(self) -> str:
        return str(self._path)

    def __enter__(self) -> Self:
        self._stream = _new(self._path)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # What is flushed is safe; what could not be is tried once more, and was told already.
        with contextlib.suppress(OSError):
            self._stream.close()

    def write(self, data: bytes) -> None:
        self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()


class Rotating:
    """One file after the other, each whole: NAME-00001.pcap, NAME-00002.pcap, …"""

    def __init__(self, path: Path, *, size: int, every: float, keep: int, clock: Callable[[], float]) -> None:
        """`size` in octets and `every` in seconds: 0 is no reason for another file. `keep`: 0 keeps all."""
        self._path = path
        self._size = size
        self._every = every
        self._clock = clock
        self._number = 0
        self._keep = keep
        self._made: deque[Path] = deque()

    @property
    def name(self) -> str:
        return str(self._made[-1])

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # What is flushed is safe; what could not be is tried once more, and was told already.
        with contextlib.suppress(OSError):
            self._stream.close()

    def write(self, data: bytes) -> None:
        full = self._size and self._written + len(data) > self._size and self._written > len(HEADER)
        if full or (self._every and self._clock() - self._begun >= self._every):
            self._stream.close()
            self._begin()
        self._stream.write(data)
        self._written += len(data)

    def flush(self) -> None:
        self._stream.flush()

    def _begin(self) -> None:
        """The next file; then the oldest one too many goes."""
        self._number += 1
        path = self._path.with_name(f"{self._path.stem}-{self._number:05}{self._path.suffix or '.pcap'}")
        self._stream = _new(path)
        self._made.append(path)
        self._begun = self._clock()
        self._written = len(HEADER)
        while self._keep and len(self._made) > self._keep:
            self._made.popleft().unlink(missing_ok=True)


def _new(path: Path) -> BinaryIO:
    """A file with its header, that is nobody else's to read: texts are in it. Raises Trouble."""
    try:
        stream = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")
        stream.write(HEADER)
        stream.flush()
    except FileExistsError:
        raise Trouble(f"{path} is there already and is not overwritten: take it away, or name another") from None
    except OSError as error:
        raise Trouble(f"{path} cannot be written: {error.strerror}") from None
    return stream


def _size(given: str) -> int:
    """ "10MB" → 10,000,000; 0 for nothing. Raises Trouble."""
    if not given:
        return 0
    number = given.strip().lower().removesuffix("b")
    unit = number[-1:] if number[-1:] in ("k", "m", "g") else ""
    digits = number.removesuffix(unit).strip()
    if not (digits.isascii() and digits.isdigit() and int(digits)):
        raise Trouble(f"--rotate-size {given}: expected a size such as 500kB, 10MB or 1GB", 2)
    return int(digits) * _UNITS[unit]


def _time(given: str) -> float:
    """ "10m" → 600.0; 0 for nothing. Raises Trouble."""
    try:
        return duration(given) if given else 0.0
    except ValueError as error:
        raise Trouble(f"--rotate-time {given}: {error}", 2) from None
