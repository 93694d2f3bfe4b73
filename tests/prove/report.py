"""The report: a JSON file for each subject, so that runs can be compared, and one page that is made of all of them."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import apsw

import smppbridge

from .proof import Evidence, Proof, shown

#: In the order in which docs/guarantees.md speaks of them; others follow by name.
ORDER = ("crash", "storage", "providers", "clients", "clock", "upgrade", "scale", "soak")

HEAD = """# Evidence

What was done to the gateway to prove [what it guarantees](../guarantees.md), and what came of it. The page is written
by `make prove-long`; `make prove` makes the same in minutes with smaller counts, on your own host, into
`var/evidence/`.

*lost*: acknowledged, and no longer there. *doubled*: kept twice, or told another end than its own. *silent*: at its
end, with a receipt that was asked for and never given. *waiting*: not at its end yet, and still in the store.
"""


@dataclass(frozen=True)
class Result:
    proof: Proof
    evidence: Evidence
    #: "held", "BROKEN" or "not proven".
    verdict: str
    #: Why it could not be proven.
    why: str
    seconds: float


def in_words(result: Result) -> str:
    rows = [
        f"    {'  ' if row.holds else '! '}{row.name:58} {shown(row.value):>14}  {row.bound}"
        for row in result.evidence.rows
    ]
    return "\n".join([f"  {result.verdict} after {result.seconds:.0f} s {result.why}".rstrip(), *rows])


def write(into: Path, result: Result, *, long: bool, root: Path) -> None:
    """Enter what one proof found, at once: the next one may take long."""
    _enter(into / f"{result.proof.subject}.json", {result.proof.name: _dumped(result, long=long, root=root)})
    bind(into)


def take(other: Path, into: Path) -> list[str]:
    """Enter what another report found; its verdicts. `bind` comes afterwards."""
    verdicts: list[str] = []
    for file in sorted(other.glob("*.json")):
        found = json.loads(file.read_text())
        _enter(into / file.name, found)
        verdicts += [one["verdict"] for one in found.values()]
    return verdicts


def bind(into: Path) -> None:
    """Write the page."""
    (into / "README.md").write_text(_page(into))


def _enter(file: Path, fresh: dict[str, Any]) -> None:
    """What is new takes the place of what was found before; the rest stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, **fresh}, indent=1, ensure_ascii=False) + "\n")


def _dumped(result: Result, *, long: bool, root: Path) -> dict[str, Any]:
    return {
        "sentence": result.proof.sentence,
        "verdict": result.verdict,
        "why": result.why,
        "seconds": round(result.seconds, 1),
        "long": long,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(root),
        "version": smppbridge.__version__,
        "host": _host(root),
        "rows": [asdict(row) for row in result.evidence.rows],
        "notes": result.evidence.notes,
    }


def _commit(root: Path) -> str:
    def git(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short=10", "HEAD")
    return (commit + (" and changes" if git("status", "--porcelain", "--untracked-files=no") else "")) or "unknown"


def _host(root: Path) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    shown_by = ["stat", "--file-system", "--format=%T", str(root)]
    kind = subprocess.run(shown_by, capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {kind or 'unknown file system'}, "
        f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}"
    )


def _page(into: Path) -> str:
    files = sorted(into.glob("*.json"), key=lambda file: (_place(file.stem), file.stem))
    lines = [HEAD, "| subject | promise | verdict | date | commit |", "|---|---|---|---|---|"]
    sections: list[str] = []
    for file in files:
        for name, one in json.loads(file.read_text()).items():
            link = f"[{name}](#{file.stem}-{name.replace('_', '-')})"
            counts = "" if one["long"] else " (short)"
            lines.append(f"| {file.stem} | {link} | **{one['verdict']}**{counts} | {one['date']} | `{one['commit']}` |")
            sections.append(_section(file.stem, name, one))
    return "\n".join([*lines, "", *sections])


def _section(subject: str, name: str, one: dict[str, Any]) -> str:
    lines = [
        f"## {subject} {name.replace('_', '-')}",
        "",
        f"> {one['sentence']}",
        "",
        f"**{one['verdict']}** after {one['seconds']:,.0f} s. {one['why']}".rstrip(),
        f"{one['date']}, commit `{one['commit']}`, {one['host']}.",
        "",
    ]
    if one["rows"]:
        lines += ["| | | asked |", "|---|---:|---|"]
        for row in one["rows"]:
            value = shown(row["value"])
            lines.append(f"| {row['name']} | {value if row['holds'] else f'**{value}**'} | {row['bound']} |")
        lines.append("")
    lines += [f"* {note}" for note in one["notes"]]
    if one["notes"]:
        lines.append("")
    return "\n".join(lines)


def _place(subject: str) -> int:
    return ORDER.index(subject) if subject in ORDER else len(ORDER)
