"""Attempts without a cloud: steps that do as they are told, a bus and a bucket in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.envelope import Envelope
from contracts.message import Kind, Message
from contracts.runs import AttemptFinishedV1, RunRequestedV1
from contracts.steps import StepCompletedV1, StepStatus
from libs.bus.errors import PublishRefusedError
from libs.bus.message import Outgoing
from libs.clock import system_clock
from services.executor.room import Room
from services.executor.runner import Attempt, Surroundings
from services.executor.steps.step import StepResult, StepRun, StepType

Act = Callable[[StepRun], Awaitable[StepResult | None]]


@dataclass(slots=True)
class Sent:
    """A bus that remembers, and may be cut off."""

    messages: list[Message] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    cut_off: bool = False
    refuses: bool = False

    async def send(self, *emits: Outgoing, cause: Envelope | None = None) -> None:
        assert cause is not None
        if self.cut_off:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self.refuses:
            topic, reason = "executor", "too large"
            raise PublishRefusedError(topic, reason)
        self.messages += [emit.message for emit in emits]
        self.ids += [emit.id for emit in emits]

    def all(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def states(self) -> dict[str, StepStatus]:
        return {str(said.step_id): said.status for said in self.all(StepCompletedV1)}

    @property
    def end(self) -> AttemptFinishedV1:
        (end,) = self.all(AttemptFinishedV1)
        assert isinstance(end, AttemptFinishedV1)
        return end


@dataclass(slots=True)
class MemoryObjects:
    kept: dict[str, bytes] = field(default_factory=dict)

    async def fetch(self, name: str) -> bytes | None:
        return self.kept.get(name)

    async def replace(self, name: str, body: bytes) -> None:
        self.kept[name] = body


class Acting(StepType):
    """Does what the test wants, and remembers what it was asked to do."""

    def __init__(self, act: Act | None = None) -> None:
        self._act = act
        self.ran: list[str] = []
        self.tries: list[int] = []
        self.stopped: list[str] = []
        self.at_once = 0
        self.most_at_once = 0

    async def run(self, given: StepRun) -> StepResult:
        self.ran.append(str(given.step.step_id))
        self.tries.append(given.try_number)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            return (await self._act(given) if self._act else None) or StepResult(rows=1)
        finally:
            self.at_once -= 1

    async def cancel(self, given: StepRun) -> None:
        self.stopped.append(str(given.step.step_id))


class Loading(Acting):
    carries_rows = True


@dataclass(slots=True)
class Stage:
    """What the attempts of one test share."""

    acting: Acting = field(default_factory=Acting)
    sent: Sent = field(default_factory=Sent)
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    parallel: int = 8
    room: Room = field(default_factory=lambda: Room(64, 4))
    loading: Acting = field(default_factory=Loading)
    types: dict[str, StepType] = field(default_factory=dict)
    """Others than these two."""

    def attempt(self, request: RunRequestedV1) -> Attempt:
        around = Surroundings(
            sender=self.sent,
            objects=self.objects,
            types={"act": self.acting, "load": self.loading, **self.types},
            clock=system_clock,
            parallel=self.parallel,
            room=self.room,
        )
        return Attempt(request, envelope_of(request), around)

    async def run(self, request: RunRequestedV1) -> AttemptFinishedV1:
        await self.attempt(request).run()
        return self.sent.end


def envelope_of(request: RunRequestedV1) -> Envelope:
    return Envelope(
        id=f"{request.run_id}/{request.attempt}",
        type=request.wire_type,
        kind=Kind.EVENT,
        source="scheduler",
        time=system_clock(),
        tenant_id=request.tenant_id,
    )
