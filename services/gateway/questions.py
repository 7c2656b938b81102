"""Asking the other services on behalf of a request, and phrasing what goes wrong."""

from typing import TypeVar

from contracts.message import Message
from contracts.platform import CommandRefusedV1
from libs.bus.errors import NoAnswerError, RefusedError, TooManyQuestionsError
from libs.bus.requester import Requester
from libs.web.problem import Fault, Problem
from services.gateway.errors import status_of
from services.gateway.idempotency import command_id

M = TypeVar("M", bound=Message)


class Questions:
    """Turns refusals and silence into problems."""

    def __init__(self, requester: Requester, patience: float) -> None:
        self._requester = requester
        self._patience = patience

    async def ask(
        self,
        question: Message,
        *answers: type[M],
        within: float | None = None,
        id_: str = "",
        unheard: str = "",
        may_be_passed_on: bool = False,
    ) -> M:
        """Raises `Problem`: the owner's refusal, or 504 when it says nothing in time.

        `unheard` tells the client what to do then, where that is not to repeat it.
        """
        try:
            return await self._requester.ask(
                question,
                *answers,
                within=within or self._patience,
                id_=id_ or command_id(question),
                may_be_passed_on=may_be_passed_on,
            )
        except RefusedError as error:
            raise refused(error.refusal) from None
        except NoAnswerError as error:
            raise Problem(
                504,
                "no_answer_yet",
                unheard
                or f"The platform has not answered {error.question} in time; it may still be "
                "done. Look again, or repeat the request with the same Idempotency-Key.",
                headers={"Retry-After": "1"},
            ) from None
        except TooManyQuestionsError:
            raise Problem(
                503,
                "overloaded",
                "Too many requests are waiting; try again in a moment.",
                headers={"Retry-After": "1"},
            ) from None


def refused(refusal: CommandRefusedV1) -> Problem:
    faults = [Fault(p.pointer, p.detail, p.line, p.column) for p in refusal.problems]
    return Problem(status_of(refusal.code), refusal.code, refusal.detail, faults)
