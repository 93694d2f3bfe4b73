"""One text to two numbers and to a distribution list, by SUBMIT_MULTI: one id, and a receipt for each.

smpplib has no SUBMIT_MULTI, so this one speaks SMPP itself, with the `pdu` package of smppbridge and a socket. The list
has to be in the configuration for this account; where it is not, the answer says so and the numbers are sent to:

    [distribution_lists.staff]
    accounts = ["demo"]
    numbers = ["79991234541", "79991234542"]
"""

import os
import socket

from pdu import (
    BindTransceiver,
    CommandStatus,
    DeliverSm,
    DeliverSmResp,
    DistributionList,
    Framer,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    Unbind,
    decode,
    encode,
)

HOST = os.environ.get("SMPP_HOST", "127.0.0.1")
PORT = int(os.environ.get("SMPP_PORT", "2775"))
SYSTEM_ID = os.environ.get("SMPP_SYSTEM_ID", "demo")
PASSWORD = os.environ.get("SMPP_PASSWORD", "demo")

connection = socket.create_connection((HOST, PORT), timeout=30)
framer = Framer(65536)


def receive() -> Pdu:
    """The next PDU."""
    while not (frame := framer.next()):
        data = connection.recv(65536)
        if not data:
            raise EOFError("the server has closed the connection")
        framer.feed(data)
    return decode(frame)


def ask(request: Pdu) -> Pdu:
    """Send a request and read its response, which comes before any receipt."""
    connection.sendall(encode(request))
    response = receive()
    if response.command_status and not isinstance(response, SubmitMultiResp):
        raise RuntimeError(f"refused: {CommandStatus(response.command_status).name}")
    return response


ask(BindTransceiver(sequence_number=1, system_id=SYSTEM_ID, password=PASSWORD, interface_version=0x34))

numbers = ["79991234543", "79991234544"]
answer = ask(
    SubmitMulti(
        sequence_number=2,
        source_addr="EXAMPLE",
        dest_addresses=[
            *(SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=number) for number in numbers),
            DistributionList(dl_name="staff"),
        ],
        registered_delivery=1,
        short_message=b"Good morning",
    )
)
assert isinstance(answer, SubmitMultiResp)
print("> id", answer.message_id or "none")
for failed in answer.unsuccess_smes:
    print("> not to", failed.destination_addr, CommandStatus(failed.error_status_code).name)

# Who is in the list only the server knows; the numbers are ours.
waiting = set(numbers) - {failed.destination_addr for failed in answer.unsuccess_smes}
while waiting:
    receipt = receive()
    if isinstance(receipt, DeliverSm):
        connection.sendall(encode(DeliverSmResp(sequence_number=receipt.sequence_number)))
        print("<", receipt.source_addr, receipt.short_message.decode())
        waiting.discard(receipt.source_addr)

connection.sendall(encode(Unbind(sequence_number=3)))
connection.close()
