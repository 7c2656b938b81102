"""Pulling one subscription: a stream that is opened again for ever, leases, acks.

What was handed over stays leased until it is settled. Acknowledgements gather
for a few milliseconds, since each call costs more than a hundred messages do.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1.types import pubsub as types

from libs.bus.lanes import Lanes
from libs.bus.message import Received
from libs.bus.retrying import Backoff
from libs.bus.transport import Break, FlowControl, OnBreak, Receiver, Verdict, unheeded

LOG = logging.getLogger(__name__)
LEASE_SECONDS = 15  # what a killed process held comes again after this long
EXTEND_SECONDS = 5.0
GATHER_SECONDS = 0.005
ACCEPTED_SECONDS = 0.3
REOPENED_SECONDS = 1.0  # less than what ends a key is promised to take
CALL_SECONDS = 10.0
MOST_IDS = 1000
_STREAM_REQUEST = types.StreamingPullRequest._meta.pb  # noqa: SLF001  bare protobuf
_STREAM_RESPONSE = types.StreamingPullResponse._meta.pb  # noqa: SLF001
_ACK = types.AcknowledgeRequest._meta.pb  # noqa: SLF001
_MODIFY = types.ModifyAckDeadlineRequest._meta.pb  # noqa: SLF001


class StreamingSubscription:
    """Starts pulling when it is made. For one event loop."""

    def __init__(  # noqa: PLR0913  what a pull is made of
        self,
        channel: Any,
        path: str,
        receiver: Receiver,
        flow: FlowControl,
        where: str,
        *,
        on_break: OnBreak = unheeded,
    ) -> None:
        self._channel = channel
        self._path = path
        self._flow = flow
        self._where = where
        self._on_break = on_break
        self._lasting: asyncio.TimerHandle | None = None
        """Since the pull ended, until it is open again."""
        self._held: dict[str, str] = {}
        """Message id → newest ack id of what was handed over and is not settled."""
        self._acks: list[str] = []
        self._nacks: list[str] = []
        self._due = asyncio.Event()
        self._lanes = Lanes(receiver, self._settle)
        self.waiting_for = f"subscription {path.rpartition('/')[2]} to be opened"
        self._pulling = asyncio.create_task(self._pull())
        self._housekeeping = [
            asyncio.create_task(self._settle_in_batches()),
            asyncio.create_task(self._extend_leases()),
        ]

    async def drain(self, grace: float) -> None:
        self._lanes.close()
        self._pulling.cancel()
        self._close_break()
        await asyncio.gather(self._pulling, return_exceptions=True)
        await self._lanes.drain(grace)
        self._nacks.extend(self._held.values())
        self._held.clear()
        for task in self._housekeeping:
            task.cancel()
        await asyncio.gather(*self._housekeeping, return_exceptions=True)
        await self._send_settled(tries=1)

    async def _pull(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._read_stream(backoff)
            except grpc.aio.AioRpcError as error:
                self._report(error)
            self._begin_break()
            await backoff.pause()

    def _begin_break(self) -> None:
        if self._lasting is None:
            loop = asyncio.get_running_loop()
            self._lasting = loop.call_later(REOPENED_SECONDS, self._on_break, Break.LASTING)
            self._on_break(Break.ENDED)

    def _close_break(self) -> None:
        if self._lasting is not None:
            self._lasting.cancel()
            self._lasting = None

    async def _read_stream(self, backoff: Backoff) -> None:
        open_stream = self._channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=_STREAM_REQUEST.SerializeToString,
            response_deserializer=_STREAM_RESPONSE.FromString,
        )
        over = asyncio.Event()
        stream = open_stream(self._first_request(over))
        try:
            # A refused stream fails at once; one that stays open has been accepted.
            opened = asyncio.get_running_loop().call_later(ACCEPTED_SECONDS, self._opened, backoff)
            try:
                async for response in stream:
                    self._opened(backoff)
                    for received in response.received_messages:
                        self._take(received)
            finally:
                opened.cancel()
        finally:
            stream.cancel()
            over.set()  # or what writes for the stream would wait for ever

    def _opened(self, backoff: Backoff) -> None:
        if self.waiting_for:
            LOG.info("pulling %s", self._path)
        self.waiting_for = ""
        self._close_break()
        backoff.reset()

    async def _first_request(self, over: asyncio.Event) -> AsyncIterator[Any]:
        yield _STREAM_REQUEST(
            subscription=self._path,
            stream_ack_deadline_seconds=LEASE_SECONDS,
            max_outstanding_messages=self._flow.max_messages,
            max_outstanding_bytes=self._flow.max_bytes,
        )
        await over.wait()  # half-closing would end the stream

    def _take(self, delivered: Any) -> None:
        message = delivered.message
        known = message.message_id in self._held
        self._held[message.message_id] = delivered.ack_id
        if known:
            return  # being handled: its new lease will be settled in its stead
        self._lanes.put(
            Received(
                subscription=self._path.rpartition("/")[2],
                message_id=message.message_id,
                publish_time=message.publish_time.ToDatetime(tzinfo=UTC),
                attributes=dict(message.attributes),
                data=message.data,
                ordering_key=message.ordering_key if self._flow.in_order else "",
                attempt=delivered.delivery_attempt or 1,
            )
        )

    async def _settle(self, received: Received, verdict: Verdict) -> None:
        ack_id = self._held.pop(received.message_id, None)
        if ack_id is None:
            return
        (self._acks if verdict is Verdict.ACK else self._nacks).append(ack_id)
        self._due.set()

    async def _settle_in_batches(self) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(GATHER_SECONDS)
            self._due.clear()
            await self._send_settled(tries=5)

    async def _send_settled(self, tries: int) -> None:
        acks, self._acks = self._acks, []
        nacks, self._nacks = self._nacks, []
        for chunk in _chunks(acks):
            await self._call(
                "Acknowledge", _ACK(subscription=self._path, ack_ids=chunk), tries=tries
            )
        await self._modify(nacks, 0, tries)

    async def _extend_leases(self) -> None:
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            await self._modify(list(self._held.values()), LEASE_SECONDS, tries=2)

    async def _modify(self, ack_ids: Sequence[str], seconds: int, tries: int) -> None:
        for chunk in _chunks(ack_ids):
            request = _MODIFY(subscription=self._path, ack_ids=chunk, ack_deadline_seconds=seconds)
            await self._call("ModifyAckDeadline", request, tries=tries)

    async def _call(self, method: str, request: Any, *, tries: int) -> None:
        """Settling may fail: the broker then delivers again, which is harmless."""
        call = self._channel.unary_unary(
            f"/google.pubsub.v1.Subscriber/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=Empty.FromString,
        )
        backoff = Backoff()
        for _ in range(tries):
            try:
                await call(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                LOG.info("%s on %s: %s", method, self._path, error.details())
                await backoff.pause()
            else:
                return

    def _report(self, error: grpc.aio.AioRpcError) -> None:
        name = self._path.rpartition("/")[2]
        missing = error.code() is grpc.StatusCode.NOT_FOUND
        reason = f"subscription {name}" if missing else f"Pub/Sub at {self._where}"
        if self.waiting_for != reason:
            LOG.warning("pulling %s waits for %s: %s", name, reason, error.details())
        self.waiting_for = reason


def _chunks(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + MOST_IDS] for start in range(0, len(ids), MOST_IDS)]
