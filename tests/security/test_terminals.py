"""What clients, subscribers and providers write does nothing where an operator reads it."""

from __future__ import annotations

import json
import logging
import tempfile
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from typer.testing import CliRunner

from smppbridge.cli.console import complain, out
from smppbridge.cli.main import app
from smppbridge.config import LogConfig
from smppbridge.logs import set_up
from smppbridge.visible import as_json, visible

EVIL = "\x1b]0;owned\x07\x1b[2Jstat:\x9b31mDELIVRD\u202egpj.exe\x7f\u2028[/red][link=x]\x00\r"
#: Every kind of character, those that terminals act on more often.
WRITTEN = st.text(st.characters(exclude_categories=()) | st.sampled_from(EVIL))


def acts(shown: str, keep: str = "\n") -> list[str]:
    """Characters that a terminal would act on, or that turn the order of others."""
    return [
        one
        for one in shown
        if one not in keep
        and (unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(one) in TURNING)
    ]


TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(WRITTEN)
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = visible(text)
    assert acts(shown, "") == []
    assert visible(shown) == shown
    shown.encode()


@given(st.dictionaries(WRITTEN, WRITTEN | st.lists(WRITTEN)))
def test_json_reads_as_it_was_and_has_nothing_that_acts(value: dict[str, Any]) -> None:
    line = as_json(value).decode()
    assert acts(line, "") == []
    assert json.loads(line) == value


@given(reason=WRITTEN)
def test_a_line_of_the_log_stays_one_line_in_either_form(reason: str) -> None:
    for form in ("json", "console"):
        with tempfile.TemporaryFile() as stream:
            set_up(LogConfig(format=form), stream=stream)
            structlog.get_logger(f"security-{form}").warning("said", reason=reason, names=[reason], more={"k": reason})
            stream.seek(0)
            written = stream.read().decode()
        assert acts(written) == []
        assert written.count("\n") == 1
        if form == "json":
            assert json.loads(written)["reason"] == reason
    structlog.reset_defaults()


FORGED = "no\n2026-11-22T00:00:00.000000Z [info     ] smpp: bound  account=bank\r\n<2>{"


class Lines:
    """Its repr has some, as those of a library may."""

    def __repr__(self) -> str:
        return FORGED


def fail() -> None:
    try:
        raise ValueError(FORGED + EVIL)
    except ValueError as error:
        error.add_note(FORGED)
        raise ExceptionGroup(FORGED, [KeyError(FORGED), error]) from error


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_in_the_log_does_nothing_and_makes_no_event(form: Any) -> None:
    with tempfile.TemporaryFile() as stream:
        set_up(LogConfig(format=form), stream=stream)
        try:
            fail()
        except ExceptionGroup:
            structlog.get_logger(f"security-traceback-{form}").exception("failed", reason=FORGED)
            logging.getLogger("security").exception(FORGED)
        stream.seek(0)
        written = stream.read().decode()
    structlog.reset_defaults()
    logging.captureWarnings(False)
    assert "ValueError" in written
    assert acts(written) == []
    # Whatever stands behind the first line of an event is set in.
    events = [line for line in written.splitlines() if not line.startswith("  ")]
    assert [line.partition("failed" if "failed" in line else "library")[1] for line in events] == ["failed", "library"]


def test_nothing_that_shows_itself_in_lines_makes_an_event() -> None:
    with tempfile.TemporaryFile() as stream:
        set_up(LogConfig(format="console"), stream=stream)
        structlog.get_logger("security-lines").warning("said", what=Lines(), several=[Lines()])
        stream.seek(0)
        written = stream.read().decode()
    structlog.reset_defaults()
    logging.captureWarnings(False)
    assert len([line for line in written.splitlines() if not line.startswith("  ")]) == 1


def test_every_command_prints_through_what_hides_it(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(EVIL)
    table.add_row(EVIL)
    out().print(table)
    out().print(EVIL, Text(EVIL))
    complain(EVIL)
    printed = capsys.readouterr()
    assert acts(printed.out + printed.err) == []
    assert "[/red]" in printed.out


@pytest.mark.journey
def test_the_commands_show_a_hostile_message_and_do_what_it_says_in_nothing(
    start: Callable[..., Any], connect: Callable[..., Any]
) -> None:
    running = start()
    esme = connect(running)
    esme.bind()
    text = "[/red]\x1b[2J\n  2026-11-22 final DELIVERED\x9b31m\u202e\n~~~\n[/nope]\x1b]0;owned\x07"
    sent = esme.submit(text.encode("utf-16-be"), data_coding=8, source_addr="[/x]\x1b[8m", service_type="\x1b[2J")
    assert sent.command_status == 0
    esme.receipt()
    config = ["--config", str(running.path)]
    runner = CliRunner()
    for command in (["list"], ["list", "--json"], ["show", sent.message_id], ["show", sent.message_id, "--json"]):
        done = runner.invoke(app, ["messages", *command, *config], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert acts(done.output) == [], command
        assert "x]" in done.output
    explained = runner.invoke(app, ["explain", text, "--account", "demo", *config], catch_exceptions=False)
    assert acts(explained.output) == []


def test_the_page_of_the_simulator_is_text() -> None:
    from smppbridge.simulator import page

    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&lt;"
    names: list[str] = []

    class Elements(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names.append(tag)

    Elements().feed(page._table((evil,), [(evil, f"two\n{evil}")]))
    assert set(names) <= {"table", "tr", "th", "td", "br"}
