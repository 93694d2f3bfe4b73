"""What has to fit together in the configuration: the rules that take more than one value, or a look at the machine.

Each rule is one function over the tables that could be read (`Tables`), so that a mistake in one table hides none in
another. A rule says what it finds through `Said`; it never raises.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError

from pdu import CommandStatus

from ..model import TEXTS, Kind, bare
from . import files
from .certificates import ends
from .mistakes import Finding, at, did_you_mean, dotted, finding, spot, worded
from .networks import plain, within
from .secrets import MASK, Opened, Place, Source, readable_by_others, secret_texts
from .tables import (
    AccountConfig,
    Config,
    DistributionListConfig,
    HttpConfig,
    IncomingRoute,
    LegConfig,
    OutbindConfig,
    ProviderConfig,
    Route,
    SmppConfig,
    Tls,
    address,
    is_loopback,
)

#: SMPP 3.4 §5.2.1: 16 octets with the NUL.
SYSTEM_ID_MAX = 15
#: SMPP 3.4 §5.2.2: 9 octets with the NUL.
PASSWORD_MAX = 8
#: SMPP 3.4 §4.5.1.2: 21 octets with the NUL.
DL_NAME_MAX = 20
#: Destinations of one SUBMIT_MULTI, its lists expanded. They are read in one turn of the loop, in which nobody else is
#: served (a thousand take 6 ms), and stored in one transaction.
MAX_DESTINATIONS = 2000
#: Legs of a cascade: `Message.number` has room for more, but nobody waits so long for a message.
LEGS_MAX = 4
#: What everybody knows: the passwords, the token and the secret of a rehearsal (conf/rehearsal.toml).
REHEARSED = frozenset({"demo", "demo-callback-token", "demo-secret"})
#: Characters of a callback token that is not worth guessing.
TOKEN_MIN = 16


class Adapter(Protocol):
    """What is asked of an adapter's class (`providers.base.Provider` has it)."""

    Settings: ClassVar[type[BaseModel]]
    kinds: ClassVar[frozenset[Kind]]
    ask_batch: int


#: From `adapter = NAME` to its class; any exception means that there is none, and its text says so.
Adapters: TypeAlias = Callable[[str], type[Adapter]]


class Tables(NamedTuple):
    """The tables that could be read each by itself; what could not be is missing here."""

    smpp: SmppConfig | None
    http: HttpConfig | None
    accounts: dict[str, AccountConfig]
    providers: dict[str, ProviderConfig]
    routes: dict[int, Route]
    incoming: dict[int, IncomingRoute]
    lists: dict[str, DistributionListConfig]
    #: Names that stand in the file, with or without a mistake in their tables.
    account_names: frozenset[str]
    provider_names: frozenset[str]


class Said:
    """Collects what the rules find."""

    def __init__(self, file: Path, raw: dict[str, Any]) -> None:
        self._file = str(file)
        self._raw = raw
        self.mistakes: list[Finding] = []
        self.warnings: list[Finding] = []

    def mistake(self, place: Place, said: str) -> None:
        self.mistakes.append(self._finding(place, said))

    def warning(self, place: Place, said: str) -> None:
        self.warnings.append(self._finding(place, said))

    def errors(self, error: ValidationError, model: type[BaseModel], above: Place, others: tuple[str, ...]) -> None:
        """What pydantic says of a table whose model only an adapter knows."""
        self.mistakes += worded(error, file=self._file, raw=self._raw, model=model, above=above, others=others)

    def _finding(self, place: Place, said: str) -> Finding:
        return finding(self._file, self._raw, spot(place, Config), said)


# Texts ---------------------------------------------------------------------------------------------------------------


def check_no_nul(raw: object, said: Said, place: Place = ()) -> None:
    """NUL ends a text for the system, SMPP and most libraries, each in its own way: no name and no value has one."""
    if isinstance(raw, str) and "\0" in raw:
        said.mistake(place, "expected a text without NUL")
    elif isinstance(raw, list):
        for number, value in enumerate(raw):
            check_no_nul(value, said, (*place, number))
    elif isinstance(raw, dict):
        for name, value in raw.items():
            if "\0" in name:
                said.mistake((*place, name), "expected a name without NUL")
            check_no_nul(value, said, (*place, name))


