"""A message from a Telegram bot."""

from esme import show

show("79991234517", "__BOT__: Hello from a bot\nbot:@example_bot")
