"""The command line: arguments → calls.

Written for the person at three in the morning: every command takes `--config FILE`, `--help` shows examples, a mistake
is one clear sentence on standard error and never a traceback. Exit codes:

    0   it worked; `send`: delivered; `explain`: it would be accepted
    1   it did not work, and the sentence says why
    2   the command line itself is wrong
    78  the configuration is wrong (EX_CONFIG of sysexits(3), which `systemctl status` shows by its name): systemd does
        not start the gateway again until somebody has mended it
"""

from __future__ import annotations

from .main import app, main

__all__ = ["app", "main"]
