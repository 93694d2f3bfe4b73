"""What is said over the control socket: JSON, one object a line, each with its `type`.

A caller says one `Order` and hears `Welcome` or `Sorry`. What follows is the command's: of `capture` a `Seen` for each
PDU, a `Lost` whenever there was no room for some, and at last `Over`. A caller that has enough ends its half of the
connection and still hears the end; one that just goes is forgotten. A command that is new to the gateway is refused by
name, and so is another version, which changes when an old caller could misread a new gateway.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from ..config import ControlConfig, StoreConfig
from ..smpp.tap import Seen

VERSION = 1

#: Octets of an order, its line end included.
LONGEST_ORDER = 4096


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag="order"):
    """What a caller wants. A field that nobody knows is refused: it may have asked for less."""

    version: int = VERSION
    command: str
    #: `capture`: of this account, from this address or network; empty: whatever it is.
    account: str = ""
    peer: str = ""


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """The command runs."""

    #: Of the gateway, as `smppbridge --version` tells it.
    gateway: str


class Sorry(msgspec.Struct, frozen=True, kw_only=True, tag="sorry"):
    """It does not; a sentence for the person who called."""

    reason: str


class Lost(msgspec.Struct, frozen=True, kw_only=True, tag="lost"):
    """The caller reads too slowly: so many PDUs, since the beginning, are not here."""

    pdus: int


class Over(msgspec.Struct, frozen=True, kw_only=True, tag="over"):
    """Nothing follows. `reason` is empty where the caller had enough."""

    reason: str = ""
    lost: int = 0


Reply: TypeAlias = Welcome | Sorry | Seen | Lost | Over

write = msgspec.json.Encoder().encode
read_order = msgspec.json.Decoder(Order).decode
read_reply = msgspec.json.Decoder(Reply).decode


def place(control: ControlConfig, store: StoreConfig) -> Path | None:
    """Where the socket of a gateway with these settings is; None: it has none."""
    if control.socket == "off":
        return None
    if control.socket != "auto":
        return Path(control.socket)
    return None if store.engine == "memory" else store.path.with_suffix(".sock")
