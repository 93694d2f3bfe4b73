"""A comment after a line with three tildes is kept with the message and never sent."""

from esme import show

show("79991234511", "Your parcel has arrived\n~~~\norder 4711")
