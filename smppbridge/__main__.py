"""`smppbridge`, and `python -m smppbridge`."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        # Here and not above: it takes most of a second, in which somebody may press Ctrl-C.
        from .cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
