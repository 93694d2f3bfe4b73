"""The server around the vendors, over real sockets: what it keeps, how it misbehaves, what it pushes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from smppbridge.simulator.server import Simulator
from smppbridge.simulator.vendor import Settings
from smppbridge.web.listener import Listener

SEND = {"user": "demo", "pwd": "demo", "sadr": "SHOP", "text": "<b>Hi</b> & bye"}


async def until(done: Callable[[], bool]) -> None:
    """What happens in the same loop tells nobody when it has."""
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Gateway:
    """What the vendors push to; `answers` are its next ones, then it takes everything."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[bytes] = []
        #: Where there is one, nothing is answered before it opens.
        self.gate: asyncio.Event | None = None
        self.under_way = self.most = 0
        self.web = FastAPI(openapi_url=None)
        self.web.add_api_route("/callback/{name}/{token}", self.take, methods=["GET", "POST"])

    async def take(self, request: Request, name: str, token: str) -> Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.gate is not None:
            await self.gate.wait()
        self.under_way -= 1
        self.seen.append((name, token, dict(request.query_params), await request.body()))
        id = request.query_params.get("smsid", "")
        return Response(self.answers.pop(0) if self.answers else f"smsid={id}".encode() if id else b"OK")

    async def until(self, count: int) -> None:
        await until(lambda: len(self.seen) >= count)


class Rehearsal:
    def __init__(self, simulator: Simulator, client: httpx.AsyncClient, gateway: Gateway) -> None:
        self.simulator = simulator
        self.client = client
        self.gateway = gateway

    async def send(self, to: str = "79083730330", **options: Any) -> httpx.Response:
        return await self.client.get("/iba/sendsms.php", params={**SEND, "dadr": to}, **options)

    async def misbehave(self, **order: Any) -> None:
        answer = await self.client.put("/misbehave/iba", json=order)
        assert answer.status_code == 204

    async def counts(self) -> dict[str, int]:
        counts = (await self.client.get("/counts/iba")).json()
        assert (await self.client.get("/messages.json")).json()["counts"]["iba"] == counts
        return dict(counts)


@contextlib.asynccontextmanager
async def rehearsal(**settings: Any) -> AsyncIterator[Rehearsal]:
    gateway = Gateway()
    there = await Listener.start(gateway.web, "127.0.0.1:0")
    simulator = Simulator(Settings(callback=f"http://{there.address}", **{"delay": 0.01, "retry": 0.01} | settings))
    here = await Listener.start(simulator, "127.0.0.1:0")
    try:
        async with httpx.AsyncClient(base_url=f"http://{here.address}", timeout=20, trust_env=False) as client:
            yield Rehearsal(simulator, client, gateway)
    finally:
        await simulator.close()
        await here.stop()
        await there.stop()


def rehearse(play: Callable[[Rehearsal], Awaitable[None]], **settings: Any) -> None:
    async def played() -> None:
        async with rehearsal(**settings) as one:
            await play(one)

    asyncio.run(played())


# What it keeps -------------------------------------------------------------------------------------------------------


def test_it_keeps_what_it_was_sent_without_passwords() -> None:
    async def play(one: Rehearsal) -> None:
        id = (await one.send()).text
        [seen] = (await one.client.get("/requests.json", params={"vendor": "iba"})).json()
        assert (seen["method"], seen["path"], seen["status"], seen["answer"]) == ("GET", "/sendsms.php", 200, id)
        assert seen["fields"] == {**SEND, "pwd": "***", "dadr": "79083730330"}
        assert (await one.client.get("/requests.json", params={"vendor": "smsc"})).json() == []
        [message] = (await one.client.get("/messages.json")).json()["messages"]
        assert (message["vendor"], message["id"], message["text"]) == ("iba", id, SEND["text"])

    rehearse(play)


