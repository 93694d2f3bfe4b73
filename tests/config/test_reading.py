# ruff: noqa: E501 - a row of the tables below is one mistake and what is said of it
"""Every mistake in a file is named: file, table, key, what was found, what was expected."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, model_validator

from smppbridge import config
from smppbridge.model import Kind

WHOLE = """
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[providers.sandbox]
adapter = "sandbox"

[[routes]]
providers = ["sandbox"]
"""


class Sandbox:
    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        late: config.Seconds = 5

    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    ask_batch: ClassVar[int] = 0


class Paid:
    class Settings(BaseModel):
        login: str
        psw: SecretStr

    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.SMS, Kind.HLR})
    ask_batch: ClassVar[int] = 10


class Picky:
    class Settings(BaseModel):
        @model_validator(mode="after")
        def enough(self) -> Any:
            raise ValueError("expected login and password, or apikey")

    kinds: ClassVar[frozenset[Kind]] = frozenset(Kind)
    ask_batch: ClassVar[int] = 0


def adapters(name: str) -> type[Any]:
    known: dict[str, type[Any]] = {"sandbox": Sandbox, "paid": Paid, "picky": Picky}
    if name not in known:
        raise LookupError(f"there is no adapter {name}")
    return known[name]


def write(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def said(tmp_path: Path, text: str, mode: int = 0o600) -> tuple[list[str], list[str]]:
    """Mistakes and warnings, without the name of the file."""
    path = write(tmp_path, text, mode)
    checked = config.check(path, adapters)
    assert (checked.config is None) == bool(checked.mistakes)
    mistakes, warnings = ([str(one) for one in found] for found in (checked.mistakes, checked.warnings))
    assert all(line.startswith(str(path)) for line in mistakes + warnings)
    return [line.removeprefix(f"{path}: ") for line in mistakes], [line.removeprefix(f"{path}: ") for line in warnings]


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    assert said(tmp_path, WHOLE) == ([], [])
    settings = config.load(write(tmp_path, WHOLE), adapters)
    assert settings.smpp.listeners[0].listen == "127.0.0.1:2775"
    assert settings.accounts["demo"].password == "demo"
    assert settings.providers["sandbox"].adapter == "sandbox"


MISTAKES = [
    # text added to or replacing a part of the whole file, what is said
    ("[accounts.demo]", "[accounts.demo]\nthroughput = 'fast'", '[accounts.demo] throughput = "fast": expected a number of messages a second'),
    ("[accounts.demo]", "[accounts.demo]\nthroughput = true", "[accounts.demo] throughput = true: expected a number of messages a second"),
    ("[accounts.demo]", "[accounts.demo]\nthroughput = -1", "[accounts.demo] throughput = -1: expected a number of messages a second"),
    ("[accounts.demo]", "[accounts.demo]\nthroughput = nan", "[accounts.demo] throughput = nan: expected a number of messages a second"),
    ("[accounts.demo]", "[accounts.demo]\nmax_binds = 0", "[accounts.demo] max_binds = 0: expected a whole number of binds, 1 or more"),
    ("[accounts.demo]", "[accounts.demo]\nmax_binds = '5'", '[accounts.demo] max_binds = "5": expected a whole number of binds, 1 or more'),
    ("[accounts.demo]", "[accounts.demo]\nthruput = 5", '[accounts.demo] thruput = 5: unknown key; did you mean "throughput"?'),
    ("[accounts.demo]", "[accounts.demo]\nconventions = 'yes'", '[accounts.demo] conventions = "yes": expected true or false'),
    ("[accounts.demo]", "[accounts.demo]\nalphabet = 'gms'", '[accounts.demo] alphabet = "gms": expected one of "gsm", "iso"; did you mean "gsm"?'),
    ("[accounts.demo]", "[accounts.demo]\ntimezone = 'Mars/North'", '[accounts.demo] timezone = "Mars/North": expected the IANA name of a time zone such as "UTC" or "Europe/Kyiv"'),
    ("[accounts.demo]", "[accounts.demo]\nduplicate_window = '1 minute'", '[accounts.demo] duplicate_window = "1 minute": expected a duration such as "90s", "5m", "24h", "3d" or a number of seconds'),
    ("[accounts.demo]", "[accounts.demo]\nduplicate_status = 'ESME_RSUBMITFAI'", '[accounts.demo] duplicate_status = "ESME_RSUBMITFAI": expected the name of a command_status such as ESME_RSUBMITFAIL; did you mean "ESME_RSUBMITFAIL"?'),
    ("[accounts.demo]", "[accounts.demo]\nduplicate_status = 'ESME_ROK'", '[accounts.demo] duplicate_status = "ESME_ROK": the client would take the message for accepted'),
    ("[accounts.demo]", "[accounts.demo]\nflood_status = 'ESME_THROTTLED'", '[accounts.demo] flood_status = "ESME_THROTTLED": expected the name of a command_status such as ESME_RSUBMITFAIL; did you mean "ESME_RTHROTTLED"?'),
    ("[accounts.demo]", "[accounts.demo]\nper_minute = -1", "[accounts.demo] per_minute = -1: expected a whole number of messages"),
    ("[accounts.demo]", "[accounts.demo]\ndestinations = ['380*', '7*9']", '[accounts.demo] destinations (item 2) = "7*9": expected a number such as "7401", or its beginning "74*"'),
    ("[accounts.demo]", "[accounts.demo]\nsenders = ['']", '[accounts.demo] senders (item 1) = "": expected a sender such as "INFO", or its beginning "INF*"'),
    ("[accounts.demo]", "[accounts.demo]\nparts_receipts = 'frist'", '[accounts.demo] parts_receipts = "frist": expected one of "asked", "all", "first", "last"; did you mean "first"?'),
    ("[accounts.demo]", "[accounts.demo]\ndefault_validity = '8d'", '[accounts.demo] default_validity = "8d": longer than max_validity'),
    ("[accounts.demo]", "[accounts.demo]\nhandler = { url = 'handler.example' }", "[accounts.demo.handler] url = ***: expected an address that begins with http:// or https://"),
    ("[accounts.demo]", "[accounts.demo]\nhandler = { secret = 'x' }", "[accounts.demo.handler] url is missing: expected a text"),
    ("[accounts.demo]", "[accounts.demo]\nhandler = 'http://x'", '[accounts.demo] handler = "http://x": expected a table'),
    ("[accounts.demo]", "[accounts.this_name_is_too_long]", "[accounts.this_name_is_too_long]: its name has more than the 15 characters of a system_id; set system_id"),
    ("[accounts.demo]", "[accounts.'дéмо']", '[accounts."дéмо"]: "дéмо" is no system_id: expected printable ASCII characters; set system_id'),
    ("[accounts.demo]", "[accounts.demo]\nsystem_id = 'a_system_id_too_long'", '[accounts.demo] system_id = "a_system_id_too_long": expected a text of at most 15 characters'),
    ("password = \"demo\"", "", "[accounts.demo]: has no password: expected one of password, password_file, password_env, password_hash"),
    ("password = \"demo\"", "password = ''", "[accounts.demo]: has no password: expected one of password, password_file, password_env, password_hash"),
    ("password = \"demo\"", "password = 5", "[accounts.demo] password = ***: expected a text"),
    ("password = \"demo\"", "password = 'a'\npassword_env = 'B'\npassword_hash='c'", "[accounts.demo]: has several passwords: password, password_env, password_hash; keep one of them"),
    ("password = \"demo\"", "password_env = 'SMPPBRIDGE_NOT_SET'", '[accounts.demo] password_env = "SMPPBRIDGE_NOT_SET": the environment variable SMPPBRIDGE_NOT_SET is not set'),
    ("password = \"demo\"", "password_file = '/not/there'", '[accounts.demo] password_file = "/not/there": /not/there cannot be read: No such file or directory'),
    ("password = \"demo\"", "password = { env = 'SMPPBRIDGE_NOT_SET' }", '[accounts.demo] password = { env = "SMPPBRIDGE_NOT_SET" }: the environment variable SMPPBRIDGE_NOT_SET is not set'),
    ("password = \"demo\"", "password = { credential = 'demo' }", '[accounts.demo] password = { credential = "demo" }: needs LoadCredential=demo:… in the systemd unit ($CREDENTIALS_DIRECTORY is not set)'),
    ('["127.0.0.0/8"]', "'127.0.0.0/8'", '[accounts.demo] allowed_networks = "127.0.0.0/8": expected a list, each of them a network such as "10.0.0.0/8"'),
    ('["127.0.0.0/8"]', "['127.0.0.1/8']", '[accounts.demo] allowed_networks (item 1) = "127.0.0.1/8": expected a network, this is an address within one; did you mean "127.0.0.0/8"?'),
    ('["127.0.0.0/8"]', "['::1', 'office']", '[accounts.demo] allowed_networks (item 2) = "office": expected a network such as "10.0.0.0/8"'),
    ('["127.0.0.0/8"]', "[5]", '[accounts.demo] allowed_networks (item 1) = 5: expected a network such as "10.0.0.0/8"'),
    ('allowed_networks = ["127.0.0.0/8"]', "", '[accounts.demo] allowed_networks is missing: expected a list, each of them a network such as "10.0.0.0/8"'),
    ("[accounts.demo]", "[account.demo]", "[accounts.NAME] is missing: expected at least one"),
    ("[accounts.demo]", "[account.demo]", '[account]: unknown table; did you mean "accounts"?'),
    ("[[routes]]\nproviders = [\"sandbox\"]", "", "[[routes]] is missing: expected at least one"),
    ("[accounts.demo]", "[smpp]\nlisteners = []\n[accounts.demo]", "[smpp] listeners = []: expected at least one listener"),
    ("[accounts.demo]", "[smpp]\nwindow = 0\n[accounts.demo]", "[smpp] window = 0: expected a whole number of DELIVER_SM from 1 to 10000"),
    ("[accounts.demo]", "[[smpp.listeners]]\nlisten = '127.0.0.1'\n[accounts.demo]", '[[smpp.listeners]] #1 listen = "127.0.0.1": expected an address and a port such as "127.0.0.1:2775" or "[::1]:2775"'),
    ("[accounts.demo]", "[[smpp.listeners]]\nlisten = '127.0.0.1:8080'\n[accounts.demo]", '[http] listen: already taken by [[smpp.listeners]] #1 listen'),
    ("[accounts.demo]", "[[smpp.listeners]]\n[[smpp.listeners]]\ntls.key = 'k'\n[accounts.demo]", "[[smpp.listeners]] #2 tls.certificate is missing: expected the path of a file"),
    ("[accounts.demo]", "[http]\nlisten = false\n[accounts.demo]", "[http] listen = false: expected a text"),
    ("[accounts.demo]", "[http]\npublic_url = 'sms.example'\n[accounts.demo]", '[http] public_url = "sms.example": expected an address that begins with http:// or https://'),
    ("[accounts.demo]", "[store]\nengine = 'postgres'\n[accounts.demo]", '[store] engine = "postgres": expected one of "sqlite", "memory"'),
    ("[accounts.demo]", "[store]\nnode = 256\n[accounts.demo]", "[store] node = 256: expected a whole number from 0 to 255"),
    ("[accounts.demo]", "[log]\nmessage_lines = '200'\n[accounts.demo]", '[log] message_lines = "200": expected a whole number of lines a second'),
    ("[accounts.demo]", "[log]\nlevel = 'warn'\n[accounts.demo]", '[log] level = "warn": expected one of "debug", "info", "warning", "error"; did you mean "warning"?'),
    ("[providers.sandbox]", "[[providers]]", "[[providers]]: expected a table for every name"),
    ('adapter = "sandbox"', 'adapter = "sandbax"', '[providers.sandbox] adapter = "sandbax": there is no adapter sandbax'),
    ('adapter = "sandbox"', "", "[providers.sandbox] adapter is missing: expected a text"),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nlate = "soon"', '[providers.sandbox] late = "soon": expected a duration such as "90s", "5m", "24h", "3d" or a number of seconds'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\ntimeuot = "3s"', '[providers.sandbox] timeuot = "3s": unknown key; did you mean "timeout"?'),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npws = "hidden"', '[providers.sandbox] pws = "hidden": unknown key; did you mean "psw"?'),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"', "[providers.sandbox] psw is missing: expected a text"),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npsw = 5', "[providers.sandbox] psw = ***: expected a text"),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npsw_file = "/not/there"', '[providers.sandbox] psw_file = "/not/there": /not/there cannot be read: No such file or directory'),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npsw = "a"\npsw_env = "PATH"', '[providers.sandbox] psw_env = "PATH": stands beside psw: keep one of them'),
    ('adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npsw = "p"\nkinds = ["sms", "viber"]', "[providers.sandbox] kinds = [\"sms\", \"viber\"]: the adapter paid cannot carry viber"),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nkinds = ["smss"]', '[providers.sandbox] kinds (item 1) = "smss": expected one of "sms", "binary", "mail", "call", "viber", "soc", "telegram", "bot", "hlr", "ping"; did you mean "sms"?'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nwhen_in_doubt = "ask"', '[providers.sandbox] when_in_doubt = "ask": the adapter sandbox cannot be asked for a status'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nverify = "/not/there"', '[providers.sandbox] verify = "/not/there": there is no such file'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nverify = "/etc/passwd"', '[providers.sandbox] verify = "/etc/passwd": expected certificates in PEM form'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nproxy = "proxy.example:3128"', "[providers.sandbox] proxy = ***: expected the address of a proxy such as http://proxy.example:3128"),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nretry_first = "1h"', '[providers.sandbox] retry_first = "1h": longer than retry_max'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\npoll_first = "1h"', '[providers.sandbox] poll_first = "1h": longer than poll_max'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\ntimeout = 0', "[providers.sandbox] timeout = 0: expected more than 0 seconds"),
    ('adapter = "sandbox"', 'adapter = "sandbox"\ncallback_token = "a/b"', "[providers.sandbox] callback_token = ***: expected one segment of a path, without /"),
    ('["sandbox"]', "['sandbax']", '[[routes]] #1 providers (item 1) = "sandbax": there is no [providers.sandbax]; did you mean "sandbox"?'),
    ('["sandbox"]', "['sandbox', 'sandbox']", '[[routes]] #1 providers (item 2) = "sandbox": stands there twice'),
    ('["sandbox"]', "[]", "[[routes]] #1 providers = []: expected a list of at least one, each of them a text"),
    ('providers = ["sandbox"]', "", "[[routes]] #1: expected either providers or a cascade"),
    ("[[routes]]", "[[routes]]\ncascade = [{ providers = ['sandbox'] }]", "[[routes]] #1: expected either providers or a cascade"),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbox'] }]", "[[routes]] #1 cascade: expected 2 to 4 legs, one after the other"),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbox'] }, { providers = ['sandbox'] }]", '[[routes (item 1).cascade]] #1 wait: expected how long the leg lasts, such as "60s"'),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbox'], wait = '5s' }, { providers = ['sandbox'], wait = '5s' }]", '[[routes (item 1).cascade]] #2 wait = "5s": no other leg follows this one'),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbox'], wait = '5s' }, { providers = ['sandbox'], unknown = 'next' }]", '[[routes (item 1).cascade]] #2 unknown = "next": no other leg follows this one'),
    ('providers = ["sandbox"]', "cascade = [{ kind = 'mail', providers = ['sandbox'], wait = '5s' }, { providers = ['sandbox'] }]", '[[routes (item 1).cascade]] #1 kind = "mail": expected one of "sms", "viber", "soc"'),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbax'], wait = '5s' }, { providers = ['sandbox'] }]", '[[routes (item 1).cascade]] #1 providers (item 1) = "sandbax": there is no [providers.sandbax]; did you mean "sandbox"?'),
    ('adapter = "sandbox"\n\n[[routes]]\nproviders = ["sandbox"]', 'adapter = "sandbox"\nkinds = ["sms"]\n\n[[routes]]\ncascade = [{ kind = "viber", providers = ["sandbox"], wait = "5s" }, { providers = ["sandbox"] }]', '[[routes (item 1).cascade]] #1 providers (item 1) = "sandbox": cannot carry viber'),
    ('providers = ["sandbox"]', "kinds = ['mail']\ncascade = [{ kind = 'viber', providers = ['sandbox'], wait = '5s' }, { kind = 'sms', providers = ['sandbox'] }]", '[[routes]] #1 kinds = ["mail"]: none of its legs can take mail'),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nbatch_wait = "2s"', '[providers.sandbox] batch_wait = "2s": expected at most 1 second'),
    ("[[routes]]", "[[routes]]\naccount = 'dem'", '[[routes]] #1 account = "dem": there is no [accounts.dem]; did you mean "demo"?'),
    ("[[routes]]", "[[routes]]\ndestination = ['']", '[[routes]] #1 destination (item 1) = "": expected the first digits of a number'),
    ("[[routes]]", "[[incoming]]\naccount = 'dem'\n[[routes]]", '[[incoming]] #1 account = "dem": there is no [accounts.dem]; did you mean "demo"?'),
    ("[[routes]]", "[[incoming]]\naccount = 'demo'\nprovider = 'sms'\n[[routes]]", '[[incoming]] #1 provider = "sms": there is no [providers.sms]'),
    ("[[routes]]", "[[incoming]]\n[[routes]]", '[[incoming]] #1 account is missing: expected a text'),
    ("[[routes]]", "[[incoming]]\naccount = 'demo'\ndestination = ['7*1']\n[[routes]]", '[[incoming]] #1 destination (item 1) = "7*1": expected a number such as "7401", or its beginning "74*"'),
    ("[[routes]]", "[[incoming]]\naccount = 'demo'\nprefix = ['two words']\n[[routes]]", '[[incoming]] #1 prefix (item 1) = "two words": expected one word, with which the text begins'),
    ("[accounts.demo]", "[accounts.demo]\ndefault_validity = 0", "[accounts.demo] default_validity = 0: every message would end as EXPIRED at once; expected more than 0 seconds"),
    ("[accounts.demo]", "[accounts.demo]\nparts_timeout = '0s'", '[accounts.demo] parts_timeout = "0s": no long message would ever be whole; expected more than 0 seconds'),
    ("[accounts.demo]", "[accounts.demo]\nreceipts_for = 0", "[accounts.demo] receipts_for = 0: every receipt would be dropped; expected more than 0 seconds"),
    ("[accounts.demo]", "[accounts.demo]\nalert_errors = [6, 1000]", "[accounts.demo] alert_errors (item 2) = 1000: expected what a receipt may say, 0 to 999"),
    ("[accounts.demo]", "[accounts.demo]\nbind_types = []", "[accounts.demo] bind_types = []: it could not bind in any way; expected at least one"),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '127.0.0.1'\n[[routes]]", '[accounts.demo.outbind] address = "127.0.0.1": expected an address and a port such as "127.0.0.1:2775" or "[::1]:2775"'),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '127.0.0.1:0'\n[[routes]]", '[accounts.demo.outbind] address = "127.0.0.1:0": expected the port that the client listens on'),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '192.0.2.1:2775'\n[[routes]]", '[accounts.demo.outbind] address = "192.0.2.1:2775": not within allowed_networks: the client could not bind from there'),
    ('password = "demo"', "password = 'demo'\nbind_types = ['transmitter']\noutbind = { address = 'client.example:2775' }", "[accounts.demo.outbind]: bind_types lets it bind as transmitter only: nothing could be delivered"),
    ('password = "demo"', "password = 'demo'\nclient_certificates = ['a']\noutbind = { address = '127.0.0.1:1' }", "[accounts.demo.outbind]: client_certificates asks for TLS, and a call is plain TCP"),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '127.0.0.1:1'\npassword = 'пароль'\n[[routes]]", "[accounts.demo.outbind] password = ***: expected printable ASCII characters"),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '127.0.0.1:1'\npassword = 'ninechars'\n[[routes]]", "[accounts.demo.outbind] password = ***: expected a text of at most 8 characters"),
    ("[[routes]]", "[accounts.demo.outbind]\naddress = '127.0.0.1:1'\nretry = '10ms'\n[[routes]]", '[accounts.demo.outbind] retry = "10ms": expected at least 1 second'),
    ('password = "demo"', "password_hash = 'S3CRET'", "[accounts.demo] password_hash = ***: expected scrypt$n$r$p$salt$hash, as `smppbridge hash-password` writes it"),
    ('adapter = "sandbox"', 'adapter = "picky"', "[providers.sandbox]: expected login and password, or apikey"),
    ("[accounts.demo]", "[accounts.demo]\npasswrod = 'x'", '[accounts.demo] passwrod = "x": unknown key; did you mean "password"?'),
]  # fmt: skip


@pytest.mark.parametrize(("where", "instead", "expected"), MISTAKES)
def test_a_mistake_is_named(tmp_path: Path, where: str, instead: str, expected: str) -> None:
    assert where in WHOLE
    mistakes, _ = said(tmp_path, WHOLE.replace(where, instead, 1))
    assert expected in mistakes
    assert len(mistakes) <= 3


WARNINGS = [
    ("password = \"demo\"", "password = 'ninechars'", "[accounts.demo] password = ***: longer than the 8 characters of SMPP 3.4: many clients cut it and cannot bind"),
    ("password = \"demo\"", "password = 'пароль'", "[accounts.demo] password = ***: not ASCII: what reaches us depends on the client's encoding"),
    ('["127.0.0.0/8"]', "['0.0.0.0/0']", '[accounts.demo] allowed_networks (item 1) = "0.0.0.0/0": the whole internet may try passwords of 8 characters; name the networks of the client'),
    ('["127.0.0.0/8"]', "[]", "[accounts.demo] allowed_networks = []: nobody may bind from anywhere"),
    ("[accounts.demo]", "[accounts.demo]\nduplicate_status = 'ESME_RTHROTTLED'", '[accounts.demo] duplicate_status = "ESME_RTHROTTLED": a temporary status: clients such as Kannel send the same message again until it goes through'),
    ("[accounts.demo]", "[accounts.demo]\nburst = 5", "[accounts.demo] burst = 5: does nothing without throughput"),
    ("[accounts.demo]", "[accounts.demo]\nthroughput = 1\nper_minute = 62", "[accounts.demo] per_minute = 62: never met: throughput lets 62 messages pass in that time at most"),
    ("[accounts.demo]", "[accounts.demo]\nper_minute = 60\nper_day = 60", "[accounts.demo] per_minute = 60: never met: per_day is 60"),
    ("[accounts.demo]", "[accounts.demo]\nper_minute = 2\nper_hour = 122", "[accounts.demo] per_hour = 122: never met: per_minute is 2"),
    ("[accounts.demo]", "[accounts.demo]\nper_hour = 60\nper_day = 50", "[accounts.demo] per_hour = 60: never met: per_day is 50"),
    ("[accounts.demo]", "[accounts.demo]\nflood_messages = 5\nflood_gap = 0", "[accounts.demo] flood_gap = 0: no gap is shorter: flood_messages does nothing"),
    ("[accounts.demo]", "[accounts.demo]\ndestinations = ['*']", '[accounts.demo] destinations = ["*"]: one of them matches everything: there is no limit'),
    ("[accounts.demo]", "[accounts.demo]\nkinds = ['viber']\nconventions = false", '[accounts.demo] kinds = ["viber"]: without conventions every text is an SMS: all messages will be refused'),
    ("[accounts.demo]", "[smpp]\ninactivity_timeout = 30\n[accounts.demo]", "[smpp] enquire_link_after: not shorter than inactivity_timeout: quiet clients are closed before they are asked"),
    ('adapter = "sandbox"', 'adapter = "sandbox"\nverify = false', "[providers.sandbox] verify = false: anybody on the way can read and change what is sent"),
    ('[providers.sandbox]', "[http]\nlisten = ''\n[providers.sandbox]\ncallback_token = 'aaaaaaaaaaaaaaaaaaaaaa'", "[providers.sandbox] callback_token = ***: [http] listen is switched off: nobody can call back"),
    ('[providers.sandbox]', "[http]\nlisten = '0.0.0.0:8080'\n[providers.sandbox]\ncallback_token = 'short'", "[providers.sandbox] callback_token = ***: easy to guess: expected 16 characters or more"),
    ("[[routes]]", "[[routes]]\nproviders = ['sandbox']\n[[routes]]\naccount = 'demo'", "[[routes]] #2: never used: [[routes]] #1 takes everything before it"),
    ("[[routes]]", "[[incoming]]\naccount = 'demo'\n[[incoming]]\naccount = 'demo'\nprefix = ['x']\n[[routes]]", "[[incoming]] #2: never used: [[incoming]] #1 takes everything before it"),
    ("[accounts.demo]", "[[incoming]]\naccount = 'demo'\n[accounts.demo]\nbind_types = ['transmitter']", '[[incoming]] #1 account = "demo": it may bind as transmitter only: nobody could take these messages'),
    ("[[routes]]", "[accounts.other]\npassword = 'x'\nallowed_networks = []\n[[routes]]\naccount = 'demo'", "[accounts.other]: no route takes its messages: every one of them will be refused"),
    ('providers = ["sandbox"]', "cascade = [{ providers = ['sandbox'], wait = '5s' }, { providers = ['sandbox'] }]", '[[routes (item 1).cascade]] #1 providers (item 1) = "sandbox": tells no status: only what it refuses goes on from here'),
    ('adapter = "sandbox"\n\n[[routes]]', 'adapter = "paid"\nlogin = "me"\npsw = "p"\n\n[[routes]]\nkinds = ["viber"]', '[[routes]] #1 kinds = ["viber"]: none of its providers can carry viber'),
]  # fmt: skip


@pytest.mark.parametrize(("where", "instead", "expected"), WARNINGS)
def test_a_warning_does_not_stop_anything(tmp_path: Path, where: str, instead: str, expected: str) -> None:
    assert where in WHOLE
    mistakes, warnings = said(tmp_path, WHOLE.replace(where, instead, 1))
    assert mistakes == []
    assert expected in warnings


def test_every_mistake_is_found_not_only_the_first(tmp_path: Path) -> None:
    mistakes, _ = said(
        tmp_path,
        """
        [log]
        level = "loud"
        [accounts.one]
        throughput = "fast"
        [accounts.two]
        system_id = "one"
        password = "x"
        allowed_networks = []
        [providers.sms]
        adapter = "none"
        [[routes]]
        account = "three"
        providers = ["smss"]
        """,
    )
    tables = [line.split("]")[0] for line in mistakes]
    assert {"[log", "[accounts.one", "[accounts.two", "[providers.sms", "[[routes"} <= set(tables)
    assert any('has the same system_id "one" as [accounts.one]' in line for line in mistakes)
    with pytest.raises(config.ConfigError) as raised:
        config.load(tmp_path / "gateway.toml", adapters)
    assert len(raised.value.mistakes) == len(mistakes)
    assert str(raised.value).count("\n") == len(mistakes) - 1


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        (b"[smpp]\nwindow = \n", ":2:10", "not TOML"),
        (b"[smpp]\nwindow = 5\nwindow = 6\n", ":3", "not TOML"),
        (b"[smpp\n", ":1", "not TOML"),
        (b"x = '''\n\n", ":3", "not TOML"),
        (b"# one\nx = '\xff'\n", ":2", "expected text in UTF-8"),
        (b"x = " + b"[" * 5000, "", "too deep"),
    ],
)
def test_broken_syntax_is_told_with_its_line(tmp_path: Path, text: bytes, where: str, what: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text)
    [mistake] = config.check(path).mistakes
    assert str(mistake).startswith(f"{path}{where}")
    assert what in str(mistake)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="cannot be read: No such file or directory"):
        config.load(tmp_path / "none.toml")


# Secrets -------------------------------------------------------------------------------------------------------------


def test_a_readable_file_must_not_hold_a_password(tmp_path: Path) -> None:
    text = WHOLE.replace("127.0.0.0/8", "10.0.0.0/8")
    mistakes, _ = said(tmp_path, text, 0o644)
    assert len(mistakes) == 1
    assert "[accounts.demo] password = ***: others may read" in mistakes[0]
    assert "chmod 600" in mistakes[0]
    assert said(tmp_path, text, 0o600)[0] == []


def test_a_readable_file_must_not_hold_what_we_say_to_a_client(tmp_path: Path) -> None:
    """The account's own password is no secret here, that of the call is."""
    text = WHOLE + "\n[accounts.demo.outbind]\naddress = '127.0.0.1:1'\npassword = 's3same'\n"
    mistakes, _ = said(tmp_path, text, 0o644)
    assert len(mistakes) == 1
    assert "[accounts.demo.outbind] password = ***: others may read" in mistakes[0]
    assert said(tmp_path, text, 0o600)[0] == []


