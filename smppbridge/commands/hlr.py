"""Look-ups in the home location register."""

from __future__ import annotations

from ..model import Hlr
from .convention import Convention


class HlrText(Convention):
    """An HLR look-up: nothing is sent to the subscriber, the receipt tells what was found. Takes no text."""

    prefix = "__HLR__"
    example = "__HLR__"

    def parse(self, text: str, destination: str) -> Hlr:
        return Hlr(comment=self.open_bare(text))
