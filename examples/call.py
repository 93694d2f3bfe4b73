"""A voice call: voice, and after the tildes how long to wait, how often and how many times to try."""

from esme import show

show("79991234514", "__CALL__: Your code is 1 2 3 4\nvoice:w2\n~~~\nparam:25,60,3")
