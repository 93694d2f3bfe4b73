"""What the platform's words mean: its errors, its states, and which answer is whose.

The words are the same at each door. The JSON and XML doors answer in the same shape, too (`Answer`), so that only how
it is written differs there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import httpx
import msgspec

from pdu import MessageState

from ...model import Message, Stage, StatusReport
from .. import reading
from ..base import InDoubt, NotFound, Outcome, Refused, Sent, Temporary, Unable
from .settings import Channel
from .wording import CHANNELS, Group

# smsgate CascadingDoc, states; the words of each channel are the same, and Viber has three more. Written in any case.
# What is missing here is the text of an error; it becomes UNKNOWN and is asked for again.
STATES = {
    "send": MessageState.ENROUTE,
    "deliver": MessageState.DELIVERED,
    "read": MessageState.DELIVERED,  # and read
    "link": MessageState.DELIVERED,  # and the link in it was followed
    "not_deliver": MessageState.UNDELIVERABLE,
    "expired": MessageState.EXPIRED,  # the subscriber was away each time
    "partly_deliver": MessageState.UNKNOWN,  # sent, and nobody will ever say what became of it: see NEVER_KNOWN
    "unsubscribe": MessageState.UNKNOWN,  # the subscriber wants no more; whether this one was delivered is not said
}

#: "Sent, but no status came; this state does not change any more" (`StatusReport.final`), and its `err` in the receipt,
#: from the smsc list: status not received.
NEVER_KNOWN = "partly_deliver"
NO_STATUS = 245

#: What `StatusReport.channel` says for each channel.
CHANNEL_NAMES: Mapping[Channel, str] = {"viber": "viber", "vk": "soc", "sms": "sms", "whatsapp": "whatsapp"}

#: In place of a state: the platform has no message with that id.
NOT_ACCEPTED = "Сообщение с таким ID не принималось"

#: Its number of ours has been there before.
SENT_BEFORE = "Данное сообщение уже было отправлено."
#: The whole request has been there before, less than a minute ago.
REPEATED = "Попытка отправки более одного одинакового запроса в течение минуты"

A_MINUTE = 60.0

# `err` of a receipt, from the smsc list.
NO_ROUTE, WRONG_NUMBER, FORBIDDEN, SPAM, NO_SENDER = 248, 249, 252, 253, 254

#: smsgate httpGateDoc, jsonGateDoc and xmlGateDoc, errors. `said` is the platform's own sentence. The two above are not
#: here: what they mean depends on what was tried before.
ERRORS: Mapping[str, Callable[[str], Outcome]] = {
    # Of a whole request.
    "Неправильный формат XML документа": lambda said: Unable(reason=said),
    "Неправильный формат JSON документа": lambda said: Unable(reason=said),
    "Ваш аккаунт заблокирован": lambda said: Unable(reason=said, everything=True),
    "Неправильный логин или пароль": lambda said: Unable(reason=said, everything=True),
    "POST данные отсутствуют": lambda said: Unable(reason=said, everything=True),
    # Of a message.
    "У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.": lambda said: Unable(
        reason=said, everything=True
    ),
    "Закончились SMS.": lambda said: Unable(reason=said, everything=True),
    "Аккаунт заблокирован.": lambda said: Unable(reason=said, everything=True),
    "Укажите номер телефона.": lambda said: Refused(reason=said, err=WRONG_NUMBER),
    # The subscriber does not want it, and would not from another provider.
    "Номер телефона присутствует в стоп-листе.": lambda said: Refused(reason=said, err=FORBIDDEN),
    "Данное направление закрыто для вас.": lambda said: Unable(reason=said, err=NO_ROUTE),
    "Данное направление закрыто.": lambda said: Unable(reason=said, err=NO_ROUTE),
    # It is kept, and goes out once the account is paid.
    "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет по данному "
    "направлению.": lambda said: InDoubt(reason=said),
    "Текст SMS отклонен модератором.": lambda said: Refused(reason=said, err=SPAM),
    "Нет отправителя.": lambda said: Unable(reason=said, err=NO_SENDER),
    "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для "
    "буквенно-числовых.": lambda said: Refused(reason=said, err=NO_SENDER),
    "Номер телефона должен быть меньше 15 символов.": lambda said: Refused(reason=said, err=WRONG_NUMBER),
    "Нет текста сообщения.": lambda said: Refused(reason=said),
    "Нет ссылки.": lambda said: Unable(reason=said),
    "Такого отправителя Нет.": lambda said: Unable(reason=said, err=NO_SENDER),
    "Отправитель не прошел модерацию.": lambda said: Unable(reason=said, err=NO_SENDER),
}


def sentence(said: str) -> str:
    """A sentence as it is compared: without what differs between the platform's documents."""
    return " ".join(said.casefold().split()).removeprefix("error:").strip(" .")


