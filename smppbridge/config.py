"""`conf/*.toml` → validated, frozen settings.

Every table of the file is one class here, every key one field, and the comment beside a field is what the operator
reads in `conf/smppbridge.toml`. Durations are written as "90s", "5m", "24h", "3d" or a number of seconds.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .model import Kind

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(value: object) -> object:
    """ "90s" → 90.0. Whatever it does not know it leaves to pydantic, which says what was expected."""
    if isinstance(value, str):
        text = value.strip()
        for unit in ("ms", "s", "m", "h", "d"):
            number = text.removesuffix(unit)
            if number != text and number.strip().replace(".", "", 1).isdigit():
                return float(number) * _UNITS[unit]
        raise ValueError('expected a duration such as "90s", "5m", "24h" or a number of seconds')
    return value


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Network = IPv4Network | IPv6Network
BindType = Literal["transmitter", "receiver", "transceiver"]


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Tls(Table):
    certificate: Path
    key: Path


class Listener(Table):
    listen: str = "127.0.0.1:2775"
    tls: Tls | None = None


class SmppConfig(Table):
    """[smpp]: what holds for every client."""

    listeners: tuple[Listener, ...] = (Listener(),)
    system_id: str = Field(default="smppbridge", max_length=15)
    #: A client that has not bound by then is closed.
    session_init_timeout: Seconds = 30
    #: We ask after this much silence …
    enquire_link_after: Seconds = 45
    #: … and close after this much (contracts.md §1.1: 2 minutes without a message or ENQUIRE_LINK).
    inactivity_timeout: Seconds = 120
    #: A DELIVER_SM, ENQUIRE_LINK or UNBIND of ours that is not answered by then counts as not delivered.
    response_timeout: Seconds = 60
    #: Unanswered DELIVER_SM per bind.
    window: int = Field(default=100, ge=1, le=10_000)
    #: Octets; a longer command_length is a lost framing and closes the connection.
    max_pdu: int = Field(default=131_072, ge=1024)
    #: SUBMIT_SM being stored at once, over all clients; beyond it ESME_RTHROTTLED / ESME_RMSGQFUL.
    max_pending: int = Field(default=10_000, ge=1)
    max_connections: int = Field(default=4096, ge=1)


class HttpConfig(Table):
    """[http]: callbacks, health, metrics."""

    listen: str | None = "127.0.0.1:8080"
    #: Where providers reach us, for what is shown to the operator.
    public_url: str = ""
    #: Larger callbacks are refused with 413.
    max_body: int = 1_048_576
    #: Who may see /metrics.
    metrics_networks: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class StoreConfig(Table):
    """[store]"""

    engine: Literal["sqlite", "memory"] = "sqlite"
    path: Path = Path("var/smppbridge.db")
    #: Final messages and their time-lines are forgotten after this.
    retention: Seconds = 30 * 86400
    #: 0 to 255: part of every message id; differs between gateways that share clients.
    node: int = Field(default=0, ge=0, le=255)


class LogConfig(Table):
    """[log]"""

    #: auto: readable on a terminal, JSON elsewhere.
    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    #: Message texts in the log: only while you look for a mistake.
    texts: bool = False


class Handler(Table):
    """[accounts.NAME.handler]: the account's own HTTP handler, for statuses of messages without registered_delivery."""

    url: str
    #: For the md5/sha1 signature of contracts.md §2.6; empty: not signed.
    secret: str = ""
    signature: Literal["md5", "sha1", "crc32"] = "md5"
    timeout: Seconds = 10
    #: Given up after this.
    retry_for: Seconds = 86400


