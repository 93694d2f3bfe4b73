"""What providers do to requests, to answers and to us: nothing is lost by it, nothing is paid for twice.

Every fault has a provider of its own for every policy (`when_in_doubt`), all of them behind one gateway and under load
at once; the sender of a message chooses. A fault hits the first requests, then the provider is as it should be, and
what waits has to go out without anybody's help (`ground.scene`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.servers import ROOT, free_port
from pdu import Pdu, SubmitSm

from ..ground import mischief
from ..ground.esme import Esme
from ..ground.gateway import Gateway
from ..ground.ledger import Books, Ledger, balance, enter, number_in
from ..ground.mischief import Spell
from ..ground.provider import TOKEN, Asked, Behaviour, Provider
from ..ground.scene import PATIENCE, POLICIES, TIMEOUT, VALIDITY, Fault, Leaves, Scene, Way
from ..proof import Evidence, Ground, Unprovable, proof

# Connections and answers that break off ------------------------------------------------------------------------------


def _cut_off() -> list[Fault]:
    waits = (*POLICIES, "wait")
    return [
        Fault("reset before it is processed", mischief.reset_before(), policies=waits),
        Fault("reset after it is processed", mischief.reset_after(), policies=waits),
        Fault("reset within the answer", mischief.reset_within()),
        Fault("closed without an answer", mischief.closed()),
        Fault("closed behind each answer", mischief.closed_behind()),
        Fault("slow", mischief.slow(0.5), leaves="nothing"),
        Fault("slower than the time-out, processed", mischief.slow(TIMEOUT * 3), policies=waits),
        Fault("slower than the time-out, not processed", mischief.slow(TIMEOUT * 3, processes=False)),
        Fault("an octet of the head every 0.1 s", mischief.endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", every=0.1)),
        Fault("an octet of the body every 0.1 s", mischief.endless(_unframed(), b" ", every=0.1)),
    ]


def _unframed() -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


@proof(
    "A provider that is slow, breaks off or never ends: what it recognises is delivered and charged once, what it can "
    "be asked for is asked for, and where neither holds the client is told UNKNOWN and nothing is sent twice."
)
async def cut_off(ground: Ground) -> Evidence:
    scene = Scene(ground, timeout=TIMEOUT)
    await scene.all(_cut_off(), ground.choose(8, 200))
    await scene.play(ground.choose(15, 1000), ground.choose(3, 50))
    return await scene.evidence()


# Statuses ------------------------------------------------------------------------------------------------------------

_SOON = {"seconds": "1", "a date": "Wed, 21 Oct 2015 07:28:00 GMT", "negative": "-5", "garbage": "soon, perhaps"}


def _statuses() -> list[Fault]:
    status, once = mischief.status, ("repeat", "give_up")
    asked_to_wait = [
        Fault(f"{code} with Retry-After: {name}", status(code, f"Retry-After: {value}"), "nothing", ("give_up",))
        for code in ("503 Busy", "429 Too Many")
        for name, value in _SOON.items()
    ]
    return [
        Fault("500 before it is processed", status("500 No")),
        Fault("500 after it is processed", status("500 No", processes=True)),
        Fault("504 of a proxy, processed", status("504 Late", processes=True, body=b"<html>")),
        Fault("503 without Retry-After", status("503 Busy"), "nothing", once),
        Fault("408", status("408 Late"), "nothing", once),
        Fault("401", status("401 Who"), "nothing", once),
        Fault("301 to somewhere", status("301 There", "Location: http://127.0.0.1:1/"), "nothing", once),
        Fault("307 to somewhere", status("307 There", "Location: http://127.0.0.1:1/"), "nothing", once),
        Fault("303 to somewhere, processed", status("303 There", "Location: http://127.0.0.1:1/", processes=True)),
        Fault("400", status("400 Bad"), "refusal", once),
        Fault("a refusal in words", mischief.refuses(), "refusal", once),
        Fault("100 and 103, then the answer", mischief.answers(lambda body: _EARLY + mischief.head(body)), "nothing"),
        Fault("101 that nobody asked for, processed", status("101 Over", "Upgrade: h2c", processes=True)),
        *asked_to_wait,
    ]


_EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
#: The longest that a message is put off for a Retry-After, in milliseconds.
_HOUR = 3_600_000


@proof(
    "A status that promises that nothing was done is tried again, one that leaves doubt is not, and a Retry-After is "
    "honoured where it can be read, up to an hour."
)
async def statuses(ground: Ground) -> Evidence:
    scene = Scene(ground, faults=True)
    hits = ground.choose(6, 100)
    await scene.all(_statuses(), hits)
    absurd = Fault("503 with Retry-After: 10^9 s", mischief.status("503 Busy", "Retry-After: 1000000000"), "nothing")
    way = await scene.add(absurd, "give_up", hits)
    playing = asyncio.ensure_future(scene.play(ground.choose(12, 500), ground.choose(3, 50)))
    # Those that were hit wait for an hour, while the others have gone long since: a clock that is ahead shows it.
    async with asyncio.timeout(ground.choose(60, 600)):
        while not _all_but(scene, way):
            await asyncio.sleep(0.1)
    put_off = len(scene.ledger.acknowledged) - scene.ledger.receipted
    switches = scene.gateway.switches
    assert switches
    assert way.spell
    switches.clock = _HOUR
    await playing
    evidence = await scene.evidence()
    evidence.must("put off for an hour by a Retry-After of 10^9 s", put_off, exactly=way.spell.hit)
    return evidence


def _all_but(scene: Scene, way: Way) -> bool:
    """Whether everybody is told but those that this way's fault has hit."""
    sent = len(scene.ledger.acknowledged)
    hit = way.spell.hit if way.spell else 0
    poured = bool(scene.ways) and sent and not scene.ledger.open and hit
    return bool(poured) and scene.ledger.receipted >= sent - hit


