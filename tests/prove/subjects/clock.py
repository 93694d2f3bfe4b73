"""The wall clock jumps, the process stands still, and times are written in every zone.

The gateway runs on `ground.host`: its wall clock is the true one and `switches.clock`. What has to do with clients and
requests goes by a clock that only goes forward; what is durable (ids, schedules, validity, retries) goes by the wall
clock, so these are what a jump is tried on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from pdu import CommandStatus, DeliverSm, Pdu, SubmitSm, format_absolute, format_relative

from ..ground.esme import Esme
from ..ground.gateway import Gateway
from ..ground.ledger import Books, Ledger, balance, enter, number_in
from ..ground.provider import Asked, Provider
from ..proof import Evidence, Ground, proof

_HOUR = 3_600_000
_YEAR = 365 * 24 * _HOUR
#: Of a client (`Esme`).
_WINDOW = 50
#: An account that a clock could lock out: a pace, quotas and a row to one subscriber.
_LIMITED = "burst = 100000\nper_minute = 1000000\nper_hour = 10000000\nper_day = 100000000"


@proof(
    "The wall clock may jump an hour forth and back, also over a restart: nothing is lost, sent twice or silent, no id "
    "is given twice or out of order, and nobody waits for the clock to come back."
)
async def jumps(ground: Ground) -> Evidence:
    rounds, each = ground.choose(2, 60), 1.0
    provider, ledger = Provider(at_once=True), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(), account=_LIMITED, faults=True)
    assert gateway.switches
    # An hour forth and back again and again, and over a restart a year as well.
    offsets = [_HOUR, 0, -_HOUR, 0, _HOUR, -_HOUR]
    restarts = [-_YEAR, _HOUR, -_HOUR, 0]
    ids: list[int] = []
    out_of_order = backwards = silent_seconds = back = 0
    await gateway.start()
    for number in range(rounds):
        esme = await _Ordered.connect(gateway.port, ledger)
        loading = asyncio.ensure_future(esme.offer(150, each * 4))
        for at in range(3):
            await asyncio.sleep(each)
            before = len(ledger.acknowledged)
            offset = offsets[(number * 3 + at) % len(offsets)]
            back += offset < gateway.switches.clock
            gateway.switches.clock = offset
            await asyncio.sleep(each / 4)
            silent_seconds += len(ledger.acknowledged) == before
        await loading
        await esme.settled(len(ledger.acknowledged), patience=30)
        out_of_order += esme.out_of_order
        backwards += bool(ids) and min(esme.ids) <= max(ids)
        ids += esme.ids
        await gateway.end(9 if number % 2 else 15)
        gateway.switches.clock = restarts[number % len(restarts)]
        await gateway.start()
        ground.tell(f"{number + 1} of {rounds}: {len(ledger.acknowledged)} acknowledged")
    esme = await _Ordered.connect(gateway.port, ledger)
    await esme.settled(len(ledger.acknowledged), patience=60)
    await gateway.terminate()
    evidence = Evidence()
    evidence.must("jumps of the clock while it runs", rounds * 3, least=rounds * 3)
    evidence.must("… over a restart", rounds, least=rounds)
    enter(evidence, balance(ledger, Books.read(gateway.path), provider.processed))
    _refused(evidence, ledger, back)
    evidence.must("ids given twice", len(ids) - len(set(ids)), exactly=0)
    evidence.must("ids that are lower than one before", out_of_order, exactly=0)
    evidence.must("starts after which ids went back", backwards, exactly=0)
    evidence.must("quarters of a second after a jump without an answer", silent_seconds, exactly=0)
    evidence.must("response, s, at worst", round(max(ledger.latencies), 2), most=5)
    return evidence


def _refused(evidence: Evidence, ledger: Ledger, back: int) -> None:
    """A pace begins anew where the clock is set back (so many times), and what comes in its first millisecond is too
    much: a window, and perhaps the one after it."""
    throttled = sum(status == CommandStatus.ESME_RTHROTTLED for status in ledger.refused.values())
    evidence.must("refused by the pace, for each time that the clock was set back", throttled / back, most=2 * _WINDOW)
    evidence.must("refused otherwise", len(ledger.refused) - throttled, exactly=0)


class _Ordered(Esme):
    """Looks at the ids it is given, in the order in which they come."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ids: list[int] = []
        self.out_of_order = 0

    def take(self, pdu: Pdu, out: list[bytes]) -> None:
        number = self._open.get(pdu.sequence_number)
        super().take(pdu, out)
        if number is not None and (id := self.ledger.acknowledged.get(number)):
            self.out_of_order += bool(self.ids) and id <= self.ids[-1]
            self.ids.append(id)


