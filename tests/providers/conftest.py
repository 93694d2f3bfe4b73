"""Messages to translate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from smppbridge.model import (
    KIND_OF,
    Binary,
    Bot,
    Call,
    Command,
    Hlr,
    Kind,
    Mail,
    Message,
    Notify,
    Ping,
    Sms,
    Social,
    TelegramCode,
    Viber,
)

Make = Callable[..., Message]

#: One command of each kind.
COMMANDS: dict[Kind, Command] = {
    KIND_OF[type(command)]: command
    for command in (
        Sms(text="Привет, world"),
        Binary(data=b"\x01\xff", data_coding=4),
        Mail(text="the text", subject="the subject", to="someone@example.com"),
        Call(text="the text", voice="w2", wait=30),
        Viber(text="the text"),
        Social(text="the text"),
        TelegramCode(code="123456"),
        Bot(text="the text", bot="@the_bot"),
        Hlr(),
        Ping(),
    )
}


def make(id: int = 1, command: Command | None = None, **fields: Any) -> Message:
    """An accepted message; ordinary in everything that is not said."""
    command = command or COMMANDS[Kind.SMS]
    defaults: dict[str, Any] = {
        "account": "demo",
        "bind": 1,
        "sequence": id,
        "kind": KIND_OF[type(command)],
        "source": "SENDER",
        "source_ton": 5,
        "source_npi": 1,
        "destination": f"79{id:05}5555",
        "destination_ton": 1,
        "destination_npi": 1,
        "priority": 0,
        "registered_delivery": 1,
        "notify": Notify.SMPP,
        "data_coding": 0,
        "pdu": b"",
        "accepted_at": 1_800_000_000_000,
        "expires": 1_800_000_000_000 + 86_400_000,
        "duplicate_window": 60_000,
    }
    return Message(id=id, command=command, **{**defaults, **fields})


@pytest.fixture(scope="session")
def message() -> Make:
    return make


@pytest.fixture(scope="session")
def commands() -> dict[Kind, Command]:
    return COMMANDS
