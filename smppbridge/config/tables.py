"""The tables of `conf/*.toml`: every table is one class here, every key one field.

The comment beside a field is what the operator reads in `conf/smppbridge.toml` and in docs/configuration.md. What can
be told from one value is checked here, what takes more than one value in `rules`. A field with `repr=False` is secret.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pdu import Alphabet

from ..model import Kind
from .dialects import Dialect
from .mistakes import Unit
from .secrets import secret_texts

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(text: str) -> float:
    """ "90s" → 90.0. Raises ValueError."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d)", text.strip(), re.ASCII)
    if found is None:
        raise ValueError('expected a duration such as "90s", "5m", "24h" or "3d"')
    return float(found[1]) * _UNITS[found[2]]


def _seconds(value: object) -> object:
    """Whatever is no duration is left to pydantic, and `mistakes.expected` says what was expected."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return duration(value)
    return value


def _network(value: object) -> object:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError('expected a network such as "10.0.0.0/8"')
    try:
        return ip_network(value.strip())
    except ValueError:
        pass
    try:
        meant = ip_network(value.strip(), strict=False)
    except ValueError:
        return value
    raise ValueError(f'expected a network, this is an address within one; did you mean "{meant}"?')


def _address(value: str) -> str:
    try:
        address(value)
    except ValueError as error:
        raise ValueError(f"expected {error}") from None
    return value


def _url(value: str) -> str:
    if value and not re.match(r"https?://[^/\s]+", value):
        raise ValueError("expected an address that begins with http:// or https://")
    return value


def _proxy(value: object) -> object:
    if isinstance(value, str) and value and not re.match(r"https?://[^/\s]+", value):
        raise ValueError("expected the address of a proxy such as http://proxy.example:3128")
    return value or None


def _hash(value: str) -> str:
    if value and not re.fullmatch(r"scrypt(\$[0-9]+){3}(\$[A-Za-z0-9+/]+=*){2}", value):
        raise ValueError("expected scrypt$n$r$p$salt$hash, as `smppbridge hash-password` writes it")
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('expected the IANA name of a time zone such as "UTC" or "Europe/Kyiv"') from None
    return value


def address(listen: str) -> tuple[str, int]:
    """ "127.0.0.1:2775" or "[::1]:2775" → host and port; port 0 lets the system choose. Raises ValueError."""
    host, colon, port = listen.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('an address and a port such as "127.0.0.1:2775" or "[::1]:2775"')
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address of ours."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


#: TOML tells numbers, texts and switches apart, so "5" is no number here and true is none either.
Whole = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
Seconds = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False), BeforeValidator(_seconds), Unit("seconds")]
Rate = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False), Unit("messages a second")]
Network = IPv4Network | IPv6Network
NetworkText = Annotated[Network, BeforeValidator(_network)]
Address = Annotated[str, AfterValidator(_address)]
BindType = Literal["transmitter", "receiver", "transceiver"]


class Table(BaseModel):
    """A table of the file: unknown keys are mistakes, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Tls(Table):
    """TLS from the first byte. Both files in PEM form."""

    #: With the chain up to, but not including, the root.
    certificate: Path
    key: Path
    #: Older clients are refused.
    minimum: Literal["1.2", "1.3"] = "1.2"
    #: Whether clients show a certificate of their own, and who signs those.
    clients: Literal["none", "optional", "required"] = "none"
    clients_ca: Path | None = None


class Listener(Table):
    """[[smpp.listeners]]: one address to listen on, plain or TLS."""

    listen: Address = "127.0.0.1:2775"
    tls: Tls | None = None
    #: Balancers: what comes from there begins with the PROXY protocol, version 1 or 2, and is taken for whom it names.
    proxy_from: tuple[NetworkText, ...] = ()


