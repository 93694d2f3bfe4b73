"""`/healthz`: the process lives. `/readyz`: it can do its work; if not, which part cannot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

#: Name of a part → what is wrong with it; empty if nothing is.
Check = Callable[[], Awaitable[Mapping[str, str]]]


def router(check: Check) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/healthz", summary="The process lives and its loop turns")
    async def healthz() -> Response:
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz", summary="Every part can do its work", responses={503: {"description": "Some part cannot"}})
    async def readyz() -> Response:
        parts = await check()
        ready = not any(parts.values())
        shown = {name: wrong or "ok" for name, wrong in parts.items()}
        return JSONResponse({"status": "ready" if ready else "not ready", "parts": shown}, 200 if ready else 503)

    return routes
