"""From a file to settings: read the TOML, open the secrets kept elsewhere, validate, hold everything together."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from . import rules
from .mistakes import ConfigError, Finding, worded
from .rules import Adapters, Said, Tables
from .secrets import MASK, Place, Source, Unreadable, open_sources
from .tables import (
    AccountConfig,
    Config,
    DistributionListConfig,
    HttpConfig,
    IncomingRoute,
    ProviderConfig,
    Route,
    SmppConfig,
    Table,
)

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T", bound=Table)


class Checked(NamedTuple):
    """A file that was read. `config` is there exactly if there are no mistakes."""

    config: Config | None
    mistakes: tuple[Finding, ...]
    warnings: tuple[Finding, ...]


def load(path: Path | str, adapters: Adapters | None = None) -> Config:
    """The settings of a file, secrets filled in. Raises ConfigError with every mistake.

    `adapters` finds the class behind `adapter = NAME` (`providers.registry.adapter_class`); without it the adapters'
    own keys are taken as they are.
    """
    checked = check(path, adapters)
    if checked.config is None:
        raise ConfigError(checked.mistakes)
    return checked.config


def check(path: Path | str, adapters: Adapters | None = None, *, sealed: bool = False) -> Checked:
    """The same without raising, and with the warnings.

    `sealed` leaves every secret that is kept elsewhere where it is and puts `MASK` in its place: for looking at what
    the settings mean, without the right to read the secrets.
    """
    path = Path(path)
    try:
        raw = _read(path)
    except ConfigError as error:
        return Checked(None, error.mistakes, ())
    opened = open_sources(raw, sealed=sealed)
    said = Said(path, raw)
    rules.check_sources(opened, said)
    config: Config | None = None
    try:
        config = Config.model_validate(opened.values)
    except ValidationError as error:
        said.mistakes += worded(error, file=str(path), raw=raw, model=Config)
    tables = _tables(opened.values)
    if not sealed:
        rules.check_mode(path, opened, tables, said)
    tables = _fill(tables, adapters, said, sealed=sealed)
    rules.check_listeners(tables, said)
    rules.check_accounts(tables, opened, said)
    rules.check_providers(tables, adapters, said)
    rules.check_routes(tables, adapters, said)
    rules.check_incoming(tables, said)
    lists = rules.read_lists(tables, said, sealed=sealed)
    if said.mistakes or config is None:
        return Checked(None, _once(said.mistakes), _once(said.warnings))
    filled = {"accounts": tables.accounts, "providers": tables.providers, "distribution_lists": lists}
    config = config.model_copy(update=filled)
    return Checked(config, (), _once(said.warnings))


def peek(path: Path | str, table: str, model: type[T]) -> T:
    """One table of the file, whatever is wrong with the others. Raises ConfigError.

    For commands that only need to know where something is, run by somebody who may not read the secrets.
    """
    raw = _read(Path(path))
    values = open_sources({table: raw.get(table, {})}, sealed=True).values[table]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(worded(error, file=str(path), raw=raw, model=model, above=(table,))) from None


def _read(path: Path) -> dict[str, Any]:
    """The file as TOML. Raises ConfigError."""
    try:
        text = path.read_bytes().decode("utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
        raise ConfigError([Finding(str(path), "", "", "", said)]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([Finding(f"{path}:{line}", "", "", "", "expected text in UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax(path, text, str(error))]) from None
    except RecursionError:
        raise ConfigError([Finding(str(path), "", "", "", "lists or tables within each other are too deep")]) from None
    found = Said(path, raw)
    rules.check_no_nul(raw, found)
    if found.mistakes:
        raise ConfigError(found.mistakes)
    return raw


def _syntax(path: Path, text: str, said: str) -> Finding:
    """tomllib says "… (at line 3, column 5)": the line goes where editors look for it."""
    found = re.fullmatch(r"(?P<what>.*) \(at line (?P<line>\d+), column (?P<column>\d+)\)", said, re.DOTALL)
    if found:
        where, what = f"{path}:{found['line']}:{found['column']}", found["what"]
    else:
        where, what = f"{path}:{text.count(chr(10)) + 1}", said.removesuffix(" (at end of document)")
    what = what[0].lower() + what[1:]
    return Finding(where, "", "", "", f"not TOML: {what}")


def _tables(values: dict[str, Any]) -> Tables:
    """Every table that can be read by itself."""
    accounts, providers = values.get("accounts"), values.get("providers")
    return Tables(
        smpp=_table(SmppConfig, values.get("smpp", {})),
        http=_table(HttpConfig, values.get("http", {})),
        accounts=_named(AccountConfig, accounts),
        providers=_named(ProviderConfig, providers),
        routes=_numbered(Route, values.get("routes")),
        incoming=_numbered(IncomingRoute, values.get("incoming")),
        lists=_named(DistributionListConfig, values.get("distribution_lists")),
        account_names=frozenset(accounts if isinstance(accounts, dict) else ()),
        provider_names=frozenset(providers if isinstance(providers, dict) else ()),
    )


def _named(model: type[M], tables: object) -> dict[str, M]:
    items = tables.items() if isinstance(tables, dict) else ()
    return {name: read for name, table in items if (read := _table(model, table)) is not None}


def _numbered(model: type[M], tables: object) -> dict[int, M]:
    items = enumerate(tables if isinstance(tables, list) else ())
    return {number: read for number, table in items if (read := _table(model, table)) is not None}


def _table(model: type[M], values: object) -> M | None:
    """The table without the keys that are wrong: `check` validates the whole file and says what is wrong with them."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors(include_url=False, include_input=False) if one["loc"]}
    if not isinstance(values, dict) or not wrong & values.keys():
        return None
    return _table(model, {key: value for key, value in values.items() if key not in wrong})


def _fill(tables: Tables, adapters: Adapters | None, said: Said, *, sealed: bool) -> Tables:
    """Put secrets that stand in files and variables where they are used."""

    def opened(place: Place, source: Source) -> str:
        if sealed:
            return MASK
        try:
            return source.read(os.environ)
        except Unreadable as error:
            said.mistake(place, str(error))
            return MASK

    accounts = {}
    for name, account in tables.accounts.items():
        kept = rules.password_source(account)
        if kept is not None and not account.password:
            password = opened(("accounts", name, kept[0]), kept[1])
            account = account.model_copy(update={"password": password})
        accounts[name] = account
    providers = {}
    for name, provider in tables.providers.items():
        own = provider.own
        for key, (secret, source) in (rules.provider_sources(provider, adapters) if adapters else {}).items():
            if own.get(secret):
                said.mistake(("providers", name, key), f"stands beside {secret}: keep one of them")
            own[secret] = opened(("providers", name, key), source)
            del own[key]
        if own != provider.own:
            common = {key: getattr(provider, key) for key in ProviderConfig.model_fields}
            provider = ProviderConfig.model_construct(**common, **own)
        providers[name] = provider
    return tables._replace(accounts=accounts, providers=providers)


def _once(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(findings))
