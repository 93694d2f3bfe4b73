"""Who writes the configuration gets what it says and nothing beside it: no file, no code, no memory."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from threading import Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.config import check
from smppbridge.providers.http.templates import BadTemplate, Known, Mode, compile
from smppbridge.providers.registry import adapter_class

CONFIG = """
[smpp]
listeners = [{{ listen = "127.0.0.1:0"{tls} }}]
[accounts.{account}]
system_id = "demo"
{password}
allowed_networks = ["127.0.0.0/8"]
[providers.{provider}]
adapter = "sandbox"
{more}
[[routes]]
providers = [{provider}]
{tables}
"""
NUL = r"a\u0000b"


def mistakes(folder: Path, **changed: str) -> list[str]:
    path = folder / "smppbridge.toml"
    words = {"tls": "", "account": "demo", "password": 'password = "demo"', "provider": '"s"', "more": "", "tables": ""}
    path.write_text(CONFIG.format(**{**words, **changed}))
    path.chmod(0o600)
    return [str(found) for found in check(path, adapter_class).mistakes]


def test_without_a_mistake_there_is_none(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"tls": f', tls = {{ certificate = "{NUL}", key = "{NUL}" }}'},
        {"tls": f', tls = {{ certificate = "c", key = "k", clients = "required", clients_ca = "{NUL}" }}'},
        {"password": f'password_file = "{NUL}"'},
        {"password": f'password = {{ file = "{NUL}" }}'},
        {"password": f'password = {{ env = "{NUL}" }}'},
        {"password": f'password = {{ credential = "{NUL}" }}'},
        {"more": f'verify = "{NUL}"'},
        {"more": f'proxy = "http://{NUL}:80"'},
        {"tables": f'[distribution_lists.l]\naccounts = ["demo"]\nfile = "{NUL}"'},
        {"tables": f'[store]\npath = "{NUL}"'},
        {"tables": f'[control]\nsocket = "{NUL}"'},
        {"tables": f'[http]\nlisten = "{NUL}:80"'},
        {"provider": f'"{NUL}"'},
        {"account": f'"{NUL}"'},
    ],
)
def test_a_nul_is_a_mistake_wherever_it_stands(tmp_path: Path, changed: dict[str, str]) -> None:
    found = mistakes(tmp_path, **changed)
    assert found
    assert all("without NUL" in one for one in found)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", r"a\nb", r"\u001b[2J", r"\u202e"])
def test_a_name_of_a_provider_is_a_part_of_an_address(tmp_path: Path, name: str) -> None:
    [found] = mistakes(tmp_path, provider=f'"{name}"')
    assert "expected a name of printable characters without /" in found


@pytest.mark.parametrize("name", ["", r"a\nb", r"\u001b[2J", r"\u202e"])
def test_a_name_of_an_account_does_nothing_in_a_log(tmp_path: Path, name: str) -> None:
    [found] = mistakes(tmp_path, account=f'"{name}"')
    assert "expected a name of printable characters" in found


def test_a_credential_is_none_of_the_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "other").write_text("for everybody")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    [found] = mistakes(tmp_path, password='password = { credential = "../other" }')
    assert "names a file somewhere else" in found


def test_a_file_without_end_is_no_secret(tmp_path: Path) -> None:
    endless = tmp_path / "secret"
    endless.touch(0o600)
    with endless.open("r+b") as file:
        file.truncate(1 << 40)
    [found] = mistakes(tmp_path, password=f'password = {{ file = "{endless}" }}')
    assert "that is no secret" in found


def test_a_pipe_or_a_device_is_no_secret_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    # Filled, so that who reads it all the same comes to an end and not this test to none.
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.write(pipe, b"s" * 100_000)
    for name in (tmp_path / "pipe", "/dev/null"):
        [found] = mistakes(tmp_path, password=f'password = {{ file = "{name}" }}')
        assert f"{name} is a pipe or a device: expected a regular file" in found
    os.close(pipe)


@pytest.mark.parametrize(
    "changed",
    [
        {"tls": ', tls = { certificate = "PIPE", key = "PIPE" }'},
        {"tls": ', tls = { certificate = "c", key = "k", clients = "required", clients_ca = "PIPE" }'},
        {"password": 'password_file = "PIPE"'},
        {"more": 'verify = "PIPE"'},
        {"tables": '[distribution_lists.l]\naccounts = ["demo"]\nfile = "PIPE"'},
    ],
)
def test_no_file_is_a_pipe_and_nobody_waits_for_one(tmp_path: Path, changed: dict[str, str]) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    # Somebody holds it open, and would go away in the end: who reads it all the same waits that long, and not for ever.
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    end = Timer(5, os.close, (pipe,))
    end.start()
    found = mistakes(tmp_path, **{name: text.replace("PIPE", str(tmp_path / "pipe")) for name, text in changed.items()})
    end.cancel()
    end.join()
    with suppress(OSError):
        os.close(pipe)
    assert any("is a pipe or a device: expected a regular file" in one for one in found)


# Templates -----------------------------------------------------------------------------------------------------------

KNOWN = Known(
    names=frozenset({"text", "to"}),
    tables={"secret": frozenset({"key"}), "settings": frozenset({"url"})},
    foreign=frozenset({"text", "to"}),
)
VALUES = {"text": "T" * 70, "to": "79991234567", "secret": {"key": "k"}, "settings": {"url": "u"}}


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ text.__class__.__mro__ }}",
        "{{ text['__class__'] }}",
        "{{ text|attr('__class__') }}",
        "{{ secret.__class__ }}",
        "{{ secret['__init__'] }}",
        "{{ secret.items }}",
        "{{ secret }}",
        "{{ secret[to] }}",
        "{{ secret['ke' ~ 'y'] }}",
        "{{ settings.password }}",
        "{{ self }}",
        "{{ config }}",
        "{{ request.environ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ namespace() }}",
        "{{ range(10**9) }}",
        "{{ text.format(text) }}",
        "{{ text.upper() }}",
        "{{ '%s' % text }}",
        "{{ '%999999999d'|format(1) }}",
        "{{ text * 1000000000 }}",
        "{{ 10 ** 1000000000 }}",
        "{{ [text] }}",
        "{{ {'a': text} }}",
        "{{ (text, to) }}",
        "{{ text|map('upper') }}",
        "{{ text|center(1000000000) }}",
        "{{ text|pprint }}",
        "{{ text|tojson }}",
        "{{ text is defined }}",
        "{{ text < to }}",
        "{{ text in to }}",
        "{% for a in text %}{{ a }}{% endfor %}",
        "{% set a = text %}{{ a }}",
        "{% macro m() %}{% endmacro %}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends 'x' %}",
        "{% block a %}{% endblock %}",
        "{% raw %}{{ text }}",
        "{% call text() %}{% endcall %}",
        "{% filter upper %}x{% endfilter %}",
        "{% with a = 1 %}{% endwith %}",
        "{{ text|hex|hex|hex|hex|hex|hex|hex|hex|hex }}",
        "{{ " + "(" * 10_000 + "text" + ")" * 10_000 + " }}",
        "{{ text" + "|upper" * 10_000 + " }}",
        "{{ 1" + "0" * 10_000 + " }}",
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_a_template_reaches_nothing_beside_its_variables(template: str, mode: Mode) -> None:
    with pytest.raises(BadTemplate):
        compile(template, mode, KNOWN)


@pytest.mark.parametrize(
    "template",
    [
        "{{ text|hex|hex|hex|hex|hex|hex|hex|hex }}",
        "{{ text|replace('T', text)|replace('T', text)|replace('T', text)|replace('T', text) }}",
        "{{ text|replace('T', 'TTTTTTTTTTTTTTTTTTTTTTTT')" + "|replace('T', 'TTTTTTTTTTTTTTTTTTTTTTTT')" * 7 + " }}",
        "{{ text|url|url|url|url|url|url|url|url }}",
        "{{ text|base64|base64|base64|base64|base64|base64|base64|base64 }}",
    ],
)
def test_a_template_makes_of_a_text_no_more_than_memory_takes(template: str) -> None:
    values = {**VALUES, "text": "T" * 2000}
    assert len(compile(template, Mode.PLAIN, KNOWN)(values)) <= 10_000_000


@given(st.text(max_size=30).map(lambda inner: "{{ " + inner + " }}") | st.text(max_size=60))
def test_whatever_a_template_says_it_is_rendered_or_refused(template: str) -> None:
    try:
        made = compile(template, Mode.PLAIN, KNOWN)
    except BadTemplate:
        return
    assert isinstance(made(VALUES), str)
    assert made.names <= {"text", "to", "secret.key", "settings.url"}


@given(st.text())
def test_what_a_client_writes_stays_within_its_place(text: str) -> None:
    """In a path, in XML and in a header."""
    values = {**VALUES, "text": text}
    path = compile("/a/{{ text }}/b?c={{ text }}", Mode.URL, KNOWN)(values)
    assert path.isascii()
    assert path.isprintable()
    assert not set(" #&\\") & set(path)
    assert path.count("/") == 3
    assert path.count("?") == 1
    assert ".." not in path.split("/")
    xml = compile("<a b='{{ text }}'>{{ text }}</a>", Mode.XML, KNOWN)(values)
    assert xml.count("<") == 2
    assert xml.count("'") == 2
    header = compile("{{ text|url }}", Mode.HEADER, KNOWN)(values)
    assert header.isascii()
    assert header.isprintable()
    with pytest.raises(BadTemplate, match="may hold what cannot stand in a header"):
        compile("Bearer {{ text|upper }}", Mode.HEADER, KNOWN)
