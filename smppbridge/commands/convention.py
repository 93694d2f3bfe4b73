"""What a convention is, how it refuses, and the cuts that they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pdu import CommandStatus

from ..model import Command
from . import comment

#: What may stand around a value without being part of it. ASCII only: a no-break space is the sender's business.
BLANK = " \t\r\n"


class Malformed(Exception):
    """The message cannot be meant as it stands: nothing is kept and nothing will be sent.

    `reason` goes out in additional_status_info_text (SMPP 3.4 §5.3.2.11, at most 255 octets), so it is ASCII, says what
    to do, and repeats nothing of the text.
    """

    def __init__(self, reason: str, status: CommandStatus = CommandStatus.ESME_RSUBMITFAIL) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Convention(ABC):
    """One way in which a text says what it is.

    The first paragraph of a convention's docstring, its prefix and its example are its row in
    `docs/text-conventions.md`; a test keeps the two equal.
    """

    #: `__NAME__`, the first characters of the text. Only `SmsText`, the last one asked, has none.
    prefix: ClassVar[str]
    #: A whole text, as a client sends it to a telephone number.
    example: ClassVar[str]

    @abstractmethod
    def parse(self, text: str, destination: str) -> Command:
        """What a text that begins with `prefix` asks for. `text` is all of it. Raises Malformed and nothing else."""

    def open(self, text: str) -> tuple[str, str]:
        """Cut `PREFIX: message\\n~~~\\ncomment` into message and comment. The space may be missing, the message not."""
        message, said = comment.split(text)
        rest = message[len(self.prefix) :]
        if not rest.startswith(":"):
            raise Malformed(f'write a colon, a space and the text after "{self.prefix}"')
        return self.filled(rest[1:].removeprefix(" ")), said

    def open_bare(self, text: str) -> str:
        """The comment of a text that is the prefix and nothing else, but for blanks and line ends after it."""
        message, said = comment.split(text)
        if message[len(self.prefix) :].strip(BLANK):
            raise Malformed(f'send "{self.prefix}" alone: it takes no colon and no text')
        return said

    def filled(self, message: str) -> str:
        """The message, if there is more to it than blanks."""
        if not message.strip():
            raise Malformed(f'there is no text after "{self.prefix}: "; add the text that is to be sent')
        return message


def cut_line(text: str, name: str) -> tuple[str, str | None]:
    """Cut a last line `name:value` off a text; None where the last line is another one.

    Names are lower case and begin the line. Empty lines after it and blanks around the value do not count.
    """
    head, newline, line = text.rstrip(BLANK).rpartition("\n")
    if not newline or not line.startswith(f"{name}:"):
        return text, None
    return head.removesuffix("\r"), line[len(name) + 1 :].strip(BLANK)
