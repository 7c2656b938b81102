"""What an attempt says, published in order behind its back.

A step does not wait for the bus: what it says is queued and sent in batches. The
attempt waits for all of it before it is over. What is said is bounded by the
definition, but for heartbeats and progress, which are left out while the bus lags.
"""

import asyncio
import time
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from contracts.envelope import Envelope
from contracts.message import Message
from contracts.runs import RunRequestedV1
from libs.bus.message import Outgoing

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/executor")
LAGGING = 100


class Sender(Protocol):
    """What is used of the bus's publisher."""

    async def send(self, *emits: Outgoing, cause: Envelope | None = None) -> object: ...


class Outbox:
    """For one attempt, on one event loop."""

    def __init__(self, request: RunRequestedV1, cause: Envelope, sender: Sender) -> None:
        self._request = request
        self._cause = cause
        self._sender = sender
        self._queue: list[Outgoing] = []
        self._sending: asyncio.Task[None] | None = None
        self._sequence = 0
        self._refused: Exception | None = None
        self.heard_at = time.monotonic()
        """When the bus last confirmed something."""

    @property
    def lags(self) -> bool:
        return len(self._queue) > LAGGING

    def put(self, what: str, message: Message, *, attempt: int = 0) -> None:
        """Queue under an id that the same fact of the same attempt always has.

        Nothing is queued after what was refused: what is said has no gaps.
        """
        if self._refused is not None:
            return
        self._sequence += 1
        name = f"{self._request.run_id}/{attempt or self._request.attempt}/{what}"
        self._queue.append(Outgoing(message, str(uuid5(NAMESPACE, name)), self._sequence))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def flush(self) -> None:
        """Return when all that was put is durable; raises what publishing raised."""
        while self._sending is not None:
            await asyncio.shield(self._sending)
        self.check()

    def check(self) -> None:
        """Raise what publishing raised: what was put is not durable, and will not be."""
        if self._refused is not None:
            raise self._refused

    async def _send(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                await self._sender.send(*batch, cause=self._cause)
                self.heard_at = time.monotonic()
        except Exception as error:  # noqa: BLE001  `check` and `flush` raise it where it is handled
            self._refused = error
            self._queue.clear()
        finally:
            self._sending = None
