"""docs/guarantees.md is held to the proofs: every sentence has one, and every proof has its sentence."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

from .prove import subjects
from .prove.proof import PROOFS, Evidence

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: How the page names a proof.
NAMED = re.compile(r"\[`([a-z_]+\.[a-z_]+)`\]\(evidence/README\.md#[a-z-]+\)")


def proofs() -> set[str]:
    for module in pkgutil.iter_modules(subjects.__path__):
        importlib.import_module(f"{subjects.__name__}.{module.name}")
    return {f"{proof.subject}.{proof.name}" for proof in PROOFS}


def test_every_proof_is_named_by_the_page_and_the_page_names_nothing_else() -> None:
    page = (DOCS / "guarantees.md").read_text()
    assert set(NAMED.findall(page)) == proofs()
    for name, anchor in re.findall(r"`([a-z_.]+)`\]\(evidence/README\.md#([a-z-]+)\)", page):
        assert anchor == name.replace(".", "-").replace("_", "-")


def test_the_evidence_that_is_kept_is_of_every_proof_and_the_page_says_which_did_not_hold() -> None:
    kept = {
        f"{file.stem}.{name}": one["verdict"]
        for file in (DOCS / "evidence").glob("*.json")
        for name, one in json.loads(file.read_text()).items()
    }
    assert kept.keys() == proofs()
    _, _, open = (DOCS / "guarantees.md").read_text().partition("## What is not shown yet")
    assert {name for name, verdict in kept.items() if verdict != "held"} == set(NAMED.findall(open))


def test_a_bound_that_is_not_kept_breaks_the_promise() -> None:
    for value, bounds in ((1, {"exactly": 0}), (1, {"most": 0}), (1, {"least": 2}), (3, {"least": 1, "most": 2})):
        evidence = Evidence()
        evidence.must("told", 1, exactly=1, least=1, most=1)
        assert evidence.holds
        evidence.must("broken", value, **bounds)
        assert not evidence.holds
