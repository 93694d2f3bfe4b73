"""`smppbridge send`: an ordinary SMPP client in one command, on smpplib."""

from __future__ import annotations

import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import smpplib.client
import smpplib.consts
import smpplib.exceptions
import smpplib.smpp
import typer
from rich.text import Text

from pdu import (
    STATE,
    Alphabet,
    BadHeader,
    CommandStatus,
    DataSm,
    DeliverSm,
    EsmClass,
    MessageState,
    Tag,
    Undecodable,
    body_of,
    decode,
    decode_text,
    gsm0338,
    is_text,
    split_text,
    user_data,
)
from pdu.concatenation import payload_of

from ..charset import Writing, specified
from ..config import MASK, AccountConfig, Config, Dialect, Listener, SmppConfig, address, check, duration, peek
from ..lifecycle import FINAL_STATES
from . import texts
from .console import ConfigOption, Trouble, complain, config_path, examples, out

EXAMPLES = examples(
    "smppbridge send 'Hello' --to 79991234567",
    "smppbridge send __HLR__ --to 79991234567 --wait 60s",
    "smppbridge send -e '__VIBER__: Hello\\n~~~\\norder 7' --to 79991234567 --host smpp.example --system-id me",
)

#: Seconds that one read waits; in between the deadline is looked at, and smpplib sends an ENQUIRE_LINK.
_READ = 1.0

#: What a refused bind is most often about.
_HINTS = {
    CommandStatus.ESME_RINVPASWD: "the password is wrong; SMPP passwords have 8 characters at most",
    CommandStatus.ESME_RINVSYSID: "there is no account with this system_id",
    CommandStatus.ESME_RBINDFAIL: "allowed_networks, bind_types or max_binds of the account do not allow it; "
    "the log of the gateway says which",
}

#: What the line of a receipt says, in whatever order the dialect of the account has it.
_ID = re.compile(r"\bid:(\S+)")
_STAT = re.compile(r"\bstat:([A-Z]+)")


class Target(NamedTuple):
    """Where to bind, and as whom."""

    host: str
    port: int
    system_id: str
    password: str
    tls: ssl.SSLContext | None
    #: How the account of the configuration speaks; without one, as most do.
    dialect: Dialect = Dialect()


