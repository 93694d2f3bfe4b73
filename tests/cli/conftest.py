"""Running commands, a configuration, and a gateway to talk to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pdu import (
    BindTransceiver,
    BindTransceiverResp,
    CommandStatus,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    EsmClass,
    Framer,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    UnbindResp,
    decode,
    encode,
    tlv,
)
from smppbridge.cli import app

Run = Callable[..., Any]

CONFIG = """
[smpp]
[[smpp.listeners]]
listen = "127.0.0.1:{port}"

[store]
path = "{folder}/store.db"

[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[providers.sandbox]
adapter = "sandbox"

[providers.paid]
adapter = "smsc"
login = "me"
password = "S3 CRET/&"
callback_token = "S3CRET-token-of-callbacks"

[[routes]]
kinds = ["viber", "hlr"]
providers = ["paid", "sandbox"]

[[routes]]
destination = ["7"]
providers = ["sandbox"]
"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("check-config", …)`, as if it were typed in a narrow terminal of its own."""
    monkeypatch.delenv("SMPPBRIDGE_CONFIG", raising=False)
    monkeypatch.setenv("TERMINAL_WIDTH", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    runner = CliRunner()

    def invoke(*arguments: object, **kwargs: Any) -> Any:
        result = runner.invoke(app, [str(argument) for argument in arguments], **kwargs)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration without mistakes."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(port=2775, folder=tmp_path), encoding="utf-8")
    path.chmod(0o600)
    return path


class Gateway:
    """The other end of one connection, on the test's own terms."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self.bind_status = CommandStatus.ESME_ROK
        self.received: list[Pdu] = []
        #: What a SUBMIT_SM is answered with; by default accepted and delivered.
        self.answers: Callable[[SubmitSm, str], list[Pdu]] = accept_and("DELIVRD")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        # Closing alone does not wake a thread that waits in accept.
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._thread.join(5)

    def submitted(self) -> list[SubmitSm]:
        return [pdu for pdu in self.received if isinstance(pdu, SubmitSm)]

    def _serve(self) -> None:
        # The test may end before the client has come, or the client before it has read everything.
        with contextlib.suppress(OSError):
            connection, _ = self.listening.accept()
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        framer = Framer(65536)
        while data := connection.recv(65536):
            framer.feed(data)
            while (frame := framer.next()) is not None:
                pdu = decode(frame)
                self.received.append(pdu)
                for answer in self._answer(pdu):
                    connection.sendall(encode(answer))

    def _answer(self, pdu: Pdu) -> list[Pdu]:
        same = {"sequence_number": pdu.sequence_number}
        match pdu:
            case BindTransceiver():
                return [BindTransceiverResp(system_id="test", command_status=self.bind_status, **same)]
            case SubmitSm():
                return self.answers(pdu, str(1000 + len(self.submitted())))
            case EnquireLink():
                return [EnquireLinkResp(**same)]
            case Unbind():
                return [UnbindResp(**same)]
        return []


def accept_and(stat: str) -> Callable[[SubmitSm, str], list[Pdu]]:
    def answer(pdu: SubmitSm, id: str) -> list[Pdu]:
        return [SubmitSmResp(sequence_number=pdu.sequence_number, message_id=id), receipt(id, stat)]

    return answer


def receipt(id: str, stat: str, **fields: Any) -> DeliverSm:
    text = (
        f"id:{id} sub:001 dlvrd:001 submit date:2601011200 done date:2601011201 stat:{stat} err:000 text:stat:UNDELIV"
    )
    fields = {"esm_class": EsmClass.RECEIPT, "short_message": text.encode(), **fields}
    return DeliverSm(sequence_number=1, source_addr="79991234567", destination_addr="Example", **fields)


def refuse(status: CommandStatus, reason: str) -> Callable[[SubmitSm, str], list[Pdu]]:
    def answer(pdu: SubmitSm, id: str) -> list[Pdu]:
        why = [tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT, reason)]
        return [SubmitSmResp(sequence_number=pdu.sequence_number, command_status=status, tlvs=why)]

    return answer


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    yield made
    made.close()


@pytest.fixture
def answering() -> dict[str, Any]:
    """What a gateway may answer: tests cannot import from here."""
    return {"accept_and": accept_and, "refuse": refuse, "receipt": receipt}
