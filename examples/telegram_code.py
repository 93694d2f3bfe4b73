"""A confirmation code in Telegram: 4 to 8 digits."""

from esme import show

show("79991230016", "__TGM__: 123456")
