"""What runs in a process of its own, so that it does not wait for the proof, and tells what it has seen at its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from bench.servers import ROOT


async def told(module: str, *arguments: str) -> dict[str, Any]:
    """Run a module until it ends; the JSON that it has printed. Raises RuntimeError where it failed."""
    command = [sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}")
    read: dict[str, Any] = json.loads(said)
    return read


def options(**values: object) -> list[str]:
    """On a command line."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
