"""Mistakes in the description of an API are found by check-config, with table, key and a sentence that helps."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from smppbridge.cli.main import app
from smppbridge.config import Config, check, diff, load
from smppbridge.providers.http import RuledSettings, settings, templates, variables
from smppbridge.providers.registry import adapter_class

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "providers" / "http.md").read_text(encoding="utf-8")

HEAD = """
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[[routes]]
providers = ["acme"]
"""

GOOD = {
    "acme": """
        adapter = "http"
        kinds = ["sms"]
        secret = { token = { env = "ACME_TOKEN" } }
        callback_token = { env = "ACME_CALLBACK" }""",
    "acme.send": """
        url = "https://api.acme.example/v1/sms"
        headers = { authorization = "Bearer {{ secret.token }}" }
        json = { to = "{{ destination | digits }}", text = "{{ text }}" }""",
    "acme.answer": """
        id = "$.id" """,
}

CALLBACK = """
        ref = "$.id"
        state = "$.status" """
PROOF = """
        proof = { header = "x-sign", hmac = "sha256", key = "{{ secret.token }}" }"""
STATES = """
        delivered = "DELIVERED" """


@pytest.fixture
def mistakes(tmp_path, monkeypatch):
    """What check-config says of a description; each table may be replaced, and get more at its end."""
    monkeypatch.setenv("ACME_TOKEN", "hush hush hush")
    monkeypatch.setenv("ACME_CALLBACK", "0123456789abcdef")
    monkeypatch.chdir(tmp_path)

    def found(**tables: str) -> list[str]:
        told = dict(GOOD)
        for name, text in tables.items():
            name = f"acme.{name}" if name != "acme" else name
            told[name] = (told.get(name, "") + text) if text.startswith("\n") else text
        body = "\n".join(f"[providers.{name}]\n{text}" for name, text in told.items())
        path = Path("acme.toml")
        path.write_text(HEAD + body, encoding="utf-8")
        path.chmod(0o600)
        said = [str(mistake) for mistake in check(path, adapter_class).mistakes]
        assert not [one for one in said if "hush" in one]
        return [one.removeprefix("acme.toml: [providers.acme") for one in said]

    return found


def test_a_description_without_mistakes(mistakes):
    assert mistakes() == []
    assert mistakes(callback=CALLBACK + PROOF, states=STATES) == []


REFERENCE = """
        reference = "{{ id }}" """
BY_REFERENCE = 'success.where = { "$.ok" = true }'


@pytest.mark.parametrize(
    "tables",
    [
        {
            "acme": '\nwhen_in_doubt = "repeat"',
            "send": '\nquery = { key = "{{ id }}" }',
        },
        {
            "acme": REFERENCE + '\nwhen_in_doubt = "wait"',
            "answer": BY_REFERENCE, "callback": CALLBACK + PROOF, "states": STATES,
        },
        {
            "acme": REFERENCE + '\nwhen_in_doubt = "ask"',
            "answer": BY_REFERENCE,
            "status": 'url = "https://api.acme.example/{{ ref }}"',
            "status_answer": 'state = "$.s"\nnot_found = { where = { "$.error" = "unknown" } }',
            "states": STATES,
        },
    ],
    ids=["repeat", "wait", "ask"],
)  # fmt: skip
def test_what_happens_in_doubt_where_it_is_possible(mistakes, tables):
    assert mistakes(**tables) == []


SEND = 'url = "https://api.acme.example"\n'


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        # Templates
        (
            {"send": SEND + 'json = { to = "{{ destinaton }}" }'},
            '.send] json.to = "{{ destinaton }}": unknown variable "destinaton"; did you mean "destination"?',
        ),
        (
            {"send": SEND + 'json = { all = [{ to = "{{ to | limt(5) }}" }] }'},
            '.send] json.all (item 1).to = "{{ to | limt(5) }}": unknown filter "limt"; did you mean "limit"?',
        ),
        (
            {"send": SEND + 'form = { to = "{{ destination" }'},
            '.send] form.to = "{{ destination": not a template: unexpected end of template, expected '
            "'end of print statement'.",
        ),
        (
            {"send": SEND + "xml = '<m>{% for x in text %}{% endfor %}</m>'"},
            '.send] xml = "<m>{% for x in text %}{% endfor %}</m>": a loop is not possible in a template',
        ),
        (
            {"send": SEND + 'headers = { x-key = "{{ secret.tokn }}" }'},
            '.send] headers.x-key = "{{ secret.tokn }}": there is no "tokn" in the table secret; did you mean "token"?',
        ),
        (
            {"send": SEND + 'headers = { x-text = "{{ text }}" }'},
            '.send] headers.x-text = "{{ text }}": text may hold what cannot stand in a header: put it through url, '
            "base64, hex or digits",
        ),
        (
            {"send": SEND + 'headers = { x-text = "é" }'},
            '.send] headers.x-text = "é": a header is one line of ASCII characters',
        ),
        (
            {"send": SEND + 'query = { ref = "{{ ref }}" }'},
            '.send] query.ref = "{{ ref }}": unknown variable "ref"',
        ),
        (
            {"acme": '\ncallback_url = "https://me.example/{{ id }}"'},
            '] callback_url = ***: id is not known here: there is no single message that it could be of',
        ),
        # Requests
        (
            {"send": 'url = "https://{{ settings.host }}/"'},
            '.send] url = "https://{{ settings.host }}/": expected an address that begins with http:// or https:// and '
            "a host without templates",
        ),
        ({"send": 'method = "GET"'}, '.send] url is missing: expected a text'),
        (
            {"send": SEND + 'form = { a = "1" }\njson = { a = "1" }'},
            '.send] form = { a = "1" }: stands beside json: a request has one body',
        ),
        (
            {"send": SEND + 'method = "GET"\nform = { a = "1" }'},
            '.send] method = "GET": a GET has no body: say POST, or put what stands in form into query',
        ),
        (
            {"send": SEND + 'form = { a = { b = "1" } }'},
            '.send] form.a = { b = "1" }: expected a text, a number, true, false or a list of them',
        ),
        (
            {"send": 'url = "https://api.test/sms"\njson = { a = [{ login = { token = "hush hush hush" } }] }'},
            '.send] json.a (item 1).login.token = ***: looks like a secret: keep it in [providers.NAME.secret] and say '
            '"{{ secret.KEY }}" here; what is none may stand in [providers.NAME.settings]',
        ),
        (
            {"send": SEND + 'form = { password = "hush hush hush" }'},
            '.send] form.password = ***: looks like a secret: keep it in [providers.NAME.secret] and say '
            '"{{ secret.KEY }}" here; what is none may stand in [providers.NAME.settings]',
        ),
        ({"send": SEND + 'json = "{{ text }}"'}, '.send] json = "{{ text }}": expected a table or a list'),
        ({"send": SEND + 'charset = "utf-88"'}, '.send] charset = "utf-88": expected the name of a character set '
            'such as "utf-8" or "windows-1251"'),
        ({"send": SEND + 'jsno = { a = "1" }'}, '.send.jsno]: unknown table; did you mean "json"?'),
        ({"send": SEND + 'metod = "GET"'}, '.send] metod = "GET": unknown key; did you mean "method"?'),
        (
            {"send": SEND + 'xml = "<m>{{ text }} & more</m>"'},
            '.send] xml = "<m>{{ text }} & more</m>": what comes of it is no XML document',
        ),
        (
            {"send": SEND + 'headers = { Content-Length = "5" }'},
            ".send] headers.content-length: belongs to the connection, which sees to it",
        ),
        # Answers
        ({"answer": 'id = "id"'}, '.answer] id = "id": expected a path such as "$.messages[0].id"'),
        (
            {"answer": ""},
            '.answer] id is missing: expected the path of the provider\'s id, such as "$.id", or reference, if it '
            "knows messages by an id of ours",
        ),
        (
            {"answer": '\nerrors = [{ where = { "$.code" = 1 }, outcome = "refuse" }]'},
            '[[providers.acme.answer.errors]] #1 outcome = "refuse": expected one of "refused", "unable", '
            '"everything", "temporary", "doubt"; did you mean "refused"?',
        ),
        (
            {"answer": '\nerrors = [{ outcome = "refused" }]'},
            "[[providers.acme.answer.errors]] #1: fits every answer: expected status or where",
        ),
        (
            {"answer": '\nerrors = [{ status = ["4x"], outcome = "refused" }]'},
            '[[providers.acme.answer.errors]] #1 status (item 1) = "4x": expected an HTTP status such as 429, or "5xx" '
            "for all that begin with a 5",
        ),
        ({"acme": '\nreference = "m"'}, '] reference = "m": expected a template with id in it: a reference '
            "belongs to one message alone"),
        # States
        (
            {"answer": '\nstate = "$.status"'},
            "] states is missing: expected what the provider's words mean, such as delivered = \"DELIVERED\"",
        ),
        (
            {"states": 'delivered = "DELIVRD"'},
            '] states.delivered = "DELIVRD": expected one of "ENROUTE", "ACCEPTED", "DELIVERED", "EXPIRED", "DELETED", '
            '"UNDELIVERABLE", "REJECTED", "UNKNOWN"; did you mean "DELIVERED"?',
        ),
        ({"errs": "busy = 1000"}, "] errs.busy = 1000: expected a whole number from 0 to 999"),
        # Kinds and doubt
        (
            {"acme": 'adapter = "http"\nsecret = { token = "x" }'},
            '] kinds is missing: expected the kinds that the request is good for, such as ["sms"]',
        ),
        (
            {"acme": '\nwhen_in_doubt = "repeat"'},
            '] when_in_doubt = "repeat": send never says id, by which the provider could recognise a repetition: it '
            "would do it twice",
        ),
        ({"acme": '\nwhen_in_doubt = "ask"'}, '] when_in_doubt = "ask": there is no [status] to ask with'),
        (
            {"acme": '\nwhen_in_doubt = "wait"'},
            '] when_in_doubt = "wait": without reference nobody knows the provider\'s id of a message whose answer was '
            "lost",
        ),
        # Asking
        (
            {"status": 'url = "https://api.acme.example/{{ ref }}"'},
            "] status_answer is missing: expected what the answer to [status] means",
        ),
        (
            {
                "status": 'url = "https://api.acme.example/{{ ref }}"',
                "status_answer": 'state = "$.s"\nnot_found = { status = [404] }',
                "states": STATES,
            },
            ".status_answer.not_found]: an HTTP status alone may come from anything on the way, "
            "and the message is sent again: expected where",
        ),
        (
            {"balance": 'url = "https://api.acme.example/{{ id }}"\nvalue = []'},
            ".balance] value = []: expected a list of at least one, each of them a text",
        ),
        (
            {"balance": 'url = "https://api.acme.example/{{ id }}"\nvalue = "$.amount"'},
            '.balance] url = "https://api.acme.example/{{ id }}": id is not known here: there is no single message '
            "that it could be of",
        ),
        # Callbacks
        (
            {"callback": CALLBACK, "states": STATES},
            ".callback] proof is missing: expected the header that proves where a callback comes from, or "
            "unsigned = true to believe whoever knows the address",
        ),
        (
            {"callback": CALLBACK + '\nproof = { header = "x-sign", hmac = "sha256" }', "states": STATES},
            ".callback.proof] key is missing: expected the template of the key",
        ),
        (
            {"callback": CALLBACK + '\nproof = { header = "x-sign" }', "states": STATES},
            ".callback.proof]: expected equals, or hmac with key",
        ),
        (
            {"callback": CALLBACK + PROOF.replace("key =", 'over = ["urls"], key ='), "states": STATES},
            '.callback.proof] over (item 1) = "urls": expected "body", "url", "query", "sorted_form", "header:NAME" or '
            '"text:…"',
        ),
        (
            {"callback": CALLBACK + PROOF.replace("key =", 'over = ["url", "body"], key ='), "states": STATES},
            "] callback_url is missing: the signature covers the address that the provider was told",
        ),
        *(
            (
                {
                    "callback": f'{CALLBACK}\nformat = "{format}"' + PROOF.replace("key =", f"over = {over}, key ="),
                    "states": STATES,
                },
                f".callback.proof] over = {over}: the signature does not cover what is read: expected {needed} in it, "
                f'with format = "{format}"',
            )
            for format, over, needed in [
                ("query", '["body"]', '"query" or "url"'), ("query", '["text:x"]', '"query" or "url"'),
                ("query", "[]", '"query" or "url"'), ("form", '["query"]', '"body" or "sorted_form"'),
                ("json", '["sorted_form"]', '"body"'), ("xml", '["header:date"]', '"body"'), ("text", "[]", '"body"'),
            ]
        ),
        (
            {
                "acme": 'adapter = "http"\nkinds = ["sms"]\nsecret = { token = { env = "ACME_TOKEN" } }',
                "callback": CALLBACK + PROOF, "states": STATES,
            },
            "] callback_token is missing: nobody can call back without one",
        ),
        (
            {"incoming": 'when = {}\nref = "$.id"\nfrom = "$.from"\nto = "$.to"\ntext = "$.text"',
                "callback": CALLBACK + PROOF, "states": STATES},
            ".incoming.when] where is missing: expected what tells an incoming message from a state",
        ),
        # Several in a request
        (
            {"send": '\neach = "$.to"'},
            '.send] each = "$.to": expected the path of a list in json that has one item, the one for each message',
        ),
        (
            {"send": SEND + 'query = { to = "{{ id }}" }\njson = { all = [{ to = "{{ id }}" }] }\neach = "$.all"'},
            '.send] query.to = "{{ id }}": id is not known here: there is no single message that it could be of',
        ),
        (
            {
                "send": SEND + 'json = { all = [{ to = "{{ id }}" }] }\neach = "$.all"',
                "answer": 'id = "$.id"\neach = "$.all"',
            },
            ".answer] match is missing: expected the path of our reference in an item, or in_order = true if the "
            "provider promises the order of the messages",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(mistakes, tables, said):
    assert said in [one.removeprefix("acme.toml: ") for one in mistakes(**tables)]


def test_a_secret_in_a_file_that_others_read_is_found_in_its_table(tmp_path):
    path = tmp_path / "acme.toml"
    body = "\n".join(f"[providers.{name}]\n{text}" for name, text in GOOD.items())
    path.write_text(HEAD + body.replace('{ env = "ACME_TOKEN" }', '"hush"'), encoding="utf-8")
    path.chmod(0o644)
    said = [str(mistake) for mistake in check(path, adapter_class).mistakes]
    assert any(one.startswith(f"{path}: [providers.acme] secret.token = ***: others may read") for one in said)
    assert not [one for one in said if "hush" in one]


def test_secrets_of_inner_tables_are_hidden_everywhere(tmp_path):
    def loaded(token: str) -> Config:
        path = tmp_path / "acme.toml"
        body = "\n".join(f"[providers.{name}]\n{text}" for name, text in GOOD.items())
        told = body.replace("{ token = { env", "{ sid = 'plain sid', token = { env")
        told = told.replace('{ env = "ACME_TOKEN" }', f'"{token}"').replace('{ env = "ACME_CALLBACK" }', '"x"')
        path.write_text(HEAD + told, encoding="utf-8")
        path.chmod(0o600)
        return load(path, adapter_class)

    before, after = loaded("hush one"), loaded("hush two")
    assert {"hush one", "plain sid", "x"} <= set(before.secrets())
    assert diff(before, after) == ["[providers.acme.secret] token: changed"]
    assert "hush" not in repr(before)


# explain -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    secrets = {
        "TWILIO_AUTH_TOKEN": "tw-token-0123456789", "TWILIO_CALLBACK_TOKEN": "tw-callback-0123456789",
        "INFOBIP_API_KEY": "ib-key-0123456789", "INFOBIP_CALLBACK_TOKEN": "ib-callback-0123456789",
        "INFOBIP_WEBHOOK_PASSWORD": "ib-webhook-0123456789",
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    return secrets


@pytest.mark.parametrize("name", ["twilio", "infobip"])
def test_the_examples_hold(name, environment):
    checked = check(ROOT / "conf" / f"http-{name}.toml", adapter_class)
    assert (checked.mistakes, checked.warnings) == ((), ())


def explained(name: str) -> str:
    path = ROOT / "conf" / f"http-{name}.toml"
    result = CliRunner().invoke(app, ["explain", 'Привет "x" & y', "--config", str(path)], env={"COLUMNS": "500"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_explain_shows_the_very_request_of_twilio(environment):
    said = explained("twilio")
    for part in (
        "HTTP request to twilio POST https://api.twilio.com/2010-04-01/Accounts/AC",
        "authorization: ***",
        "which reads: To +79991234567 From Example Body Привет \"x\" & y ValidityPeriod 36000 StatusCallback "
        "https://sms.example.com/callback/twilio/***",
    ):  # fmt: skip
        assert part in said
    assert not [value for value in environment.values() if value in said]


def test_explain_shows_the_very_request_of_infobip(environment):
    said = explained("infobip")
    for part in (
        "POST https://example.api.infobip.com/sms/3/messages",
        "authorization: ***",
        '"destinations":[{"to":"79991234567","messageId":"',
        '"content":{"text":"Привет \\"x\\" & y"}',
        '{"amount":1440,"timeUnit":"MINUTES"},"flash":false}',
    ):
        assert part in said
    assert not [value for value in environment.values() if value in said]


# The page ------------------------------------------------------------------------------------------------------------


def rows(after: str) -> list[list[str]]:
    """The first table of the page after a sentence."""
    found = re.search(rf"^{re.escape(after)}.*?\n\n(\|.*?)\n\n", PAGE + "\n\n", re.MULTILINE | re.DOTALL)
    assert found, after
    lines = found[1].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize(
    ("after", "model"),
    [
        ("## Conditions", settings.Condition),
        ("## Requests", settings.Request),
        ("Of `send` alone:", settings.Send),
        ("Keys of `answer`, `status_answer` and `callback` alike:", settings.Reading),
        ("Of `answer` alone:", settings.Answer),
        ("Of `errors`, beside those of a condition:", settings.Error),
        ("Of `status_answer` alone:", settings.StatusAnswer),
        ("Keys of `balance`", settings.BalanceQuestion),
        ("Set the provider's callback", settings.CallbackTable),
        ("Of `callback.proof`", settings.Proof),
        ("Of `incoming`:", settings.IncomingTable),
    ],
)
def test_the_page_names_every_key_with_its_default(after, model):
    own = {name: model.model_fields[name] for name in model.__annotations__ if name in model.model_fields}
    told = {row[0].strip("`"): row for row in rows(after)}
    assert list(told) == [field.alias or name for name, field in own.items()]
    for name, field in own.items():
        _, default, meaning = told[field.alias or name]
        assert meaning
        if field.is_required():
            assert default == "required"
        elif field.default is None:
            assert default == "none"
        else:
            value: Any = tomllib.loads(f"value = {default.strip('`')}")["value"]
            assert plain(value) == plain(field.default), name


def plain(value: Any) -> Any:
    """As TOML has it."""
    match value:
        case settings.Table():
            return {key: plain(getattr(value, key)) for key in value.model_fields_set}
        case list() | tuple():
            return [plain(one) for one in value]
        case dict():
            return {key: plain(one) for key, one in value.items()}
    return value


def test_the_page_names_every_variable_and_every_filter():
    told = {row[0]: row[1] for row in rows("## Templates")}
    own = {f"`{name}`": meaning for name, meaning in variables.VARIABLES.items()}
    assert dict(list(told.items())[: len(own)]) == own
    filters = re.findall(r"^\| `(\w+)` \| `\{\{ text \\\| (\w+)", PAGE, re.MULTILINE)
    assert [name for name, _ in filters] == [name for _, name in filters]
    assert {name for name, _ in filters} == templates.FILTERS.keys() | templates.TYPES.keys()
    assert len(filters) == len(templates.FILTERS) + len(templates.TYPES)
    cleaning = re.search(r"leaves one line of ASCII of them: (.*?)\.\n", PAGE, re.DOTALL)
    assert cleaning
    assert set(re.findall(r"`(\w+)`", cleaning[1])) == templates.CLEANING
    assert f"at most {templates.LONGEST} characters" in PAGE


def test_the_tutorial_holds_and_the_mistakes_that_it_shows_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("acme.token", "acme.callback"):
        (tmp_path / name).write_text("0123456789abcdef\n", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    *tables, callback_token = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    told = HEAD + tables[0].replace("[providers.acme.send]", f"{callback_token}\n[providers.acme.send]")
    told = (told + "".join(tables[1:])).replace("/etc/smppbridge/", f"{tmp_path}/")
    conf = tmp_path / "conf"
    conf.mkdir()
    path = Path("conf/acme.toml")
    path.write_text(told, encoding="utf-8")
    checked = check(path, adapter_class)
    assert (checked.mistakes, checked.warnings) == ((), ())
    wrong = (
        ("{{ destination | digits }}", "{{ destinaton }}"),
        ('text = "{{ text }}"', 'text = "{{ text | limt(160) }}"'),
    )
    for right, mistaken in wrong:
        assert right in told
        told = told.replace(right, mistaken)
    path.write_text(told, encoding="utf-8")
    said = [str(mistake) for mistake in check(path, adapter_class).mistakes]
    # What stands in one value is found before templates are looked at.
    alone = told.replace('"DELIVERED"', '"DELIVRD"').replace('id = "$.id"\nerr', 'id = "id"\nerr')
    path.write_text(alone, encoding="utf-8")
    said += [str(mistake) for mistake in check(path, adapter_class).mistakes]
    shown = [line for line in PAGE.splitlines() if line.startswith("conf/acme.toml:")]
    assert sorted(said) == sorted(shown)
    assert len(shown) == 4


def test_the_settings_are_those_that_the_adapter_has():
    assert adapter_class("http").Settings is RuledSettings
