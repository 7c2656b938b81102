"""Publishing to one topic: batches, in order, until they are durable."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.pubsub_v1.types import pubsub as types

from contracts.envelope import Wire
from libs.bus.errors import PublishRefusedError
from libs.bus.retrying import Backoff

LOG = logging.getLogger(__name__)
MAX_MESSAGES = 1000
MAX_BYTES = 5 << 20
CALL_SECONDS = 20.0
# Sending these again gives the same answer; everything else may pass.
REFUSED = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)
_REQUEST = types.PublishRequest._meta.pb  # noqa: SLF001  bare protobuf: a third of the cost
_RESPONSE = types.PublishResponse._meta.pb  # noqa: SLF001
_MESSAGE = types.PubsubMessage._meta.pb  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Waiting:
    wire: Wire
    message: Any
    """The same, as it is sent."""
    done: "asyncio.Future[None]"


class TopicBatcher:
    """One publish call is in flight at a time, so a key's order survives failed calls.

    While a call is out, what comes next gathers into the next batch: the slower
    the broker, the larger the batches.
    """

    def __init__(self, channel: Any, path: str, where: str) -> None:
        self._path = path
        self._where = where
        self._call = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=_REQUEST.SerializeToString,
            response_deserializer=_RESPONSE.FromString,
        )
        self._queue: deque[Waiting] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.waiting_for = ""

    async def publish(self, wires: Sequence[Wire]) -> None:
        loop = asyncio.get_running_loop()
        refused: list[PublishRefusedError] = []
        asked: list[Waiting] = []
        for wire in wires:
            try:
                asked.append(Waiting(wire, _message(wire), loop.create_future()))
            except ValueError as error:
                reason = f"it cannot be written as Pub/Sub's: {type(error).__name__}"
                refused.append(PublishRefusedError(self._path, reason, (wire,)))
        self._queue.extend(asked)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        for waiting in asked:
            try:
                await waiting.done
            except PublishRefusedError as error:
                refused.append(error)
        if refused:
            raise PublishRefusedError(
                self._path, refused[0].reason, tuple(wire for one in refused for wire in one.wires)
            )

    async def flush(self) -> None:
        if self._worker is not None:
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        try:
            # One turn of the loop lets messages that are ready now share a call.
            await asyncio.sleep(0)
            while batch := self._take():
                try:
                    await self._send(batch)
                except Exception as error:  # noqa: BLE001  whoever waits is told; the next go on
                    _fail(batch, error)
        finally:
            self._worker = None

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._queue and len(batch) < MAX_MESSAGES:
            size += len(self._queue[0].wire.data) + 512
            if batch and size > MAX_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _send(self, batch: list[Waiting]) -> None:
        request = _REQUEST(topic=self._path, messages=[waiting.message for waiting in batch])
        backoff = Backoff()
        while True:
            try:
                await self._call(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() in REFUSED:
                    await self._refused(batch, error)
                    return
                self._report(error)
                await backoff.pause()
            else:
                self.waiting_for = ""
                _settle(batch)
                return

    async def _refused(self, batch: list[Waiting], error: grpc.aio.AioRpcError) -> None:
        """Find out which message of a refused batch is at fault; the others go through."""
        if len(batch) > 1:
            for single in batch:
                await self._send([single])
            return
        reason = error.details() or ""
        _fail(batch, PublishRefusedError(self._path, reason, (batch[0].wire,)))

    def _report(self, error: grpc.aio.AioRpcError) -> None:
        missing = error.code() is grpc.StatusCode.NOT_FOUND
        reason = f"topic {self._path}" if missing else f"Pub/Sub at {self._where}"
        if self.waiting_for != reason:
            LOG.warning("publishing waits for %s: %s", reason, error.details())
        self.waiting_for = reason


def _message(wire: Wire) -> Any:
    return _MESSAGE(data=wire.data, attributes=wire.attributes, ordering_key=wire.ordering_key)


def _settle(batch: list[Waiting]) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_result(None)


def _fail(batch: list[Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