@proof(
    "A provider that asks for patience, and one that is down, gets what comes after a jump back when its pause is "
    "over; only what was put off before the jump stays put off until the clock gets there."
)
async def pauses(ground: Ground) -> Evidence:
    provider, ledger = Provider(at_once=True), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(), faults=True)
    assert gateway.switches
    await gateway.start()
    esme = await Esme.connect(gateway.port, ledger)
    evidence = Evidence()
    for what, fails in (("asked to wait (429)", _busy), ("down", _down)):
        provider.behave = fails
        await esme.pour(200)
        await asyncio.sleep(1)
        gateway.switches.clock -= _HOUR
        provider.behave = lambda provider, asked: provider.take(asked)
        await asyncio.sleep(0.2)
        # What comes now is not put off to a time that is an hour away.
        known, began = set(ledger.acknowledged.values()), time.monotonic()
        await esme.pour(200)
        new = set(ledger.acknowledged.values()) - known
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while new - ledger.receipts.keys():
                    await asyncio.sleep(0.02)
        evidence.must(f"{what}: new messages after the jump", len(new), least=100)
        evidence.must(f"{what}: s until each has ended", round(time.monotonic() - began, 1), most=15)
    # What was put off before the jump is due when the clock gets there.
    gateway.switches.clock += 2 * _HOUR
    await esme.settled(len(ledger.acknowledged), patience=60)
    await gateway.terminate()
    enter(evidence, balance(ledger, Books.read(gateway.path), provider.processed))
    _refused(evidence, ledger, back=2)
    return evidence


async def _busy(provider: Provider, asked: Asked) -> None:
    if asked.sends:
        await asked.answer(b'{"error": "busy"}', "429 Too Many Requests", "Retry-After: 2")
    else:
        await provider.take(asked)


async def _down(provider: Provider, asked: Asked) -> None:
    asked.reset()


@proof(
    "A process that was suspended for a minute goes on where it was: nothing is lost or silent, and what was on its "
    "way to a provider that recognises no repetition is asked for and not sent again."
)
async def suspended(ground: Ground) -> Evidence:
    times, seconds = ground.choose((1, 5.0), (3, 61.0))
    # Answers take longer than the gateway waits after it has slept.
    provider, ledger = Provider(recognises=False, at_once=True), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(when_in_doubt="ask"))
    provider.behave = _slow
    await gateway.start()
    esmes = [await Esme.connect(gateway.port, ledger) for _ in range(3)]
    down = 0
    for number in range(times):
        # What comes meanwhile is to be worked off afterwards: the provider takes a hundred a second.
        loads = [asyncio.ensure_future(esme.offer(10, seconds + 4)) for esme in esmes]
        await asyncio.sleep(2)
        gateway.pause()
        await asyncio.sleep(seconds)
        gateway.go_on()
        await asyncio.gather(*loads)
        for at, esme in enumerate(esmes):
            if esme.gone.is_set():
                down += 1
                esmes[at] = await Esme.connect(gateway.port, ledger)
        ground.tell(f"suspended {number + 1} of {times} times, {len(ledger.acknowledged)} acknowledged")
    await esmes[0].settled(len(ledger.acknowledged), patience=120)
    slowest = max([await esme.enquire() for esme in esmes])
    await gateway.terminate()
    evidence = Evidence()
    evidence.must("suspended, times", times, least=times)
    evidence.count("… for s each", round(seconds))
    enter(evidence, balance(ledger, Books.read(gateway.path), provider.processed))
    evidence.must("binds that were lost by it", down, exactly=0)
    evidence.must("ENQUIRE_LINK afterwards, s", round(slowest, 3), most=1)
    return evidence