# Secrets -------------------------------------------------------------------------------------------------------------


def check_sources(opened: Opened, said: Said) -> None:
    for place, reason in opened.unreadable.items():
        said.mistake(place, reason)


def check_mode(file: Path, opened: Opened, tables: Tables, said: Said) -> None:
    """A file that others may read must hold no secret.

    A client that can only come from this machine is worth a warning, and the demo account, whose password everybody
    knows, not even that; nor are the secrets of a rehearsal (conf/rehearsal.toml), whose providers are on this machine.
    """
    if not readable_by_others(file):
        return
    advice = f"others may read {file}; run: chmod 600 {file}, or keep the secret elsewhere: {{ file = … }}"
    for place in _plain_secrets(opened, tables):
        account = tables.accounts.get(str(place[1])) if place[0] == "accounts" and len(place) == 3 else None
        if account is not None and _local(account):
            if (place[1], account.password) != ("demo", "demo"):
                said.warning(place, advice)
        elif not (place[0] == "providers" and _rehearsed(tables.providers[str(place[1])], at(opened.values, place))):
            said.mistake(place, advice)


def _plain_secrets(opened: Opened, tables: Tables) -> Iterator[Place]:
    """Places of secrets that stand in the file itself."""
    candidates: list[Place] = []
    for name, account in tables.accounts.items():
        candidates.append(("accounts", name, "password"))
        if account.handler is not None:
            candidates.append(("accounts", name, "handler", "secret"))
        if account.outbind is not None:
            candidates.append(("accounts", name, "outbind", "password"))
    for name, provider in tables.providers.items():
        candidates.append(("providers", name, "callback_token"))
        candidates += [("providers", name, *place) for place, _ in secret_texts(provider.own)]
    for place in candidates:
        if place not in opened.sources and isinstance(value := at(opened.values, place), str) and value:
            yield place


def _local(account: AccountConfig) -> bool:
    return bool(account.allowed_networks) and all(network.is_loopback for network in account.allowed_networks)


def _rehearsed(provider: ProviderConfig, secret: object) -> bool:
    """Whether a secret is one that everybody knows, of a provider that is on this machine."""
    urls = [value for value in provider.own.values() if isinstance(value, str) and value.startswith("http")]
    local = bool(urls) and all(is_loopback(urlsplit(url).hostname or "") for url in urls)
    return local and secret in REHEARSED


# [smpp] and [http] ---------------------------------------------------------------------------------------------------


def check_listeners(tables: Tables, said: Said) -> None:
    taken: dict[tuple[str, int], Place] = {}
    if tables.smpp is not None:
        if not tables.smpp.listeners:
            said.mistake(("smpp", "listeners"), "expected at least one listener")
        for number, listener in enumerate(tables.smpp.listeners):
            place = ("smpp", "listeners", number)
            _claim(listener.listen, (*place, "listen"), taken, said)
            if listener.tls is not None:
                _check_tls(listener.tls.certificate, listener.tls.key, (*place, "tls"), said)
                _check_clients(listener.tls, (*place, "tls"), said)
            for at_place, network in enumerate(listener.proxy_from):
                if network.prefixlen == 0:
                    said.warning(
                        (*place, "proxy_from", at_place), "anybody may say that he is somebody else; name the balancers"
                    )
        if tables.smpp.enquire_link_after >= tables.smpp.inactivity_timeout:
            said.warning(
                ("smpp", "enquire_link_after"),
                "not shorter than inactivity_timeout: quiet clients are closed before they are asked",
            )
        if 0 < tables.smpp.session_init_timeout <= tables.smpp.bind_delay_max:
            said.warning(
                ("smpp", "bind_delay_max"),
                "not shorter than session_init_timeout: a bind that waits is closed before it is answered",
            )
    if tables.http is not None and tables.http.listen is not None:
        _claim(tables.http.listen, ("http", "listen"), taken, said)


