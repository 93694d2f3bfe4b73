"""Templates of the http adapter: what they can, and that they can do no harm."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from smppbridge.providers.http import templates, variables
from smppbridge.providers.http.samples import SAMPLES
from smppbridge.providers.http.templates import OMITTED, BadTemplate, Known, Mode

KNOWN = Known(
    names=frozenset(variables.VARIABLES),
    tables={"secret": frozenset({"token", "items"}), "settings": frozenset({"name"})},
    foreign=variables.FOREIGN,
)
TABLES = {"secret": {"token": "hush", "items": "not a method"}, "settings": {"name": "Acme"}}


def filled(source: str, mode: Mode = Mode.PLAIN, **values: str) -> str:
    template = templates.compile(source, mode, KNOWN)
    return template({**SAMPLES[0], **TABLES, **values})


def leaf(source: str, **values: str) -> Any:
    return templates.compile(source, Mode.PLAIN, KNOWN, leaf=True).value({**SAMPLES[0], **TABLES, **values})


def refused(source: str, mode: Mode = Mode.PLAIN) -> str:
    with pytest.raises(BadTemplate) as bad:
        templates.compile(source, mode, KNOWN)
    return str(bad.value)


# What they can -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "values", "expected"),
    [
        ("no template at all", {}, "no template at all"),
        ("{{ text }}", {"text": "Привет"}, "Привет"),
        ("{{ text }}", {"text": "{{ source }}"}, "{{ source }}"),
        ("{{ secret.token }}/{{ secret['token'] }}", {}, "hush/hush"),
        # A key wins over a method of Python's.
        ("{{ secret.items }}", {}, "not a method"),
        ("{{ settings.name ~ ':' ~ id }}", {"id": "7"}, "Acme:7"),
        ("{% if flash %}0{% else %}1{% endif %}", {"flash": "1"}, "0"),
        ("{{ 'unicode' if unicode else 'text' }}", {"unicode": ""}, "text"),
        ("{% if kind == 'viber' or kind == 'sms' %}yes{% endif %}", {"kind": "sms"}, "yes"),
        ("{{ (kind == 'sms') | lower }}", {"kind": "sms"}, "true"),
        ("{% if not report and kind != 'hlr' %}no{% endif %}", {"report": ""}, "no"),
        ("{# nobody sees this #}x", {}, "x"),
        ("line\n", {}, "line\n"),
    ],
)
def test_what_is_filled_in(source, values, expected):
    assert filled(source, **values) == expected


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("{{ text | digits }}", "+7 (999) 123-45-67", "79991234567"),
        ("{{ text | plus }}", "7 999 1234567", "+79991234567"),
        ("{{ text | plus }}", "+79991234567", "+79991234567"),
        ("{{ text | plus }}", "Shop 24", "Shop 24"),
        ("{{ text | plus }}", "", ""),
        ("{{ text | no_plus }}", "+79991234567", "79991234567"),
        ("{{ text | no_plus }}", "+Shop", "+Shop"),
        ("{{ text | limit(3) }}", "abcdef", "abc"),
        ("{{ text | default('none') }}", "", "none"),
        ("{{ text | default(settings.name) }}", "", "Acme"),
        ("{{ text | default('none') }}", "x", "x"),
        ("{{ text | replace('a', 'bb') }}", "aca", "bbcbb"),
        ("{{ text | replace('', 'bb') }}", "aca", "aca"),
        ("{{ text | trim | upper | lower }}", " aB ", "ab"),
        ("{{ text | at_least(60) }}", "7", "60"),
        # What Python strips and `int` does not.
        ("{{ text | at_least(60) }}", "\x1c70", "70"),
        ("{{ text | at_most(60) }}", "86400", "60"),
        ("{{ text | at_most(60) }}", "no number", "0"),
        ("{{ text | divided(60) }}", "61", "2"),
        ("{{ text | divided(0) }}", "61", "61"),
        ("{{ text | date }}", "1800000000", "2027-01-15T08:00:00Z"),
        ("{{ text | date('%d.%m.%y %H:%M') }}", "1800000000", "15.01.27 08:00"),
        ("{{ text | date }}", "9" * 18, ""),
        ("{{ text | url }}", "a b/&?é", "a%20b%2F%26%3F%C3%A9"),
        ("{{ text | hex }}", "é", "c3a9"),
        ("{{ text | base64 }}", "me:hush", "bWU6aHVzaA=="),
        # By md5sum, sha1sum, sha256sum and openssl dgst -hmac.
        ("{{ text | md5 }}", "abc", "900150983cd24fb0d6963f7d28e17f72"),
        ("{{ text | sha1 }}", "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("{{ text | sha256 | limit(8) }}", "abc", "ba7816bf"),
        # RFC 2202, test case 2 of HMAC-MD5; RFC 4231, test case 2.
        ("{{ text | hmac('md5', 'Jefe') }}", "what do ya want for nothing?", "750c783e6ab0b503eaa86e310a5db738"),
        ("{{ text | hmac('sha256', 'Jefe') | limit(16) }}", "what do ya want for nothing?", "5bdcc146bf60754e"),
        ("{{ text | hmac('md5', 'Jefe', 'base64') }}", "what do ya want for nothing?", "dQx4PmqwtQPqqG4xCl23OA=="),
    ],
)
def test_filters(source, value, expected):
    assert filled(source, text=value) == expected


@pytest.mark.parametrize(
    ("source", "value", "expected"),
    [
        ("{{ text }}", "5", "5"),
        ("{{ text | number }}", "5", 5),
        ("{{ text | at_most(3) | number }}", "5", 3),
        ("{{ text | number }}", "five", None),
        # The id of a message on the second leg of a cascade.
        ("{{ text | number }}", "1912160614749569024", 1912160614749569024),
        ("{{ text | number }}", "9" * 20, None),
        ("{{ text | boolean }}", "1", True),
        ("{{ text | boolean }}", "", False),
        ("{{ text | boolean }}", "perhaps", None),
        ("{{ text | optional }}", "x", "x"),
        ("{{ text | optional }}", "", OMITTED),
        ("{{ settings.name }}{{ text }}", "5", "Acme5"),
    ],
)
def test_types_of_whole_leaves(source, value, expected):
    found = leaf(source, text=value)
    assert (type(found), found) == (type(expected), expected)


# What they cannot ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ txet }}", 'unknown variable "txet"; did you mean "text"?'),
        ("{{ text | digit }}", 'unknown filter "digit"; did you mean "digits"?'),
        ("{{ secret.tokn }}", 'there is no "tokn" in the table secret; did you mean "token"?'),
        ("{{ secret }}", "secret is a table: expected a key of it, such as secret.key"),
        ("{{ text", "not a template: unexpected end of template, expected 'end of print statement'."),
        ("{% if text %}x", "not a template: Unexpected end of template. Jinja was looking for the following tags: "),
        ("{% for x in text %}{% endfor %}", "a loop is not possible in a template"),
        ("{{ text + source }}", "arithmetic (texts are joined by ~) is not possible in a template"),
        ("{{ text[:5] }}", "only secret and settings have keys; every other variable is a text"),
        ("{{ text | number }} x", "number can only be the last filter of a whole value in json, form or query"),
        ("{{ text | date('%999999d') }}", "date: expected a format of %Y %m %d"),
        ("{{ text | hmac('sha3', secret.token) }}", 'hmac: expected hmac("sha256", key)'),
        ("{% if validity > '5' %}{% endif %}", "only == and != compare: every value is a text"),
        ("{% if validity == 5 %}{% endif %}", 'every value is a text: expected "5"'),
        ("{{ 'x' if flash }}", "expected if … else …: say else '' for nothing"),
        ("{{ text | limit }}", "limit: expected a whole number in brackets"),
        ("{{ text | limit('5') }}", "limit: expected a whole number in brackets"),
        ("{{ text | limit(true) }}", "limit: expected a whole number in brackets"),
        ("{{ text | replace('a') }}", "replace: expected a text, a text in brackets"),
        ("{{ text | upper(1) }}", "upper: expected nothing in brackets"),
        ("{{ text | limit(count=5) }}", "limit: expected a value before the filter and plain arguments"),
        ("{{ 1.5 }}", 'every value is a text: expected "1.5"'),
        ("x" * 20_001, "longer than the 20000 characters of a template"),
        ("{{ text" + "|hex" * 9 + " }}", "more than 8 filters in a row"),
        ("{{ " + "(" * 5_000 + "text" + ")" * 5_000 + " }}", "not a template: too deep"),
    ],
)
def test_mistakes_are_explained(source, said):
    assert refused(source).startswith(said)


#: What is published of ways out of template sandboxes, and of ways to use up memory or time in one.
ATTACKS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ text.__class__ }}",
    "{{ text['__class__'] }}",
    "{{ text|attr('__class__') }}",
    "{{ ()|attr('__cl'~'ass__') }}",
    "{{ [].append }}",
    "{{ {}.items }}",
    "{{ self }}",
    "{{ self.__init__.__globals__ }}",
    "{{ config }}",
    "{{ request.application }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner }}{{ lipsum }}{{ namespace() }}{{ dict() }}",
    "{{ lipsum.__globals__['os'] }}",
    "{{ get_flashed_messages() }}",
    "{{ text.format(text) }}",
    "{{ '%999999999s'.format(text) }}",
    "{{ '{0.__class__}'.format(text) }}",
    "{{ '{0.__class__}'.format_map(secret) }}",
    "{{ '%s' % text }}",
    "{{ '%999999999d' % 1 }}",
    "{{ text|format(text) }}",
    "{{ 'a' * 10**9 }}",
    "{{ 'a' * 999999999 }}",
    "{{ 10**10**10 }}",
    "{{ range(10**9) }}",
    "{{ range(1000000000)|list }}",
    "{{ text|center(999999999) }}",
    "{{ text|indent(999999999) }}",
    "{{ text|map('upper') }}",
    "{{ text|xmlattr }}{{ text|tojson }}{{ text|pprint }}",
    "{{ text|safe }}",
    "{% for a in range(9) %}{% for b in range(9) %}x{% endfor %}{% endfor %}",
    "{% set x = text %}{{ x }}",
    "{% set ns.x = 1 %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call text() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% block b %}{% endblock %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import path %}",
    "{% extends 'x' %}",
    "{% with a = 1 %}{% endwith %}",
    "{% autoescape false %}{{ text }}{% endautoescape %}",
    "{% raw %}{{ x }}{% endraw %}{{ text.upper() }}",
    "{% trans %}x{% endtrans %}",
    "{% do text %}",
    "{% debug %}",
    "{{ text is defined }}",
    "{{ text is filter('x') }}",
    "{{ -text }}",
    "{{ [text] }}{{ (text,) }}{{ {'a': text} }}",
    "{{ secret.__class__ }}",
    "{{ secret['__init__'] }}",
    "{{ secret.token.__class__ }}",
    "{{ secret[text] }}",
    "{{ secret | hex }}",
    "{{ settings.items() }}",
    "{{ caller() }}{{ varargs }}{{ kwargs }}",
    "{{ loop.index }}",
    "{{ none }}",
    "{{ text | date('%' ~ text) }}",
    "{{ text | hmac(text, text) }}",
    "{{ " + "9" * 5_000 + " }}",
    "{{ " + "not " * 5_000 + "text }}",
    "{{ " + "-" * 5_000 + "1 }}",
    "{{ " + "text if " * 2_000 + "text }}",
]


@pytest.mark.parametrize("source", ATTACKS, ids=range(len(ATTACKS)))
@pytest.mark.parametrize("mode", Mode)
def test_a_way_out_is_no_template(source, mode):
    refused(source, mode)


def test_what_comes_out_is_bounded_by_what_goes_in():
    """The longest that the rules leave: a template full of the longest chain of the filter that doubles."""
    chain = "{{ text" + "|hex" * 8 + " }}"
    source = chain * (templates.LONGEST // len(chain))
    assert len(filled(source, text="x" * 10)) <= templates.LONGEST * 10 * 2**8


def test_replacing_does_not_explode():
    step = "|replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')"
    assert len(filled("{{ text" + step * 8 + " }}", text="a" * 100)) <= 1_000_000


@given(st.text(alphabet="{}%|~.()[]'\" textsecridfornu_0123456789*+-/", max_size=60))
def test_whatever_is_written_is_a_template_or_a_mistake(source):
    try:
        template = templates.compile(source, Mode.PLAIN, KNOWN)
    except BadTemplate:
        return
    found = template({**SAMPLES[0], **TABLES})
    assert "object at 0x" not in found
    assert "<built-in" not in found


# Nothing is injected -------------------------------------------------------------------------------------------------


@given(st.text())
def test_a_value_in_a_url_stays_one_segment(value):
    value = value.encode("utf-8", "replace").decode()
    found = filled("https://api.example.com/{{ text }}/end", Mode.URL, text=value)
    segment = found.removeprefix("https://api.example.com/").removesuffix("/end")
    assert not set(segment) & set("/?#&=@:; \r\n\\")
    assert segment not in (".", "..")
    assert unquote(segment) == value


@given(st.text())
def test_a_value_in_xml_stays_one_value(value):
    value = value.encode("utf-8", "replace").decode()
    found = filled("<m a=\"{{ text }}\" b='{{ text }}'>{{ text }}</m>", Mode.XML, text=value)
    root = etree.fromstring(found)
    kept = templates.reading.writable(value)
    assert len(root) == 0
    assert set(root.attrib) == {"a", "b"}
    # XML 1.0 §2.11 and §3.3.3: what a parser makes of line ends and blanks.
    assert (root.text or "") == kept.replace("\r\n", "\n").replace("\r", "\n")
    assert root.attrib["a"].split() == kept.split() or not kept.isascii()


@pytest.mark.parametrize("name", sorted(variables.FOREIGN))
def test_nothing_foreign_gets_into_a_header_as_it_is(name):
    said = f"{name} may hold what cannot stand in a header: put it through url, base64, hex or digits"
    for source in (
        "{{ %s }}",
        "x{{ %s | upper }}",
        "{{ id ~ %s }}",
        "{{ %s if id else id }}",
        "{{ id | default(%s) }}",
    ):
        assert refused(source % name, Mode.HEADER) == said


@given(st.text())
@pytest.mark.parametrize("filter", sorted(templates.CLEANING))
def test_what_cleans_leaves_one_line(filter, value):
    arguments = {"at_least": "(1)", "at_most": "(1)", "divided": "(1)", "hmac": "('sha1', 'key')"}
    found = filled(f"{{{{ text | {filter}{arguments.get(filter, '')} }}}}", Mode.HEADER, text=value)
    assert found.isascii()
    assert found == "" or found.isprintable()


@pytest.mark.parametrize("filter", ["plus", "no_plus", "digits"])
def test_a_long_value_that_is_nearly_a_number_takes_no_longer_than_its_length(filter):
    """A pattern that looks back would take days of it."""
    nearly = "+" + "0 " * 1_000_000 + "x"
    assert filled(f"{{{{ text | {filter} }}}}", text=nearly)
