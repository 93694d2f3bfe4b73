"""Confirmation codes in Telegram."""

from __future__ import annotations

import re

from ..model import TelegramCode
from .convention import BLANK, Convention, Malformed

_CODE = re.compile(r"[0-9]{4,8}")


class TelegramText(Convention):
    """A confirmation code in Telegram: 4 to 8 digits and nothing else."""

    prefix = "__TGM__"
    example = "__TGM__: 482913"

    def parse(self, text: str, destination: str) -> TelegramCode:
        code, comment = self.open(text)
        code = code.strip(BLANK)
        if not _CODE.fullmatch(code):
            raise Malformed('write 4 to 8 digits after "__TGM__: " and nothing else')
        return TelegramCode(code=code, comment=comment)