# Answers that are none -----------------------------------------------------------------------------------------------


def _says(make: Callable[[bytes], bytes], type: str = "application/json") -> Behaviour:
    """The body in another form."""
    return mischief.answers(lambda body: mischief.head(make(body), type=type))


def _answers() -> list[Fault]:
    head, octets, twice = mischief.head, mischief.answers, ("repeat", "give_up")
    fine: Leaves = "nothing"

    def of(length: str, rest: str = "") -> Callable[[bytes], bytes]:
        return lambda body: f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{rest}\r\n".encode() + body

    several: list[tuple[str, Leaves, Callable[[list[Any]], list[Any]]]] = [
        ("in another order", fine, lambda said: said[::-1]),
        ("one of them left out", "doubt", lambda said: said[1:]),
        ("one of them twice", "doubt", lambda said: [*said, said[0]]),
        ("with the ids of others", "doubt", lambda said: [{**one, "id": "4711"} for one in said]),
        ("and one too many that is refused", fine, lambda said: [*said, {"id": "1", "error": "refused"}]),
    ]

    return [
        Fault("no JSON", _says(lambda body: b"<html>OK</html>"), policies=POLICIES),
        Fault("half of the JSON", _says(lambda body: body[:-5]), policies=twice),
        Fault("an empty answer", _says(lambda body: b""), policies=twice),
        Fault("JSON of another form", _says(lambda body: b'[[["taken", true]]]'), policies=twice),
        Fault("JSON 100,000 levels deep", _says(lambda body: b"[" * 100_000), policies=twice),
        Fault("a number of 100,000 digits", _says(lambda body: b'{"taken":' + b"1" * 100_000 + b"}"), policies=twice),
        Fault("octets that are not UTF-8", _says(lambda body: body[:-1] + b', "x": "\xff\xfe"}'), policies=twice),
        Fault("UTF-16", _says(lambda body: body.decode().encode("utf-16")), policies=twice),
        Fault("a byte order mark", _says(lambda body: b"\xef\xbb\xbf" + body), fine, twice),
        Fault("a charset that lies", _says(lambda body: body, "application/json; charset=utf-16"), fine, twice),
        Fault("a type that lies", _says(lambda body: body, "image/png"), fine, twice),
        Fault("gzip", octets(mischief.packed), fine, twice),
        Fault("br, which nobody asked for", octets(lambda body: head(body, "Content-Encoding: br")), policies=twice),
        Fault("gzip that is none", octets(lambda body: head(body, "Content-Encoding: gzip")), policies=twice),
        Fault("two lengths", octets(of("5", "Content-Length: 500\r\n")), policies=twice),
        Fault("a length below zero", octets(of("-1")), policies=twice),
        Fault("a length and chunks", octets(of("5", "Transfer-Encoding: chunked\r\n")), policies=twice),
        Fault("chunks that are none", octets(lambda body: mischief.CHUNKED + b"zz\r\n" + body), policies=twice),
        Fault("another protocol", octets(lambda body: b"220 mail.example ESMTP\r\n"), policies=twice),
        Fault("two answers at once", octets(lambda body: head(body) + mischief.refusal()), fine, twice),
        Fault("an answer before it is asked for", octets(head), policies=twice, provider=Hasty),
        *(
            Fault(f"several messages, {name}", octets(_several(make)), leaves, twice, Several)
            for name, leaves, make in several
        ),
    ]


