"""docs/operating.md explains every line of the log and every metric."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import smppbridge
from smppbridge.cli.console import EX_CONFIG
from smppbridge.web.metrics import METRICS

PAGE = (Path(__file__).parents[1] / "docs" / "operating.md").read_text(encoding="utf-8")
SOURCES = Path(smppbridge.__file__).parent

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def events() -> Iterator[str]:
    """Every event that is written in words somewhere in the source."""
    for path in SOURCES.rglob("*.py"):
        if {"cli", "config"} & set(path.relative_to(SOURCES).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in LEVELS | {"say"} and isinstance(node.args[0].value, str):
                    yield node.args[0].value


def test_every_line_of_the_log_is_explained() -> None:
    found = set(events())
    assert len(found) > 20
    assert sorted(event for event in found if f"`{event}`" not in PAGE) == []


def test_every_metric_is_explained_and_no_other() -> None:
    names = {one.name + ("_total" if one.kind == "counter" else "") for one in METRICS}
    assert set(re.findall(r"^\| `(smppbridge_\w+)`", PAGE, re.MULTILINE)) == names


def test_the_exit_code_for_configuration_mistakes() -> None:
    assert f"| {EX_CONFIG} | the configuration is wrong" in PAGE
