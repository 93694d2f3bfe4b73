"""Messages from a bot."""

from __future__ import annotations

import re

from ..model import Bot
from .convention import Convention, Malformed, cut_line

# Telegram's names are latin letters, digits and underscores, at most 32; a WhatsApp number is international.
_BOT = re.compile(r"@[0-9A-Za-z_]{1,32}|wa:[0-9]{5,15}")


class BotText(Convention):
    """A message from a Telegram bot, named in the last line. `bot:wa:NUMBER` names a WhatsApp number instead."""

    prefix = "__BOT__"
    example = "__BOT__: Your order is ready\nbot:@shop_bot"

    def parse(self, text: str, destination: str) -> Bot:
        body, comment = self.open(text)
        message, bot = cut_line(body, "bot")
        if bot is None:
            raise Malformed('end the text with a line "bot:@NAME" (or "bot:wa:NUMBER"), in lower case')
        if not _BOT.fullmatch(bot):
            raise Malformed('write the bot as "bot:@NAME" (latin letters, digits, "_") or "bot:wa:" and 5 to 15 digits')
        return Bot(text=self.filled(message), bot=bot, comment=comment)