class Hasty(Provider):
    """Speaks first: says that it has taken what it has not read yet."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.behave, Spell) and self.behave.left:
            writer.write(mischief.head(b'{"taken": true}'))
        await super()._serve(reader, writer)


class Several(Provider):
    """Takes up to ten messages in a request, and tells of each by our id."""

    def table(self, **keys: Any) -> str:
        one = super().table(**keys)
        for old, new in (
            ('json = { id = "{{ id }}", to = "{{ destination | digits }}", text = "{{ text }}" }',
             'each = "$"\nmost = 10\njson = [{ id = "{{ id }}", text = "{{ text }}" }]'),
            ("success.where", 'each = "$"\nmatch = "$.id"\nsuccess.where'),
        ):  # fmt: skip
            assert old in one
            one = one.replace(old, new)
        return one

    def process(self, asked: Asked) -> bytes:
        return json.dumps([self.do(said) for said in asked.json()]).encode()


def _several(make: Callable[[list[Any]], list[Any]]) -> Callable[[bytes], bytes]:
    return lambda body: mischief.head(json.dumps(make(json.loads(body))).encode())


@proof(
    "An answer that cannot be read, is no HTTP, speaks of other messages or was not asked for is never taken for the "
    "success or the refusal of a message."
)
async def answers(ground: Ground) -> Evidence:
    scene = Scene(ground)
    await scene.all(_answers(), ground.choose(6, 200))
    await scene.play(ground.choose(10, 500), ground.choose(3, 50))
    return await scene.evidence()


# Answers without end -------------------------------------------------------------------------------------------------


def _huge() -> list[Fault]:
    endless, octets = mischief.endless, mischief.answers
    length = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
    return [
        Fault("a body of 10 GB, announced", endless(length, mischief.PIECE)),
        Fault("a body without end", endless(_unframed(), mischief.PIECE)),
        Fault("chunks without end", endless(mischief.CHUNKED, mischief.chunk(mischief.PIECE))),
        Fault("a chunk header without end", endless(mischief.CHUNKED, b"1;" + b"x" * 65536)),
        Fault("headers without end", endless(b"HTTP/1.1 200 OK\r\n", b"X-Name: " + b"x" * 8000 + b"\r\n")),
        Fault("one header without end", endless(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536)),
        Fault("100 Continue without end", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)),
        Fault("64 MiB packed by gzip", octets(mischief.gzip_bomb)),
        Fault("64 MiB packed by deflate", octets(mischief.deflate_bomb)),
        Fault("packed 400 times over", octets(mischief.many_layers)),
        Fault("an error of 900 KB", _says(lambda body: json.dumps({"error": "x" * 900_000}).encode())),
    ]


#: Octets that an answer may have before it is given up, and how many copies of it there may be for a moment; what a
#: gateway under load takes anyway comes on top.
_ANSWER, _COPIES, _LOAD = 1_048_576 + 65536, 2, 48 << 20


@proof("An answer without end, and one that is packed to hide its size, takes about a megabyte of memory and no turn.")
async def huge(ground: Ground) -> Evidence:
    # Made before, or the provider is what takes no turn.
    for make in (mischief.gzip_bomb, mischief.deflate_bomb, mischief.many_layers):
        make(b"")
    scene = Scene(ground)
    hits, policies = ground.choose(4, 100), ("repeat", "give_up")
    faults = [Fault(one.name, one.behave, one.leaves, policies) for one in _huge()]
    await scene.all(faults, hits)
    await scene.play(ground.choose(10, 500), ground.choose(3, 50))
    at_once = len(scene.ways) * min(hits, 32)
    evidence = await scene.evidence()
    evidence.count("answers without end at once, at most", at_once)
    most = at_once * _ANSWER * _COPIES + _LOAD
    evidence.must("memory grown by, MiB", scene.growth / 2**20, most=most >> 20)
    return evidence


# Nobody there --------------------------------------------------------------------------------------------------------


class Certificates:
    """Certificates that a provider might show. Raises Unprovable where there is no openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        program = shutil.which("openssl")
        if program is None:
            raise Unprovable("needs the openssl program to make certificates")
        self._program = program
        self.good = self._made("good", "IP:127.0.0.1")
        self.of_another = self._made("elsewhere", "DNS:elsewhere.test")
        self.expired = self._made("expired", "IP:127.0.0.1", expired=True)
        self.unknown = self._made("unknown", "IP:127.0.0.1")
        #: Whom the gateway believes.
        self.believed = folder / "believed.pem"
        self.believed.write_bytes(
            b"".join((folder / f"{name}.pem").read_bytes() for name in ("good", "elsewhere", "expired"))
        )

    def _made(self, name: str, alternative: str, *, expired: bool = False) -> ssl.SSLContext:
        file, key = str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={alternative}")
        self._run("req", "-x509", *curve, *names, "-keyout", key, "-out", file)
        if expired:
            self._run("x509", "-in", file, "-signkey", key, "-days", "-1", "-out", file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, key)
        return context

    def _run(self, *command: str) -> None:
        done = subprocess.run([self._program, *command], capture_output=True, check=False)
        if done.returncode:
            raise Unprovable(f"openssl made no certificate: {done.stderr.decode().strip()[-200:]}")


