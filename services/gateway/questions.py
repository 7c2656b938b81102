"""Asking the other services on behalf of a request, and phrasing what goes wrong."""

from typing import TypeVar

from contracts.message import Message
from contracts.platform import CommandRefusedV1
from libs.bus.errors import NoAnswerError, RefusedError, TooManyQuestionsError
from libs.bus.requester import Requester
from libs.web.problem import Fault, Problem

M = TypeVar("M", bound=Message)

# What an owner refuses, as HTTP says it; a code that is not here is a 422.
_STATUS = {
    "confirmation_required": 422,
    "config_not_found": 404,
    "credential_not_found": 404,
    "invalid_definition": 400,
    "key_not_found": 404,
    "revision_conflict": 412,
    "run_ended": 409,
    "run_exists": 409,
    "run_not_found": 404,
    "schema_conflict": 409,
    "tenant_exists": 409,
    "tenant_not_found": 404,
    "wrong_status": 409,
}
UNPROCESSABLE = 422


class Questions:
    """Turns refusals and silence into problems."""

    def __init__(self, requester: Requester, patience: float) -> None:
        self._requester = requester
        self._patience = patience

    async def ask(
        self, question: Message, *answers: type[M], within: float | None = None, id_: str = ""
    ) -> M:
        """Raises `Problem`: the owner's refusal, or 504 when it says nothing in time."""
        try:
            return await self._requester.ask(
                question, *answers, within=within or self._patience, id_=id_
            )
        except RefusedError as error:
            raise refused(error.refusal) from None
        except NoAnswerError as error:
            raise Problem(
                504,
                "no_answer_yet",
                f"The platform has not answered {error.question} in time; it may still be "
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
    status = _STATUS.get(refusal.code, UNPROCESSABLE)
    return Problem(status, refusal.code, refusal.detail, faults)
