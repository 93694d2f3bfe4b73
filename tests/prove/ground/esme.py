"""A client for proofs: as many SUBMIT_SM as its window takes, every answer and every receipt entered in the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from typing import Any, Self, cast

from pdu import (
    BindTransceiver,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    decode,
    encode,
)

from .cut import cut
from .ledger import Ledger, text

#: command_id of responses.
_RESPONSE = 0x80000000
_STAT = b"stat:"


class Refused(Exception):
    """The gateway did not let it bind; the text is the command_status."""


class Esme(asyncio.Protocol):
    """Nothing is sent before `pour` or `submit`. Receipts are answered unless `answers` is False."""

    def __init__(
        self, ledger: Ledger, *, window: int = 50, system_id: str = "demo", password: str = "demo",
        to: str = "79991234567", registered_delivery: int = 1, answers: bool = True, first_sequence: int = 1,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.window = window
        self.system_id = system_id
        self.password = password
        self.to = to
        self.registered_delivery = registered_delivery
        self.answers = answers
        self.sequence = first_sequence - 1
        #: Set when the link is gone, however.
        self.gone = asyncio.Event()
        #: UNBINDs of the gateway.
        self.unbound = 0
        #: Seconds that ENQUIRE_LINKs took.
        self.enquiries: list[float] = []
        self.transport: asyncio.Transport
        self._framer = Framer(65536)
        #: sequence_number → number of the message.
        self._open: dict[int, int] = {}
        self._asked: dict[int, asyncio.Future[Pdu]] = {}
        self._left = 0
        self._poured = asyncio.Event()

    @classmethod
    async def connect(cls, port: int, ledger: Ledger, *, patience: float = 30, **options: Any) -> Self:
        """A bound client. Raises Refused; OSError when nobody listens for that long."""
        loop, until = asyncio.get_running_loop(), time.monotonic() + patience
        while True:
            try:
                _, esme = await loop.create_connection(lambda: cls(ledger, **options), "127.0.0.1", port)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.02)
        bind = BindTransceiver(system_id=esme.system_id, password=esme.password, interface_version=0x34)
        answer = await esme.ask(bind)
        if answer.command_status:
            esme.transport.abort()
            raise Refused(f"0x{answer.command_status:08x}")
        return esme

    # What a proof tells it to do

    async def pour(self, count: int) -> None:
        """Send so many, as fast as the window takes them; returns when each is answered or the link is gone."""
        self._left += count
        self._poured.clear()
        self._fill()
        await self._either(self._poured)

    async def offer(self, rate: float, seconds: float) -> None:
        """Send so many a second, as the window allows, for so long."""
        began, given = time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds and not self.gone.is_set():
            due = int((now - began) * rate)
            if due > given:
                self._left += due - given
                given = due
                self._fill()
            await asyncio.sleep(0.005)

    def submit(self) -> int:
        """Send one now, whatever the window says; its number."""
        return self._send([])[0]

    def resend(self, numbers: Collection[int]) -> None:
        """Messages whose answer was lost with a link, as they were."""
        for number in numbers:
            self.ledger.unanswered.discard(number)
        self.transport.write(b"".join(map(self.opened, numbers)))

    async def answered(self, patience: float = 30) -> None:
        """Until all that it has sent is answered. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while self._open:
                await asyncio.sleep(0.002)

    async def ask(self, pdu: Pdu, patience: float = 60) -> Pdu:
        """Send a request, wait for its response. Raises TimeoutError, ConnectionError."""
        pdu.sequence_number = self._next()
        answer: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()
        self._asked[pdu.sequence_number] = answer
        self.transport.write(encode(pdu))
        async with asyncio.timeout(patience):
            return await answer

    async def enquire(self) -> float:
        """Seconds until an ENQUIRE_LINK is answered."""
        began = time.monotonic()
        await self.ask(EnquireLink())
        self.enquiries.append(time.monotonic() - began)
        return self.enquiries[-1]

    async def settled(self, messages: int, patience: float = 60) -> None:
        """Until so many messages have a receipt. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while self.ledger.receipted < messages:
                await asyncio.sleep(0.01)

    async def unbind(self) -> None:
        await self.ask(Unbind())
        self.close()

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        """End without a word."""
        cut(self.transport)

    # What comes from the gateway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        ledger = self.ledger
        for number in self._open.values():
            ledger.open.pop(number, None)
            ledger.unanswered.add(number)
        self._open.clear()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the link is gone"))
                answer.exception()  # whoever waits sees it; nobody has to
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        self._framer.feed(data)
        out: list[bytes] = []
        while frame := self._framer.next():
            self.take(decode(frame), out)
        self._fill(out)

    def take(self, pdu: Pdu, out: list[bytes]) -> None:
        """One PDU; answers go into `out`. What misbehaves overrides it."""
        if isinstance(pdu, SubmitSmResp) and pdu.sequence_number in self._open:
            self._answered(pdu)
        elif isinstance(pdu, DeliverSm):
            self.receipt(pdu, out)
        elif isinstance(pdu, EnquireLink):
            out.append(encode(EnquireLinkResp(sequence_number=pdu.sequence_number)))
        elif isinstance(pdu, Unbind):
            self.unbound += 1
            out.append(encode(UnbindResp(sequence_number=pdu.sequence_number)))
        elif (
            pdu.command_id & _RESPONSE and (answer := self._asked.pop(pdu.sequence_number, None)) and not answer.done()
        ):
            answer.set_result(pdu)

    def receipt(self, pdu: DeliverSm, out: list[bytes]) -> None:
        line = pdu.short_message
        at = line.find(_STAT) + len(_STAT)
        self.told(pdu, int(str(pdu.option(Tag.RECEIPTED_MESSAGE_ID))), line[at : at + 7].decode())
        if self.answers:
            out.append(encode(DeliverSmResp(sequence_number=pdu.sequence_number)))

    def told(self, pdu: DeliverSm, id: int, state: str) -> None:
        """A receipt said so."""
        self.ledger.receipts[id][state] += 1

    # How

    def _answered(self, pdu: SubmitSmResp) -> None:
        ledger, number = self.ledger, self._open.pop(pdu.sequence_number)
        ledger.latencies.append(time.monotonic() - ledger.open.pop(number))
        if pdu.command_status:
            ledger.refused[number] = pdu.command_status
        else:
            ledger.acknowledged[number] = int(pdu.message_id)
        if not self._left and not self._open:
            self._poured.set()

    def _fill(self, out: list[bytes] | None = None) -> None:
        out = [] if out is None else out
        count = min(self._left, self.window - len(self._open))
        if count > 0:
            self._left -= count
            self._send(out, count)
        elif out:
            self.transport.write(b"".join(out))

    def _send(self, out: list[bytes], count: int = 1) -> list[int]:
        numbers = [self.ledger.next() for _ in range(count)]
        out += map(self.opened, numbers)
        self.transport.write(b"".join(out))
        return numbers

    def opened(self, number: int) -> bytes:
        """The message with this number, which is about to be sent."""
        sequence = self._next()
        self.ledger.open[number] = time.monotonic()
        self._open[sequence] = number
        return encode(self.message(number, sequence))

    def message(self, number: int, sequence: int) -> Pdu:
        """What is sent as the message with this number. What sends something else overrides it."""
        return SubmitSm(
            source_addr="PROOF",
            source_addr_ton=5,
            destination_addr=self.to,
            registered_delivery=self.registered_delivery,
            short_message=text(number).encode(),
            sequence_number=sequence,
        )

    def _next(self) -> int:
        # SMPP 3.4 §5.1.4: 1 to 0x7FFFFFFF, then from the beginning.
        self.sequence = self.sequence % 0x7FFFFFFF + 1
        return self.sequence

    async def _either(self, event: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (event, self.gone)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
