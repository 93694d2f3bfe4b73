from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from smppbridge.config import LogConfig
from smppbridge.logs import hide_also, set_up


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is of the whole process: leave it as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def set_up_json(**kwargs: Any) -> io.BytesIO:
    stream = io.BytesIO()
    secrets = kwargs.pop("secrets", ())
    set_up(LogConfig(format="json", **kwargs), secrets=secrets, stream=stream)
    return stream


def test_one_json_object_a_line_with_the_same_keys_first() -> None:
    stream = set_up_json()
    log = structlog.get_logger("dispatch").bind(provider="smsc")
    log.info("sent", id="5", account="demo", raw=b"\x00", path=Path("x"))
    log.warning("again")
    one, two = lines(stream)
    assert list(one) == ["time", "level", "station", "event", "provider", "id", "account", "raw", "path"]
    assert (one["level"], one["station"], one["event"], one["id"]) == ("info", "dispatch", "sent", "5")
    assert one["time"].endswith("Z")
    assert one["time"][10] == "T"
    assert two["level"] == "warning"


@pytest.mark.parametrize(
    ("name", "station"),
    [("smppbridge.smpp.server", "smpp"), ("smppbridge.app", "app"), ("uvicorn.error", "uvicorn.error")],
)
def test_a_module_speaks_for_its_station(name: str, station: str) -> None:
    stream = set_up_json()
    structlog.get_logger(name).info("hello")
    assert lines(stream)[0]["station"] == station


def test_levels_below_are_left_out() -> None:
    stream = set_up_json(level="warning")
    log = structlog.get_logger("smpp")
    log.debug("no")
    log.info("no")
    log.error("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize("key", ["password", "psw", "token", "apikey", "api_key", "client_secret", "PASSWORD"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_secret_by_its_name_is_hidden(form: Any, key: str) -> None:
    stream = io.BytesIO()
    set_up(LogConfig(format=form), stream=stream)
    log = structlog.get_logger("smpp").bind(**{key: "S3CRET"})
    log.info("bound", system_id="demo")
    log.info("bound", settings={"inner": {key: "S3CRET"}, "login": "me"})
    text = stream.getvalue().decode()
    assert "S3CRET" not in text
    assert text.count("***") == 3
    assert "me" in text


def test_secrets_that_came_with_a_reload_are_hidden_too() -> None:
    stream = set_up_json(secrets=["0LD"])
    log = structlog.get_logger("dispatch").bind()
    log.warning("failed", reason="0LD NEW")
    hide_also(["NEW"])
    log.warning("failed", reason="0LD NEW")
    assert [line["reason"] for line in lines(stream)] == ["*** NEW", "*** ***"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_texts_are_shown_only_when_asked_for(form: Any) -> None:
    for texts, expected in ((False, "12 characters"), (True, "see you soon")):
        stream = io.BytesIO()
        set_up(LogConfig(format=form, texts=texts), stream=stream)
        structlog.get_logger("smpp").info("accepted", text="see you soon", pdu=b"\x00" * 7, comment="")
        shown = stream.getvalue().decode()
        assert expected in shown
        assert ("see you" in shown) is texts
        assert ("7 octets" in shown) is not texts


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variable_and_no_known_secret(form: Any) -> None:
    stream = io.BytesIO()
    set_up(LogConfig(format=form), secrets=["p@ss word"], stream=stream)

    def fail(psw: str) -> None:
        hidden = psw * 2
        raise ValueError(f"GET /send.php?psw=p%40ss+word {len(hidden)}")

    try:
        fail("p@ss word")
    except ValueError:
        structlog.get_logger("dispatch").exception("failed", reason="psw p@ss word")
    shown = stream.getvalue().decode()
    assert "ValueError" in shown
    assert "ss word" not in shown
    assert "ss+word" not in shown
    assert shown.count("***") >= 2


def test_libraries_come_out_the_same_way_from_warnings_on() -> None:
    stream = set_up_json(level="debug", secrets=["S3CRET"])
    logging.getLogger("httpx").info("GET https://smsc.example/?psw=S3CRET")
    logging.getLogger("uvicorn.error").warning("over %s", "capacity")
    logging.getLogger("asyncio").critical("psw=S3CRET")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    one, two, three = lines(stream)
    assert (one["station"], one["level"], one["reason"]) == ("uvicorn.error", "warning", "over capacity")
    assert (two["station"], two["level"], two["reason"]) == ("asyncio", "critical", "psw=***")
    assert "DeprecationWarning: old" in three["reason"]


def test_the_journal_gets_json_with_priorities(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("wb") as stream:
        status = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        set_up(LogConfig(), stream=stream, environ=environ)
        structlog.get_logger("smpp").info("bound")
        structlog.get_logger("smpp").error("gone")
    one, two = (tmp_path / "journal").read_bytes().splitlines()
    assert one.startswith(b"<6>{")
    assert two.startswith(b"<3>{")


def test_auto_is_json_in_a_file_and_columns_on_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as stream:
        set_up(LogConfig(), stream=stream, environ={"JOURNAL_STREAM": "1:2"})
        structlog.get_logger("smpp").info("bound")
    assert (tmp_path / "file").read_bytes().startswith(b"{")
    ours, theirs = os.openpty()
    with open(ours, "rb", buffering=0) as reader, open(theirs, "wb") as terminal:
        set_up(LogConfig(), stream=terminal)
        structlog.get_logger("smpp").info("bound", account="demo")
        shown = reader.read(4096).decode()
    assert "smpp: bound" in shown
    assert "{" not in shown
