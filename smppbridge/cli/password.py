"""`smppbridge hash-password`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..smpp.admission import MAX_PASSWORD
from ..smpp.admission import hash_password as hashed
from .console import Trouble, complain, examples

EXAMPLES = examples("smppbridge hash-password", "openssl rand -hex 4 | tee /dev/tty | smppbridge hash-password --stdin")


def hash_password(
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")] = False,
) -> None:
    """Print the line for an account's password that can stand in a file anybody may read.

    Asks for the password twice, without showing it. An SMPP password has 8 characters at most.
    """
    if stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True)
    if not password:
        raise Trouble("the password is empty")
    if len(password) > MAX_PASSWORD:
        complain(
            f"the password has {len(password)} characters and SMPP 3.4 allows {MAX_PASSWORD}: "
            "clients that cut it cannot bind"
        )
    typer.echo(f'password_hash = "{hashed(password)}"')
