"""Is the number reachable? Nothing is shown on the phone."""

from esme import show

show("79991234519", "__PING__")