def test_a_readable_file_must_not_hold_a_secret_of_a_provider(tmp_path: Path) -> None:
    text = WHOLE.replace(
        'adapter = "sandbox"', 'adapter = "paid"\nlogin = "me"\npsw = "p"\ncallback_token = "0123456789abcdef"'
    )
    mistakes, _ = said(tmp_path, text, 0o640)
    assert [line.split(" = ")[0] for line in mistakes] == [
        "[providers.sandbox] callback_token",
        "[providers.sandbox] psw",
    ]


def test_a_client_on_this_machine_is_a_warning_and_the_demo_account_is_none(tmp_path: Path) -> None:
    assert said(tmp_path, WHOLE, 0o644) == ([], [])
    mistakes, warnings = said(tmp_path, WHOLE.replace('"demo"', '"other"'), 0o644)
    assert mistakes == []
    assert "others may read" in warnings[0]


@pytest.mark.parametrize("kept", ["password_file = '{path}'", "password = {{ file = '{path}' }}"])
def test_a_password_from_a_file(tmp_path: Path, kept: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3same\n", encoding="utf-8")
    secret.chmod(0o600)
    text = WHOLE.replace('password = "demo"', kept.format(path=secret))
    assert config.load(write(tmp_path, text, 0o644)).accounts["demo"].password == "s3same"
    secret.chmod(0o640)
    mistakes, _ = said(tmp_path, text)
    assert f"{secret} holds a secret and others may read it; run: chmod 600 {secret}" in mistakes[0]
    secret.chmod(0o600)
    secret.write_text("\n", encoding="utf-8")
    assert "is empty" in said(tmp_path, text)[0][0]
    secret.write_bytes(b"\xff")
    assert "is not text in UTF-8" in said(tmp_path, text)[0][0]


@pytest.mark.parametrize("kept", ["password_env = 'BRIDGE_PW'", "password = { env = 'BRIDGE_PW' }"])
def test_a_password_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setenv("BRIDGE_PW", "s3same")
    text = WHOLE.replace('password = "demo"', kept)
    assert config.load(write(tmp_path, text)).accounts["demo"].password == "s3same"


def test_credentials_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "smsc").write_text("p-s-w\n", encoding="utf-8")
    # systemd hands credentials out with an access list, which shows as a readable group.
    (tmp_path / "smsc").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for kept in ("psw = { credential = 'smsc' }", "psw_file = '$CREDENTIALS_DIRECTORY/smsc'"):
        text = WHOLE.replace('adapter = "sandbox"', f"adapter = 'paid'\nlogin = 'me'\n{kept}")
        provider = config.load(write(tmp_path, text), adapters).providers["sandbox"]
        assert provider.own == {"login": "me", "psw": "p-s-w"}
        assert provider.adapter == "paid"


