"""A long text goes in parts and arrives as one; every part has an id and a receipt."""

from esme import show

show("79991234520", "A sentence that says a little, " * 12)