class SmppConfig(Table):
    """[smpp]: what holds for every client."""

    listeners: tuple[Listener, ...] = (Listener(),)
    #: How we call ourselves in bind responses.
    system_id: str = Field(default="smppbridge", max_length=15)
    #: A client that has not bound by then is closed.
    session_init_timeout: Seconds = 30
    #: We ask after this much silence …
    enquire_link_after: Seconds = 45
    #: … and close after this much (smsc.ru SMPP: two minutes without a message or ENQUIRE_LINK).
    inactivity_timeout: Seconds = 120
    #: A DELIVER_SM, ENQUIRE_LINK or UNBIND of ours that is not answered by then counts as not delivered.
    response_timeout: Seconds = 60
    #: Unanswered DELIVER_SM per bind.
    window: Annotated[Whole, Unit("DELIVER_SM")] = Field(default=100, ge=1, le=10_000)
    #: Octets; a longer command_length is a lost framing and closes the connection.
    max_pdu: Annotated[Whole, Unit("octets")] = Field(default=131_072, ge=1024)
    #: SUBMIT_SM being stored at once, over all clients; beyond it ESME_RTHROTTLED / ESME_RMSGQFUL.
    max_pending: Annotated[Whole, Unit("messages")] = Field(default=10_000, ge=1)
    #: Clients beyond this are closed at once.
    max_connections: Annotated[Whole, Unit("connections")] = Field(default=4096, ge=1)
    #: The same for connections that have not bound, all together and from one address; and for all of one address. 0 is
    #: unlimited.
    max_unbound: Annotated[Whole, Unit("connections")] = Field(default=1024, ge=0)
    max_unbound_per_address: Annotated[Whole, Unit("connections")] = Field(default=256, ge=0)
    max_connections_per_address: Annotated[Whole, Unit("connections")] = Field(default=0, ge=0)
    #: So many failed binds of an address pass, then each answer takes longer, up to this.
    bind_failures: Annotated[Whole, Unit("binds")] = Field(default=5, ge=1)
    bind_delay_max: Seconds = 10
    #: An address that sends more is read from more slowly; 0 is unlimited.
    max_pdu_rate: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False), Unit("PDUs a second")] = 0
    #: So many PDUs that cannot be read, from one address within a minute, and each further one costs a second.
    max_bad_pdus: Annotated[Whole, Unit("PDUs a minute")] = Field(default=100, ge=0)
    #: An account that is refused more, or asks ENQUIRE_LINK more often, is read from more slowly; 0 is unlimited.
    max_refused_rate: Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False), Unit("PDUs a second")] = 2000


