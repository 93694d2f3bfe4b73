from __future__ import annotations

import pytest

from smppbridge.commands import Malformed
from smppbridge.commands.bot import BotText
from smppbridge.model import Bot


def parse(text: str) -> Bot:
    return BotText().parse(text, "79991234567")


@pytest.mark.parametrize("bot", ["@my_bot", "@MyBot2", "wa:79990000000", "@" + "a" * 32])
def test_bots(bot):
    assert parse(f"__BOT__: Hi\nyou\nbot:{bot}") == Bot(text="Hi\nyou", bot=bot)


@pytest.mark.parametrize(
    "bot",
    [
        "",
        "@",
        "my_bot",
        "@my bot",
        "@my-bot",
        "@ботик",
        "wa:",
        "wa:+79990000000",
        "wa:1234",
        "WA:79990000000",
        "@a" * 20,
    ],
)
def test_names_that_no_bot_has_are_refused(bot):
    with pytest.raises(Malformed, match="write the bot as"):
        parse(f"__BOT__: Hi\nbot:{bot}")


@pytest.mark.parametrize("text", ["Hi", "Hi bot:@my_bot", "Hi\nBot:@my_bot", "Hi\nbot:@my_bot\nyou", "bot:@my_bot"])
def test_the_bot_must_be_named_in_the_last_line(text):
    with pytest.raises(Malformed, match="end the text with a line"):
        parse(f"__BOT__: {text}")


def test_the_bot_is_no_text():
    with pytest.raises(Malformed, match="there is no text"):
        parse("__BOT__: \nbot:@my_bot")