def test_the_page_escapes_everything() -> None:
    async def play(one: Rehearsal) -> None:
        await one.send()
        page = await one.client.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "&lt;b&gt;Hi&lt;/b&gt; &amp; bye" in page.text
        assert "<b>Hi" not in page.text
        assert "http" not in page.text.lower().replace("http 200", "").replace("http api", "")

    rehearse(play)


def test_it_forgets_the_oldest() -> None:
    async def play(one: Rehearsal) -> None:
        ids = [(await one.send()).text for _ in range(5)]
        status = {**SEND, "smsid": ids[0]}
        assert (await one.client.get("/iba/sendsms.php", params=status)).text == "0"
        assert len((await one.client.get("/requests.json")).json()) == 2
        assert (await one.counts())["processed"] == 5
        assert len(one.simulator.vendors["iba"].messages) == 3

    rehearse(play, memory=3, shown=2)


def test_what_is_too_long_or_not_there() -> None:
    async def play(one: Rehearsal) -> None:
        assert (await one.client.post("/naimar/x", content=b"x" * 1_048_577)).status_code == 413
        for path in ("/nobody/sendsms.php", "/iba", "/incoming/nobody", "/misbehave/nobody"):
            assert (await one.client.get(path)).status_code in (404, 405)
        assert (await one.client.post("/incoming/nobody", json={})).status_code == 404

    rehearse(play)


# How it misbehaves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "status", "body", "processed"),
    [
        ("500", 500, "Internal Server Error", 0),
        ("429", 429, "", 0),
        ("garbled", 200, "<html><body>OK<br></html>", 1),
        ("empty", 200, "", 1),
        ("slow", 200, "83759227", 1),
    ],
)
def test_answers_that_are_wrong(fault: str, status: int, body: str, processed: int) -> None:
    async def play(one: Rehearsal) -> None:
        await one.misbehave(fault=fault, times=1, seconds=0.01)
        answer = await one.send()
        assert (answer.status_code, answer.text) == (status, body)
        assert ("retry-after" in answer.headers) is (fault == "429")
        assert (await one.counts())["processed"] == processed
        # It was one request.
        assert (await one.send()).text.isdigit()

    rehearse(play)


@pytest.mark.parametrize("processed", [True, False])
def test_a_reset_and_no_answer_at_all(processed: bool) -> None:
    async def play(one: Rehearsal) -> None:
        await one.misbehave(fault="reset", times=1, processed=processed)
        with pytest.raises(httpx.NetworkError):
            await one.send()
        await one.misbehave(fault="timeout", times=1, processed=processed)
        with pytest.raises(httpx.ReadTimeout):
            await one.send(timeout=0.1)
        assert (await one.counts())["processed"] == (2 if processed else 0)
        assert (await one.client.get("/requests.json")).json()[0]["answer"] in ("", "none")

    rehearse(play)


def test_every_second_message_and_the_answer_before() -> None:
    async def play(one: Rehearsal) -> None:
        await one.misbehave(fault="partial", times=1)
        assert (await one.send("79083730331,79083730332,79083730333")).text == "83759227,83759228"
        await one.misbehave(fault="wrong", times=1)
        assert (await one.send()).text == "83759227,83759228"
        assert (await one.counts())["processed"] == 3

    rehearse(play)


def test_questions_are_left_alone_unless_they_are_meant() -> None:
    async def play(one: Rehearsal) -> None:
        id = (await one.send()).text
        await one.misbehave(fault="500")
        ask = {**SEND, "smsid": id}
        assert (await one.client.get("/iba/sendsms.php", params=ask)).status_code == 200
        await one.misbehave(fault="500", requests="ask")
        assert (await one.client.get("/iba/sendsms.php", params=ask)).status_code == 500
        await one.misbehave(fault=None)
        assert (await one.client.get("/iba/sendsms.php", params=ask)).status_code == 200

    rehearse(play)


