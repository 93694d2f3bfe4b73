from __future__ import annotations

from contextlib import closing
from typing import Any

import apsw
import pytest

from pdu import MessageState
from smppbridge.lifecycle import Notice
from smppbridge.model import HlrResult, Incoming, Message, Notify, Onward, Part, Progress, Stage
from smppbridge.store import rows, rules
from smppbridge.store.base import Arrival
from smppbridge.store.database import migrations

WELL_TRAVELLED = Progress(
    stage=Stage.DOUBT,
    state=MessageState.ACCEPTED,
    due=1,
    provider="smsc",
    ref="r",
    attempts=2,
    refused_by="a,b",
    err=3,
    done_at=4,
    cost="1.40",
    parts=5,
    polls=6,
    channel="viber",
    answers="25481978",
    leg=1,
    leg_ends=7,
    onward=Onward.ALWAYS,
)


def whole(message: Message) -> list[Any]:
    """The row as it is read: what was inserted, then every column of the progress."""
    row = rows.of_new_message(message)
    return [*row[: len(rows.MESSAGE) - len(rows.PROGRESS) - 1], *rows.of_progress(message)[1:], row[-1]]


def test_a_message_is_read_as_it_was_written(nouns: Any) -> None:
    message = nouns.message(part_ids=(1, 2), progress=WELL_TRAVELLED)
    assert rows.message(whole(message)) == message


def test_progress_has_no_field_left_at_its_default_here() -> None:
    assert all(getattr(WELL_TRAVELLED, name) != getattr(Progress(), name) for name in Progress.__struct_fields__)


@pytest.mark.parametrize(("table", "columns"), [("message", rows.MESSAGE), ("part", (*rows.PART, "round", "message"))])
def test_every_field_has_its_column(table: str, columns: tuple[str, ...]) -> None:
    with closing(apsw.Connection(":memory:")) as db:
        for step in migrations():
            db.execute(step)
        assert sorted(name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")) == sorted(columns)


def test_a_part_is_read_as_it_was_written(nouns: Any) -> None:
    part: Part = nouns.part(2, 3)
    assert rows.part(rows.of_part(part, 1)) == part
    assert type(rows.part(rows.of_part(part, 1)).notify) is Notify


@pytest.mark.parametrize("hlr", [None, HlrResult(imsi="255", cn="Ukraine")])
@pytest.mark.parametrize("ids", [(), (7, 9)])
def test_a_receipt_is_read_as_it_was_written(nouns: Any, hlr: HlrResult | None, ids: tuple[int, ...]) -> None:
    message = nouns.message(progress=WELL_TRAVELLED)
    notice = Notice(Notify.HTTP, MessageState.REJECTED, 8, 9, hlr, ids or (message.id,))
    receipt = rules.receipt(5, message, notice)
    row = rows.of_receipt(receipt, 1, 2)[: len(rows.OUTBOX)]
    assert rows.receipt([*row, *whole(message)]) == receipt


def test_a_message_from_a_subscriber_is_read_as_it_was_written() -> None:
    incoming = Incoming(provider="smsc", ref="1", source="2", destination="3", text="так", data=b"\x00\xff")
    arrival = Arrival(seq=4, account="demo", incoming=incoming)
    row = rows.of_arrival(arrival, 9)
    assert rows.queued([*row[:10], row[-1]]) == arrival
