"""Text without a prefix."""

from __future__ import annotations

from pdu import CommandStatus

from ..model import Sms
from . import comment
from .convention import Convention, Malformed


class SmsText(Convention):
    """A text message. Everything that begins with none of the other prefixes is one, unknown `__NAME__`s included."""

    prefix = ""
    example = "Your parcel has come\n~~~\norder 4711"

    def parse(self, text: str, destination: str) -> Sms:
        message, said = comment.split(text)
        if not message:
            raise no_text()
        return Sms(text=message, comment=said)


def no_text() -> Malformed:
    return Malformed(
        "the message has no text; put it into short_message or message_payload", CommandStatus.ESME_RINVMSGLEN
    )
