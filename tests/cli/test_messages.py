"""Looking at a real store, beside the gateway that has it open."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdu import MessageState, SmeAddress, SubmitMulti, SubmitSm, encode
from smppbridge.lifecycle import Began, Doubted, Handed, Reported
from smppbridge.model import Binary, Kind, Message, Notify, Part, Progress, Sms, Stage, StatusReport, Viber
from smppbridge.store.sqlite import SqliteStore

#: 2026-01-31 12:00:00 UTC.
NOON = 1_769_860_800_000


def message(id: int, command: Any, **fields: Any) -> Message:
    kind = {Sms: Kind.SMS, Viber: Kind.VIBER, Binary: Kind.BINARY}[type(command)]
    text = command.data if isinstance(command, Binary) else command.text.encode()
    pdu = SubmitSm(sequence_number=id, source_addr="Shop", destination_addr="79991234567", short_message=text)
    known: dict[str, Any] = {
        "account": "demo",
        "bind": 1,
        "sequence": id,
        "source": "Shop",
        "source_ton": 5,
        "source_npi": 0,
        "destination": "79991234567",
        "destination_ton": 1,
        "destination_npi": 1,
        "priority": 0,
        "registered_delivery": 1,
        "notify": Notify.SMPP,
        "data_coding": 0,
        "pdu": encode(pdu),
        "accepted_at": NOON + id,
        "expires": NOON + 86_400_000,
        "progress": Progress(stage=Stage.READY),
    }
    return Message(id=id, kind=kind, command=command, **{**known, **fields})


async def fill(store: SqliteStore) -> None:
    """Four messages: delivered, in doubt, waiting, and one of another account."""
    await store.open()
    for one in (
        message(101, Viber(text="Hello", comment="order 7\nsecond line")),
        message(102, Sms(text="see you", flash=True)),
        message(103, Binary(data=b"\x00\xff", data_coding=4), progress=Progress(stage=Stage.WAITING, due=NOON)),
        message(104, Sms(text="other"), account="shop", source="380501234567"),
    ):
        stored = asyncio.get_running_loop().create_future()
        store.accept(one, lambda batch, stored=stored: stored.set_result(batch))
        [(_, verdict)] = await stored
        assert verdict is None
    await store.apply([Began(id=101, provider="smsc"), Began(id=102, provider="smsc")], NOON + 1000)
    delivered = StatusReport(id=101, state=MessageState.DELIVERED, at=NOON + 3000, cost="1.40")
    await store.apply(
        [
            Handed(id=101, provider="smsc", ref="r-101", look_at=NOON + 9000),
            Reported(id=101, provider="smsc", report=delivered),
            Doubted(id=102, provider="smsc", reason="no answer", look_at=NOON + 9000),
        ],
        NOON + 2000,
    )


@pytest.fixture(params=["running", "stopped"])
def store(request: pytest.FixtureRequest, config: Path, tmp_path: Path) -> Iterator[Path]:
    """The configuration of a gateway that has something to show, whether it runs or not."""
    filled, done = threading.Event(), threading.Event()

    async def gateway() -> None:
        store = SqliteStore(tmp_path / "store.db")
        await fill(store)
        if request.param == "stopped":
            await store.close()
        filled.set()
        await asyncio.to_thread(done.wait)
        if request.param == "running":
            await store.close()

    thread = threading.Thread(target=asyncio.run, args=[gateway()])
    thread.start()
    assert filled.wait(10)
    yield config
    done.set()
    thread.join(10)


def ids(result: Any) -> list[str]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], ["104", "103", "102", "101"]),
        (["--account", "shop"], ["104"]),
        (["--kind", "viber"], ["101"]),
        (["--state", "delivered"], ["101"]),
        (["--stage", "doubt"], ["102"]),
        (["--stage", "WAITING"], ["103"]),
        (["--number", "380501234567"], ["104"]),
        (["--comment", "order"], ["101"]),
        (["--limit", "2"], ["104", "103"]),
        (["--before", "102"], ["101"]),
        (["--since", "2026-01-31T12:00:00.103"], ["104", "103"]),
        (["--until", "2026-01-31T13:00:00.103+01:00"], ["102", "101"]),
        (["--since", "1s"], []),
        (["--kind", "mail"], []),
    ],
)
def test_list(run: Any, store: Path, arguments: list[str], found: list[str]) -> None:
    assert ids(run("messages", "list", "--json", *arguments, "--config", store)) == found


def test_list_for_a_person(run: Any, store: Path) -> None:
    result = run("messages", "list", "--config", store, "--limit", "4")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0] == "id accepted (UTC) account kind from to state provider comment"
    assert lines[4] == "101 01-31 12:00:00 demo viber Shop 79991234567 delivered smsc order 7"
    assert lines[3] == "102 01-31 12:00:00 demo sms Shop 79991234567 in doubt smsc"
    assert lines[5] == "more: --before 101"
    assert "nothing fits" in run("messages", "list", "--config", store, "--account", "none").stdout


def test_json_keeps_everything(run: Any, store: Path) -> None:
    [line] = run("messages", "list", "--json", "--account", "shop", "--config", store).stdout.splitlines()
    shown = json.loads(line)
    assert shown["command"] == {"kind": "sms", "text": "other"}
    assert (shown["progress"]["stage"], shown["progress"]["state"], shown["notify"]) == ("ready", "enroute", "smpp")
    assert bytes.fromhex(shown["pdu"]).endswith(b"other")


def test_show(run: Any, store: Path) -> None:
    result = run("messages", "show", "101", "--config", store)
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    for part in (
        "Message 101 account demo from Shop to 79991234567 accepted 2026-01-31 12:00:00.101 UTC",
        "who hears of it the client, by DELIVER_SM",
        "kind viber comment order 7 second line text Hello",
        "state delivered stage final provider smsc its reference r-101 requests 1",
        "cost 1.40",
        "accepted viber over bind 1, sequence_number 101",
        "+1.899s sent smsc has it as r-101",
        "final smsc: DELIVERED",
        "command_id 0x00000004 submit_sm",
        "destination_addr '79991234567'",
        "short_message 5 octets 'Hello'",
        "From the client: submit_sm,",
        "To the client: submit_sm_resp, 20 octets rebuilt from id, sequence_number and status",
        "message_id '101'",
        "To the client: deliver_sm,",
    ):
        assert part in words


def test_show_as_json(run: Any, store: Path) -> None:
    shown = json.loads(run("messages", "show", "101", "--json", "--config", store).stdout)
    assert [line["event"] for line in shown["timeline"]] == ["accepted", "sent", "final"]
    assert {line["message"] for line in shown["timeline"]} == {"101"}
    assert (shown["id"], shown["bind"]) == ("101", "1")
    assert shown["progress"]["ref"] == "r-101"
    came, answered, receipt = shown["pdus"]
    assert (came["pdu"], came["from_client"], came["note"]) == (shown["pdu"], True, "")
    assert {"name": "message_id", "value": "'101'", "meaning": ""} in answered["fields"]
    assert receipt["note"] == "rebuilt from what waits in the outbox; its sequence_number is not known"


@pytest.mark.parametrize("written", ["65", "0x65", "xyz", "-101", "000101"])
def test_show_takes_an_id_as_a_dialect_writes_it(run: Any, store: Path, written: str) -> None:
    """101 in hexadecimal, and filled up with zeros."""
    result = run("messages", "show", "--config", store, "--", written)
    if written in ("65", "000101"):
        assert result.exit_code == 0, result.output
        assert "101" in result.stdout
    else:
        assert result.exit_code == 2
        assert "is no message id" in result.output


def test_show_what_is_not_there(run: Any, store: Path) -> None:
    result = run("messages", "show", "999", "--config", store)
    assert result.exit_code == 1
    assert result.stderr == "there is no message 999; it may have been forgotten after [store] retention\n"


def test_show_a_part_whose_rest_has_not_come(run: Any, config: Path, tmp_path: Path) -> None:
    async def fill() -> None:
        store = SqliteStore(tmp_path / "store.db")
        await store.open()
        await store.hold(
            Part(
                id=500,
                account="demo",
                bind=1,
                source="Shop",
                destination="79991234567",
                reference=7,
                total=3,
                number=2,
                registered_delivery=1,
                notify=Notify.SMPP,
                alphabet="gsm",
                pdu=encode(SubmitSm(sequence_number=1)),
                accepted_at=NOON,
                expires=NOON + 3_600_000,
            )
        )
        await store.close()

    asyncio.run(fill())
    result = run("messages", "show", "500", "--config", config)
    assert result.exit_code == 1
    assert result.stderr == (
        "500 is part 2 of 3 of a message that is not whole yet; the others have to come by "
        "2026-01-31 13:00:00.000 UTC, or it ends as EXPIRED\n"
    )


@pytest.fixture
def several(config: Path, tmp_path: Path) -> Path:
    """The configuration of a gateway that has the messages of a SUBMIT_MULTI, 300 to all of them."""

    async def fill() -> None:
        store = SqliteStore(tmp_path / "store.db")
        await store.open()
        numbers = ["79990000001", "79990000002"]
        pdu = SubmitMulti(
            sequence_number=9,
            dest_addresses=[SmeAddress(destination_addr=number) for number in numbers],
            short_message=b"Hello",
        )
        messages = [
            message(id, Sms(text="Hello"), destination=number, part_ids=(300,), pdu=encode(pdu))
            for id, number in enumerate(numbers, 301)
        ]
        assert await store.accept_many(messages, 300) == [None, None]
        await store.close()

    asyncio.run(fill())
    return config


def test_show_what_stands_for_several_messages(run: Any, several: Path) -> None:
    result = run("messages", "show", "300", "--config", several)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.strip().splitlines()]
    assert lines[0] == "SUBMIT_MULTI 300, 2 messages"
    assert [line.split()[0] for line in lines[2:]] == ["301", "302"]
    shown = run("messages", "show", "300", "--json", "--config", several)
    assert ids(shown) == ["301", "302"]
    assert [json.loads(line)["timeline"][0]["event"] for line in shown.stdout.splitlines()] == ["accepted"] * 2


def test_show_one_of_several_messages(run: Any, several: Path) -> None:
    words = " ".join(run("messages", "show", "302", "--config", several).stdout.split())
    for expected in (
        "Message 302",
        "to 79990000002",
        "answered with 300, which stands for all of the SUBMIT_MULTI",
        "sms over bind 1, sequence_number 302, answered with 300",
        "dest_addresses[1].destination_addr '79990000002'",
        "short_message 5 octets 'Hello'",
    ):
        assert expected in words
    assert "parts" not in words


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--state", "gone"], "gone is no state; there are: scheduled, enroute, delivered,"),
        (["--stage", "gone"], "gone is no stage; there are: waiting, ready, sending, sent, doubt, final"),
        (["--since", "yesterday"], "--since yesterday: expected 2h, 3d, or a date such as 2026-01-31T12:00"),
    ],
)
def test_a_wrong_command_line(run: Any, config: Path, arguments: list[str], sentence: str) -> None:
    result = run("messages", "list", *arguments, "--config", config)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_a_store_that_is_not_there(run: Any, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("messages", "list", "--config", config)
    assert result.exit_code == 1
    assert f"there is no store at {tmp_path}/store.db; the gateway makes it when it first starts" in result.stderr
    monkeypatch.chdir(tmp_path)
    config.write_text(config.read_text(encoding="utf-8").replace(f"{tmp_path}/store.db", "var/x.db"), encoding="utf-8")
    result = run("messages", "list", "--config", config)
    assert f"there is no store at var/x.db, which is {tmp_path}/var/x.db from here" in result.stderr


def test_a_store_in_memory(run: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("[store]", "[store]\nengine = 'memory'")
    config.write_text(text, encoding="utf-8")
    result = run("messages", "show", "5", "--config", config)
    assert result.exit_code == 1
    assert "only the gateway itself knows its messages" in result.stderr


def test_a_file_that_is_no_store(run: Any, config: Path, tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"no database at all" * 100)
    result = run("messages", "list", "--config", config)
    assert result.exit_code == 1
    assert "is not a database" in result.stderr


def test_a_store_of_another_version(run: Any, config: Path, tmp_path: Path) -> None:
    (tmp_path / "store.db").touch()
    result = run("messages", "list", "--config", config)
    assert result.exit_code == 1
    assert "was written by another version" in result.stderr


def test_mistakes_elsewhere_in_the_file_do_not_matter(run: Any, store: Path) -> None:
    text = store.read_text(encoding="utf-8").replace('password = "demo"', 'password = { credential = "demo" }')
    store.write_text(text.replace("[[routes]]", "[[rutes]]"), encoding="utf-8")
    assert len(ids(run("messages", "list", "--json", "--config", store))) == 4
