"""What the platform brings to us: text messages from subscribers, and their replies in Viber.

Neither is signed. The token in the address of the callback, and `callback_networks`, are all that proves anything.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ...model import Incoming
from .. import reading
from ..base import BadCallback, Callback, Reply

_GMT = ZoneInfo("UTC")


class _Recipient(msgspec.Struct):
    phone: int | str


class _Response(msgspec.Struct):
    recipient: _Recipient
    #: Our sender name.
    to: str = msgspec.field(default="", name="from")
    content: dict[str, Any] = {}


class _ViberReply(msgspec.Struct):
    #: Of our message.
    message_id: int | str
    recipient_response: _Response
    timestamp: str = ""


def read(provider: str, callback: Callback) -> Reply:
    """A callback of either sort. Raises BadCallback."""
    query = {name: value.decode("utf-8", "replace") for name, value in reading.pairs(callback.query).items()}
    return _text_message(provider, query) if "smsid" in query else _viber_reply(provider, callback.body)


def _text_message(provider: str, query: dict[str, str]) -> Reply:
    """smsgate httpGateDoc, incoming SMS: GET with date, prefix, text, smsid, sender and receiver. The answer names the
    message; without it the platform comes again. The clock of `date` is not told, so it is not read."""
    id = query["smsid"]
    if not re.fullmatch(r"[\w.-]{1,64}", id, re.ASCII):
        raise BadCallback("an smsid that is none")
    if not query.get("sender"):
        raise BadCallback("an incoming message without sender")
    incoming = Incoming(
        provider=provider,
        ref=id,
        source=query["sender"].removeprefix("+"),
        destination=query.get("receiver", "").removeprefix("+"),
        text=query.get("text", ""),
        prefix=query.get("prefix", ""),
    )
    return Reply(incoming=[incoming], body=f"smsid={id}".encode())


def _viber_reply(provider: str, body: bytes) -> Reply:
    """smsgate Notifications: POST with JSON. It has no id of its own, so the same words at the same time are the same
    reply. What is no text (a picture) is passed on as it was told. Which answer is expected is not documented."""
    try:
        told = msgspec.json.decode(body, type=_ViberReply)
    except reading.UNREADABLE as error:
        raise BadCallback("neither a message nor a reply in Viber") from error
    response = told.recipient_response
    text = response.content.get("text")
    content = text if isinstance(text, str) else msgspec.json.encode(response.content).decode()
    who = str(response.recipient.phone).removeprefix("+")
    told_apart = "\0".join([str(told.message_id), told.timestamp, who, content])
    incoming = Incoming(
        provider=provider,
        ref=hashlib.blake2b(told_apart.encode(), digest_size=16).hexdigest(),
        source=who,
        destination=response.to,
        text=content,
        at=reading.at(told.timestamp, _GMT),
        reply_to=str(told.message_id),
    )
    return Reply(incoming=[incoming], body=b"OK")
