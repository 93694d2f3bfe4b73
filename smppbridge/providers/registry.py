"""From the name in the configuration to a provider that is ready to translate.

The name of a file in this folder, or of a package for an adapter that fills several, is the registration:
`adapter = "smsc"` is the one `Provider` in `smsc.py`, `adapter = "smsgate"` the one in `smsgate/__init__.py`. A dotted
name, such as `adapter = "mycompany.sms.MyProvider"`, is a class of somebody else's package.

What can go wrong: `UnknownAdapter` (no such file, package or class) and `BadSettings` (keys of the table; every one is
named with what was expected, and never with what stood there, because that may be a password).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from inspect import getmembers, isabstract, isclass
from typing import Any

from pydantic import ValidationError

from ..config import ProviderConfig
from . import __name__ as here
from . import __path__ as folder
from .base import Provider

_NOT_ADAPTERS = {"base", "reading", "registry"}


class UnknownAdapter(Exception):
    """There is no such adapter. The message says which there are."""


class BadSettings(Exception):
    """Keys of a provider's table that do not fit. `problems`: key → what was expected."""

    def __init__(self, provider: str, problems: dict[str, str]) -> None:
        self.provider = provider
        self.problems = problems
        super().__init__("; ".join(f"[providers.{provider}] {key}: {reason}" for key, reason in problems.items()))


def names() -> Sequence[str]:
    """The adapters that come with the gateway."""
    return sorted(module.name for module in pkgutil.iter_modules(folder) if module.name not in _NOT_ADAPTERS)


def adapter_class(name: str) -> type[Provider[Any]]:
    """The class behind `adapter = NAME`. Raises UnknownAdapter."""
    if "." in name:
        return _foreign(name)
    if name not in names():
        raise UnknownAdapter(
            f'there is no adapter "{name}"; there are {", ".join(names())}, '
            f'or the dotted name of a class, such as "mycompany.sms.MyProvider"'
        )
    module = import_module(f"{here}.{name}")
    found = [cls for _, cls in getmembers(module, _is_adapter) if cls.__module__ == module.__name__]
    if len(found) != 1:
        raise UnknownAdapter(f"{name}.py defines {len(found)} Provider classes, expected one")
    adapter: type[Provider[Any]] = found[0]
    return adapter


def build(name: str, config: ProviderConfig) -> Provider[Any]:
    """The provider that `[providers.NAME]` describes. Raises UnknownAdapter and BadSettings.

    What `config.check` finds by looking at the whole file, such as kinds that the adapter cannot carry, is not
    looked for again.
    """
    cls = adapter_class(config.adapter)
    try:
        settings = cls.Settings.model_validate(config.told(cls.Settings))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        # From None: pydantic's error holds what stood in the table.
        said = {_key(one["loc"]): one["msg"].removeprefix("Value error, ") for one in problems}
        raise BadSettings(name, said) from None
    return cls(name, settings)


def _key(place: tuple[int | str, ...]) -> str:
    """The key as the operator wrote it; a rule that takes several keys belongs to the table."""
    return ".".join(map(str, place)) or "(the table)"


def _foreign(name: str) -> type[Provider[Any]]:
    path, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(path), attribute)
    except Exception as error:
        # Somebody else's code runs here: whatever it raises is a mistake in the configuration, not in us.
        raise UnknownAdapter(f'the adapter "{name}" cannot be imported: {type(error).__name__}: {error}') from error
    if not _is_adapter(found):
        raise UnknownAdapter(f'"{name}" is not a complete subclass of smppbridge.providers.base.Provider')
    adapter: type[Provider[Any]] = found
    return adapter


def _is_adapter(found: object) -> bool:
    return isclass(found) and issubclass(found, Provider) and not isabstract(found)
