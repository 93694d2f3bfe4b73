"""A confirmation code in Telegram: 4 to 8 digits."""

from esme import show

show("79991234516", "__TGM__: 123456")