class AccountConfig(Table):
    """[accounts.NAME]: one client (ESME); NAME is its system_id unless `system_id` says otherwise."""

    system_id: str = Field(default="", max_length=15)
    #: One of the next four. `password` in the file asks for the file's mode 0600.
    password: str = ""
    password_file: Path | None = None
    password_env: str = ""
    #: From `smppbridge hash-password`.
    password_hash: str = ""
    #: Who may bind from where. Nobody, if it is empty.
    allowed_networks: tuple[Network, ...]
    bind_types: tuple[BindType, ...] = ("transmitter", "receiver", "transceiver")
    max_binds: int = Field(default=10, ge=1)
    #: Messages a second, 0 is unlimited; `burst` is how many may come at once (0: one second's worth).
    throughput: float = Field(default=0, ge=0)
    burst: int = Field(default=0, ge=0)
    #: SUBMIT_SM being stored at once for this account.
    max_pending: int = Field(default=2000, ge=1)
    #: The text may say what it is (`__VIBER__: …`); off: every text is an SMS.
    conventions: bool = True
    #: What data_coding 0 is when nothing in the text tells (contracts.md §1.3). `system_type = ISO` at bind wins.
    alphabet: Literal["gsm", "iso"] = "gsm"
    duplicate_window: Seconds = 60
    #: A permanent status: clients like Kannel repeat on ESME_RTHROTTLED.
    duplicate_status: str = "ESME_RSUBMITFAIL"
    #: Where the client says nothing, and at most.
    default_validity: Seconds = 86400
    max_validity: Seconds = 7 * 86400
    #: How long parts of a long message wait for each other.
    parts_timeout: Seconds = 3600
    #: Undelivered receipts are kept this long, and this many.
    receipts_for: Seconds = 3 * 86400
    receipts_max: int = Field(default=1_000_000, ge=1)
    #: Of the dates in receipts and of absolute times without an offset: an IANA name such as "Europe/Kyiv".
    timezone: str = "UTC"
    #: The vendor's TLVs 0x2000-0x2002 (cost, flags, parts) in receipts.
    vendor_tlvs: bool = True
    handler: Handler | None = None


class ProviderConfig(BaseModel):
    """[providers.NAME]: what every provider has; the adapter's own keys stand in the same table (`Settings`)."""

    model_config = ConfigDict(extra="allow", frozen=True)

    #: The file name in `smppbridge/providers/`, or the dotted name of somebody else's class.
    adapter: str
    #: Empty: all that the adapter can.
    kinds: frozenset[Kind] = frozenset()
    #: Requests at once.
    max_in_flight: int = Field(default=8, ge=1, le=1000)
    #: Messages a second, 0 is unlimited.
    rate: float = Field(default=0, ge=0)
    #: Messages a request; 0: as many as the adapter allows.
    batch: int = Field(default=0, ge=0)
    connect_timeout: Seconds = 5
    timeout: Seconds = 30
    proxy: str | None = None
    verify: bool | Path = True
    #: What to do when the outcome of a request is unknown; empty: as the adapter says is safe.
    when_in_doubt: Literal["", "repeat", "ask", "give_up"] = ""
    #: First wait before another try, doubled each time with jitter, up to `retry_max`.
    retry_first: Seconds = 5
    retry_max: Seconds = 600
    #: When to ask for a status first, doubled each time, up to `poll_max`.
    poll_first: Seconds = 10
    poll_max: Seconds = 900
    #: How long after the validity a status may still come before the message ends.
    grace: Seconds = 3600
    #: Requests failing in a row that open the breaker, and for how long.
    breaker_failures: int = Field(default=5, ge=1)
    breaker_pause: Seconds = 30
    #: Path segment of its callbacks; unguessable. Empty: no callbacks.
    callback_token: str = ""
    callback_networks: tuple[Network, ...] = ()

    @property
    def own(self) -> dict[str, Any]:
        """The keys that belong to the adapter."""
        return dict(self.model_extra or {})


class Route(Table):
    """[[routes]]: the first one that fits decides; every key that is there must fit."""

    account: str = ""
    kinds: frozenset[Kind] = frozenset()
    #: The destination begins with one of these (digits, without plus).
    destination: tuple[str, ...] = ()
    #: The source is one of these; a `*` at the end matches the rest.
    source: tuple[str, ...] = ()
    #: In this order; the next is tried where the one before cannot.
    providers: tuple[str, ...] = Field(min_length=1)


class Config(Table):
    """The whole file."""

    smpp: SmppConfig = SmppConfig()
    http: HttpConfig = HttpConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()
    accounts: dict[str, AccountConfig]
    providers: dict[str, ProviderConfig]
    routes: tuple[Route, ...]
