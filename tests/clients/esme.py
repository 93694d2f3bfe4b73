"""aiosmpplib as a client: long texts in its own way, receipts by its own correlation. One JSON object a line.

Arguments: the port, then the texts.
"""

import asyncio
import json
import sys

from aiosmpplib import ESME, PhoneNumber, SubmitSm
from aiosmpplib.hook import AbstractHook
from aiosmpplib.protocol import DeliverSm, SubmitSmResp


class Hook(AbstractHook):
    """Tells what was answered and what was delivered."""

    async def sending(self, smpp_message, pdu, client_id):
        pass

    async def received(self, smpp_message, pdu, client_id):
        if isinstance(smpp_message, SubmitSmResp):
            status = int(smpp_message.command_status)
            say(answer=status, id=smpp_message.message_id, log_id=smpp_message.log_id)
        elif isinstance(smpp_message, DeliverSm):
            receipt = smpp_message.parse_receipt() if smpp_message.is_receipt() else None
            text = smpp_message.short_message
            say(receipt=receipt and {name: str(value) for name, value in receipt.items()}, text=str(text))

    async def send_error(self, smpp_message, error, client_id):
        say(error=str(error), log_id=smpp_message.log_id)


def say(**values):
    print(json.dumps(values, default=str), flush=True)


async def main():
    esme = ESME("127.0.0.1", int(sys.argv[1]), "demo", "demo", hook=Hook(), log_level="CRITICAL")
    for number, text in enumerate(sys.argv[2:]):
        await esme.broker.enqueue(
            SubmitSm(
                short_message=text,
                source=PhoneNumber("74951234567"),
                destination=PhoneNumber("79991234567"),
                registered_delivery=1,
                log_id=str(number),
            )
        )
    running = asyncio.create_task(esme.start())
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await esme.stop()
    await running


asyncio.run(main())
