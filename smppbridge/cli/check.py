"""`smppbridge check-config`."""

from __future__ import annotations

import typer
from rich.table import Table
from rich.text import Text

from ..config import MASK, Config, Listener, Route, check
from ..model import Kind
from ..providers.registry import adapter_class
from .console import EX_CONFIG, ConfigOption, complain, config_path, examples, out

EXAMPLES = examples(
    "smppbridge check-config -c /etc/smppbridge/smppbridge.toml",
    "CREDENTIALS_DIRECTORY=/etc/smppbridge/credentials smppbridge check-config",
)


def check_config(config: ConfigOption = None) -> None:
    """Find every mistake in the configuration; nothing is started and nothing is sent.

    Mistakes (exit code 78) keep the gateway from starting, warnings do not.
    """
    path = config_path(config)
    checked = check(path, adapter_class)
    for mistake in checked.mistakes:
        complain(str(mistake))
    for warning in checked.warnings:
        out().print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)
    if checked.config is None:
        complain(f"{len(checked.mistakes)} mistake{'s' if len(checked.mistakes) > 1 else ''} in {path}")
        raise typer.Exit(EX_CONFIG)
    _summary(checked.config)
    out().print(Text(f"ok: {path}", style="green"), soft_wrap=True)


def _summary(config: Config) -> None:
    console = out()
    listeners = _table("Listeners", "what", "where", "how")
    for listener in config.smpp.listeners:
        listeners.add_row("SMPP", listener.listen, _how(listener))
    listeners.add_row("HTTP", config.http.listen or "off", "callbacks, health, metrics")
    store = "memory: nothing is kept over a restart" if config.store.engine == "memory" else str(config.store.path)
    listeners.add_row("store", config.store.engine, store)
    console.print(listeners, "")
    accounts = _table("Accounts", "system_id", "may bind from", "as", "binds", "messages/s", "password")
    for name, account in config.accounts.items():
        accounts.add_row(
            account.system_id or name,
            ", ".join(map(str, account.allowed_networks)) or "nowhere",
            "any" if len(account.bind_types) == 3 else ", ".join(account.bind_types),
            str(account.max_binds),
            f"{account.throughput:g}" if account.throughput else "unlimited",
            "hash" if account.password_hash else "plain",
        )
    console.print(accounts, "")
    providers = _table("Providers", "name", "adapter", "kinds", "requests at once", "messages/s", "callbacks")
    for name, provider in config.providers.items():
        kinds = provider.kinds or adapter_class(provider.adapter).kinds
        providers.add_row(
            name,
            provider.adapter,
            "all" if kinds == frozenset(Kind) else " ".join(sorted(kinds)),
            str(provider.max_in_flight),
            f"{provider.rate:g}" if provider.rate else "unlimited",
            f"{config.http.public_url.rstrip('/')}/callback/{name}/{MASK}" if provider.callback_token else "",
        )
    console.print(providers, "")
    routes = _table("Routes, the first that fits decides", "#", "account", "kinds", "to", "from", "providers")
    for number, route in enumerate(config.routes, 1):
        routes.add_row(
            str(number),
            route.account or "any",
            " ".join(sorted(route.kinds)) or "any",
            ", ".join(route.destination) or "any",
            ", ".join(route.source) or "any",
            _leads_to(route),
        )
    console.print(routes, "")


def _how(listener: Listener) -> str:
    """What a client finds there."""
    how = "plain"
    if listener.tls is not None:
        how = f"TLS {listener.tls.minimum}"
        if listener.tls.clients != "none":
            how += f", certificates of clients {listener.tls.clients}"
    if listener.proxy_from:
        how += f", behind balancers at {', '.join(map(str, listener.proxy_from))}"
    return how


def _leads_to(route: Route) -> str:
    if route.providers:
        return ", then ".join(route.providers)
    return ", then ".join(
        f"{leg.kind or 'as it is'} by {' or '.join(leg.providers)}" + (f" for {leg.wait:g} s" if leg.wait else "")
        for leg in route.cascade or ()
    )


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, style="", header_style="dim", overflow="fold")
    return table
