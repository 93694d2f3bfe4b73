"""`smppbridge simulate`: all providers on this machine, for a rehearsal without any account (docs/rehearsal.md)."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.text import Text

from ..config import LogConfig, address, duration
from ..logs import set_up
from ..simulator.mischief import Fault, Misbehaviour
from .console import Trouble, examples, out

if TYPE_CHECKING:
    from ..simulator.server import Simulator

EXAMPLES = examples(
    "smppbridge simulate",
    "smppbridge simulate --delay 5s --misbehave omnicell=timeout:1",
    "smppbridge simulate --listen 127.0.0.1:9000 --callback http://127.0.0.1:8081",
)

V = TypeVar("V")

_FAULTS = ", ".join(fault.value for fault in Fault)


def simulate(
    listen: Annotated[str, typer.Option(help="Where to play the providers.")] = "127.0.0.1:8099",
    callback: Annotated[
        str, typer.Option(help="The gateway's HTTP listener, where statuses and messages go; '' pushes nothing.")
    ] = "http://127.0.0.1:8080",
    delay: Annotated[str, typer.Option(help="From the acceptance of a message to its delivery.")] = "1s",
    misbehave: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FAULT[:TIMES]", help=f"From the start; faults are {_FAULTS}."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing at the start.")] = False,
) -> None:
    """Play every provider on this machine, strictly by its documents, until Ctrl-C.

    `smppbridge serve --config conf/rehearsal.toml` beside it sends everything here. What was sent stands on the page
    that the start names, where one can also write as a subscriber and have a provider misbehave.
    """
    # Only here, as with `serve`: it loads a whole server.
    from ..simulator.server import Simulator
    from ..simulator.vendor import Settings

    _hold("--listen", listen, address)
    if callback and not callback.startswith(("http://", "https://")):
        raise Trouble(f"--callback {callback}: expected an address that begins with http:// or https://", 2)
    seconds = _hold("--delay", delay, duration)
    simulator = Simulator(Settings(callback=callback, delay=seconds))
    for order in misbehave or ():
        _misbehave(simulator, order)
    asyncio.run(_run(simulator, listen, quiet))


def _hold(option: str, value: str, read: Callable[[str], V]) -> V:
    """What an option says. Raises Trouble."""
    try:
        return read(value)
    except ValueError as error:
        said = str(error)
        raise Trouble(f"{option} {value}: {said if said.startswith('expected') else f'expected {said}'}", 2) from None


def _misbehave(simulator: Simulator, order: str) -> None:
    name, _, fault = order.partition("=")
    if name not in simulator.vendors:
        raise Trouble(f"--misbehave {order}: there is no {name}; there are: {', '.join(simulator.vendors)}", 2)
    try:
        simulator.vendors[name].mischief.set(Misbehaviour.read(fault))
    except ValueError:
        raise Trouble(
            f"--misbehave {order}: expected NAME=FAULT or NAME=FAULT:TIMES; faults are {_FAULTS}", 2
        ) from None


async def _run(simulator: Simulator, listen: str, quiet: bool) -> None:
    from ..smpp.listening import ListenFailed
    from ..web.listener import Listener

    try:
        listener = await Listener.start(simulator, listen)
    except ListenFailed as failed:
        raise Trouble(str(failed)) from None
    set_up(LogConfig(level="warning"))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if not quiet:
        _welcome(simulator, listener.address)
    await stop.wait()
    await simulator.close()
    await listener.stop()


def _welcome(simulator: Simulator, where: str) -> None:
    """What is there, and what to do next."""
    from ..simulator.vendor import LOGIN, PASSWORD

    console = out()
    console.print(f"[bold]The providers are on http://{where}[/bold]; login {LOGIN}, password {PASSWORD}", markup=True)
    for vendor in simulator.vendors.values():
        console.print(Text(f"  {vendor.title}"))
        for door in vendor.doors:
            console.print(Text(f"      {door}", style="dim"))
    if to := simulator.settings.callback:
        console.print(Text(f"Statuses and messages of subscribers go to {to}/callback/…"))
    console.print("[bold]Next[/bold], in other terminals:", markup=True)
    for line in (
        "smppbridge serve --config conf/rehearsal.toml",
        "smppbridge send 'Hello' --from omnicell --to 380631111111 --config conf/rehearsal.toml",
        f"open http://{where}/",
    ):
        console.print(Text(f"  {line}"))
    console.print("docs/rehearsal.md has the rest. Ctrl-C ends it.")
