"""A route of several legs: what the provider of one leg gets to see of a message, and how long the leg lasts. Pure.

The message itself stays as it was accepted. An adapter is handed a *view* of it, with the kind, the source and the end
of the leg, so that no adapter knows of cascades and the provider itself stops trying when the leg is over. Whether a
message goes on to the next leg is decided by `lifecycle`, from what `Leg.begins` has told it.
"""

from __future__ import annotations

import msgspec

from ..ids import accepted_at
from ..lifecycle import Began
from ..model import KIND_OF, LEG, TEXTS, Command, Kind, Message, Millis, Onward, text_of

#: A number is of the message itself unless it was given out later than this after the latest: clocks of nodes differ.
_AHEAD: Millis = 86_400_000


class Leg(msgspec.Struct, frozen=True, gc=False, eq=False, kw_only=True):
    """One leg for messages of one kind. Two legs are the same only if they are the same object: a reload makes new
    ones, and what waits in a lane goes the way that was decided for it."""

    providers: tuple[str, ...]
    #: As what messages go.
    kind: Kind
    #: Empty: their own.
    source: str = ""
    #: How long it lasts, from its first request; 0: as long as the message is valid.
    wait: Millis = 0
    onward: Onward = Onward.NO

    def view(self, message: Message) -> Message:
        """The message as the provider of this leg is to see it."""
        return msgspec.structs.replace(
            message,
            kind=self.kind,
            command=_as(message.command, self.kind),
            source=self.source or message.source,
            expires=message.progress.leg_ends or message.expires,
        )

    def begins(self, message: Message, provider: str, now: Millis, answers: str = "") -> Began:
        """A request on this leg; the first one starts its clock."""
        return Began(
            id=message.id,
            leg=message.progress.leg,
            provider=provider,
            leg_ends=min(now + self.wait, message.expires) if self.wait else 0,
            onward=self.onward,
            channel=self.kind.value,
            answers=answers,
        )


def can_go_as(kind: Kind, other: Kind) -> bool:
    """Whether a message of the one kind can be sent as the other."""
    return kind is other or (kind in TEXTS and other in TEXTS)


def _as(command: Command, kind: Kind) -> Command:
    if KIND_OF[type(command)] is kind:
        return command
    return TEXTS[kind](text=text_of(command), comment=command.comment)


def told_by(number: int, latest: Millis) -> tuple[int, int]:
    """What a provider calls our number of a message (`Message.number`) → the message's id, and the leg. `latest`: of
    when the highest id is, or now."""
    leg = 0
    # What has more bits than an id was never a number of ours.
    while LEG < number < 2**63 and accepted_at(number) > latest + _AHEAD:
        number -= LEG
        leg += 1
    return number, leg