def _claim(listen: str, place: Place, taken: dict[tuple[str, int], Place], said: Said) -> None:
    host, port = address(listen)
    other = taken.setdefault((host, port), place)
    if other != place and port:
        where = spot(other, Config)
        said.mistake(place, f"already taken by {where.table} {where.key}")


def _check_tls(certificate: Path, key: Path, place: Place, said: Said) -> None:
    readable = True
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            files.read(path)
        except OSError as error:
            said.mistake((*place, name), files.why(error))
            readable = False
    if not readable:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        said.mistake((*place, "certificate"), f"certificate and key do not load together: {reason}")
    if readable_by_others(key):
        said.warning((*place, "key"), f"others may read it; run: chmod 600 {key}")
    _check_ends(certificate, (*place, "certificate"), said)


def _check_clients(tls: Tls, place: Place, said: Said) -> None:
    """Certificates of clients: who signs them, and whether anybody asks for them."""
    authorities = tls.clients_ca
    if authorities is None:
        if tls.clients != "none":
            said.mistake((*place, "clients"), "nobody says who signs them: expected clients_ca")
        return
    place = (*place, "clients_ca")
    if tls.clients == "none":
        said.warning(place, 'not used: clients is "none", so no client is asked for a certificate')
    try:
        files.read(authorities)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(authorities)
    except ssl.SSLError:
        said.mistake(place, "expected certificates in PEM form")
    except OSError as error:
        said.mistake(place, files.why(error))
    else:
        _check_ends(authorities, place, said)


def _check_ends(file: Path, place: Place, said: Said) -> None:
    """A certificate that ends soon is worth a line; one that has ended is not a mistake, or nothing would start."""
    try:
        end = min(ends(file), default=None)
    except (OSError, ValueError):
        # It was loaded, so it is good; what cannot be told is only its end.
        return
    now = datetime.now(UTC)
    if end is not None and end <= now + _RENEWED_BEFORE:
        said.warning(place, f"{'ended' if end <= now else 'ends'} on {end:%Y-%m-%d}; renew it")


#: Whatever renews certificates by itself does so weeks before.
_RENEWED_BEFORE = timedelta(days=14)


def _no_passphrase() -> str:
    raise ValueError("the key asks for a passphrase; expected one without")


# [accounts] ----------------------------------------------------------------------------------------------------------


def check_accounts(tables: Tables, opened: Opened, said: Said) -> None:
    owners: dict[str, str] = {}
    in_file = opened.values.get("accounts")
    if in_file == {}:
        said.warning(("accounts",), "there is no account: nobody can bind")
    for name, table in in_file.items() if isinstance(in_file, dict) else ():
        if isinstance(table, dict):
            _check_name(name, table.get("system_id") or name, owners, said)
            _check_password(name, table, tables.accounts.get(name), said)
    for name, account in tables.accounts.items():
        place = ("accounts", name)
        if not (name and name.isprintable()):
            said.mistake(place, "expected a name of printable characters: it stands in the log and in metrics")
        if not account.allowed_networks:
            said.warning((*place, "allowed_networks"), "nobody may bind from anywhere")
        for number, network in enumerate(account.allowed_networks):
            if network.prefixlen == 0:
                said.warning(
                    (*place, "allowed_networks", number),
                    "the whole internet may try passwords of 8 characters; name the networks of the client",
                )
        if not account.bind_types:
            said.mistake((*place, "bind_types"), "it could not bind in any way; expected at least one")
        if account.default_validity > account.max_validity:
            said.mistake((*place, "default_validity"), "longer than max_validity")
        for number, err in enumerate(account.alert_errors):
            if not 0 <= err <= 999:
                said.mistake((*place, "alert_errors", number), "expected what a receipt may say, 0 to 999")
        for key, why in _SOME_TIME.items():
            if not getattr(account, key):
                said.mistake((*place, key), f"{why}; expected more than 0 seconds")
        _check_status("duplicate_status", account.duplicate_status, place, said)
        _check_status("flood_status", account.flood_status, place, said)
        _check_limits(account, place, said)
        _check_certificates(name, account, tables, said)
        if not account.dialect.receipt_tlvs and not re.search(r"\{stat[e}]", account.dialect.receipt_text):
            said.warning(
                (*place, "dialect", "receipt_text"),
                "neither {stat} nor {state}, and no TLVs: nobody could tell what became of a message",
            )
        if _FORGED.search(account.dialect.receipt_text):
            said.warning(
                (*place, "dialect", "receipt_text"),
                "what a client wrote stands before the id, the state or err and may look like them: put it last",
            )
        if account.handler is not None and account.handler.timeout == 0:
            said.mistake((*place, "handler", "timeout"), "expected more than 0 seconds")
        if account.outbind is not None:
            _check_outbind(account, account.outbind, (*place, "outbind"), said)


