"""An ordinary text message."""

from esme import show

show("79991230010", "Hello from an SMPP client")