def test_sealed_reads_no_secret(tmp_path: Path) -> None:
    text = WHOLE.replace('password = "demo"', 'password_env = "BRIDGE_NOT_SET"').replace(
        'adapter = "sandbox"', "adapter = 'paid'\nlogin = { file = '/not/there' }\npsw_file = '/not/there'"
    )
    checked = config.check(write(tmp_path, text, 0o644), adapters, sealed=True)
    assert checked.mistakes == ()
    assert checked.config is not None
    assert checked.config.accounts["demo"].password == config.MASK
    assert checked.config.providers["sandbox"].own == {"login": config.MASK, "psw": config.MASK}


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    text = WHOLE.replace(
        "[providers.sandbox]",
        "[accounts.demo.handler]\nurl = 'http://127.0.0.1/?key=S3CRET'\nsecret = 'S3CRET'\n[providers.sandbox]",
    )
    text = text.replace('password = "demo"', 'password = "S3CRET"')
    text = text.replace('"sandbox"\n\n', '"paid"\nlogin = "me"\npsw = "S3CRET"\ncallback_token = "S3CRET"\nproxy = "http://me:S3CRET@p"\n\n')  # fmt: skip
    settings = config.load(write(tmp_path, text), adapters)
    for one in (settings, settings.accounts["demo"], settings.providers["sandbox"]):
        assert "S3CRET" not in repr(one)
        assert "S3CRET" not in str(one)
    assert "adapter='paid'" in repr(settings)