_BY_WORDS = {sentence(text): meaning for text, meaning in ERRORS.items()}
_NOT_ACCEPTED, _SENT_BEFORE, _REPEATED = sentence(NOT_ACCEPTED), sentence(SENT_BEFORE), sentence(REPEATED)


# Answers → outcomes --------------------------------------------------------------------------------------------------

Item: TypeAlias = Mapping[str, Any]


class Answer(NamedTuple):
    """What the JSON and the XML door answer."""

    #: Of the whole request.
    error: str = ""
    #: For each `message` of the request, in its order: an error of all of it, or an item for each recipient.
    messages: Sequence[str | Sequence[Item]] = ()


def outcomes(groups: Sequence[Group], answer: Answer, response: httpx.Response) -> dict[int, Outcome]:
    """What became of each message, by its id."""
    items = _by_client_id(item for told in answer.messages if not isinstance(told, str) for item in told)
    errors = _errors(groups, answer)
    found: dict[int, Outcome] = {}
    for group in groups:
        for message in group.messages:
            if answer.error:
                found[message.id] = failed(answer.error, message, response, ours(message))
            elif (item := items.get(ours(message))) is not None:
                found[message.id] = _outcome(message, group, item, response)
            elif message.id in errors:
                found[message.id] = _not_taken(errors[message.id], message, response)
            else:
                found[message.id] = InDoubt(reason="the answer does not mention it")
    return found


def ours(message: Message) -> str:
    """client_id_message, the idempotency key."""
    return str(message.number)


def client_id(item: Item) -> str:
    return reading.text(item.get("client_id_message"))


def _message_id(item: Item) -> str:
    """The platform's id of the message; empty: there is no message."""
    id = reading.text(item.get("id_message"))
    return "" if id == "0" else id


def _by_client_id(items: Iterable[Item]) -> Mapping[str, Item]:
    """Of several items for one recipient one that has an id: then there is a message, whatever else is said."""
    found: dict[str, Item] = {}
    for item in items:
        if _message_id(item) or client_id(item) not in found:
            found[client_id(item)] = item
    return found


def _errors(groups: Sequence[Group], answer: Answer) -> dict[int, str]:
    """The errors of whole messages. Only their place says whose they are, so the others have to be in theirs."""
    if len(answer.messages) != len(groups):
        return {}
    errors: dict[int, str] = {}
    for group, told in zip(groups, answer.messages, strict=True):
        if isinstance(told, str):
            errors |= {message.id: told for message in group.messages}
        elif not {client_id(item) for item in told} <= {ours(message) for message in group.messages}:
            return {}
    return errors


def _outcome(message: Message, group: Group, item: Item, response: httpx.Response) -> Outcome:
    if id := _message_id(item):
        # Whatever else is said: there is a message, so that its state decides. The count is that of the first channel.
        parts = reading.parts(item.get("count_message")) if group.fields.get("send_sms") == "1" else 0
        return Sent(ref=id, parts=parts)
    if error := reading.text(item.get("error")):
        return _not_taken(error, message, response)
    return InDoubt(reason="neither an id nor an error")


