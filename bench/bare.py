"""The yardstick: a bare asyncio.Protocol on uvloop that decodes every PDU with our codec and stores nothing."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from pdu import (
    BindTransceiver,
    BindTransceiverResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    SubmitSm,
    SubmitSmResp,
    decode,
    encode,
)


class Bare(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.framer = Framer(65536)
        self.id = 0

    def data_received(self, data: bytes) -> None:
        framer = self.framer
        framer.feed(data)
        out = []
        while frame := framer.next():
            pdu = decode(frame)
            if type(pdu) is SubmitSm:
                self.id += 1
                out.append(encode(SubmitSmResp(message_id=str(self.id), sequence_number=pdu.sequence_number)))
            elif type(pdu) is BindTransceiver:
                out.append(encode(BindTransceiverResp(system_id="bare", sequence_number=pdu.sequence_number)))
            elif type(pdu) is EnquireLink:
                out.append(encode(EnquireLinkResp(sequence_number=pdu.sequence_number)))
        if out:
            self.transport.write(b"".join(out))


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