@proof(
    "A provider that is down, that cannot be found or whose certificate is not believed got nothing: everything is "
    "sent when it is back, or by the next provider of the route, once, whatever the policy."
)
async def unreachable(ground: Ground) -> Evidence:
    scene = Scene(ground)
    certificates = Certificates(ground.folder)
    for policy in ("repeat", "give_up"):
        await _down(scene, "nobody listens", policy)
        for name, shown in (
            ("a certificate that nobody has signed", certificates.unknown),
            ("a certificate that has expired", certificates.expired),
            ("the certificate of another host", certificates.of_another),
        ):
            await _down(scene, name, policy, certificates, Provider.start, ssl=shown)
        for name, instead in (("plain text on the port of TLS", _plain), ("silence on the port of TLS", _silence)):
            await _down(scene, name, policy, certificates, instead)
        await _nameless(scene, policy)
    await scene.play(ground.choose(15, 500), ground.choose(3, 50), lasts=ground.choose(2, 30))
    return await scene.evidence()


async def _down(
    scene: Scene, fault: str, policy: str, certificates: Certificates | None = None, instead: Any = None, **shown: Any
) -> None:
    """A way whose provider is not there before it is mended; `instead` is."""
    ground, provider = scene.ground, Provider(name=f"W{len(scene.ways)}", recognises=policy == "repeat")
    await provider.start(ground)
    await provider.close()
    keys: dict[str, Any] = {"more": 'connect_timeout = "1s"'}
    if certificates:
        keys = {"scheme": "https", "more": f'connect_timeout = "1s"\nverify = "{certificates.believed}"'}
    impostor = Provider(name="impostor")
    if instead is Provider.start:
        await impostor.start(ground, provider.port, **shown)
    elif instead:
        server = await asyncio.start_server(instead, "127.0.0.1", provider.port)
        ground.stack.callback(server.close)

    async def mend() -> None:
        if instead is Provider.start:
            await impostor.close()
        elif instead:
            server.close()
        await provider.start(ground, provider.port, **({"ssl": certificates.good} if certificates else {}))

    scene.enter(Way(provider.name, fault, policy, "nothing", provider, mend=mend), **keys)


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 This is HTTP\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.close()


async def _nameless(scene: Scene, policy: str) -> None:
    """A provider whose host has no address (RFC 6761 §6.4), and another one behind it in the route."""
    source = f"W{len(scene.ways)}"
    lost, spare = Provider(name=source), Provider(name=f"{source}next", recognises=policy == "repeat")
    for provider in (lost, spare):
        await provider.start(scene.ground)
    way = scene.enter(
        Way(source, "no address, and a next provider", policy, "nothing", spare),
    )
    route, both = f'source = ["{source}"]', f'providers = ["{source}", "{spare.name}"]'
    way.table = lost.table(host="provider.invalid", route=route).replace(f'providers = ["{source}"]', both)
    scene.more += spare.table(when_in_doubt=policy, timeout=f"{PATIENCE:g}s", route='source = ["nobody"]')


# Callbacks -----------------------------------------------------------------------------------------------------------

