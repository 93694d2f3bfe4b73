"""The commands, and what becomes of what they raise."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .. import __version__
from ..config import ConfigError
from . import backup, capture, check, explain, messages, password, send, simulate
from .console import EX_CONFIG, ConfigOption, Trouble, complain, config_path, examples


class Commands(TyperGroup):
    """Turns what goes wrong into one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for mistake in error.mistakes:
                complain(str(mistake))
            raise typer.Exit(EX_CONFIG) from None
        except Trouble as trouble:
            complain(str(trouble))
            raise typer.Exit(trouble.code) from None


app = typer.Typer(
    cls=Commands,
    name="smppbridge",
    help="An SMPP server for legacy clients that hands every message to an HTTP messaging provider.",
    epilog=examples("smppbridge check-config", "smppbridge serve", "smppbridge send 'Hello' --to 79991234567"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"smppbridge {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command(epilog=examples("smppbridge serve", "smppbridge serve --config /etc/smppbridge/smppbridge.toml"))
def serve(config: ConfigOption = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    It stops gently: no new messages, what is under way ends, clients are unbound. SIGHUP reads accounts, routes,
    providers and limits again without dropping a bind; a configuration with a mistake changes nothing then.
    """
    # Only here: it loads the whole server, and the other commands are to answer at once.
    from ..app import serve as run

    raise typer.Exit(run(config_path(config)))


app.command("check-config", epilog=check.EXAMPLES)(check.check_config)
app.command("explain", epilog=explain.EXAMPLES)(explain.explain)
app.command("send", epilog=send.EXAMPLES)(send.send)
app.command("simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.add_typer(messages.app, name="messages")
app.command("backup", epilog=backup.EXAMPLES)(backup.backup)
app.command("restore", epilog=backup.RESTORE_EXAMPLES)(backup.restore)
app.command("capture", epilog=capture.EXAMPLES)(capture.capture)
app.command("hash-password", epilog=password.EXAMPLES)(password.hash_password)


def main() -> None:
    """What `smppbridge` on the command line runs."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output (`| head`) has seen enough.
        sys.stderr.close()
        sys.exit(0)
