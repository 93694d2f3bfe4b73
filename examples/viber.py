"""A Viber message."""

from esme import show

show("79991230012", "__VIBER__: Hello on Viber")
