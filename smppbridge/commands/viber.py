"""Viber."""

from __future__ import annotations

from ..model import Viber
from .convention import Convention


class ViberText(Convention):
    """A Viber message. Macros for a button or a file stay in the text and go on untouched."""

    prefix = "__VIBER__"
    example = "__VIBER__: Your order is ready"

    def parse(self, text: str, destination: str) -> Viber:
        message, comment = self.open(text)
        return Viber(text=message, comment=comment)
