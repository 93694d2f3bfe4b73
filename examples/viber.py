"""A Viber message."""

from esme import show

show("79991234512", "__VIBER__: Hello on Viber")