class HttpConfig(Table):
    """[http]: callbacks, health, metrics."""

    #: "" switches HTTP off.
    listen: Annotated[Address | None, BeforeValidator(lambda value: None if value == "" else value)] = "127.0.0.1:8080"
    #: Where providers reach us, for what is shown to the operator.
    public_url: Annotated[str, AfterValidator(_url)] = ""
    #: Larger callbacks are refused with 413.
    max_body: Annotated[Whole, Unit("octets")] = Field(default=1_048_576, ge=1024)
    #: Connections beyond this are closed at once; of one address, 0 is unlimited.
    max_connections: Annotated[Whole, Unit("connections")] = Field(default=1024, ge=1)
    max_connections_per_address: Annotated[Whole, Unit("connections")] = Field(default=256, ge=0)
    #: For each step of a request: until it is there whole, until it is answered, until the answer is read. 0: for ever.
    request_timeout: Seconds = 30
    #: Between two requests of a connection.
    idle_timeout: Seconds = 5
    #: Who may see /metrics.
    metrics_networks: tuple[NetworkText, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class ControlConfig(Table):
    """[control]: where commands such as `smppbridge capture` reach the running gateway."""

    #: A Unix socket, mode 0600. auto: beside the store's file, with the ending .sock; off: none.
    socket: str = Field(default="auto", min_length=1)


class StoreConfig(Table):
    """[store]: where messages are safe."""

    #: memory keeps nothing over a restart: for trying out only.
    engine: Literal["sqlite", "memory"] = "sqlite"
    #: The SQLite file; its folder is made where it is missing.
    path: Path = Path("var/smppbridge.db")
    #: Final messages and their time-lines are forgotten after this.
    retention: Seconds = 30 * 86400
    #: 0 to 255: part of every message id; differs between gateways that share clients.
    node: Whole = Field(default=0, ge=0, le=255)


class LogConfig(Table):
    """[log]: what is written to standard error."""

    #: auto: readable on a terminal, JSON elsewhere.
    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    #: Message texts in the log: only while you look for a mistake.
    texts: Switch = False
    #: Lines a second about single messages; what goes beyond is counted and told in one line. 0: none.
    message_lines: Annotated[Whole, Unit("lines a second")] = Field(default=200, ge=0)


class Handler(Table):
    """[accounts.NAME.handler]: the account's own HTTP handler, for statuses of messages without registered_delivery."""

    url: Annotated[str, AfterValidator(_url)] = Field(min_length=1, repr=False)
    #: Signs what is sent, as the callback of the smsc HTTP API is signed; empty: not signed.
    secret: str = Field(default="", repr=False)
    signature: Literal["md5", "sha1", "crc32"] = "md5"
    #: For one request.
    timeout: Seconds = 10
    #: Given up after this.
    retry_for: Seconds = 86400


class OutbindConfig(Table):
    """[accounts.NAME.outbind]: where we call a client that waits to be called (SMPP 3.4 §2.2.1)."""

    address: Address
    #: What we say: SMPP 3.4 §4.1.7. Empty: system_id of [smpp].
    system_id: str = Field(default="", max_length=15)
    password: str = Field(default="", max_length=8, repr=False)
    #: Between two calls that led to no bind; doubled each time up to ten times as much.
    retry: Seconds = 30


class AccountConfig(Table):
    """[accounts.NAME]: one client (ESME); NAME is its system_id unless `system_id` says otherwise."""

    #: Empty: the name of the table.
    system_id: str = Field(default="", max_length=15)
    #: One of the next four. `password` in the file asks for the file's mode 0600. Clients send 8 characters at most.
    password: str = Field(default="", repr=False)
    #: Mode 0600. After loading its content stands in `password`.
    password_file: Path | None = None
    #: Name of an environment variable. After loading its content stands in `password`.
    password_env: str = ""
    #: From `smppbridge hash-password`.
    password_hash: Annotated[str, AfterValidator(_hash)] = Field(default="", repr=False)
    #: Who may bind from where. Nobody, if it is empty.
    allowed_networks: tuple[NetworkText, ...]
    #: How it may bind.
    bind_types: tuple[BindType, ...] = ("transmitter", "receiver", "transceiver")
    #: At the same time.
    max_binds: Annotated[Whole, Unit("binds")] = Field(default=10, ge=1)
    #: One more than that: it is refused, or the oldest is unbound for it.
    binds_beyond: Literal["refuse", "replace"] = "refuse"
    #: Over TLS only, with a certificate that has one of these names (CN, or DNS name) or fingerprints ("sha256:…").
    client_certificates: tuple[str, ...] = ()
    #: Messages a second, 0 is unlimited; `burst` is how many may come at once (0: one second's worth).
    throughput: Rate = 0
    burst: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    #: Further limits, each of its own; 0 is unlimited.
    per_minute: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    per_hour: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    per_day: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    #: What a long message in parts counts as, in all of these: one message, or as many as it has parts.
    parts_count: Literal["each", "once"] = "each"
    #: Accepted and not yet with a provider; 0 is unlimited.
    max_waiting: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    #: Where to, from whom, and what it may send; a `*` at the end matches the rest. Empty: whatever it likes.
    destinations: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    kinds: frozenset[Kind] = frozenset()
    #: More than so many messages to one subscriber, each less than the gap after the one before, are refused (smsc.ru:
    #: 50 and 30 s); 0: never.
    flood_messages: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    flood_gap: Seconds = 30
    flood_status: str = "ESME_RSUBMITFAIL"
    #: Requests that one bind may leave us to answer; beyond it we read no more from it, or answer ESME_RTHROTTLED.
    submit_window: Annotated[Whole, Unit("requests")] = Field(default=2000, ge=1)
    submit_window_full: Literal["pause", "throttle"] = "pause"
    #: SUBMIT_SM being stored at once for this account.
    max_pending: Annotated[Whole, Unit("messages")] = Field(default=2000, ge=1)
    #: Whether a refused SUBMIT_SM says why in additional_status_info_text; auto: to clients that bind with 5.0.
    reasons: Literal["auto", "always", "never"] = "auto"
    #: The text may say what it is (`__VIBER__: …`); off: every text is an SMS.
    conventions: Switch = True
    #: What data_coding 0 is when nothing in the text tells. `system_type = ISO` at bind wins.
    alphabet: Literal["gsm", "iso"] = "gsm"
    #: An identical message within this time is refused; 0 lets it through.
    duplicate_window: Seconds = 60
    #: A permanent status: clients like Kannel repeat on ESME_RTHROTTLED.
    duplicate_status: str = "ESME_RSUBMITFAIL"
    #: Validity period where the client says nothing …
    default_validity: Seconds = 86400
    #: … and at most.
    max_validity: Seconds = 7 * 86400
    #: How far ahead a message may be scheduled; 0: as far as the client says.
    max_schedule: Seconds = 366 * 86400
    #: How long parts of a long message wait for each other.
    parts_timeout: Seconds = 3600
    #: Which parts of a long message get a receipt: those that asked; or, if any asked, all, the first or the last.
    parts_receipts: Literal["asked", "all", "first", "last"] = "asked"
    #: Undelivered receipts are kept this long, and this many.
    receipts_for: Seconds = 3 * 86400
    receipts_max: Annotated[Whole, Unit("receipts")] = Field(default=1_000_000, ge=1)
    #: To any receiver, the least loaded one, or to the bind that sent the message as long as it is there.
    receipts_to: Literal["any", "submitter"] = "any"
    #: ALERT_NOTIFICATION when an absent subscriber can be reached: where set_dpf asked, for every message, or never.
    alerts: Literal["asked", "always", "never"] = "asked"
    #: `err` of a receipt that says the subscriber was absent.
    alert_errors: tuple[Whole, ...] = (6,)
    #: Of the dates in receipts: an IANA name such as "Europe/Kyiv". Absolute times of clients carry their own offset.
    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    #: The vendor's TLVs 0x2000-0x2002 (cost, flags, parts) in receipts; None: as the dialect says.
    vendor_tlvs: Switch | None = None
    #: Of messages from subscribers. auto: the default alphabet where every character fits, else UCS2; latin1: the same
    #: with data_coding 3; ucs2: always UCS2.
    incoming_coding: Literal["auto", "latin1", "ucs2"] = "auto"
    #: Those longer than one short message: parts with a user data header, parts with SAR TLVs, or message_payload.
    incoming_long: Literal["parts", "sar", "payload"] = "parts"
    #: See [accounts.NAME.handler].
    handler: Handler | None = None
    #: See [accounts.NAME.outbind].
    outbind: OutbindConfig | None = None
    #: See [accounts.NAME.dialect]; the name of a profile is short for it.
    dialect: Dialect = Dialect()

    @property
    def tells_vendor_tlvs(self) -> bool:
        """Whether TLVs of the vendor's own go to this client."""
        return self.dialect.vendor_tlvs if self.vendor_tlvs is None else self.vendor_tlvs

    def alphabet_at(self, system_type: str) -> Alphabet:
        """What data_coding 0 is for a client that gave this `system_type` at its bind: "ISO" makes it ISO-8859-1,
        whatever the account says (smsc.ru SMPP)."""
        return Alphabet.ISO if system_type.upper() == "ISO" else Alphabet(self.alphabet)


class ProviderConfig(BaseModel):
    """[providers.NAME]: what every provider has; the adapter's own keys stand in the same table (`Settings`)."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    #: The file name in `smppbridge/providers/`, or the dotted name of somebody else's class.
    adapter: str
    #: Empty: all that the adapter can.
    kinds: frozenset[Kind] = frozenset()
    #: Requests at once.
    max_in_flight: Annotated[Whole, Unit("requests")] = Field(default=8, ge=1, le=1000)
    #: Messages a second, 0 is unlimited.
    rate: Rate = 0
    #: Messages a request; 0: as many as the adapter allows.
    batch: Annotated[Whole, Unit("messages")] = Field(default=0, ge=0)
    #: How long a request that has room for more messages waits for them, a second at most; 0: not at all.
    batch_wait: Seconds = 0.005
    #: To reach the provider.
    connect_timeout: Seconds = 5
    #: For the whole request.
    timeout: Seconds = 30
    #: Address of an HTTP proxy; it may hold a password.
    proxy: Annotated[str | None, BeforeValidator(_proxy)] = Field(default=None, repr=False)
    #: Certificates of the provider: true checks them against the system's, a path against that file, false not at all.
    verify: Switch | Path = True
    #: What to do when the outcome of a request is unknown; empty: as the adapter says is safe.
    when_in_doubt: Literal["", "repeat", "ask", "wait", "give_up"] = ""
    #: First wait before another try, doubled each time with jitter, up to `retry_max`.
    retry_first: Seconds = 5
    retry_max: Seconds = 600
    #: When to ask for a status first, doubled each time, up to `poll_max`.
    poll_first: Seconds = 10
    poll_max: Seconds = 900
    #: How long after the validity a status may still come before the message ends.
    grace: Seconds = 3600
    #: Requests failing in a row that open the breaker, and for how long.
    breaker_failures: Annotated[Whole, Unit("requests")] = Field(default=5, ge=1)
    breaker_pause: Seconds = 30
    #: Path segment of its callbacks; unguessable. Empty: no callbacks.
    callback_token: str = Field(default="", repr=False)
    #: Who may call back; empty: anybody who knows the token.
    callback_networks: tuple[NetworkText, ...] = ()

    @property
    def questions(self) -> int:
        """Questions for statuses that are put at once, beside the requests that send."""
        return max(2, self.max_in_flight // 2)

    @property
    def own(self) -> dict[str, Any]:
        """The keys that belong to the adapter."""
        return dict(self.model_extra or {})

    def told(self, settings: type[BaseModel]) -> dict[str, Any]:
        """What an adapter's `Settings` are made of: its own keys, and those of every provider that it names too."""
        fields = type(self).model_fields
        return {**{name: getattr(self, name) for name in settings.model_fields if name in fields}, **self.own}

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Without the adapter's keys: only the adapter knows which of them are secret."""
        for name, field in type(self).model_fields.items():
            if field.repr:
                yield name, getattr(self, name)


class LegConfig(Table):
    """[[routes.cascade]]: one leg of a route; the next one follows where this one has not delivered."""

    #: As what messages go; empty: as what they are. Only what is a plain text can be made of another.
    kind: Literal["", "sms", "viber", "soc"] = ""
    #: In this order; the next is tried where the one before cannot.
    providers: tuple[str, ...] = Field(min_length=1)
    #: How long after its first request the leg is over. Every leg has it but the last.
    wait: Seconds = 0
    #: Instead of the message's own source.
    source: str = Field(default="", max_length=20)
    #: What to do when nobody knows by the end of the leg whether it has delivered; next: at the risk of both.
    unknown: Literal["stop", "next"] = "stop"


class Route(Table):
    """[[routes]]: the first one that fits decides; every key that is there must fit."""

    #: Empty: of every account.
    account: str = ""
    #: Empty: of every kind.
    kinds: frozenset[Kind] = frozenset()
    #: The destination begins with one of these (digits, without plus).
    destination: tuple[str, ...] = ()
    #: The source is one of these; a `*` at the end matches the rest.
    source: tuple[str, ...] = ()
    #: In this order; the next is tried where the one before cannot. Either these, or a cascade.
    providers: tuple[str, ...] | None = Field(default=None, min_length=1)
    cascade: tuple[LegConfig, ...] | None = None

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if (self.providers is None) == (self.cascade is None):
            raise ValueError("expected either providers or a cascade")
        return self

    @property
    def all_providers(self) -> tuple[str, ...]:
        """Of every leg."""
        return self.providers or tuple(name for leg in self.cascade or () for name in leg.providers)


class IncomingRoute(Table):
    """[[incoming]]: whose are messages from subscribers; the first one that fits decides, every key there must fit."""

    #: Empty: of every provider.
    provider: str = ""
    #: The number that the subscriber wrote to is one of these; a `*` at the end matches the rest.
    destination: tuple[str, ...] = ()
    #: The provider names one of these words, or the text begins with it; upper and lower case are the same.
    prefix: tuple[str, ...] = ()
    account: str


class DistributionListConfig(Table):
    """[distribution_lists.NAME]: who is behind a dl_name of SUBMIT_MULTI (SMPP 3.4 §4.5.1.2)."""

    #: Who may send to it.
    accounts: tuple[str, ...] = Field(min_length=1)
    #: After loading, those of the file stand here too.
    numbers: tuple[str, ...] = ()
    #: One number a line, in addition; `#` begins a remark. Read when the configuration is read.
    file: Path | None = None


class Config(Table):
    """The whole file."""

    smpp: SmppConfig = SmppConfig()
    http: HttpConfig = HttpConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()
    control: ControlConfig = ControlConfig()
    accounts: dict[str, AccountConfig]
    providers: dict[str, ProviderConfig]
    routes: tuple[Route, ...]
    incoming: tuple[IncomingRoute, ...] = ()
    distribution_lists: dict[str, DistributionListConfig] = {}

    def secrets(self) -> tuple[str, ...]:
        """Every secret that leaves in a request to a provider or a handler, and so might come back in an error."""
        found = [account.handler.secret for account in self.accounts.values() if account.handler is not None]
        for provider in self.providers.values():
            found.append(provider.callback_token)
            found += [value for _, value in secret_texts(provider.own)]
        return tuple(dict.fromkeys(secret for secret in found if secret))
