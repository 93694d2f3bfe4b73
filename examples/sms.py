"""An ordinary text message."""

from esme import show

show("79991234510", "Hello from an SMPP client")