async def _slow(provider: Provider, asked: Asked) -> None:
    """Takes it at once, and answers half a second later."""
    body = provider.process(asked) if asked.sends else None
    await asyncio.sleep(0.3)
    if body is None:
        await provider.take(asked)
    else:
        await asked.answer(body)


#: Where the host of the gateway may stand, and moments that are special there (UTC): what is due must not depend on it.
_ZONES = ("UTC", "Europe/Kyiv", "America/New_York", "Australia/Lord_Howe")
_MOMENTS = (
    datetime(2026, 10, 25, 0, 30, tzinfo=UTC),  # 03:30 in Kyiv, for the first of two times
    datetime(2027, 3, 28, 0, 59, 50, tzinfo=UTC),  # ten seconds before an hour that Kyiv does not have
    datetime(2026, 11, 1, 5, 59, 50, tzinfo=UTC),  # the same in New York, where an hour comes twice
    datetime(2027, 4, 3, 14, 59, 50, tzinfo=UTC),  # half an hour comes twice on Lord Howe
    datetime(2026, 12, 31, 23, 59, 50, tzinfo=UTC),
    datetime(2028, 2, 28, 23, 59, 50, tzinfo=UTC),
)
#: Quarters of an hour from UTC that SMPP can say.
_QUARTERS = range(-48, 49)
_DATE = re.compile(rb"submit date:(\d{10})")


@proof(
    "A time means the same wherever the gateway's host stands: with every offset of SMPP, relative, around both "
    "changes of summer time, the end of a year and a leap day; what is due goes out once, then and not before, and "
    "what a jump of the clock has overtaken ends as EXPIRED with its receipt."
)
async def schedule(ground: Ground) -> Evidence:
    places = [(zone, moment) for zone in _ZONES for moment in _MOMENTS]
    if not ground.long:
        places = [(_ZONES[at % len(_ZONES)], moment) for at, moment in enumerate(_MOMENTS[1:3], 1)]
    found: Counter[str] = Counter()
    late = 0.0
    # Two hosts at once: each waits most of the time.
    for first in range(0, len(places), 2):
        some = enumerate(places[first : first + 2], first)
        late = max(late, *await asyncio.gather(*(_scheduled(ground, *place, number, found) for number, place in some)))
        ground.tell(f"{min(first + 2, len(places))} of {len(places)} zones and moments")
    evidence = Evidence()
    evidence.must("host in so many zones and moments", len(places), least=len(places))
    evidence.count("times written with an offset, or relative", found["accepted"])
    for name in (
        "refused", "sent before it was due", "due and not sent", "sent more than once", "overtaken and sent",
        "overtaken without EXPIRED", "without receipt", "wrong submit date",
    ):  # fmt: skip
        evidence.must(name, found[name], exactly=0)
    evidence.must("receipts whose dates were looked at", found["dates"], least=found["accepted"])
    evidence.must("s after it was due, at worst", round(late, 1), most=10)
    return evidence


