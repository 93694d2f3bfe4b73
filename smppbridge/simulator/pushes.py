"""Makes the pushes of the vendors, each again and again until it was answered as that vendor wants it.

The vendors wait minutes to an hour in between and give up after a day; a rehearsal waits `Settings.retry` and gives up
after `Settings.tries`. What became of a push stands in it, for the page and for tests.
"""

from __future__ import annotations

import asyncio

import httpx

from .vendor import Push, Settings

#: Requests at once. What comes all at once when the gateway is back from a restart would bring the client to its knees,
#: and with it whoever else asks the simulator.
_AT_ONCE = 16


class Pusher:
    """All pushes that are under way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._work: set[asyncio.Task[None]] = set()

    def push(self, push: Push) -> None:
        """See to it, in the background. Without an address to push to nothing happens."""
        if not (push.url or self._settings.callback):
            push.last = "no --callback"
            return
        task = asyncio.get_running_loop().create_task(self._until_taken(push))
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def settled(self) -> None:
        """Until nothing is under way."""
        await asyncio.gather(*self._work)

    async def close(self) -> None:
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _until_taken(self, push: Push) -> None:
        await asyncio.sleep(push.after)
        while not push.done and push.tries < self._settings.tries:
            if push.tries:
                await asyncio.sleep(self._settings.retry)
            async with self._room:
                push.tries += 1
                await self._once(push)

    async def _once(self, push: Push) -> None:
        if self._client is None:
            # The gateway is beside us: no proxy of the environment stands between.
            self._client = httpx.AsyncClient(timeout=10, trust_env=False)
        url = push.url or self._settings.handler(push.vendor)
        headers = {**push.headers, **({"content-type": push.content_type} if push.content_type else {})}
        try:
            answer = await self._client.request(
                push.method, f"{url}?{push.query}" if push.query else url, content=push.body or None, headers=headers
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            push.last = type(error).__name__
            return
        push.done = push.taken(answer.status_code, answer.content)
        push.last = f"HTTP {answer.status_code} {answer.text[:60]}".strip()
