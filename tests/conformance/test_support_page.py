"""docs/smpp-pics.md held to the program and to the tests: what a page says is worth what proves it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from pdu import CommandId, CommandStatus, SubmitSm, Tag, VendorTag

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "smpp-pics.md"


class Line(NamedTuple):
    """A row of one of the tables."""

    section: str
    what: str
    supported: str
    proved_by: str

    @property
    def named(self) -> list[str]:
        """What stands in backticks in the first cell."""
        return re.findall(r"`(\w+)`", self.what)

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`([\w/]+\.py::\w+)`", self.proved_by)


def _lines() -> Iterator[Line]:
    section = ""
    for text in PAGE.read_text(encoding="utf-8").splitlines():
        if text.startswith("## "):
            section = text.removeprefix("## ")
        elif text.startswith("|") and not text.startswith("|---"):
            what, _, supported, proved_by = (cell.strip() for cell in text.strip("|").split("|"))
            if supported != "Supported":
                yield Line(section, what, supported, proved_by)


LINES = list(_lines())


@cache
def named_in(file: Path) -> frozenset[str]:
    """The names of the tests in a file; nothing is run."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name for node in found if node.name.startswith("test_"))


def test_every_test_that_is_named_is_there() -> None:
    missing = set()
    for test in {test for line in LINES for test in line.tests}:
        file, _, name = test.partition("::")
        if not (TESTS / file).exists() or name not in named_in(TESTS / file):
            missing.add(test)
    assert not missing


def test_every_line_says_yes_or_no_or_in_part_and_none_says_yes_without_a_test() -> None:
    assert len(LINES) > 200
    for line in LINES:
        # A clause says what is different from what the specification asks for.
        assert re.fullmatch(r"yes(: .+)?|(no|in part): .+", line.supported), line
        assert line.tests or line.supported.startswith("no"), line
        # Nothing stands beside the tests that only looks like one.
        assert ", ".join(f"`{test}`" for test in line.tests) == line.proved_by, line


#: What has to have its line, and where.
SUBJECTS = {
    "Operations": {command.name.lower() for command in CommandId},
    "Errors and framing": {status.name for status in CommandStatus},
    "TLVs": {tag.name.lower() for tag in (*Tag, *VendorTag)},
    "Fields of SUBMIT_SM": {field.name for field in fields(SubmitSm)} - {"sequence_number", "command_status", "tlvs"},
}


@pytest.mark.parametrize("section", SUBJECTS)
def test_everything_that_has_a_name_has_its_line(section: str) -> None:
    named = Counter(name for line in LINES if line.section == section for name in line.named)
    assert {name for name in SUBJECTS[section] if named[name] == 0} == set()


@pytest.mark.parametrize("tag", [*Tag, *VendorTag], ids=lambda tag: tag.name)
def test_a_tlv_stands_with_its_number(tag: Tag | VendorTag) -> None:
    assert [line.what for line in LINES if line.what == f"`{tag.name.lower()}` (0x{tag:04X})"], tag


def test_what_is_kept_is_what_the_suite_sends() -> None:
    """A line that says "kept" names a test that sends this very parameter."""
    tree = ast.parse((TESTS / "conformance" / "test_conformance.py").read_text(encoding="utf-8"))
    (sent,) = (
        {ast.literal_eval(key) for key in node.value.keys if key is not None}
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "UNUSED_TLVS"
        and isinstance(node.value, ast.Dict)
    )
    kept = {
        name
        for line in LINES
        if line.section == "TLVs" and re.search(r"\bkept\b", line.supported)
        for name in line.named
    }
    assert kept <= sent