async def _scheduled(ground: Ground, zone: str, moment: datetime, number: int, found: Counter[str]) -> float:
    """One host at one moment; how late the latest message was, in seconds."""
    folder = ground.place(str(number))
    provider, ledger = Provider(at_once=True), Ledger()
    await provider.start(ground)
    gateway = Gateway(ground, provider.table(), account='timezone = "Europe/Moscow"', faults=True, folder=folder)
    switches = gateway.switches
    assert switches
    gateway.environment["TZ"] = zone
    switches.clock = ahead = int((moment.timestamp() - time.time()) * 1000)
    #: Number → when it came to the provider, by the gateway's clock.
    came: dict[int, float] = {}

    async def note(provider: Provider, asked: Asked) -> None:
        if asked.sends:
            came.setdefault(number_in(asked.json()["text"]), time.time() + switches.clock / 1000)
        await provider.take(asked)

    provider.behave = note
    await gateway.start()
    esme = await _Scheduling.connect(gateway.port, ledger)
    now = datetime.fromtimestamp(time.time() + ahead / 1000, UTC).replace(microsecond=0)
    soon, later, end = now + timedelta(seconds=5), now + timedelta(minutes=50), now + timedelta(minutes=55)
    for quarters in _QUARTERS:
        there = timezone(timedelta(minutes=15 * quarters))
        esme.say("soon", format_absolute(soon.astimezone(there)))
        esme.say("later", format_absolute(later.astimezone(there)))
        esme.say("overtaken", format_absolute(later.astimezone(there)), format_absolute(end.astimezone(there)))
    esme.say("soon", format_relative(5))
    esme.say("later", format_relative(3000))
    await _until(lambda: len(ledger.acknowledged) + len(ledger.refused) == len(esme.said))
    of = {
        word: {number for number, said in esme.said.items() if said == word} for word in ("soon", "later", "overtaken")
    }
    await _until(lambda: of["soon"] <= came.keys())
    found["due and not sent"] += len(of["soon"] - came.keys())
    found["sent before it was due"] += sum(at < soon.timestamp() for at in came.values())
    found["sent before it was due"] += len(came.keys() - of["soon"])
    late = max(came.values()) - soon.timestamp()
    # An hour at once: what was due in it goes out, and what was good for it only has ended.
    switches.clock = ahead + _HOUR
    await _until(lambda: len(ledger.receipts) == len(ledger.acknowledged))
    found["due and not sent"] += len(of["later"] - came.keys())
    found["overtaken and sent"] += len(of["overtaken"] & came.keys())
    found["sent more than once"] += sum(times > 1 for times in provider.processed.values())
    ends = {number: ledger.receipts.get(id, Counter()) for number, id in ledger.acknowledged.items()}
    found["overtaken without EXPIRED"] += sum(list(ends.get(number, ())) != ["EXPIRED"] for number in of["overtaken"])
    found["without receipt"] += sum(not told for told in ends.values())
    found["refused"] += len(ledger.refused)
    found["accepted"] += len(ledger.acknowledged)
    # The account's zone, whatever the host's: a minute more for what has crossed into the next one.
    moscow = ZoneInfo("Europe/Moscow")
    submitted = {f"{(now + timedelta(minutes=more)).astimezone(moscow):%y%m%d%H%M}" for more in (0, 1)}
    found["dates"] += len(esme.dates)
    found["wrong submit date"] += sum(date not in submitted for date in esme.dates)
    await gateway.terminate()
    return late


async def _until(so: Callable[[], bool], patience: float = 30) -> None:
    """The bounds say what it means if it never comes."""
    until = time.monotonic() + patience
    while not so() and time.monotonic() < until:
        await asyncio.sleep(0.02)


class _Scheduling(Esme):
    """Every message with a time of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        #: Number → what is to become of it.
        self.said: dict[int, str] = {}
        #: The submit dates of receipts.
        self.dates: list[str] = []
        self._times = "", ""

    def say(self, what: str, scheduled: str, validity: str = "") -> None:
        self._times = scheduled, validity
        self.said[self.submit()] = what

    def message(self, number: int, sequence: int) -> Pdu:
        pdu = super().message(number, sequence)
        assert isinstance(pdu, SubmitSm)
        pdu.schedule_delivery_time, pdu.validity_period = self._times
        return pdu

    def receipt(self, pdu: DeliverSm, out: list[bytes]) -> None:
        super().receipt(pdu, out)
        if dates := _DATE.search(pdu.short_message):
            self.dates.append(dates[1].decode())
