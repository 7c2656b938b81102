"""Which steps of a run have completed: so that a later attempt does not repeat them.

Each attempt writes one object of its own, so a paused executor cannot overwrite
what a later attempt says. BigQuery's job ids guard the effects; this saves asking
for them, and keeps what steps without a job have done.
"""

import asyncio
import logging
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from contracts.identifiers import RunId
from contracts.runs import RunRequestedV1
from contracts.steps import StepCompletedV1
from libs.slotlog.log import SlotLogError

LOG = logging.getLogger(__name__)
TRIES = 5
FIRST_PAUSE = 0.2


class Objects(Protocol):
    """What is used of the bucket."""

    async def fetch(self, name: str) -> bytes | None: ...

    async def replace(self, name: str, body: bytes) -> None: ...


class Saved(BaseModel):
    """What one attempt completed."""

    model_config = ConfigDict(extra="ignore")

    generation: int
    steps: list[StepCompletedV1] = []


class Checkpoints:
    """For one attempt. Writes behind its back, at most one write at a time."""

    def __init__(self, request: RunRequestedV1, objects: Objects) -> None:
        self._request = request
        self._objects = objects
        self._saved = Saved(generation=request.generation)
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None

    async def earlier(self) -> list[Saved]:
        """What the attempts before this one have completed, oldest first.

        A run that repeats another one begins with what that one has completed.
        """
        request = self._request
        names = [self._name(attempt) for attempt in range(1, request.attempt)]
        if request.retry_of is not None:
            repeated = range(1, request.retry_of_attempts + 1)
            names = [*(self._name(n, request.retry_of) for n in repeated), *names]
        found = await asyncio.gather(*(self._fetch(name) for name in names))
        return [Saved.model_validate_json(body) for body in found if body is not None]

    def add(self, step: StepCompletedV1) -> None:
        self._saved.steps.append(step)
        self._unsaved = True
        if self._saving is None:
            self._saving = asyncio.create_task(self._save())

    async def flush(self) -> None:
        """Return when all is kept, or when it could not be, which costs only time later."""
        while self._saving is not None:
            await asyncio.shield(self._saving)

    async def _save(self) -> None:
        try:
            while self._unsaved:
                self._unsaved = False
                await self._replace(self._saved.model_dump_json().encode())
        finally:
            self._saving = None

    async def _replace(self, body: bytes) -> None:
        for number in range(TRIES):
            try:
                await self._objects.replace(self._name(self._request.attempt), body)
            except SlotLogError as error:
                LOG.warning("a checkpoint was not kept: %s", error)
                await asyncio.sleep(FIRST_PAUSE * 2**number)
            else:
                return

    async def _fetch(self, name: str) -> bytes | None:
        for number in range(TRIES):
            try:
                return await self._objects.fetch(name)
            except SlotLogError as error:
                LOG.warning("checkpoints are not to be had: %s", error)
                await asyncio.sleep(FIRST_PAUSE * 2**number)
        return await self._objects.fetch(name)

    def _name(self, attempt: int, run_id: RunId | None = None) -> str:
        request = self._request
        return f"checkpoints/{request.tenant_id}/{run_id or request.run_id}/{attempt}.json"
