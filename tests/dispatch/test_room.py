from __future__ import annotations

from collections.abc import Callable

from smppbridge.dispatch.room import Room
from smppbridge.model import Message


def test_where_more_is_held_than_there_is_room_for_nothing_more_is_fetched(message: Callable[..., Message]) -> None:
    room = Room(100)
    for id in range(150):
        room.enter(message(id, account="many"))
    assert room.hungry("many") == 0
    # Half of the room is the fair part of the other one, and no more than fits into twice the room.
    assert room.hungry("few") == 50
    # A reload has brought more providers, which share the memory.
    room.share = 60
    assert (room.hungry("many"), room.hungry("few")) == (0, 0)
    assert room.full("few")
