"""One streaming pull: deliveries out, acknowledgements and new deadlines in."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # no stubs

from libs.local_cloud.faults import Faults
from libs.local_cloud.pubsub_lanes import Consumer
from libs.local_cloud.pubsub_rules import INVALID, check_attached, check_lease
from libs.local_cloud.pubsub_subscription import SubscriptionState
from libs.local_cloud.pubsub_wire import STREAM_RESPONSE
from libs.local_cloud.rpc import RpcError

AT_ONCE = 500
DEFAULT_MESSAGES, DEFAULT_BYTES = 1_000, 100_000_000
LEAST_LEASE = 10


def check_alive(state: SubscriptionState) -> None:
    if state.is_deleted:
        raise RpcError(grpc.StatusCode.NOT_FOUND, "The subscription has been deleted.")
    check_attached(state.config)


def invalid_ack_ids(ack_ids: Iterable[str]) -> RpcError:
    """Say which ids failed for good, in the form that Google's clients look for."""
    message = "Some acknowledgement ids in the request were invalid."
    info = ErrorInfo(reason="EXACTLY_ONCE_ACKID_FAILURE", domain="pubsub.googleapis.com")
    for ack_id in ack_ids:
        info.metadata[ack_id] = "PERMANENT_FAILURE_INVALID_ACK_ID"
    detail = AnyMessage()
    detail.Pack(info)
    status = Status(code=INVALID.value[0], message=message, details=[detail])
    return RpcError(INVALID, message, status.SerializeToString())


class Stream:
    def __init__(self, state: SubscriptionState, first: Any, context: Any, faults: Faults) -> None:
        self._state = state
        self._first = first
        self._context = context
        self._faults = faults
        self._writing = asyncio.Lock()  # gRPC allows one write at a time
        self._consumer = Consumer(
            first.max_outstanding_messages or DEFAULT_MESSAGES,
            first.max_outstanding_bytes or DEFAULT_BYTES,
        )
        config = state.config
        self._exactly_once = config.enable_exactly_once_delivery
        self._properties = STREAM_RESPONSE.SubscriptionProperties(
            exactly_once_delivery_enabled=self._exactly_once,
            message_ordering_enabled=config.enable_message_ordering,
        )

    async def run(self) -> None:
        """Serve until the client ends the stream or the subscription goes."""
        await self._settle(self._first)
        reading = asyncio.create_task(self._read())
        # A write is never cancelled, which would leave the call without an end.
        reading.add_done_callback(lambda _: self._state.wake())
        try:
            await self._write(STREAM_RESPONSE())
            while not reading.done():
                await self._deliver()
            reading.result()
        finally:
            reading.cancel()
            self._state.release(self._consumer)

    async def _read(self) -> None:
        while (request := await self._context.read()) is not grpc.aio.EOF:
            await self._settle(request)

    async def _settle(self, request: Any) -> None:
        ids, seconds = request.modify_deadline_ack_ids, request.modify_deadline_seconds
        if len(ids) != len(seconds):
            raise RpcError(INVALID, "Each modify_deadline_ack_id needs its seconds.")
        self._set_lease(request.stream_ack_deadline_seconds)
        unknown = self._state.acknowledge(request.ack_ids) if request.ack_ids else []
        unchanged = [
            ack_id
            for ack_id, until in zip(ids, seconds, strict=True)
            if not self._state.modify(ack_id, until)
        ]
        if self._exactly_once and (request.ack_ids or ids):
            await self._confirm(request, unknown, unchanged)

    def _set_lease(self, seconds: int) -> None:
        if not seconds:
            return
        check_lease(seconds)
        if seconds < LEAST_LEASE:
            raise RpcError(INVALID, f"Invalid stream ack deadline: at least {LEAST_LEASE}.")
        self._consumer.lease = seconds

    async def _confirm(self, request: Any, unknown: list[str], unchanged: list[str]) -> None:
        response = STREAM_RESPONSE()
        _fill(response.acknowledge_confirmation, request.ack_ids, unknown)
        _fill(response.modify_ack_deadline_confirmation, request.modify_deadline_ack_ids, unchanged)
        await self._write(response)

    async def _deliver(self) -> None:
        if given := self._state.take(AT_ONCE, self._consumer):
            await self._faults.delay()
            await self._write(STREAM_RESPONSE(received_messages=given))
        else:
            await self._state.changed()
            check_alive(self._state)

    async def _write(self, response: Any) -> None:
        response.subscription_properties.CopyFrom(self._properties)
        async with self._writing:
            await self._context.write(response)


def _fill(confirmation: Any, ids: Sequence[str], bad: Sequence[str]) -> None:
    refused = set(bad)
    confirmation.ack_ids.extend(id_ for id_ in ids if id_ not in refused)
    confirmation.invalid_ack_ids.extend(bad)
