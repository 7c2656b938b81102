"""Publishing to one topic: batches, in order, until they are durable."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
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

Waiting = tuple[Wire, "asyncio.Future[None]"]


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
        futures = [loop.create_future() for _ in wires]
        self._queue.extend(zip(wires, futures, strict=True))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        refused: list[PublishRefusedError] = []
        for future in futures:
            try:
                await future
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
                await self._send(batch)
        finally:
            self._worker = None

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self._queue and len(batch) < MAX_MESSAGES:
            size += len(self._queue[0][0].data) + 512
            if batch and size > MAX_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _send(self, batch: list[Waiting]) -> None:
        request = _REQUEST(topic=self._path, messages=[_message(wire) for wire, _ in batch])
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
        ((wire, future),) = batch
        if not future.done():
            reason = error.details() or ""
            future.set_exception(PublishRefusedError(self._path, reason, (wire,)))

    def _report(self, error: grpc.aio.AioRpcError) -> None:
        missing = error.code() is grpc.StatusCode.NOT_FOUND
        reason = f"topic {self._path}" if missing else f"Pub/Sub at {self._where}"
        if self.waiting_for != reason:
            LOG.warning("publishing waits for %s: %s", reason, error.details())
        self.waiting_for = reason


def _message(wire: Wire) -> Any:
    return _MESSAGE(data=wire.data, attributes=wire.attributes, ordering_key=wire.ordering_key)


def _settle(batch: list[Waiting]) -> None:
    for _, future in batch:
        if not future.done():
            future.set_result(None)
