"""`python -m smppbridge` is `smppbridge`."""

from .cli import main

main()