#: Asked for seldom enough that only a callback can tell in time.
_SELDOM = ('poll_first = "200ms"', 'poll_first = "300s"'), ('poll_max = "1s"', 'poll_max = "300s"')


class OwnIds(Provider):
    """Gives every message an id of its own."""

    def table(self, **keys: Any) -> str:
        mine = super().table(**keys).replace('reference = "{{ id }}"\n', "")
        return mine.replace("success.where", 'id = "$.id"\nsuccess.where')

    def do(self, said: dict[str, Any]) -> dict[str, Any]:
        return super().do({**said, "id": f"P{said['id']}"})


class Caller(Provider):
    """Tells what it tells by callbacks alone, as `tells` says it."""

    #: Statuses that callbacks were answered with.
    answered: Counter[int]
    tells: Callable[[Caller, str], Awaitable[None]]
    #: The callbacks go before the answer to the request, not behind it.
    before = False

    async def take(self, asked: Asked) -> None:
        if not asked.sends:
            await asked.answer(*self.told(asked))
            return
        body = self.process(asked)
        id = json.loads(body)["id"]
        if self.before:
            await self.tells(self, id)
        else:
            self.later(self.tells(self, id))
        await asked.answer(body)

    def do(self, said: dict[str, Any]) -> dict[str, Any]:
        calls, self.callback = self.callback, ""
        try:
            return super().do(said)
        finally:
            self.callback = calls

    async def say(self, id: str, *states: str, **keys: Any) -> None:
        for state in states:
            self.answered[await self.call(id, state, **keys)] += 1


class CallerWithIds(Caller, OwnIds):
    """The same, by ids of its own."""


@proof(
    "Callbacks may be repeated, late, early, in the wrong order, forged or missing: each message is told one final "
    "state, the first one that its provider proved, and none is told of by anybody else."
)
async def callbacks(ground: Ground) -> Evidence:
    scene = Scene(ground)
    victims: list[str] = []
    forgeries: Counter[int] = Counter()

    async def repeated(one: Caller, id: str) -> None:
        await one.say(id, *["delivered"] * 3)

    async def backwards(one: Caller, id: str) -> None:
        await one.say(id, "queued", "delivered", "queued", "failed")

    async def failed_first(one: Caller, id: str) -> None:
        await one.say(id, "failed", "delivered", "delivered")

    async def all_at_once(one: Caller, id: str) -> None:
        await asyncio.gather(*(one.say(id, "delivered") for _ in range(3)))

    async def unread(one: Caller, id: str) -> None:
        await one.say(id, "of no list at all", "x" * 5000, "delivered")

    async def victim(one: Caller, id: str) -> None:
        victims.append(id)
        await asyncio.sleep(1)
        await one.say(id, "delivered")

    async def forges(one: Caller, id: str) -> None:
        path = f"/callback/{forged_for}"
        for of in (*victims[-3:], id):
            forgeries[await one.call(of, "failed", path=f"{path}/{'f' * 32}")] += 1
            forgeries[await one.call(of, "failed", path=f"{path}/{TOKEN}", key="guessed")] += 1
            forgeries[await one.call(of, "failed", path="/callback/nobody/" + "f" * 32)] += 1
        # With its own token and its own signature, about what is not its own.
        for of in (*victims[-3:], "0", "-1", "9" * 18, "x" * 300, ""):
            await one.say(of, "failed")
        await one.say(id, "delivered")

    async def nothing(one: Caller, id: str) -> None:
        pass

    forged_for = f"W{len(scene.ways)}"
    await _caller(scene, "the victim of a forger", victim)
    await _caller(scene, "a forger", forges)
    for kind, ids in ((Caller, "our ids"), (CallerWithIds, "its own ids")):
        await _caller(scene, f"repeated 3 times, {ids}", repeated, kind)
        await _caller(scene, f"3 at once, {ids}", all_at_once, kind)
        await _caller(scene, f"before the answer of the send, {ids}", repeated, kind, before=True)
        await _caller(scene, f"queued, delivered, queued, failed, {ids}", backwards, kind)
        await _caller(scene, f"failed, then delivered, {ids}", failed_first, kind, ends="UNDELIVERABLE")
    await _caller(scene, "states of no list", unread)
    await _caller(scene, "never, and it is asked", nothing, seldom=False)
    never = await _caller(scene, "never, and it never says more than queued", nothing, ends="UNKNOWN", policy="wait")
    never.provider.state = "queued"
    lost = await _caller(scene, "the answer is lost, a callback tells", repeated, policy="wait")
    lost.spell = Spell(_lost, ground.choose(5, 40))
    lost.provider.behave = lost.spell
    # All these providers are of one process: with more messages at once they would be late themselves.
    await scene.play(ground.choose(10, 60), ground.choose(3, 50))
    evidence = await scene.evidence()
    evidence.must("forged callbacks", forgeries.total(), least=ground.choose(20, 500))
    evidence.must("forged callbacks that were answered with 2xx", _taken(forgeries), exactly=0)
    return evidence


