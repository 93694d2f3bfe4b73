"""What the text of a SUBMIT_SM says it is: the text conventions of smsc.ru's SMPP gateway (docs/text-conventions.md).

`read` takes the octets of a message, `read_text` a text. Both answer with one of the commands of `model` or raise
`Malformed`, whose status and reason go out in the SUBMIT_SM_RESP. docs/adding-a-convention.md says how to add one.
"""

from .bot import BotText
from .call import CallText
from .convention import Convention, Malformed
from .hlr import HlrText
from .mail import MailText
from .ping import PingText
from .reader import Reader
from .sms import SmsText
from .social import SocialText
from .telegram import TelegramText
from .viber import ViberText

__all__ = ["CONVENTIONS", "Convention", "Malformed", "Reader", "read", "read_text"]

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
