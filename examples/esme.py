"""A small SMPP client on smpplib, shared by the examples: bind, submit, wait for the receipt.

Copy it into your own system as it is; it needs nothing but smpplib. `DELIVER_SM` arrives while `wait` reads the socket.
Receipts carry the cost and the number of parts in vendor TLVs, so smpplib has to be told not to stop at TLVs that it
does not know: `allow_unknown_opt_params=True`.
"""

import logging
import os
import re
from collections.abc import Iterable

import smpplib.client
import smpplib.consts
import smpplib.gsm

HOST = os.environ.get("SMPP_HOST", "127.0.0.1")
PORT = int(os.environ.get("SMPP_PORT", "2775"))
SYSTEM_ID = os.environ.get("SMPP_SYSTEM_ID", "demo")
PASSWORD = os.environ.get("SMPP_PASSWORD", "demo")

# It skips the vendor TLVs, and need not say so each time.
logging.getLogger("smpplib").setLevel(logging.ERROR)

RECEIPT = re.compile(r"id:(\d+) .*?stat:(\w+) err:(\d+)")


class Esme:
    """One transceiver bind. Use as a context manager."""

    def __init__(self, system_type: str = "") -> None:
        self.receipts: dict[str, str] = {}
        self.accepted: list[str] = []
        self.client = smpplib.client.Client(HOST, PORT, allow_unknown_opt_params=True)
        self.client.set_message_sent_handler(self._accepted)
        self.client.set_message_received_handler(self._received)
        self.client.set_error_pdu_handler(self._refused)
        self.client.connect()
        self.client.bind_transceiver(system_id=SYSTEM_ID, password=PASSWORD, system_type=system_type)

    def __enter__(self) -> "Esme":
        return self

    def __exit__(self, *error: object) -> None:
        self.client.unbind()
        self.client.disconnect()

    def submit(self, to: str, text: str, source: str = "EXAMPLE", data_coding: int | None = None) -> list[str]:
        """Send a text, in as many parts as it takes; returns the message ids. Raises RuntimeError if refused."""
        before = len(self.accepted)
        parts, coding, esm_class = smpplib.gsm.make_parts(text)
        for part in parts:
            self.client.send_message(
                source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
                source_addr=source,
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=to,
                short_message=part,
                data_coding=coding if data_coding is None else data_coding,
                esm_class=esm_class,
                registered_delivery=1,
            )
        while len(self.accepted) < before + len(parts):
            self.client.read_once()
        return self.accepted[before:]

    def wait(self, ids: Iterable[str]) -> list[str]:
        """Read until every id has its receipt; returns them as they came."""
        ids = list(ids)
        while not all(id in self.receipts for id in ids):
            self.client.read_once()
        return [self.receipts[id] for id in ids]

    def _accepted(self, pdu: object) -> None:
        self.accepted.append(pdu.message_id.decode())

    def _received(self, pdu: object) -> int:
        text = (pdu.short_message or pdu.message_payload).decode()
        if found := RECEIPT.match(text):
            self.receipts[found[1]] = text
        return smpplib.consts.SMPP_ESME_ROK

    def _refused(self, pdu: object) -> None:
        reason = getattr(pdu, "additional_status_info_text", None) or b""
        raise RuntimeError(f"refused with 0x{pdu.status:08X} {reason!r}")


def show(to: str, text: str, **options: object) -> None:
    """Submit, wait, print both ends."""
    system_type = str(options.pop("system_type", ""))
    with Esme(system_type) as esme:
        print(">", text.encode("unicode_escape").decode())
        for receipt in esme.wait(esme.submit(to, text, **options)):
            print("<", receipt)