def test_no_secret_shows_in_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_PW", "S3CRET, much longer than it may be")
    text = WHOLE.replace(
        'adapter = "sandbox"',
        "adapter = 'paid'\ncallback_token = ['S3CRET']\npsw = ['S3CRET']\nlogin = {env = 'BRIDGE_PW'}\napi_key = 'S3CRET'",
    ).replace(
        'password = "demo"', "password = { pw = 'S3CRET', other = {token = 'S3CRET'} }\nsystem_id = {env = 'BRIDGE_PW'}"
    )
    mistakes, warnings = said(tmp_path, text)
    assert len(mistakes) >= 4
    assert not any("S3CRET" in line for line in mistakes + warnings)


# TLS -----------------------------------------------------------------------------------------------------------------


def test_tls_files_must_exist_and_fit(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    text = f"[[smpp.listeners]]\ntls = {{ certificate = '{certificate}', key = '{key}' }}\n{WHOLE}"
    mistakes, _ = said(tmp_path, text)
    assert len(mistakes) == 2
    assert "[[smpp.listeners]] #1 tls.certificate" in mistakes[0]
    assert "cannot be read: No such file or directory" in mistakes[0]
    certificate.write_text("no certificate", encoding="utf-8")
    key.write_text("no key", encoding="utf-8")
    mistakes, warnings = said(tmp_path, text)
    assert "certificate and key do not load together" in mistakes[0]
    assert "others may read it" in warnings[0]


_CERTIFICATE = ("req", "-x509", "-newkey", "rsa:2048", "-days", "1", "-subj", "/CN=gateway.example")


def test_tls_key_with_a_passphrase_is_a_mistake_not_a_question(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    openssl = shutil.which("openssl") or pytest.skip("openssl makes the certificate")
    subprocess.run(
        [openssl, *_CERTIFICATE, "-passout", "pass:long-enough", "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    text = f"[[smpp.listeners]]\ntls = {{ certificate = '{certificate}', key = '{key}' }}\n{WHOLE}"
    mistakes, _ = said(tmp_path, text)
    assert "the key asks for a passphrase" in mistakes[0]


# One table -----------------------------------------------------------------------------------------------------------


def test_peek_reads_one_table_whatever_the_others_say(tmp_path: Path) -> None:
    path = write(tmp_path, "[store]\npath = '/var/lib/x.db'\n[accounts.demo]\nnonsense = 1\n")
    assert config.peek(path, "store", config.StoreConfig).path == Path("/var/lib/x.db")
    assert config.peek(path, "smpp", config.SmppConfig).listeners[0].listen == "127.0.0.1:2775"
    write(tmp_path, "[store]\nengine = 5\n")
    with pytest.raises(config.ConfigError, match=r"\[store\] engine = 5: expected one of"):
        config.peek(path, "store", config.StoreConfig)


@pytest.mark.parametrize(
    ("provider", "leg"),
    [
        ('adapter = "sandbox"\ncallback_token = "0123456789abcdef"', ""),
        ('adapter = "paid"\nlogin = "me"\npsw = "p"', ""),
        ('adapter = "sandbox"', ", unknown = 'next'"),
    ],
)
def test_a_leg_that_can_lead_on_is_no_warning(tmp_path: Path, provider: str, leg: str) -> None:
    legs = f"cascade = [{{ providers = ['sandbox'], wait = '5s'{leg} }}, {{ providers = ['sandbox'] }}]"
    text = WHOLE.replace('adapter = "sandbox"', provider).replace('providers = ["sandbox"]', legs)
    assert said(tmp_path, text) == ([], [])