async def _lost(provider: Provider, asked: Asked) -> None:
    assert isinstance(provider, Caller)
    provider.later(provider.tells(provider, json.loads(provider.process(asked))["id"]))
    asked.reset()


def _taken(statuses: Counter[int]) -> int:
    return sum(count for status, count in statuses.items() if 200 <= status < 300)


async def _caller(
    scene: Scene, name: str, tells: Callable[[Caller, str], Awaitable[None]], kind: type[Caller] = Caller, *,
    before: bool = False, ends: str = "", policy: str = "", seldom: bool = True,
) -> Way:  # fmt: skip
    provider = kind(name=f"W{len(scene.ways)}", recognises=False)
    provider.answered, provider.tells, provider.before = Counter(), tells, before
    await provider.start(scene.ground)
    way = scene.enter(Way(provider.name, name, policy, "doubt" if policy else "nothing", provider, ends=ends))
    for old, new in _SELDOM if seldom else ():
        assert old in way.table
        way.table = way.table.replace(old, new)
    return way


# Vendors -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vendor:
    """A provider of conf/rehearsal.toml, which the sender chooses."""

    source: str
    played_by: str
    to: str
    #: What `when_in_doubt` is to it: as in docs/providers.
    policy: str


VENDORS = [
    Vendor("smsc", "smsc", "79991234567", "ask"),
    Vendor("omnikey", "omnicell", "380631111111", "repeat"),
    Vendor("omnicell", "omnicell", "380631111111", "give_up"),
    Vendor("smsgate", "smsgate", "79801234567", "repeat"),
    Vendor("smsgate-xml", "smsgate", "79801234567", "repeat"),
    Vendor("iba", "iba", "375291234567", "give_up"),
    Vendor("naimar", "naimar", "421901727051", "wait"),
]
#: What `smppbridge simulate` can do (docs/rehearsal.md), and whether the request is processed.
SPELLS: dict[str, dict[str, Any]] = {
    "500 before": {"fault": "500"},
    "500 after": {"fault": "500", "processed": True},
    "429": {"fault": "429", "seconds": 1},
    "reset before": {"fault": "reset", "processed": False},
    "reset after": {"fault": "reset"},
    "never answered": {"fault": "timeout"},
    "slow": {"fault": "slow", "seconds": 0.3},
    "garbled": {"fault": "garbled"},
    "empty": {"fault": "empty"},
    "half refused": {"fault": "partial"},
    "the answer to another": {"fault": "wrong"},
}
_WAVES = (("smsc", "omnikey", "smsgate", "iba", "naimar"), ("omnicell", "smsgate-xml"))
#: Where those that give up have to say so.
_DOUBT = ("500 after", "reset before", "reset after", "never answered", "garbled", "empty")
_SHORT = ("500 after", "reset before", "reset after", "never answered", "garbled", "the answer to another")


