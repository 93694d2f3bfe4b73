"""A look-up of a number: its network comes back in the receipt."""

from esme import show

show("79991234518", "__HLR__")