def _not_taken(said: str, message: Message, response: httpx.Response) -> Outcome:
    """An error without an id: an error that nobody knows says at least that there is no message."""
    if sentence(said) in _KNOWN:
        return failed(said, message, response, ours(message))
    return Unable(reason=reading.cut(said), err=reading.UNKNOWN_ERROR)


def failed(said: str, message: Message, response: httpx.Response, reference: str) -> Outcome:
    """What an error means. `reference`: the id of ours that the platform was told; empty: none."""
    words, reason = sentence(said), reading.cut(said)
    if words == _SENT_BEFORE:
        return _sent_before(message, reason, reference)
    if words == _REPEATED:
        return _repeated(message, reason)
    if meaning := _BY_WORDS.get(words):
        return meaning(reason)
    return msgspec.structs.replace(reading.by_status(response), reason=f"HTTP {response.status_code}: {reason}")


def refuses_everything(said: str) -> bool:
    """Whether an error is about the account, and not about a message."""
    meaning = _BY_WORDS.get(sentence(said))
    outcome = meaning(said) if meaning else None
    return isinstance(outcome, Unable) and outcome.everything


_KNOWN = frozenset({*_BY_WORDS, _SENT_BEFORE, _REPEATED})


def _sent_before(message: Message, said: str, reference: str) -> Outcome:
    """By our number, it is this very message that has arrived. Without one, it is any with the same text."""
    if reference:
        return Sent(ref=reference)
    return InDoubt(reason=said) if _tried_before(message) else Refused(reason=said)


def _repeated(message: Message, said: str) -> Outcome:
    """The second time this means that the first one arrived, though not what became of it."""
    return InDoubt(reason=said) if _tried_before(message) else Temporary(reason=said, retry_after=A_MINUTE)


def _tried_before(message: Message) -> bool:
    progress = message.progress
    return progress.attempts > (1 if progress.stage is Stage.SENDING else 0)


# Answers → reports ---------------------------------------------------------------------------------------------------


def is_state(said: str) -> bool:
    """Whether a plain answer speaks of the message at all."""
    return said.lower() in STATES or sentence(said) == _NOT_ACCEPTED


def report(item: Item, ref: str, order: Sequence[Channel]) -> StatusReport | NotFound | None:
    """What a state says. `order`: the channels by which the message was tried."""
    said = reading.text(item.get("state")).strip()
    if not said:
        return None
    if sentence(said) == _NOT_ACCEPTED:
        return NotFound(reason=said)
    state = STATES.get(said.lower(), MessageState.UNKNOWN)
    legs = {channel: reading.text(item.get(f"state_{channel}")).strip().lower() for channel in CHANNELS}
    told = " ".join(f"{channel}:{reading.cut(word, 20)}" for channel, word in legs.items() if word)
    never = said.lower() == NEVER_KNOWN
    return StatusReport(
        state=state,
        final=never,
        ref=ref,
        err=NO_STATUS if never else 0,
        cost=_sum(item.get(f"price_{channel}") for channel in CHANNELS),
        parts=reading.parts(item.get("num_parts_sms")),
        channel=_delivered_by(legs, order) if state is MessageState.DELIVERED else "",
        raw=f"{reading.cut(said, 100)} {told}".strip(),
    )


def _delivered_by(legs: Mapping[Channel, str], order: Sequence[Channel]) -> str:
    """The last of those that delivered: the one before it did not count, or there would have been no other."""
    tried = [*(channel for channel in CHANNELS if channel not in order), *order]
    done = [channel for channel in tried if STATES.get(legs[channel]) is MessageState.DELIVERED]
    if not done and len(order) == 1:
        # Where there is only one, it need not be told.
        done = list(order)
    return CHANNEL_NAMES[done[-1]] if done else ""


def _sum(prices: Iterable[object]) -> str:
    """Of those that are told; empty if none is."""
    told = [Decimal(price) for price in map(reading.cost, prices) if price]
    return reading.cost(f"{sum(told, Decimal(0)):f}") if told else ""
