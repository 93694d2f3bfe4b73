"""What stands in `[providers.NAME]` for this platform. The fields of the platform keep their names."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from lxml import etree
from pydantic import AfterValidator, Field, SecretStr, model_validator

from ...config import Seconds, Table
from ...model import Kind

Channel: TypeAlias = Literal["viber", "vk", "sms", "whatsapp"]

#: What a value of `template_data` says where the text of the message is to stand.
TEXT = "{text}"


def _once(order: tuple[Channel, ...]) -> tuple[Channel, ...]:
    if len(set(order)) < len(order):
        raise ValueError("each channel is tried once")
    return order


def _element_names(data: dict[str, str]) -> dict[str, str]:
    for name in data:
        try:
            etree.Element(name)
        except ValueError:
            raise ValueError(f"{name!r} cannot be the name of a parameter: it is an element of the XML door") from None
    return data


Order = Annotated[tuple[Channel, ...], AfterValidator(_once)]


class Channels(Table):
    """[providers.NAME.channels]: by which channels a message of each kind is tried, in this order: the next one where
    the one before has not delivered. A kind without channels is not carried."""

    sms: Order = ("sms",)
    viber: Order = ("viber",)
    soc: Order = ()

    def of(self, kind: Kind) -> tuple[Channel, ...]:
        order: tuple[Channel, ...] = getattr(self, kind.value, ())
        return order


class SmsgateSettings(Table):
    #: Where the platform is, such as https://lk.example.com/ (every operator of it has a host of its own).
    base_url: str = Field(pattern=r"^https?://[^/@\s]+/(.*/)?$")
    #: Which of its three doors to take: JSON and XML know our ids and take many messages a request, GET neither.
    door: Literal["json", "xml", "get"] = "json"
    #: Login and password, or …
    login: str = ""
    password: SecretStr = SecretStr("")
    #: … a token, where the platform gives one out; it keeps the password out of the addresses of the GET door.
    token: SecretStr = SecretStr("")
    #: See [providers.NAME.channels].
    channels: Channels = Channels()
    #: For messages without a source address.
    sender: str = ""
    #: The name that is registered for the channel, in place of the source address; empty: the source address.
    sender_viber: str = ""
    sender_sms: str = ""
    sender_whatsapp: str = ""
    #: The button of Viber messages: what stands on it and where it leads. Both or neither.
    button_text: str = Field(default="", max_length=19)
    button_url: str = ""
    #: The picture of Viber messages; it needs the button.
    image_url: str = ""
    #: The picture of WhatsApp messages.
    image_url_whatsapp: str = ""
    #: How long a channel tries before the next one has its turn, in whole minutes; 0: as the platform does, an hour.
    #: Never longer than the message is good for.
    validity_period_viber: Seconds = 0
    validity_period_whatsapp: Seconds = 0
    #: Viber has delivered only what was read, so that the next channel follows upon what was not; none: as the platform
    #: does.
    finale_viber_read: bool | None = None
    #: The template of VK messages and its parameters; {text} in a value is the text of the message.
    template_id: str = ""
    template_data: Annotated[dict[str, str], AfterValidator(_element_names)] = Field(default={})
    #: How the mailing is called in the platform's reports; empty: as the platform does. The GET door has no such field.
    name_delivery: str = ""

    @model_validator(mode="after")
    def _known_to_the_platform(self) -> SmsgateSettings:
        if not (self.token.get_secret_value() or (self.login and self.password.get_secret_value())):
            raise ValueError("expected login and password, or token")
        return self

    @model_validator(mode="after")
    def _whole_buttons(self) -> SmsgateSettings:
        if bool(self.button_text) != bool(self.button_url):
            raise ValueError("a button needs both button_text and button_url")
        if self.image_url and not self.button_text:
            raise ValueError("image_url needs a button (button_text and button_url)")
        return self

    @model_validator(mode="after")
    def _template_for_vk(self) -> SmsgateSettings:
        used = {channel for kind in Kind for channel in self.channels.of(kind)}
        if not used:
            raise ValueError("channels: expected one for at least one kind of message")
        if "vk" in used and not self.template_id:
            raise ValueError("the channel vk needs template_id: VK takes messages that follow a template only")
        return self
