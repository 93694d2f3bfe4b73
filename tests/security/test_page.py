"""docs/security.md held to the tests: a threat that nothing is tried against is not stopped."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "| Test |" not in line]


def names_in(file: Path) -> set[str]:
    found = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return {node.name for node in found if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("row", ROWS)
def test_every_threat_has_a_test_that_is_there(row: str) -> None:
    _, _, tests, _ = (cell.strip() for cell in row.strip("|").split("|"))
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", tests)
    assert named
    for file, name in named:
        path = ROOT / "tests" / file
        assert path.is_file(), file
        assert not name or name in names_in(path), name


def test_every_test_of_an_attack_is_on_the_page() -> None:
    """But for those that look whether another test can fail."""
    folder = Path(__file__).parent
    named = set(re.findall(r"`security/(\w+\.py::\w+)`", PAGE))
    there = {
        f"{file.name}::{name}" for file in folder.glob("test_*.py") for name in names_in(file) if file != Path(__file__)
    }
    assert there - named == {
        "test_bombs.py::test_the_look_for_bad_expressions_finds_one",
        "test_configuration.py::test_without_a_mistake_there_is_none",
    }
