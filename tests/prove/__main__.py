"""`make prove`: what docs/guarantees.md says, proven on this host. `make prove-long`: with the full counts.

`python -m tests.prove crash storage` proves two subjects, `crash.kill` one proof. The report goes to `var/evidence/`
(or `--into`): a page to read and a JSON file for each subject. Ends with 1 if a promise is broken.

With `--jobs 2` two subjects are proven side by side, each in a process of its own; what is about time comes after
them, alone.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from . import report, subjects
from .proof import PROOFS, Evidence, Ground, Proof, Row, Unprovable

ROOT = Path(__file__).resolve().parent.parent.parent
#: Subjects that measure how long something takes, beside something else or with much in the store.
ALONE = ("clients", "scale", "soak")


def main() -> int:
    for module in pkgutil.iter_modules(subjects.__path__):
        importlib.import_module(f"{subjects.__name__}.{module.name}")
    options = _parser().parse_args()
    chosen = [proof for proof in PROOFS if _wanted(proof, options)]
    if not chosen:
        names = ", ".join(f"{proof.subject}.{proof.name}" for proof in PROOFS)
        print(f"nothing of that name; there are {names}", file=sys.stderr)
        return 2
    if options.list:
        for proof in chosen:
            print(f"{proof.subject}.{proof.name:20} {proof.sentence}")
        return 0
    # What a proof has started ends with it, also when somebody has had enough.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    into = Path(options.into)
    if options.jobs > 1:
        verdicts = asyncio.run(_side_by_side(chosen, options))
        report.bind(into)
    else:
        verdicts = []
        for proof in chosen:
            result = _run(proof, options)
            report.write(into, result, long=options.long, root=ROOT)
            verdicts.append(result.verdict)
    held, broken, open = (verdicts.count(word) for word in ("held", "BROKEN", "not proven"))
    print(f"The report is in {options.into}/README.md")
    print(f"promises: {held} passed, {broken} failed, {open} skipped")
    return 1 if broken or (open and os.environ.get("CI") == "true" and options.strict) else 0


def _wanted(proof: Proof, options: argparse.Namespace) -> bool:
    if options.only:
        return proof.subject in options.only or f"{proof.subject}.{proof.name}" in options.only
    return options.long or not proof.long_only


async def _side_by_side(chosen: list[Proof], options: argparse.Namespace) -> list[str]:
    """Each subject in a process, so many at once; the verdicts."""
    of: dict[str, list[str]] = {}
    for proof in chosen:
        of.setdefault(proof.subject, []).append(f"{proof.subject}.{proof.name}")
    free = asyncio.Semaphore(options.jobs)

    async def prove(subject: str) -> list[str]:
        async with free:
            return await _elsewhere(of[subject], options)

    verdicts = await asyncio.gather(*(prove(subject) for subject in of if subject not in ALONE))
    verdicts += [await prove(subject) for subject in of if subject in ALONE]
    return [verdict for some in verdicts for verdict in some]


async def _elsewhere(names: list[str], options: argparse.Namespace) -> list[str]:
    """The verdicts on proofs of one subject, found in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="prove-", dir=_state()) as folder:
        given = [*names, "--into", folder, "--seed", str(options.seed), *(["--long"] if options.long else [])]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.prove", *given, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
        return report.take(Path(folder), Path(options.into)) or ["BROKEN"] * len(names)


def _state() -> Path:
    state = ROOT / "var"
    state.mkdir(exist_ok=True)
    return state


def _run(proof: Proof, options: argparse.Namespace) -> report.Result:
    folder = Path(tempfile.mkdtemp(prefix=f"prove-{proof.name}-", dir=_state()))
    ground = Ground(f"{proof.subject}.{proof.name}", folder, long=options.long, seed=options.seed)
    print(f"{ground.name}: {proof.sentence}", file=sys.stderr, flush=True)
    began, why = time.monotonic(), ""
    try:
        evidence = asyncio.run(_awaited(proof, ground))
        verdict = "held" if evidence.holds else "BROKEN"
    except Unprovable as missing:
        evidence, verdict, why = Evidence(), "not proven", str(missing)
    except Exception as error:
        traceback.print_exc()
        why = f"{type(error).__name__}: {error}"
        evidence, verdict = Evidence([Row("the proof itself failed", why, "never", False)]), "BROKEN"
    if verdict == "BROKEN":
        print(f"  what it left is in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    result = report.Result(proof, evidence, verdict, why, time.monotonic() - began)
    print(report.in_words(result), file=sys.stderr, flush=True)
    return result


async def _awaited(proof: Proof, ground: Ground) -> Evidence:
    async with ground.stack:
        return await proof.run(ground)


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    options.add_argument("only", nargs="*", metavar="SUBJECT", help="a subject, or SUBJECT.PROOF; all if none is named")
    options.add_argument("--long", action="store_true", help="the full counts: hours instead of minutes")
    options.add_argument("--into", default=str(ROOT / "var" / "evidence"), help="folder of the report")
    options.add_argument("--seed", type=int, default=1, help="of everything that is left to chance")
    options.add_argument("--jobs", type=int, default=1, help="subjects that are proven side by side")
    options.add_argument("--list", action="store_true", help="what there is to prove, and do nothing")
    options.add_argument("--strict", action="store_true", help="in CI, what could not be proven is a failure too")
    return options


if __name__ == "__main__":
    sys.exit(main())