#: Clients take the first that fits.
_FORGED = re.compile(r"\{(text|source|destination)\}.*\{(id|stat|state|err)\}")

#: What nothing would come of without any time.
_SOME_TIME = {
    "default_validity": "every message would end as EXPIRED at once",
    "parts_timeout": "no long message would ever be whole",
    "receipts_for": "every receipt would be dropped",
}


def _check_outbind(account: AccountConfig, outbind: OutbindConfig, place: Place, said: Said) -> None:
    host, port = address(outbind.address)
    if port == 0:
        said.mistake((*place, "address"), "expected the port that the client listens on")
    # A name is looked up for each call; what it leads to is held to allowed_networks then.
    if plain(host) is not None and not within(plain(host), account.allowed_networks):
        said.mistake((*place, "address"), "not within allowed_networks: the client could not bind from there")
    if not {"receiver", "transceiver"} & set(account.bind_types):
        said.mistake(place, "bind_types lets it bind as transmitter only: nothing could be delivered")
    if account.client_certificates:
        said.mistake(place, "client_certificates asks for TLS, and a call is plain TCP")
    for key in ("system_id", "password"):
        if not (getattr(outbind, key).isascii() and getattr(outbind, key).isprintable()):
            said.mistake((*place, key), "expected printable ASCII characters")
    if outbind.retry < 1:
        said.mistake((*place, "retry"), "expected at least 1 second")


def _check_certificates(name: str, account: AccountConfig, tables: Tables, said: Said) -> None:
    place = ("accounts", name, "client_certificates")
    for number, wanted in enumerate(account.client_certificates):
        if wanted.startswith("sha256:"):
            if not _FINGERPRINT(wanted):
                said.mistake((*place, number), "expected 64 hexadecimal digits after sha256:")
        elif not wanted or "*" in wanted:
            said.mistake((*place, number), 'expected a whole name such as "gateway.example", or "sha256:…"')
    if account.client_certificates and tables.smpp is not None:
        asking = [one.tls for one in tables.smpp.listeners if one.tls is not None and one.tls.clients != "none"]
        if not asking:
            said.mistake(place, "it could not bind: no listener has tls that asks clients for a certificate")


_FINGERPRINT = re.compile(r"sha256:(?:[0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}").fullmatch


def _check_name(name: str, system_id: object, owners: dict[str, str], said: Said) -> None:
    if not isinstance(system_id, str):
        return
    place = ("accounts", name)
    other = owners.setdefault(system_id, name)
    if other != name:
        said.mistake(place, f'has the same system_id "{system_id}" as [{dotted(("accounts", other))}]')
    if name == system_id and len(name) > SYSTEM_ID_MAX:
        said.mistake(place, f"its name has more than the {SYSTEM_ID_MAX} characters of a system_id; set system_id")
    if not (system_id.isascii() and system_id.isprintable()):
        said.mistake(place, f'"{system_id}" is no system_id: expected printable ASCII characters; set system_id')


def _check_password(name: str, table: dict[str, Any], account: AccountConfig | None, said: Said) -> None:
    place = ("accounts", name)
    given = [key for key in _PASSWORDS if table.get(key) not in (None, "")]
    if not given:
        said.mistake(place, f"has no password: expected one of {', '.join(_PASSWORDS)}")
    elif len(given) > 1:
        said.mistake(place, f"has several passwords: {', '.join(given)}; keep one of them")
    elif account is not None and account.password != MASK and len(account.password) > PASSWORD_MAX:
        if account.dialect.cut_passwords:
            return
        said.warning(
            (*place, given[0]),
            f"longer than the {PASSWORD_MAX} characters of SMPP 3.4: many clients cut it and cannot bind",
        )
    elif account is not None and not account.password.isascii():
        said.warning((*place, given[0]), "not ASCII: what reaches us depends on the client's encoding")


