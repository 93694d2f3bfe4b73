"""`smppbridge explain`: what would become of a text, as far as it can be told without sending it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl

import httpx
import msgspec
import typer
from rich.console import Console
from rich.text import Text

from pdu import Alphabet, CommandId, CommandStatus, EncodeError, SubmitSm, encode
from pdu.text import CODINGS

from ..config import MASK, Config, is_secret, mask, secret_texts
from ..dispatch.routing import Decision, Router, carries
from ..ids import IdGenerator
from ..journal import Journal
from ..model import Kind, Message, Onward, Progress, Sms
from ..providers.base import Provider
from ..providers.registry import BadSettings, adapter_class, build
from ..smpp.bound import Bound
from ..smpp.link import Link
from ..store.base import Arrived, Store
from ..submission import Submission
from . import texts
from .console import ConfigOption, Trouble, examples, out, settings

EXAMPLES = examples(
    "smppbridge explain 'Hello'",
    "smppbridge explain -e '__VIBER__: Hello\\n~~~\\norder 7' --account demo",
    "smppbridge explain __HLR__ --to 79991234567 --provider smsc",
)


def explain(
    text: Annotated[str, typer.Argument(help="The text of the SUBMIT_SM; - reads standard input.")],
    account: Annotated[str, typer.Option("--account", "-a", help="Whose rules hold; the only one by default.")] = "",
    to: Annotated[str, typer.Option("--to", help="destination_addr")] = "79991234567",
    sender: Annotated[str, typer.Option("--from", help="source_addr")] = "Example",
    escapes: Annotated[bool, typer.Option("-e", help=r"\n in the text is a line end, \t a tab.")] = False,
    data_coding: Annotated[int | None, typer.Option(min=0, max=255, help="As the client sends it.")] = None,
    gsm: Annotated[bool, typer.Option("--gsm", help="The same as --data-coding 0.")] = False,
    ucs2: Annotated[bool, typer.Option("--ucs2", help="The same as --data-coding 8.")] = False,
    provider: Annotated[str, typer.Option(help="The request to this provider instead of the first one's.")] = "",
    config: ConfigOption = None,
) -> None:
    """Show what a text is, where it would go, and the HTTP request that would go out. Nothing is sent.

    The text takes the way of a real SUBMIT_SM: the same conventions, limits, routes and adapter. Secrets are not read
    and not shown. Exit code 1: it would be refused.
    """
    console = out()
    chosen = settings(config, sealed=True)
    name = _account(chosen, account)
    alphabet = Alphabet(chosen.accounts[name].alphabet)
    codings = chosen.accounts[name].dialect.data_codings
    encoded = texts.encode(
        texts.read_text(text, escapes),
        data_coding=texts.asked_coding(data_coding, gsm, ucs2),
        alphabet=alphabet,
        codings=codings,
    )
    _title(console, "SMPP")
    plural = "s" if encoded.parts > 1 else ""
    coding = CODINGS[encoded.data_coding].value + _alphabet(encoded.data_coding, alphabet)
    if meaning := codings.get(encoded.data_coding):
        coding = f"{meaning} to this account"
    _row(console, "SUBMIT_SM", f"{len(encoded.data)} octets in {encoded.parts} part{plural}")
    _row(console, "data_coding", f"{encoded.data_coding}, {coding}")

    # The classes know what they carry; building all of them would need settings of providers that are not asked.
    adapters = {key: adapter_class(table.adapter) for key, table in chosen.providers.items()}
    router = Router(chosen.routes, carries(chosen.providers, adapters))
    message = _submit(console, chosen, name, router, texts.submit_sm(sender, to, encoded))
    decision = router.route(message)
    _command(console, message)
    _title(console, "Route")
    _row(console, "", decision.why)
    name, view = _goes(decision, provider, message)
    _legs(console, decision)
    _request(console, chosen, _provider(chosen, name), view)


def _account(config: Config, name: str) -> str:
    names = list(config.accounts)
    if not name and len(names) == 1:
        return names[0]
    if name not in names:
        wanted = f"there is no account {name}" if name else "whose message is it? Name the account with --account"
        raise Trouble(f"{wanted}; there are: {', '.join(names) or 'none'}")
    return name


def _alphabet(data_coding: int, alphabet: Alphabet) -> str:
    if data_coding:
        return ""
    return ", GSM 03.38" if alphabet is Alphabet.GSM else ", ISO-8859-1"


# The way of a SUBMIT_SM ----------------------------------------------------------------------------------------------


class _Desk:
    """The client's end of the link: takes the response."""

    id = 1
    system_type = ""

    def __init__(self, account: str) -> None:
        self.account = account
        self.status = CommandStatus.ESME_ROK
        self.reason = ""

    def respond_submit(self, sequence: int, status: int, id: str, *, request: CommandId) -> None:
        """It would be accepted."""

    def respond_error(self, request: CommandId, sequence: int, status: int, reason: str) -> None:
        self.status, self.reason = CommandStatus(status), reason


class _Nowhere:
    """A store that keeps nothing and says that it did."""

    def accept(self, message: Message, arrived: Arrived) -> None:
        arrived([(message, None)])

    def unsent_of(self, account: str) -> int:
        return 0


