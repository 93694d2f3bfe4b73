"""A message of every kind, for trying out templates before there is a message."""

from __future__ import annotations

from ...model import (
    KIND_OF,
    Binary,
    Bot,
    Call,
    Command,
    Hlr,
    Mail,
    Message,
    Notify,
    Ping,
    Sms,
    Social,
    TelegramCode,
    Viber,
)
from . import variables

_COMMANDS: tuple[Command, ...] = (
    Sms(text="Hello"),
    Sms(text='Привет & "всё" <b>\r\n\\u0000 {{ text }}', flash=True),
    Binary(data=b"\x06\x05\x04\x0b\x84\x23\xf0\xff", data_coding=4, has_udh=True),
    Mail(text="the text", subject="the subject", to="someone@example.com"),
    Call(text="the text", voice="w2"),
    Viber(text="the text"),
    Social(text="the text"),
    TelegramCode(code="123456"),
    Bot(text="the text", bot="@the_bot"),
    Hlr(),
    Ping(),
)


def _message(command: Command, source: str) -> Message:
    return Message(
        id=912125710753523712,
        account="demo",
        bind=1,
        sequence=1,
        kind=KIND_OF[type(command)],
        command=command,
        source=source,
        source_ton=5,
        source_npi=0,
        destination="+79991234567",
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=1,
        notify=Notify.SMPP,
        data_coding=0,
        pdu=b"",
        accepted_at=1_800_000_000_000,
        expires=1_800_000_000_000 + 86_400_000,
    )


SAMPLES = tuple(variables.of(_message(command, source)) for command in _COMMANDS for source in ("Example", ""))