_PASSWORDS = ("password", "password_file", "password_env", "password_hash")


def password_source(account: AccountConfig) -> tuple[str, Source] | None:
    """The key that says where the account's password is kept, if it is not in the file, and the place."""
    if account.password_file is not None:
        return "password_file", Source("file", str(account.password_file))
    if account.password_env:
        return "password_env", Source("env", account.password_env)
    return None


def _check_status(key: str, status: str, account: Place, said: Said) -> None:
    """What a message is refused with."""
    place = (*account, key)
    names = [member.name for member in CommandStatus if member is not CommandStatus.ESME_ROK]
    if status == CommandStatus.ESME_ROK.name:
        said.mistake(place, "the client would take the message for accepted")
    elif status not in names:
        said.mistake(
            place, f"expected the name of a command_status such as ESME_RSUBMITFAIL{did_you_mean(status, names)}"
        )
    elif status in ("ESME_RTHROTTLED", "ESME_RMSGQFUL"):
        said.warning(
            place, "a temporary status: clients such as Kannel send the same message again until it goes through"
        )


def _check_limits(account: AccountConfig, place: Place, said: Said) -> None:
    """Patterns that mean nothing, and limits that do nothing because another one is always met before."""
    _check_patterns(account.destinations, _NUMBERS, (*place, "destinations"), said)
    _check_patterns(account.senders, 'a sender such as "INFO", or its beginning "INF*"', (*place, "senders"), said)
    for key in ("destinations", "senders"):
        if "*" in getattr(account, key):
            said.warning((*place, key), "one of them matches everything: there is no limit")
    if account.burst and not account.throughput:
        said.warning((*place, "burst"), "does nothing without throughput")
    quotas = {key: getattr(account, key) for key in _QUOTAS if getattr(account, key)}
    for key, most in quotas.items():
        seconds = _QUOTAS[key]
        passes = (account.burst or max(1, account.throughput)) + account.throughput * seconds
        if account.throughput and passes <= most:
            said.warning((*place, key), f"never met: throughput lets {passes:.0f} messages pass in that time at most")
        for other, number in quotas.items():
            # How often the other one may be used up in the meantime.
            if other != key and number * math.ceil(seconds / _QUOTAS[other] + (seconds > _QUOTAS[other])) <= most:
                said.warning((*place, key), f"never met: {other} is {number}")
    if account.flood_messages and not account.flood_gap:
        said.warning((*place, "flood_gap"), "no gap is shorter: flood_messages does nothing")
    if account.kinds and not account.conventions and not account.kinds & _WITHOUT_CONVENTIONS:
        said.warning((*place, "kinds"), "without conventions every text is an SMS: all messages will be refused")


#: Quotas, and the seconds within which they count at most (`submission.limits`).
_QUOTAS = {"per_minute": 61, "per_hour": 3660, "per_day": 87840}
#: What a message can be where no text says what it is.
_WITHOUT_CONVENTIONS = {Kind.SMS, Kind.BINARY}


_NUMBERS = 'a number such as "7401", or its beginning "74*"'


def _check_patterns(patterns: tuple[str, ...], expected: str, place: Place, said: Said) -> None:
    for number, pattern in enumerate(patterns):
        if not pattern or " " in pattern or "*" in pattern[:-1]:
            said.mistake((*place, number), f"expected {expected}")


# [providers] ---------------------------------------------------------------------------------------------------------


def _check_authorities(path: Path, place: Place, said: Said) -> None:
    """The file that `verify` names, read as it will be read."""
    try:
        files.read(path)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        said.mistake((*place, "verify"), "expected certificates in PEM form")
    except FileNotFoundError:
        said.mistake((*place, "verify"), "there is no such file")
    except OSError as error:
        said.mistake((*place, "verify"), files.why(error))


