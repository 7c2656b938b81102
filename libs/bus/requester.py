"""Asking another service and waiting for its answer, which comes as a message too.

An answer is the first message that the question itself led to and that is of an
expected type: a reply or an event. Only where the question says that it may be
passed on does it count too what others caused for its sake: much else follows
from the same beginning, such as the run that starts when another has ended.
"""

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar, cast

from contracts.envelope import Envelope
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from libs.bus.errors import NoAnswerError, RefusedError, TooManyQuestionsError
from libs.bus.message import Outgoing
from libs.bus.publisher import Publisher
from libs.randomness import random_uuid

M = TypeVar("M", bound=Message)
MOST_OPEN = 10_000


@dataclass(slots=True)
class _Open:
    question: Message
    answers: tuple[type[Message], ...]
    wanted: int
    may_be_passed_on: bool
    source: str
    done: asyncio.Future[None]
    found: dict[str, Message] = field(default_factory=dict)

    def concerns(self, envelope: Envelope, message: Message) -> bool:
        """Whatever is said of another tenant is no answer."""
        asked, told = self.question.scope, message.scope
        of_the_tenant = asked is None or told is None or asked == told
        return of_the_tenant and self.source in {"", envelope.source}


class Requester:
    """The questions that one instance has open. Lost with it, which costs time, never a run."""

    def __init__(self, publisher: Publisher, instance: str) -> None:
        self._publisher = publisher
        self._instance = instance
        self._open: dict[str, _Open] = {}

    async def ask(
        self,
        question: Message,
        *answers: type[M],
        within: float,
        id_: str = "",
        may_be_passed_on: bool = False,
    ) -> M:
        """Raises `NoAnswerError`, or `RefusedError` with what the owner said."""
        found = await self.ask_many(
            question,
            *answers,
            within=within,
            wanted=1,
            id_=id_,
            may_be_passed_on=may_be_passed_on,
        )
        if not found:
            raise NoAnswerError(question.wire_type, within)
        return found[0]

    async def ask_many(  # noqa: PLR0913  what a question is made of
        self,
        question: Message,
        *answers: type[M],
        within: float,
        wanted: int,
        id_: str = "",
        may_be_passed_on: bool = False,
        source: str = "",
    ) -> list[M]:
        """Collect answers of distinct services until `wanted` are there or time is up.

        Of one service alone where `source` names it.
        """
        if len(self._open) >= MOST_OPEN:
            raise TooManyQuestionsError(MOST_OPEN)
        id_ = id_ or random_uuid()
        done = asyncio.get_running_loop().create_future()
        waiting = _Open(question, answers, wanted, may_be_passed_on, source, done)
        self._open[id_] = waiting
        try:
            async with asyncio.timeout(within):
                asked = Outgoing(question, id_, within=within)
                await self._publisher.send(asked, reply_to=self._instance)
                await waiting.done
        except TimeoutError:
            return cast("list[M]", list(waiting.found.values()))
        finally:
            del self._open[id_]
        return cast("list[M]", list(waiting.found.values()))

    def offer(self, envelope: Envelope, message: Message) -> None:
        """Give a received message to the question it answers, if it answers one."""
        waiting = self._meant(envelope)
        if waiting is None or waiting.done.done() or not waiting.concerns(envelope, message):
            return
        if isinstance(message, CommandRefusedV1) and envelope.reply_to == self._instance:
            waiting.done.set_exception(RefusedError(message))
        elif isinstance(message, waiting.answers):
            waiting.found[envelope.source] = message
            if len(waiting.found) >= waiting.wanted:
                waiting.done.set_result(None)

    def _meant(self, envelope: Envelope) -> _Open | None:
        if waiting := self._open.get(envelope.causation_id):
            return waiting
        waiting = self._open.get(envelope.correlation_id)
        return waiting if waiting is not None and waiting.may_be_passed_on else None
