"""A question takes its own answers and nobody else's."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.credentials import CredentialStoredV1, RewrapCredentialV1
from contracts.envelope import Envelope
from contracts.examples import example_part
from contracts.identifiers import TenantId
from contracts.message import Message, Service
from contracts.platform import CommandRefusedV1
from contracts.runs import RunRequestedV1, SubmitRunV1
from libs.bus.errors import NoAnswerError, RefusedError
from libs.bus.memory import MemoryTransport
from libs.bus.publisher import Publisher
from libs.bus.requester import Requester

ACME, OTHER = TenantId("acme"), TenantId("other")
SHORT = 0.3
"""Seconds, for what is never answered."""
QUESTION = "00000000-0000-4000-8000-000000000001"
"""The id of what is asked, and so the correlation id of all that follows from it."""


class Quiet(MemoryTransport):
    """Says when something was published, and delivers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.called = asyncio.Event()

    async def publish(self, topic: str, wires: Any) -> None:  # noqa: ARG002  one is enough
        self.called.set()


@dataclass
class Asking:
    patience: float = 60.0
    transport: Quiet = field(default_factory=Quiet)

    def __post_init__(self) -> None:
        self.requester = Requester(Publisher(Service.GATEWAY, self.transport), "gateway-one")

    async def ask(
        self, question: Message, answer: type[Message], *heard: tuple[Message, str], **more: Any
    ) -> Message:
        """`heard` are messages with what caused them, in the order in which they come."""
        within = self.patience
        asked = self.requester.ask(question, answer, within=within, id_=QUESTION, **more)
        task = asyncio.create_task(asked)
        await self.transport.called.wait()
        for message, cause in heard:
            self.requester.offer(_envelope(message, cause), message)
        return await task


def _envelope(message: Message, cause: str) -> Envelope:
    return Envelope(
        id="00000000-0000-4000-8000-0000000000ff",
        type=message.wire_type,
        kind=message.kind,
        source="tenant",
        time=datetime(2026, 3, 14, tzinfo=UTC),
        tenant_id=message.scope or "",
        correlation_id=QUESTION,
        causation_id=cause,
        reply_to="gateway-one",
    )


def of(kind: type[Message], tenant: TenantId = ACME, **more: object) -> Message:
    found: Message = example_part(kind).model_copy(update={"tenant_id": tenant, **more})
    return found


REFUSAL = CommandRefusedV1(tenant_id=ACME, code="run_ended", detail="too late")


async def test_what_follows_from_an_answer_is_no_answer() -> None:
    """A run's end lets the next one begin: that is caused by the question too."""
    next_run = of(RunRequestedV1)
    with pytest.raises(NoAnswerError):
        await Asking(SHORT).ask(of(SubmitRunV1), RunRequestedV1, (next_run, "another"))
    with pytest.raises(NoAnswerError):
        await Asking(SHORT).ask(of(SubmitRunV1), RunRequestedV1, (REFUSAL, "another"))
    mine = of(RunRequestedV1, revision=7)
    heard = (next_run, "another"), (mine, QUESTION)
    assert await Asking().ask(of(SubmitRunV1), RunRequestedV1, *heard) == mine


async def test_a_question_that_is_passed_on_may_be_answered_by_others() -> None:
    stored = of(CredentialStoredV1)
    heard = stored, "what the executor asked"
    answer = await Asking().ask(
        of(RewrapCredentialV1), CredentialStoredV1, heard, may_be_passed_on=True
    )
    assert answer == stored
    with pytest.raises(RefusedError):
        await Asking().ask(
            of(RewrapCredentialV1), CredentialStoredV1, (REFUSAL, "it"), may_be_passed_on=True
        )


@pytest.mark.parametrize("cause", [QUESTION, "another"])
async def test_nothing_of_another_tenant_is_an_answer(cause: str) -> None:
    foreign = of(CredentialStoredV1, OTHER)
    refusal = REFUSAL.model_copy(update={"tenant_id": OTHER})
    for heard in (foreign, refusal):
        with pytest.raises(NoAnswerError):
            await Asking(SHORT).ask(
                of(RewrapCredentialV1), CredentialStoredV1, (heard, cause), may_be_passed_on=True
            )
    nobodys = REFUSAL.model_copy(update={"tenant_id": None})
    with pytest.raises(RefusedError):
        await Asking().ask(of(RewrapCredentialV1), CredentialStoredV1, (nobodys, QUESTION))