class _Tray:
    """The dispatcher's end: takes the message."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.message: Message | None = None

    def route_of(self, account: str, kind: Kind, destination: str, source: str) -> Decision:
        return self._router.route_of(account, kind, destination, source)

    def opening(self, account: str, priority: int, providers: Sequence[str], *, cascade: bool) -> Progress | None:
        return Progress()

    def offer(self, message: Message) -> bool:
        self.message = message
        return True

    def recall(self, messages: Sequence[Message]) -> Sequence[Message]:
        return ()


def _submit(console: Console, config: Config, account: str, router: Router, pdu: SubmitSm) -> Message:
    """The message that a SUBMIT_SM would become; leaves with exit code 1 if it would be refused."""
    desk, tray = _Desk(account), _Tray(router)
    submission = Submission(
        accounts=config.accounts,
        lists=config.distribution_lists,
        max_pending=config.smpp.max_pending,
        store=cast(Store, _Nowhere()),
        ids=IdGenerator(config.store.node),
        bound=Bound(),
        outlet=tray,
        clock=_now,
        applied=_nothing,
        journal=Journal(0),
    )
    try:
        frame = encode(pdu)
    except EncodeError as error:
        raise Trouble(f"no client could send that: {error}", 2) from None
    submission.submitted(cast(Link, desk), pdu, frame)
    if tray.message is None:
        _title(console, "Refused")
        _row(console, desk.status.name, f"0x{desk.status:08X}, {desk.reason}")
        raise typer.Exit(1)
    return tray.message


def _now() -> int:
    return time.time_ns() // 1_000_000


def _nothing(_: Sequence[Any]) -> None:
    pass


# What it says --------------------------------------------------------------------------------------------------------


def _command(console: Console, message: Message) -> None:
    _title(console, "Meaning")
    _row(console, "kind", message.kind.value)
    for field, value in msgspec.structs.asdict(message.command).items():
        if value not in ("", None, False):
            _row(console, field, value.hex(" ") if isinstance(value, bytes) else str(value))
    if isinstance(message.command, Sms):
        sent = texts.encode(message.command.text, data_coding=None)
        alphabet = "UCS2" if sent.data_coding else "GSM 03.38"
        _row(console, "over the air", f"{alphabet}, {sent.parts} short message{'s' if sent.parts > 1 else ''}")


def _legs(console: Console, decision: Decision) -> None:
    """What follows what, and when: docs/configuration.md, "Cascades"."""
    for number, leg in enumerate(decision.legs, 1):
        says = [f"{leg.kind.value} by {' or '.join(leg.providers)}"]
        if leg.source:
            says.append(f"from {leg.source}")
        if leg.onward:
            says.append(_ONWARD[leg.onward].format(f"{leg.wait / 1000:g} s"))
        _row(console, f"leg {number}", ", ".join(says))


_ONWARD = {
    Onward.IF_CERTAIN: "to the next once it has certainly not delivered, at the latest asked after {}",
    Onward.ALWAYS: "to the next after {} at the latest, though nobody may know",
}


def _goes(decision: Decision, asked: str, message: Message) -> tuple[str, Message]:
    """Whose request is to be shown, and the message as that provider sees it: on the first of its legs."""
    name = asked or decision.providers[0]
    leg = next((leg for leg in decision.legs if name in leg.providers), decision.leg(0))
    return name, leg.view(message) if leg is not None else message


def _provider(config: Config, name: str) -> Provider[Any]:
    if name not in config.providers:
        raise Trouble(f"there is no provider {name}; there are: {', '.join(config.providers)}")
    try:
        return build(name, config.providers[name])
    except BadSettings as error:
        raise Trouble(str(error)) from None


#: Stands for the id of a subscriber's message, which only a running gateway knows.
_ANSWERED = "1234567"


def _request(console: Console, config: Config, provider: Provider[Any], message: Message) -> None:
    _title(console, f"HTTP request to {provider.name}")
    hide = _hider(config, provider)
    try:
        if provider.answers(message):
            _row(console, "answers", f"the subscriber's message {_ANSWERED}, in place of the newest without an answer")
            progress = msgspec.structs.replace(message.progress, answers=_ANSWERED)
            message = msgspec.structs.replace(message, progress=progress)
        if objection := provider.objection(message):
            _row(console, "none", f"the adapter takes it for no message of this provider: {hide(objection.reason)}")
            return
        request = provider.send([message])
        body = request.read()
    except Exception as error:
        # Whatever an adapter raises is its own mistake; the person who writes it uses this command to find it.
        raise Trouble(f"the adapter cannot put it into words: {type(error).__name__}: {hide(str(error))}") from error
    _row(console, request.method, hide(str(request.url)))
    for key, value in request.headers.items():
        _row(console, f"{key}:", MASK if is_secret(key) else hide(value))
    if body:
        console.print()
        console.print(Text(f"  {hide(_readable(request, body))}"), soft_wrap=True)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        console.print()
        console.print("  which reads:")
        for key, value in parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding=_charset(request)):
            _row(console, key, MASK if is_secret(key) and value else hide(value))


def _hider(config: Config, provider: Provider[Any]) -> Callable[[str], str]:
    table = config.providers[provider.name]
    own = (value for _, value in secret_texts(table.own))
    secrets = [*provider.secrets(), table.callback_token, *own]

    def hide(text: str) -> str:
        return mask(text, secrets)

    return hide


def _charset(request: httpx.Request) -> str:
    for part in request.headers.get("content-type", "").split(";")[1:]:
        key, _, value = part.strip().partition("=")
        if key.lower() == "charset":
            return str(value.strip('"'))
    return "utf-8"


def _readable(request: httpx.Request, body: bytes) -> str:
    try:
        return body.decode(_charset(request))
    except (UnicodeDecodeError, LookupError):
        return body.hex(" ")


def _title(console: Console, title: str) -> None:
    console.print()
    console.print(Text(title, style="bold"))


def _row(console: Console, name: str, value: str) -> None:
    lines = value.split("\n")
    for number, line in enumerate(lines):
        label = Text(f"  {'' if number else name:<16} ", style="dim")
        console.print(label + Text(line), soft_wrap=True)
