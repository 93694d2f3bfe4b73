"""What the text of a SUBMIT_SM says it is: the text conventions of smsc.ru's SMPP gateway (docs/text-conventions.md).

`read` takes the octets of a message, `read_text` a text. Both answer with one of the commands of `model` or raise
`Malformed`, whose status and reason go out in the SUBMIT_SM_RESP. docs/adding-a-convention.md says how to add one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..model import Command
from .bot import BotText
from .call import CallText
from .convention import Convention, Malformed
from .dialect import DialectReader
from .hlr import HlrText
from .mail import MailText
from .ping import PingText
from .reader import Reader
from .sms import SmsText
from .social import SocialText
from .telegram import TelegramText
from .viber import ViberText

if TYPE_CHECKING:
    from ..config import Dialect

__all__ = ["CONVENTIONS", "Convention", "Malformed", "Reader", "read", "read_text", "reader_for"]

#: In order of precedence: the first one whose prefix begins the text. `SmsText` takes what is left.
CONVENTIONS: tuple[Convention, ...] = (
    MailText(),
    CallText(),
    ViberText(),
    SocialText(),
    TelegramText(),
    BotText(),
    HlrText(),
    PingText(),
    SmsText(),
)

_READER = Reader(CONVENTIONS)

read = _READER.read
read_text = _READER.read_text


def reader_for(dialect: Dialect) -> Callable[..., Command]:
    """`read` for a client that speaks so; `read` itself where it means by every data_coding what SMPP does."""
    return DialectReader(_READER, dialect.data_codings).read if dialect.data_codings else read
