"""An e-mail; the address stands in a `to:` line, because destination_addr holds 20 characters."""

from esme import show

show("79991234513", "__MAIL__: Good morning\nsubj:Greetings\nto:somebody@example.com")