class Simulated:
    """The simulator that is shipped, with the configuration that is shipped for it, in which only times are shorter."""

    def __init__(self, ground: Ground, name: str) -> None:
        self.folder = ground.place(name)
        self.port, self.name = free_port(), name
        self.base = f"http://127.0.0.1:{self.port}"
        self.gateway = Gateway(ground, folder=self.folder)
        shipped = (ROOT / "conf" / "rehearsal.toml").read_text()
        for old, new in (
            ("127.0.0.1:2775", f"127.0.0.1:{self.gateway.port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.gateway.http}"),
            ("127.0.0.1:8099", f"127.0.0.1:{self.port}"),
            ("var/rehearsal.db", str(self.gateway.path)),
            ('timeout = "3s"', 'timeout = "1500ms"\nbreaker_pause = "1s"\nmax_in_flight = 4\ngrace = "1s"'),
            ('poll_first = "2s"', 'poll_first = "300ms"'),
            ('retry_first = "1s"', 'retry_first = "200ms"'),
        ):
            assert old in shipped
            shipped = shipped.replace(old, new)
        self.gateway.config.write_text(shipped)
        command = [sys.executable, "-m", "smppbridge", "simulate", "--quiet", "--listen", f"127.0.0.1:{self.port}",
                   "--callback", f"http://127.0.0.1:{self.gateway.http}", "--delay", "200ms"]  # fmt: skip
        with (self.folder / "simulator.log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        ground.stack.callback(self._process.kill)

    async def start(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    (await asyncio.open_connection("127.0.0.1", self.port))[1].close()
                    break
                await asyncio.sleep(0.05)
        await self.gateway.start()

    async def put(self, vendor: str, order: dict[str, Any]) -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
            (await client.put(f"{self.base}/misbehave/{vendor}", json=order)).raise_for_status()

    async def processed(self) -> Counter[int]:
        """By number of the message, how often it was charged."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501
            found = (await client.get(f"{self.base}/messages.json")).json()
        return Counter(number_in(one["text"]) for one in found["messages"])


class Sender(Esme):
    """Sends to one vendor."""

    vendor: Vendor
    numbers: list[int]

    def message(self, number: int, sequence: int) -> Pdu:
        self.numbers.append(number)
        pdu = super().message(number, sequence)
        assert isinstance(pdu, SubmitSm)
        pdu.source_addr, pdu.destination_addr = self.vendor.source, self.vendor.to
        waits = self.vendor.policy == "wait"
        pdu.validity_period = f"0000000000{VALIDITY:02}000R" if waits else "000000000500000R"
        return pdu


@proof(
    "The adapters keep to it with the providers that `smppbridge simulate` plays: whatever breaks, nothing is charged "
    "twice, and what knows a key or can be asked for is delivered."
)
async def vendors(ground: Ground) -> Evidence:
    evidence = Evidence()
    names = ground.choose(_SHORT, tuple(SPELLS))
    each, hits = ground.choose(4, 25), ground.choose(2, 8)
    # One simulator and one gateway; the faults come one after the other, all vendors have them at once.
    scene = Simulated(ground, "vendors")
    await scene.start()
    ledger, enquiries = Ledger(), list[float]()
    esmes: list[Sender] = []
    for vendor in VENDORS:
        esme = await Sender.connect(scene.gateway.port, ledger, window=10)
        esme.vendor, esme.numbers = vendor, []
        esmes.append(esme)
    sent: dict[tuple[str, str], list[int]] = {}
    done: Counter[int] = Counter()
    given_up: list[int] = []
    for name in names:
        # Two that are played by the same one would take the fault from each other.
        for wave in _WAVES:
            for player in {esme.vendor.played_by for esme in esmes}:
                await scene.put(player, {**SPELLS[name], "times": hits})
            await asyncio.gather(*(esme.pour(each) for esme in esmes if esme.vendor.source in wave))
            enquiries.append(await esmes[0].enquire())
            with contextlib.suppress(TimeoutError):
                await esmes[0].settled(len(ledger.acknowledged), patience=60)
        for esme in esmes:
            sent[name, esme.vendor.source], esme.numbers = esme.numbers, []
        # It remembers the last 200 of each vendor.
        done |= await scene.processed()
        ground.tell(f"{name}: {ledger.receipted} of {len(ledger.acknowledged)} told")
    for esme in esmes:
        await esme.unbind()
    await scene.gateway.terminate()
    books = Books.read(scene.gateway.path)
    for (name, source), numbers in sent.items():
        policy = next(vendor.policy for vendor in VENDORS if vendor.source == source)
        provider = Provider(processed=done)
        leaves: Leaves = "doubt"
        if name == "half refused":
            leaves = "refusal"
        elif name in ("429", "slow") and policy != "wait":
            # What nobody can be asked for is good for a few seconds here.
            leaves = "nothing"
        way = Way(source, f"{source}: {name}", policy, leaves, provider, numbers=numbers)
        evidence.rows.append(way.row(ledger, books))
        if policy == "give_up" and name in _DOUBT:
            given_up.append(way.counted(ledger, books)["UNKNOWN"])
    evidence.must("least that ended as UNKNOWN where the provider gives no better way", min(given_up), least=1)
    enter(evidence, balance(ledger, books, done))
    evidence.must("ENQUIRE_LINK answered within, s, at worst", max(enquiries), most=ground.choose(3, 1))
    return evidence
