"""A message → the fields of the platform, which have the same names at each of its doors (smsgate CascadingDoc)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias, get_args

import msgspec

from ...model import Message, digits, text_of
from .settings import TEXT, Channel, SmsgateSettings

#: In the order in which the fields stand in a request; `send_…` says in which they are tried.
CHANNELS: tuple[Channel, ...] = get_args(Channel)

#: Characters that a text for these channels may have, and digits that a number may have.
LONGEST_TEXT: Mapping[Channel, int] = {"viber": 1000, "whatsapp": 1000}
LONGEST_NUMBER = 14

#: What holds where no validity is given.
_AN_HOUR = 60

Value: TypeAlias = str | dict[str, str]


class Group(NamedTuple):
    """Messages that differ in nothing but their recipients: one `message` of a request."""

    fields: dict[str, Value]
    messages: list[Message]


def grouped(messages: Sequence[Message], settings: SmsgateSettings) -> list[Group]:
    groups: dict[bytes, Group] = {}
    for message in messages:
        told = fields(message, settings)
        groups.setdefault(msgspec.json.encode(told), Group(told, [])).messages.append(message)
    return list(groups.values())


def fields(message: Message, settings: SmsgateSettings) -> dict[str, Value]:
    """Everything but the recipient; what is empty is left out. Raises ValueError for a kind without channels, which
    the engine does not give to this provider."""
    order = settings.channels.of(message.kind)
    if not order:
        raise ValueError(f"{message.kind.value} has no channels")
    told: dict[str, Value] = {
        f"send_{channel}": str(order.index(channel) + 1) for channel in CHANNELS if channel in order
    }
    told["name_delivery"] = settings.name_delivery
    text = text_of(message.command)
    if "viber" in order:
        told |= _viber(message, text, settings)
    if "sms" in order:
        told |= {"sender_sms": settings.sender_sms or _sender(message, settings), "text_sms": text}
    if "vk" in order:
        data = {name: value.replace(TEXT, text) for name, value in settings.template_data.items()}
        told |= {"templateId": settings.template_id, "templateData": data}
    if "whatsapp" in order:
        told |= _whatsapp(message, text, settings)
    return {name: value for name, value in told.items() if value}


def _viber(message: Message, text: str, settings: SmsgateSettings) -> dict[str, Value]:
    read = settings.finale_viber_read
    return {
        "sender_viber": settings.sender_viber or _sender(message, settings),
        "text_viber": text,
        "button_text": settings.button_text,
        "button_url": settings.button_url,
        "image_url": settings.image_url,
        "validity_period_viber": _minutes(message, settings.validity_period_viber),
        "finale_viber_read": "" if read is None else str(int(read)),
    }


def _whatsapp(message: Message, text: str, settings: SmsgateSettings) -> dict[str, Value]:
    return {
        "sender_whatsapp": settings.sender_whatsapp or _sender(message, settings),
        "text_whatsapp": text,
        "image_url_whatsapp": settings.image_url_whatsapp,
        "validity_period_whatsapp": _minutes(message, settings.validity_period_whatsapp),
    }


def _sender(message: Message, settings: SmsgateSettings) -> str:
    return message.source or settings.sender


def _minutes(message: Message, most: float) -> str:
    """How long a channel may try, from the moment the message was due. Empty: as long as it does anyway."""
    left = message.lifetime // 60_000
    wanted = int(most // 60) if most else _AN_HOUR
    return str(max(min(wanted, left), 1)) if most or left < _AN_HOUR else ""


def phone(message: Message) -> str:
    """The recipient in international form, without a plus. Nothing that separates recipients may stay in it."""
    return digits(message.destination)