def send(
    text: Annotated[
        str, typer.Argument(help="The text, with a convention's prefix or without; - reads standard input.")
    ],
    to: Annotated[str, typer.Option("--to", help="destination_addr; with --count the first of consecutive numbers.")],
    sender: Annotated[str, typer.Option("--from", help="source_addr")] = "Example",
    host: Annotated[str, typer.Option(help="The gateway; by default the first listener of the configuration.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, show_default=False, help="2775, if only --host is given.")] = 0,
    system_id: Annotated[str, typer.Option(help="By default the first account of the configuration.")] = "",
    password: Annotated[
        str, typer.Option(envvar="SMPPBRIDGE_PASSWORD", help="By default that of the configuration; asked for else.")
    ] = "",
    tls: Annotated[bool, typer.Option("--tls", help="TLS from the first byte.")] = False,
    ca: Annotated[Path | None, typer.Option(help="Certificates to trust instead of the system's.")] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for the receipt.")] = "30s",
    count: Annotated[int, typer.Option(min=1, help="Messages, one each to consecutive numbers.")] = 1,
    registered_delivery: Annotated[int, typer.Option(min=0, max=255, help="0 asks for no receipt.")] = 1,
    smpp: Annotated[
        Literal["3.4", "5.0"], typer.Option(help="What to bind as; to 5.0 the gateway says why it refuses.")
    ] = "5.0",
    escapes: Annotated[bool, typer.Option("-e", help=r"\n in the text is a line end, \t a tab.")] = False,
    data_coding: Annotated[int | None, typer.Option(min=0, max=255, help="GSM 03.38 or UCS2 by default.")] = None,
    gsm: Annotated[bool, typer.Option("--gsm", help="The same as --data-coding 0.")] = False,
    ucs2: Annotated[bool, typer.Option("--ucs2", help="The same as --data-coding 8.")] = False,
    config: ConfigOption = None,
) -> None:
    """Send a text over SMPP, wait for its receipt and print it.

    Exit code 0: delivered (or, if no receipt was asked for, accepted). 1: anything else.
    """
    coding = texts.asked_coding(data_coding, gsm, ucs2)
    wording = texts.read_text(text, escapes)
    try:
        seconds = duration(wait)
    except ValueError as error:
        raise Trouble(f"--wait {wait}: {error}", 2) from None
    if count > 1 and not to.lstrip("+").isdigit():
        raise Trouble(f"--count takes consecutive numbers, and {to} is none", 2)
    target = _target(config, host, port, system_id, password, tls or ca is not None, ca)
    parts = _parts(wording, coding, target.dialect)
    with _Esme(target, int(smpp.replace(".", ""), 16)) as esme:
        for number in range(count):
            esme.submit(_counted(to, number), sender, parts, registered_delivery)
        esme.read_until(esme.all_answered, seconds)
        if registered_delivery & 0x03:
            esme.read_until(esme.all_final, seconds)
    raise typer.Exit(esme.verdict(asked=bool(registered_delivery & 0x03), wait=wait))


def _parts(text: str, data_coding: int | None, dialect: Dialect) -> list[tuple[int, bytes]]:
    """data_coding and user data of each part. Raises Trouble for what cannot be put so."""
    texts.encode(text, data_coding=data_coding, codings=dialect.data_codings)
    writing = Writing(dialect.data_codings, Alphabet.GSM, data_coding)
    # Sixteen bits, so that the parts of one call are not taken for those of the one before.
    reference = random.randrange(1 << 16)  # noqa: S311 - no secret
    parts = split_text(
        text, reference=reference, alphabet=writing.alphabet, prefer=writing.data_coding, wide_reference=True
    )
    return [writing.told(coding, data, data[0] + 1 if len(parts) > 1 else 0) for coding, data in parts]


def _counted(to: str, number: int) -> str:
    if not number:
        return to
    plus, digits = ("+", to[1:]) if to.startswith("+") else ("", to)
    return f"{plus}{int(digits) + number:0{len(digits)}d}"


# Where to ------------------------------------------------------------------------------------------------------------


def _target(
    given: Path | None, host: str, port: int, system_id: str, password: str, tls: bool, ca: Path | None
) -> Target:
    if host and system_id:
        # Everything is said; a configuration need not be there.
        return Target(host, port or 2775, system_id, password or _asked(system_id), _trust(ca) if tls else None)
    path = config_path(given)
    if not host:
        listener = _listener(path)
        host, listening = address(listener.listen)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        port = port or listening
        if listener.tls is not None:
            tls, ca = True, ca or listener.tls.certificate
    dialect = Dialect()
    if not system_id or not password:
        system_id, password, dialect = _login(path, system_id, password)
    return Target(host, port or 2775, system_id, password or _asked(system_id), _trust(ca) if tls else None, dialect)


def _listener(path: Path) -> Listener:
    """The first listener that takes no TLS, else the first."""
    listeners = peek(path, "smpp", SmppConfig).listeners
    return next((one for one in listeners if one.tls is None), listeners[0])


def _login(path: Path, system_id: str, password: str) -> tuple[str, str, Dialect]:
    """The account that was asked for, or the first one, with its password where that can be read."""
    checked = check(path)
    config = checked.config or check(path, sealed=True).config
    if config is None:
        raise Trouble(f"{path} has mistakes (smppbridge check-config); give --host, --system-id and --password")
    name, account = _find(config, system_id)
    known = account.password if account.password != MASK else ""
    return account.system_id or name, password or known, account.dialect


def _find(config: Config, system_id: str) -> tuple[str, AccountConfig]:
    for name, account in config.accounts.items():
        if system_id in ("", account.system_id or name):
            return name, account
    raise Trouble(f"there is no account with the system_id {system_id}; there are: {', '.join(config.accounts)}")


def _asked(system_id: str) -> str:
    return str(typer.prompt(f"Password of {system_id}", hide_input=True, err=True))


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise Trouble(f"{ca} cannot be read: {error.strerror or error}") from None
    # smpplib does not say whom it wants to talk to, so the name cannot be checked; the certificate is.
    context.check_hostname = False
    return context


# The client ----------------------------------------------------------------------------------------------------------


class _Client(smpplib.client.Client):  # type: ignore[misc]
    """smpplib binds as 3.4 whatever it is told, knows no parameter of a SUBMIT_SM_RESP, and fails on the one that says
    why a message was refused."""

    #: interface_version of the bind.
    version = 0x34
    #: The octets of the PDU that was read last.
    frame = b""

    def send_pdu(self, p: Any) -> Any:
        if p.command == "bind_transceiver":
            p.interface_version = self.version
        return super().send_pdu(p)

    def _recv_exact(self, exact_size: int) -> bytes:
        octets: bytes = super()._recv_exact(exact_size)
        self.frame += octets
        return octets

    def read_pdu(self) -> Any:
        self.frame = b""
        try:
            theirs = super().read_pdu()
        except KeyError:
            ours = decode(self.frame)
            theirs = smpplib.smpp.make_pdu("submit_sm_resp", client=self, status=ours.command_status)
            theirs.sequence = ours.sequence_number
            theirs.message_id = getattr(ours, "message_id", "").encode("latin-1")
            theirs.additional_status_info_text = ours.tlv(Tag.ADDITIONAL_STATUS_INFO_TEXT)
            return theirs
        if theirs.command == "data_sm":
            # It would be read and never answered.
            answer = smpplib.smpp.make_pdu(
                "data_sm_resp", client=self, status=self.message_received_handler(pdu=theirs)
            )
            answer.sequence = theirs.sequence
            self.send_pdu(answer)
        return theirs


class _Esme:
    """One transceiver bind, and what came of the messages sent over it."""

    def __init__(self, target: Target, version: int) -> None:
        self._target = target
        self._version = version
        self._console = out()
        self._sent: dict[int, float] = {}
        self._answered: dict[int, str] = {}
        #: Message id → its final state; None: not yet.
        self._states: dict[str, MessageState | None] = {}
        self._begun = time.monotonic()
        # What smpplib logs, the exceptions say better.
        for name in ("smppbridge.send", "smpplib"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def __enter__(self) -> _Esme:
        host, port, system_id, password, tls, _ = self._target
        self._client = client = _Client(
            host, port, timeout=_READ, ssl_context=tls, allow_unknown_opt_params=True, logger_name="smppbridge.send"
        )
        client.version = self._version
        client.set_message_sent_handler(self._response)
        client.set_message_received_handler(self._received)
        client.set_error_pdu_handler(_ignore)
        try:
            client.connect()
        except (smpplib.exceptions.ConnectionError, OSError) as error:
            self._close()
            reason = error.__context__ or error
            raise Trouble(f"cannot connect to {host}:{port}: {reason}; is the gateway running?") from None
        try:
            client.bind_transceiver(system_id=system_id, password=password)
        except smpplib.exceptions.PDUError as error:
            self._close()
            status = _status(int(error.args[1]))
            hint = _HINTS.get(status, "") if isinstance(status, CommandStatus) else ""
            said = f": {hint}" if hint else ""
            raise Trouble(f"{host}:{port} does not let {system_id} bind, {_named(status)}{said}") from None
        except smpplib.exceptions.ConnectionError:
            self._close()
            raise Trouble(f"{host}:{port} closed the connection, or is no SMPP server without TLS") from None
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._client.unbind()
        except Exception as error:
            # The messages are sent and their fate is known; a farewell that fails changes nothing.
            logging.getLogger("smppbridge.send").debug("no answer to unbind: %s", error)
        self._close()

    def _close(self) -> None:
        self._client.state = smpplib.consts.SMPP_CLIENT_STATE_OPEN
        self._client.disconnect()

    def submit(self, to: str, sender: str, parts: Sequence[tuple[int, bytes]], registered_delivery: int) -> None:
        """All parts of one message, not waiting for the answers."""
        numeric = sender.lstrip("+").isdigit()
        for data_coding, data in parts:
            pdu = self._client.send_message(
                source_addr_ton=1 if numeric else 5,
                source_addr_npi=1 if numeric else 0,
                source_addr=sender,
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=to,
                short_message=data,
                data_coding=data_coding,
                esm_class=EsmClass.UDHI if len(parts) > 1 else 0,
                registered_delivery=registered_delivery,
            )
            self._sent[pdu.sequence] = time.monotonic()

    def read_until(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            try:
                self._client.read_once()
            except smpplib.exceptions.ConnectionError:
                raise Trouble("the gateway closed the connection") from None

    def all_answered(self) -> bool:
        return len(self._answered) == len(self._sent)

    def all_final(self) -> bool:
        return None not in self._states.values()

    def verdict(self, *, asked: bool, wait: str) -> int:
        """The last line, and the exit code."""
        missing = len(self._sent) - len(self._answered)
        if missing:
            complain(f"{missing} of {len(self._sent)} SUBMIT_SM were not answered within {wait}")
        waiting = [id for id, state in self._states.items() if state is None]
        if asked and waiting:
            complain(f"no receipt within {wait} for {', '.join(waiting[:5])}{' …' if len(waiting) > 5 else ''}")
        good = [id for id, state in self._states.items() if not asked or state is MessageState.DELIVERED]
        word = "delivered" if asked else "accepted"
        seconds = time.monotonic() - self._begun
        self._line("done", f"{len(good)} of {len(self._sent)} {word} in {seconds:.1f} s")
        return 0 if len(good) == len(self._sent) else 1

    def _response(self, pdu: Any) -> None:
        """SUBMIT_SM_RESP."""
        took = (time.monotonic() - self._sent[pdu.sequence]) * 1000
        if pdu.is_error():
            reason = (getattr(pdu, "additional_status_info_text", None) or b"").decode("latin-1").strip("\0")
            self._answered[pdu.sequence] = ""
            said = f"{_named(_status(pdu.status))}{': ' + reason if reason else ''}"
            self._line("refused", said, "red")
            return
        id = self._known(pdu.message_id.decode("latin-1"))
        self._answered[pdu.sequence] = id
        # A receipt never comes before its response; should it, it has not been forgotten.
        self._states.setdefault(id, None)
        self._line("accepted", f"id {id} after {took:.1f} ms")

    def _received(self, pdu: Any) -> int:
        """DELIVER_SM, or DATA_SM."""
        ours = decode(self._client.frame)
        assert isinstance(ours, DeliverSm | DataSm)
        if not ours.esm_class & (EsmClass.RECEIPT | EsmClass.INTERMEDIATE):
            self._line("incoming", f"from {ours.source_addr}: {_written(ours, self._target.dialect)}")
            return int(CommandStatus.ESME_ROK)
        text = body_of(ours).decode("latin-1")
        self._line("receipt", text)
        id, state = ours.option(Tag.RECEIPTED_MESSAGE_ID), ours.option(Tag.MESSAGE_STATE)
        if (id is None or state is None) and (told := _ID.search(text)) and (stat := _STAT.search(text)):
            id, state = told[1], STATE.get(stat[1])
        if state in FINAL_STATES:
            self._states[self._known(str(id))] = MessageState(state)
        return int(CommandStatus.ESME_ROK)

    def _known(self, id: str) -> str:
        """A message id in the one form that responses have, whether a response or a receipt told it."""
        number = self._target.dialect.read_id(id)
        return id if number is None else self._target.dialect.write_response_id(number)

    def _line(self, what: str, said: str, style: str = "") -> None:
        self._console.print(Text(f"{what:<9} ", style="dim") + Text(said, style=style), soft_wrap=True)


def _written(pdu: DeliverSm | DataSm, dialect: Dialect) -> str:
    """A subscriber's text, read by its data_coding; hexadecimal digits of what is none."""
    try:
        header, body = user_data(pdu)
        coding, text, alphabet = pdu.data_coding, body, Alphabet.GSM
        if meaning := dialect.data_codings.get(coding):
            if meaning == "gsm_packed":
                text = gsm0338.unpack_uncounted(body, len(payload_of(pdu)) - len(body))
            coding, text, alphabet = specified(meaning, text, alphabet)
        if not header and is_text(coding, text):
            return decode_text(text, coding, alphabet)
    except BadHeader as error:
        return f"({error})"
    except Undecodable:
        pass
    return (header + body).hex()


def _ignore(pdu: Any) -> None:
    """An error is read where its response is read."""


def _status(value: int) -> CommandStatus | int:
    try:
        return CommandStatus(value)
    except ValueError:
        return value


def _named(status: CommandStatus | int) -> str:
    return f"{status.name} (0x{status:08X})" if isinstance(status, CommandStatus) else f"0x{status:08X}"
