"""What templates see of a message: plain texts, the same names for every kind, empty where a kind has none.

`VARIABLES` is the list that the documentation shows; a test holds both equal.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from pdu import gsm0338

from ...model import Binary, Bot, Call, Mail, Message, Notify, Sms, text_of

#: Name → what it is.
VARIABLES: Mapping[str, str] = {
    "id": "our id of the message, a number below 2^63: the idempotency key",
    "kind": "sms, viber, …",
    "text": "what is sent; of telegram the code; of binary, hlr and ping empty",
    "source": "source address as the client gave it",
    "destination": "destination address as the client gave it",
    "account": "the account that sent it",
    "validity": "seconds it is still good for, 1 or more",
    "accepted": "when it was accepted, in seconds since 1970",
    "expires": "when its validity ends, in seconds since 1970",
    "priority": "0 to 4",
    "report": "1 if somebody wants to hear of the outcome, else empty",
    "flash": "1 for a message that is shown at once, else empty",
    "unicode": "1 if the text does not fit into GSM 03.38, else empty",
    "data": "of binary: the octets in hexadecimal, user data header first",
    "data_base64": "the same in Base64",
    "data_coding": "of binary: its data_coding",
    "udh": "of binary: 1 if a user data header stands first in it, else empty",
    "subject": "of mail",
    "to": "of mail: the address",
    "voice": "of call",
    "bot": "of bot: `@name` or `wa:number`",
}

#: Those that may hold anything.
FOREIGN = frozenset({"text", "source", "destination", "account", "subject", "to", "voice", "bot"})


def of(message: Message) -> dict[str, str]:
    """The variables of a message."""
    command = message.command
    text = text_of(command)
    values = dict.fromkeys(VARIABLES, "")
    values |= {
        "id": str(message.number),
        "kind": message.kind.value,
        "text": text,
        "source": message.source,
        "destination": message.destination,
        "account": message.account,
        "validity": str(max(message.lifetime // 1000, 1)),
        "accepted": str(message.accepted_at // 1000),
        "expires": str(message.expires // 1000),
        "priority": str(message.priority),
        "report": "1" if message.notify is not Notify.NOBODY else "",
        "unicode": "" if gsm0338.fits(text) else "1",
    }
    match command:
        case Sms(flash=True):
            values["flash"] = "1"
        case Binary(data=data, data_coding=coding, has_udh=udh):
            values |= {
                "data": data.hex(),
                "data_base64": base64.b64encode(data).decode(),
                "data_coding": str(coding),
                "udh": "1" if udh else "",
            }
        case Mail(subject=subject, to=to):
            values |= {"subject": subject, "to": to}
        case Call(voice=voice):
            values["voice"] = voice
        case Bot(bot=bot):
            values["bot"] = bot
    # A lone surrogate, which no encoding can write, becomes a question mark.
    return {name: value.encode("utf-8", "replace").decode() for name, value in values.items()}