@pytest.mark.parametrize(
    "order", [{"fault": "nonsense"}, {"fault": "500", "often": 1}, {"fault": "500", "times": 0}, {}]
)
def test_orders_that_are_none(order: dict[str, Any]) -> None:
    async def play(one: Rehearsal) -> None:
        assert (await one.client.put("/misbehave/iba", json=order)).status_code == 422

    rehearse(play)


def test_what_waits_for_an_answer_does_not_hold_up_the_end() -> None:
    async def play() -> None:
        async with rehearsal() as one:
            await one.misbehave(fault="timeout")
            waiting = asyncio.create_task(one.send())
            await until(lambda: one.simulator.vendors["iba"].counts.processed == 1)
        with pytest.raises(httpx.HTTPError):
            await waiting

    asyncio.run(play())


# What it pushes ------------------------------------------------------------------------------------------------------


def test_a_push_comes_again_until_it_is_answered_right() -> None:
    async def play(one: Rehearsal) -> None:
        one.gateway.answers = [b"", b"thank you", b"id_sms=83759227"]
        written = {"source": "79083730330", "destination": "7401", "text": "Да"}
        assert (await one.client.post("/incoming/iba", json=written)).json() == {"ref": "83759227"}
        await one.gateway.until(4)
        name, token, query, _ = one.gateway.seen[-1]
        assert (name, token, query["text"], query["smsid"]) == ("iba", "demo-callback-token", "Да", "83759227")
        await one.simulator.settled()
        [push] = (await one.client.get("/messages.json")).json()["pushes"]
        assert push["tries"] == 4

    rehearse(play)


def test_a_push_is_given_up_in_the_end() -> None:
    async def play(one: Rehearsal) -> None:
        one.gateway.answers = [b"no"] * 9
        await one.client.post("/incoming/naimar", json={"source": "421905123456", "destination": "7401", "text": "x"})
        await one.simulator.settled()
        assert len(one.gateway.seen) == 3

    rehearse(play, tries=3)


def test_many_pushes_at_once_do_not_crowd_the_gateway() -> None:
    """As after a restart of the gateway: thousands of them would bring the client that makes them to its knees."""

    async def play(one: Rehearsal) -> None:
        one.gateway.gate = asyncio.Event()
        written = {"source": "421905123456", "destination": "7401", "text": "x"}
        for _ in range(40):
            await one.client.post("/incoming/naimar", json=written)
        await until(lambda: one.gateway.under_way == 16)
        one.gateway.gate.set()
        await one.simulator.settled()
        assert len(one.gateway.seen) == 40
        assert one.gateway.most == 16

    rehearse(play)


def test_statuses_are_pushed_where_the_vendor_does() -> None:
    async def play(one: Rehearsal) -> None:
        fields = {"login": "demo", "psw": "demo", "phones": "79991234567", "mes": "x", "id": "m1", "charset": "utf-8"}
        await one.client.post("/smsc/sys/send.php", data=fields)
        await one.gateway.until(1)
        name, _, query, body = one.gateway.seen[0]
        assert (name, query) == ("smsc", {"md5": ""})
        assert b"status=1" in body

    rehearse(play)


def test_by_the_forms_of_the_page() -> None:
    async def play(one: Rehearsal) -> None:
        answer = await one.client.post("/misbehave/iba", data={"fault": "500", "times": "", "requests": "send"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await one.send()).status_code == 500
        await one.client.post("/misbehave/iba", data={"fault": "", "requests": "send"})
        assert (await one.send()).status_code == 200
        form = {"source": "79083730330", "destination": "7401", "text": "Yes", "prefix": ""}
        assert (await one.client.post("/incoming/iba", data=form)).status_code == 303
        await one.gateway.until(1)

    rehearse(play)


@pytest.mark.parametrize(("body", "status"), [(b"[]", 400), (b"{", 400), (b"{}", 422), (b'{"source": 1}', 422)])
def test_what_no_subscriber_writes(body: bytes, status: int) -> None:
    async def play(one: Rehearsal) -> None:
        answer = await one.client.post("/incoming/iba", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status

    rehearse(play)
