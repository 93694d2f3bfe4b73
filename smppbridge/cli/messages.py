"""`smppbridge messages`: what is in the store, while the gateway runs or not. Reads only, and never holds it up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import apsw
import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdu import MessageState
from pdu.dump import rows, title

from ..config import AccountConfig, ConfigError, Dialect, duration
from ..config.dialects import IdForm
from ..model import Entry, Kind, Message, Millis, Progress, Stage
from ..store import database
from ..store.base import Filter
from ..store.reader import Reader
from ..visible import visible
from .console import ConfigOption, Trouble, examples, existing_store, out, print_json, settings, tell
from .exchange import Exchanged, exchanged

app = typer.Typer(
    help="Look at messages and what became of them.",
    no_args_is_help=True,
    epilog=examples("smppbridge messages list --state undeliverable --since 2h", "smppbridge messages show 123456789"),
)

#: KiB of pages that are kept while the store is read.
_CACHE = 4096

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for jq and its like.")]


@app.command(
    "list",
    epilog=examples(
        "smppbridge messages list --account demo --since 1h", "smppbridge messages list --comment 'order 7' --json"
    ),
)
def show_list(
    account: Annotated[str, typer.Option("--account", "-a", help="Of this account.")] = "",
    kind: Annotated[Kind | None, typer.Option(help="Of this kind.")] = None,
    state: Annotated[str, typer.Option(help="In this state: delivered, undeliverable, expired, enroute, …")] = "",
    stage: Annotated[str, typer.Option(help="How far: waiting, ready, sending, sent, doubt, final.")] = "",
    number: Annotated[str, typer.Option(help="To or from this number, whole.")] = "",
    comment: Annotated[str, typer.Option(help="With this in the comment.")] = "",
    since: Annotated[str, typer.Option(help="Accepted since: 2h, 3d, or 2026-01-31T12:00 (UTC).")] = "",
    until: Annotated[str, typer.Option(help="Accepted until then, in the same forms.")] = "",
    before: Annotated[int, typer.Option(min=0, help="Only older than this id: the next page.")] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")] = 50,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List messages, newest first."""
    now = datetime.now(UTC)
    wanted = Filter(
        account=account,
        kind=kind,
        stage=_named(Stage, stage, "stage"),
        state=getattr(_named(MessageState, state, "state"), "name", ""),
        number=number,
        comment=comment,
        since=_moment(since, now, "--since"),
        until=_moment(until, now, "--until"),
        before=before,
        limit=limit,
    )
    with _reader(config) as reader:
        found = reader.list(wanted, _tell)
    if json:
        for message in found:
            print_json(_plain(message))
        return
    if not found:
        out().print("nothing fits")
        return
    out().print(_table(found))
    if len(found) == limit:
        out().print(Text(f"more: --before {found[-1].id}", style="dim"))