def check_providers(tables: Tables, adapters: Adapters | None, said: Said) -> None:
    http = tables.http
    for name, provider in tables.providers.items():
        place = ("providers", name)
        if not (name and name.isprintable()) or "/" in name or name in (".", ".."):
            said.mistake(place, "expected a name of printable characters without /: it is a part of callback addresses")
        if isinstance(provider.verify, Path):
            _check_authorities(provider.verify, place, said)
        if provider.verify is False:
            said.warning((*place, "verify"), "anybody on the way can read and change what is sent")
        if provider.retry_first > provider.retry_max:
            said.mistake((*place, "retry_first"), "longer than retry_max")
        if provider.poll_first > provider.poll_max:
            said.mistake((*place, "poll_first"), "longer than poll_max")
        if provider.batch_wait > 1:
            said.mistake((*place, "batch_wait"), "expected at most 1 second")
        for key in ("timeout", "connect_timeout", "retry_first", "poll_first"):
            if getattr(provider, key) == 0:
                said.mistake((*place, key), "expected more than 0 seconds")
        token = provider.callback_token
        if token and http is not None and http.listen is None:
            said.warning((*place, "callback_token"), "[http] listen is switched off: nobody can call back")
        elif token and token != MASK and http is not None and len(token) < TOKEN_MIN:
            host, _ = address(http.listen or "localhost:0")
            if not is_loopback(host):
                said.warning((*place, "callback_token"), f"easy to guess: expected {TOKEN_MIN} characters or more")
        if token and "/" in token:
            said.mistake((*place, "callback_token"), "expected one segment of a path, without /")
        if adapters is not None:
            _check_adapter(name, provider, adapters, said)


def _check_adapter(name: str, provider: ProviderConfig, adapters: Adapters, said: Said) -> None:
    place = ("providers", name)
    try:
        adapter = adapters(provider.adapter)
    except Exception as error:
        # The class may be somebody else's: whatever it raises on import is for the operator to read.
        said.mistake((*place, "adapter"), str(error) or type(error).__name__)
        return
    if beyond := provider.kinds - adapter.kinds:
        names = ", ".join(sorted(kind.value for kind in beyond))
        said.mistake((*place, "kinds"), f"the adapter {provider.adapter} cannot carry {names}")
    if provider.when_in_doubt == "ask" and not adapter.ask_batch:
        said.mistake((*place, "when_in_doubt"), f"the adapter {provider.adapter} cannot be asked for a status")
    common = (*ProviderConfig.model_fields, *_kept_elsewhere(adapter.Settings))
    try:
        adapter.Settings.model_validate(provider.told(adapter.Settings))
    except ValidationError as error:
        said.errors(error, adapter.Settings, place, common)
    if adapter.Settings.model_config.get("extra", "ignore") == "ignore":
        known = [*adapter.Settings.model_fields, *common]
        known += [field.alias for field in adapter.Settings.model_fields.values() if field.alias]
        for key in provider.own:
            if key not in known:
                said.mistake((*place, key), f"unknown key{did_you_mean(key, known)}")


