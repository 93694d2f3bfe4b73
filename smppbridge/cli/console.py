"""What every command shares: where it prints, how it fails, how it finds the configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from ..config import Checked, Config, ConfigError, StoreConfig, check, peek
from ..providers.registry import adapter_class
from ..visible import as_json, visible

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


class _Visible(Console):
    """Shows what others wrote and does nothing of what it says: no markup of rich's in it, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, keep="\n"), segment.style)


def out() -> Console:
    """Standard output, as it is now; a file or a pipe has room for whole tables."""
    return _Visible(file=sys.stdout, width=None if sys.stdout.isatty() else _WIDE)


def complain(sentence: str) -> None:
    """One sentence on standard error."""
    _Visible(file=sys.stderr, soft_wrap=True).print(Text(sentence, style="red"))


def tell(sentence: str) -> None:
    """How far something long has come, on standard error, where a person looks on."""
    if sys.stderr.isatty():
        _Visible(file=sys.stderr, soft_wrap=True).print(Text(sentence, style="dim"))


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


def store_path(given: Path | None) -> Path:
    """Where the gateway keeps its messages, mistakes elsewhere in the configuration or not. Raises Trouble."""
    path = config_path(given)
    store = peek(path, "store", StoreConfig)
    if store.engine != "sqlite":
        raise Trouble(f'{path} says [store] engine = "{store.engine}": only the gateway itself knows its messages')
    return store.path


def existing_store(given: Path | None) -> Path:
    """The same, where there is something already. Raises Trouble."""
    store = store_path(given)
    if not store.exists():
        hint = "" if store.is_absolute() else f", which is {store.absolute()} from here"
        raise Trouble(f"there is no store at {store}{hint}; the gateway makes it when it first starts")
    return store


def print_json(value: object) -> None:
    """One object, one line."""
    sys.stdout.write(as_json(value).decode() + "\n")


def examples(*lines: str) -> str:
    """What stands below a command's help."""
    return "\n".join(("Examples:", *(f"  {line}" for line in lines)))