@app.command(
    "show", epilog=examples("smppbridge messages show 123456789", "smppbridge messages show 123456789 --json | jq .")
)
def show_one(
    id: Annotated[str, typer.Argument(help="The id from the response or from the list; that of a part will do.")],
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show one message whole: what it meant, its time-line, and each PDU of it, decoded.

    The id that a SUBMIT_MULTI was answered with stands for all of its messages: they are listed.
    """
    with _reader(config) as reader:
        found = next((messages for one in _ids(id) if (messages := reader.find_all(one))), [])
        if not found:
            held = next((part for one in _ids(id) if (part := reader.find_part(one))), None)
            if held is not None:
                rest = f"the others have to come by {_time(held.expires)}, or it ends as EXPIRED"
                which = f"part {held.number} of {held.announced}"
                raise Trouble(f"{id} is {which} of a message that is not whole yet; {rest}")
            raise Trouble(f"there is no message {id}; it may have been forgotten after [store] retention")
        shown = [
            (message, reader.timeline(message.id), reader.parts_of(message.id), reader.receipts_of(message.id))
            for message in (found if json else found[:1])
        ]
    if json:
        for message, lines, parts, waiting in shown:
            pdus = exchanged(message, parts, waiting, _account(config, message.account))
            decoded = [_decoded(pdu) for pdu in pdus]
            told = [{**msgspec.to_builtins(line), "message": str(line.message)} for line in lines]
            print_json({**_plain(message), "timeline": told, "pdus": decoded})
    elif len(found) == 1:
        message, lines, parts, waiting = shown[0]
        _show(out(), message, lines, exchanged(message, parts, waiting, _account(config, message.account)))
    else:
        _title(out(), f"SUBMIT_MULTI {id}, {len(found)} messages")
        out().print(_table(found))


def _ids(written: str) -> list[int]:
    """What a message id says: decimal, or as a dialect has it for its clients."""
    forms: tuple[IdForm, ...] = ("decimal", "hex")
    known = [id for form in forms if (id := Dialect(response_ids=form, receipt_ids=form).read_id(written)) is not None]
    if not known:
        raise Trouble(f"{written} is no message id: expected digits, or hexadecimal ones", 2)
    return known


# The store -----------------------------------------------------------------------------------------------------------


@contextmanager
def _reader(given: Path | None) -> Iterator[Reader]:
    """The reading side of the gateway's store: takes no lock that its writer waits for. Raises Trouble."""
    store = existing_store(given)
    try:
        connection = database.connect(store, cache=_CACHE)
        with closing(connection):
            if connection.pragma("user_version") != len(database.migrations()):
                raise Trouble(f"{store} was written by another version of smppbridge; use that one's command")
            yield Reader(connection)
    except apsw.Error as error:
        raise Trouble(str(database.explain(error, store))) from None


# What was asked ------------------------------------------------------------------------------------------------------


def _tell(looked_at: int, accepted_at: Millis) -> None:
    """What is asked for by anything but time is looked for from the newest on: how far it has come."""
    if looked_at % 1_000_000 == 0:
        back_to = _time(accepted_at, short=True)
        tell(f"{looked_at:,} messages looked at, back to {back_to} UTC; --since makes it shorter")


def _named(names: type[Any], given: str, what: str) -> Any:
    if not given:
        return None
    try:
        return names[given.upper()]
    except KeyError:
        known = ", ".join(member.name.lower() for member in names)
        raise Trouble(f"{given} is no {what}; there are: {known}", 2) from None


def _moment(given: str, now: datetime, option: str) -> Millis:
    """ "2h" → two hours ago; an ISO date and time → that, in UTC unless it says otherwise."""
    if not given:
        return 0
    try:
        return int((now.timestamp() - duration(given)) * 1000)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise Trouble(f"{option} {given}: expected 2h, 3d, or a date such as 2026-01-31T12:00", 2) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


# What is shown -------------------------------------------------------------------------------------------------------

_STYLES = {
    MessageState.DELIVERED: "green",
    MessageState.UNDELIVERABLE: "red",
    MessageState.REJECTED: "red",
    MessageState.EXPIRED: "red",
    MessageState.UNKNOWN: "yellow",
}


#: Columns of the list, and what each is never cut to less than.
_COLUMNS = {
    "id": 18,
    "accepted (UTC)": 14,
    "account": 4,
    "kind": 4,
    "from": 5,
    "to": 11,
    "state": 9,
    "provider": 5,
    "comment": 7,
}


def _table(messages: Sequence[Message]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column, narrowest in _COLUMNS.items():
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=narrowest)
    for message in messages:
        progress = message.progress
        table.add_row(
            str(message.id),
            _time(message.accepted_at, short=True),
            message.account,
            message.kind.value,
            visible(message.source),
            visible(message.destination),
            _how_far(progress),
            progress.provider,
            _first_line(message.command.comment),
        )
    return table


def _how_far(progress: Progress) -> Text:
    """The state a message ended in; until then how far it has come."""
    if progress.stage is Stage.FINAL:
        return Text(progress.state.name.lower(), style=_STYLES.get(progress.state, ""))
    return Text("in doubt" if progress.stage is Stage.DOUBT else progress.stage.name.lower(), style="cyan")


def _show(console: Console, message: Message, lines: Sequence[Entry], pdus: Sequence[Exchanged]) -> None:
    progress = message.progress
    _title(console, f"Message {message.id}")
    _row(console, "account", message.account)
    _row(console, "from", message.source)
    _row(console, "to", message.destination)
    _row(console, "accepted", _time(message.accepted_at))
    _row(console, "expires", _time(message.expires))
    _row(
        console, "who hears of it", {0: "nobody", 1: "the client, by DELIVER_SM", 2: "its HTTP handler"}[message.notify]
    )
    if message.known_as != message.id:
        _row(console, "answered with", f"{message.known_as}, which stands for all of the SUBMIT_MULTI")
    elif message.part_ids:
        _row(console, "parts", ", ".join(map(str, message.part_ids)))
    _title(console, "Meaning")
    _row(console, "kind", message.kind.value)
    for name, value in msgspec.structs.asdict(message.command).items():
        if value not in ("", None, False):
            _row(console, name, value.hex(" ") if isinstance(value, bytes) else str(value))
    _title(console, "How far")
    _row(console, "state", progress.state.name.lower() + (f", err {progress.err:03d}" if progress.err else ""))
    _row(console, "stage", progress.stage.name.lower())
    for name, value in (
        ("provider", progress.provider),
        ("its reference", progress.ref),
        ("refused by", progress.refused_by),
        ("requests", str(progress.attempts or "")),
        ("next look", _time(progress.due) if progress.due else ""),
        ("done", _time(progress.done_at) if progress.done_at else ""),
        ("cost", progress.cost),
        ("short messages", str(progress.parts or "")),
    ):
        if value:
            _row(console, name, value)
    _title(console, "Time-line")
    begun = lines[0].at if lines else 0
    for entry in lines:
        after = "" if entry is lines[0] else f"+{_span(entry.at - begun)}"
        console.print(
            Text(f"  {_time(entry.at)}  {after:>9}  ", style="dim")
            + Text(visible(f"{entry.event:<10} {entry.detail}".rstrip())),
            soft_wrap=True,
        )
    for pdu in pdus:
        _title(console, f"{'From' if pdu.received else 'To'} the client: {title(pdu.frame)}")
        if pdu.note:
            console.print(Text(f"  {pdu.note}", style="dim"), soft_wrap=True)
        for row in rows(pdu.frame):
            _row(console, row.name, "  ".join(part for part in (row.value, row.meaning) if part))


def _decoded(pdu: Exchanged) -> dict[str, Any]:
    """A PDU as JSON says it: its octets, and each field with its value and what that means."""
    fields = [{"name": row.name, "value": row.value, "meaning": row.meaning} for row in rows(pdu.frame)]
    return {"from_client": pdu.received, "note": pdu.note, "pdu": pdu.frame.hex(), "fields": fields}


def _account(given: Path | None, name: str) -> AccountConfig | None:
    """The settings of an account, if they can be had: the file may be wrong by now, or be for other eyes."""
    try:
        return settings(given, sealed=True).accounts.get(name)
    except (ConfigError, Trouble):
        return None


def _plain(message: Message) -> dict[str, Any]:
    """A message as JSON says it: names instead of numbers, ids as text because JSON's numbers lose digits."""
    shown: dict[str, Any] = msgspec.to_builtins(message)
    shown["id"], shown["bind"] = str(message.id), str(message.bind)
    shown["part_ids"] = [str(id) for id in message.part_ids]
    shown["notify"] = message.notify.name.lower()
    shown["pdu"] = message.pdu.hex()
    shown["progress"]["stage"] = message.progress.stage.name.lower()
    shown["progress"]["state"] = message.progress.state.name.lower()
    return shown


def _time(at: Millis, *, short: bool = False) -> str:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return f"{moment:%m-%d %H:%M:%S}" if short else f"{moment:%Y-%m-%d %H:%M:%S}.{at % 1000:03d} UTC"


def _span(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    if seconds < 100:
        return f"{seconds:.3f}s"
    return f"{seconds / 60:.0f}m" if seconds < 6000 else f"{seconds / 3600:.1f}h"


def _first_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= 40 else line[:39] + "…"


def _title(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _row(console: Console, name: str, value: str) -> None:
    for number, line in enumerate(value.split("\n")):
        console.print(Text(f"  {'' if number else name:<24} ", style="dim") + Text(line), soft_wrap=True)
