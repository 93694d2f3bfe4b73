"""`conf/*.toml` → validated, frozen settings.

`load` gives the settings or raises `ConfigError` with every mistake in the file, not only the first: each names the
file, the table, the key, what was found and what was expected. `check` gives mistakes and warnings without raising.
Durations are written as "90s", "5m", "24h", "3d" or a number of seconds. A path that is not absolute starts at the
folder the process was started in.
"""

from .changes import diff
from .dialects import Dialect
from .mistakes import ConfigError, Finding
from .networks import plain, within
from .patterns import Patterns
from .reading import Checked, check, load, peek
from .rules import MAX_DESTINATIONS, Adapter, Adapters
from .secrets import MASK, is_secret, mask, secret_texts
from .tables import (
    AccountConfig,
    BindType,
    Config,
    ControlConfig,
    DistributionListConfig,
    Handler,
    HttpConfig,
    IncomingRoute,
    LegConfig,
    Listener,
    LogConfig,
    Network,
    OutbindConfig,
    ProviderConfig,
    Route,
    Seconds,
    SmppConfig,
    StoreConfig,
    Table,
    Tls,
    address,
    duration,
    is_loopback,
)

__all__ = [
    "MASK",
    "MAX_DESTINATIONS",
    "AccountConfig",
    "Adapter",
    "Adapters",
    "BindType",
    "Checked",
    "Config",
    "ConfigError",
    "ControlConfig",
    "Dialect",
    "DistributionListConfig",
    "Finding",
    "Handler",
    "HttpConfig",
    "IncomingRoute",
    "LegConfig",
    "Listener",
    "LogConfig",
    "Network",
    "OutbindConfig",
    "Patterns",
    "ProviderConfig",
    "Route",
    "Seconds",
    "SmppConfig",
    "StoreConfig",
    "Table",
    "Tls",
    "address",
    "check",
    "diff",
    "duration",
    "is_loopback",
    "is_secret",
    "load",
    "mask",
    "peek",
    "plain",
    "secret_texts",
    "within",
]
