"""A message in a social network."""

from esme import show

show("79991230015", "__SOC__: Hello in the network")
