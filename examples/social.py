"""A message in a social network."""

from esme import show

show("79991234515", "__SOC__: Hello in the network")
