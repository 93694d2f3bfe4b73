"""What every command shares: where it prints, how it fails, how it finds the configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..config import Checked, Config, ConfigError, check
from ..providers.registry import adapter_class

#: EX_CONFIG of sysexits(3); systemd/smppbridge.service knows it.
EX_CONFIG = 78

#: Where the configuration is looked for, after --config and $SMPPBRIDGE_CONFIG.
PLACES = (Path("conf/smppbridge.toml"), Path("/etc/smppbridge/smppbridge.toml"))

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="SMPPBRIDGE_CONFIG",
        metavar="FILE",
        help=f"The configuration; without it {PLACES[0]}, else {PLACES[1]}.",
    ),
]


_WIDE = 1000


class Trouble(Exception):
    """A command cannot do what it was asked for. The text is the sentence for the person who asked."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code


def out() -> Console:
    """Standard output, as it is now; a file or a pipe has room for whole tables."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(Text(sentence, style="red"))


def config_path(given: Path | None) -> Path:
    """The file that was named, or the first one that is there. Raises Trouble."""
    if given is not None:
        return given
    for place in PLACES:
        if place.is_file():
            return place
    raise Trouble(
        f"there is no configuration: neither {PLACES[0]} in {os.getcwd()} nor {PLACES[1]}; name one with --config FILE",
        EX_CONFIG,
    )


def settings(given: Path | None, *, sealed: bool = False) -> Config:
    """The configuration, adapters' keys and all. Raises Trouble and ConfigError."""
    checked: Checked = check(config_path(given), adapter_class, sealed=sealed)
    if checked.config is None:
        raise ConfigError(checked.mistakes)
    return checked.config


def examples(*lines: str) -> str:
    """What stands below a command's help."""
    return "\n".join(("Examples:", *(f"  {line}" for line in lines)))