def _kept_elsewhere(settings: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """`KEY_file` and `KEY_env` of every secret KEY of an adapter → KEY and the kind of source."""
    return {
        f"{key}_{kind}": (key, kind)
        for key, field in settings.model_fields.items()
        if field.annotation in (SecretStr, SecretStr | None) and key not in ProviderConfig.model_fields
        for kind in ("file", "env")
    }


def provider_sources(provider: ProviderConfig, adapters: Adapters) -> dict[str, tuple[str, Source]]:
    """Keys of the table that say where a secret of the adapter is kept → the secret's own key, and the place."""
    try:
        elsewhere = _kept_elsewhere(adapters(provider.adapter).Settings)
    except Exception:
        # There is no such adapter: `check_providers` says so.
        return {}
    return {
        key: (elsewhere[key][0], Source(elsewhere[key][1], value))
        for key, value in provider.own.items()
        if key in elsewhere and isinstance(value, str)
    }


# [[routes]] ----------------------------------------------------------------------------------------------------------


def check_routes(tables: Tables, adapters: Adapters | None, said: Said) -> None:
    everything: int | None = None
    for number, route in tables.routes.items():
        place = ("routes", number)
        if route.account:
            _check_there("accounts", route.account, tables.account_names, (*place, "account"), said)
        _check_named(route.providers or (), tables, (*place, "providers"), said)
        if route.cascade is not None:
            _check_cascade(route.cascade, route.kinds, tables, adapters, (*place, "cascade"), said)
        for at_place, prefix in enumerate(route.destination):
            if not prefix or " " in prefix:
                said.mistake((*place, "destination", at_place), "expected the first digits of a number")
        if everything is not None:
            said.warning(place, f"never used: [[routes]] #{everything + 1} takes everything before it")
        elif not (route.account or route.kinds or route.destination or route.source):
            everything = number
        _check_kinds(number, route, tables, adapters, said)
    routed = {route.account for route in tables.routes.values()}
    if "" not in routed and len(tables.routes) > 0:
        for name in sorted(tables.account_names - routed):
            said.warning(("accounts", name), "no route takes its messages: every one of them will be refused")


def _check_named(names: tuple[str, ...], tables: Tables, place: Place, said: Said) -> None:
    for at_place, name in enumerate(names):
        if not _check_there("providers", name, tables.provider_names, (*place, at_place), said):
            continue
        if name in names[:at_place]:
            said.mistake((*place, at_place), "stands there twice")


def _check_cascade(
    legs: tuple[LegConfig, ...],
    kinds: frozenset[Kind],
    tables: Tables,
    adapters: Adapters | None,
    place: Place,
    said: Said,
) -> None:
    if not 2 <= len(legs) <= LEGS_MAX:
        said.mistake(place, f"expected 2 to {LEGS_MAX} legs, one after the other")
    for number, leg in enumerate(legs):
        here = (*place, number)
        _check_named(leg.providers, tables, (*here, "providers"), said)
        if number + 1 == len(legs):
            for key, value in (("wait", leg.wait), ("unknown", leg.unknown != "stop")):
                if value:
                    said.mistake((*here, key), "no other leg follows this one")
        elif not leg.wait:
            said.mistake((*here, "wait"), 'expected how long the leg lasts, such as "60s"')
        elif leg.unknown == "stop":
            for at_place, name in enumerate(leg.providers):
                provider = tables.providers.get(name)
                if provider is not None and not _tells(provider, adapters):
                    said.warning(
                        (*here, "providers", at_place), "tells no status: only what it refuses goes on from here"
                    )
        if not leg.kind:
            continue
        goes_as = Kind(leg.kind)
        for at_place, name in enumerate(leg.providers):
            provider = tables.providers.get(name)
            carried = _carried(provider, adapters) if provider is not None else None
            if carried is not None and goes_as not in carried:
                said.mistake((*here, "providers", at_place), f"cannot carry {goes_as.value}")
    if all(leg.kind for leg in legs):
        for kind in sorted(kinds - TEXTS.keys()):
            said.mistake((*place[:-1], "kinds"), f"none of its legs can take {kind.value}")


def _check_there(what: str, name: str, there: frozenset[str], place: Place, said: Said) -> bool:
    if name in there:
        return True
    said.mistake(place, f"there is no [{what}.{dotted([name])}]{did_you_mean(name, there)}")
    return False


def check_incoming(tables: Tables, said: Said) -> None:
    everything: int | None = None
    for number, route in tables.incoming.items():
        place = ("incoming", number)
        _check_there("accounts", route.account, tables.account_names, (*place, "account"), said)
        if route.provider:
            _check_there("providers", route.provider, tables.provider_names, (*place, "provider"), said)
        _check_patterns(route.destination, _NUMBERS, (*place, "destination"), said)
        for at_place, word in enumerate(route.prefix):
            if not word or len(word.split()) != 1:
                said.mistake((*place, "prefix", at_place), "expected one word, with which the text begins")
        if everything is not None:
            said.warning(place, f"never used: [[incoming]] #{everything + 1} takes everything before it")
        elif not (route.provider or route.destination or route.prefix):
            everything = number
        account = tables.accounts.get(route.account)
        if account is not None and account.bind_types and set(account.bind_types) == {"transmitter"}:
            said.warning((*place, "account"), "it may bind as transmitter only: nobody could take these messages")


def _check_kinds(number: int, route: Route, tables: Tables, adapters: Adapters | None, said: Said) -> None:
    """A kind that a route names and none of its providers carries would only ever be refused."""
    if route.cascade:
        return
    carried: set[Kind] = set()
    for name in route.providers or ():
        provider = tables.providers.get(name)
        kinds = _carried(provider, adapters) if provider is not None else None
        if kinds is None:
            return
        carried |= kinds
    for kind in sorted(route.kinds - carried):
        said.warning(("routes", number, "kinds"), f"none of its providers can carry {kind.value}")


def _tells(provider: ProviderConfig, adapters: Adapters | None) -> bool:
    """Whether a provider can tell what became of a message, as far as is known: when it is asked, or by callback."""
    if provider.callback_token or adapters is None:
        return True
    try:
        return adapters(provider.adapter).ask_batch > 0
    except Exception:
        # There is no such adapter: `check_providers` says so.
        return True


def _carried(provider: ProviderConfig, adapters: Adapters | None) -> frozenset[Kind] | None:
    """What a provider carries; None: not known."""
    if provider.kinds:
        return provider.kinds
    try:
        return adapters(provider.adapter).kinds if adapters is not None else None
    except Exception:
        # There is no such adapter: `check_providers` says so.
        return None


# [distribution_lists] ------------------------------------------------------------------------------------------------

#: 20 characters at most, because that is what destination_addr holds (SMPP 3.4 §4.5.1.1).
_NUMBER = re.compile(r"(?=.{3,20}\Z)\+?[0-9]{3,}\Z").match


def read_lists(tables: Tables, said: Said, *, sealed: bool) -> dict[str, DistributionListConfig]:
    """The lists with the numbers of their files, which `sealed` leaves unread."""
    lists = {}
    for name, table in tables.lists.items():
        place = ("distribution_lists", name)
        if not (0 < len(name) <= DL_NAME_MAX and name.isascii() and name.isprintable()):
            said.mistake(place, f"its name is no dl_name: expected 1 to {DL_NAME_MAX} printable ASCII characters")
        for number, account in enumerate(table.accounts):
            _check_there("accounts", account, tables.account_names, (*place, "accounts", number), said)
        for at_place, written in enumerate(table.numbers):
            if not _NUMBER(written):
                said.mistake((*place, "numbers", at_place), "expected 3 to 20 digits, with or without a plus")
        numbers = table.numbers
        unread = table.file is not None and sealed
        if table.file is not None and not sealed:
            found = _numbers_in(table.file, (*place, "file"), said)
            unread = found is None
            numbers += found or ()
        if not numbers and not unread:
            said.mistake(place, "there is no number in it")
        if len(set(map(bare, numbers))) > MAX_DESTINATIONS:
            said.mistake(place, f"has more than {MAX_DESTINATIONS} numbers: a SUBMIT_MULTI to it would be refused")
        lists[name] = table.model_copy(update={"numbers": numbers})
    return lists


def _numbers_in(file: Path, place: Place, said: Said) -> tuple[str, ...] | None:
    """None: it cannot be read."""
    try:
        # Editors of another system begin a file with a mark that nobody sees.
        lines = files.read(file).decode("utf-8-sig").splitlines()
    except OSError as error:
        said.mistake(place, files.why(error))
        return None
    except UnicodeDecodeError:
        said.mistake(place, "expected text in UTF-8")
        return None
    numbers = {line: text for line, all in enumerate(lines, 1) if (text := all.partition("#")[0].strip())}
    if wrong := [line for line, text in numbers.items() if not _NUMBER(text)]:
        others = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        said.mistake(place, f"line {wrong[0]} is no number: expected 3 to 20 digits, with or without a plus{others}")
    return tuple(numbers.values())
