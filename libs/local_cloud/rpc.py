"""gRPC services made from the method tables of Google's own clients.

A client's transport knows every method's path and message classes. Recording
what it would call gives a server that speaks exactly the client's protocol.
"""

import inspect
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.iam.v1 import iam_policy_pb2

from libs.local_cloud.faults import Faults


class RpcError(Exception):
    """Ends a call with a status, as the real service would.

    `status` is a serialized google.rpc.Status, for what a code and a text cannot say.
    """

    def __init__(self, code: grpc.StatusCode, message: str, status: bytes = b"") -> None:
        self.code = code
        self.status = status
        super().__init__(message)

    async def end(self, context: Any) -> None:
        details = (("grpc-status-details-bin", self.status),) if self.status else ()
        await context.abort(self.code, str(self), details)


@dataclass(frozen=True, slots=True)
class Method:
    """One method: whether it streams, and its request's wrapped class."""

    streams: bool
    request: Any


class _Recorder(grpc.Channel):
    """A channel that only writes down which methods a transport makes of it."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def _note(self, *, streams: bool) -> Callable[..., Callable[..., None]]:
        def make(path: str, request_serializer: Any = None, *_: Any, **__: Any) -> Any:
            owner = getattr(request_serializer, "__self__", None) or _iam_request(path)
            self.methods[path] = Method(streams, owner)
            return lambda *_, **__: None

        return make

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._note(streams=False)(*args, **kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._note(streams=True)(*args, **kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._note(streams=True)(*args, **kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._note(streams=True)(*args, **kwargs)

    def subscribe(self, *_: Any, **__: Any) -> None: ...

    def unsubscribe(self, *_: Any) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


def _iam_request(path: str) -> Any:
    """IAM's requests are plain protobuf, whose serializers do not name their class."""
    return getattr(iam_policy_pb2, f"{path.rpartition('/')[2]}Request", None)


def method_table(transport: Any) -> dict[str, Method]:
    """Return every method that a client's gRPC transport can call, by path."""
    recorder = _Recorder()
    interceptor, grpc.intercept_channel = grpc.intercept_channel, lambda channel, *_: channel
    try:
        made = transport(channel=recorder)
    finally:
        grpc.intercept_channel = interceptor
    for name, _ in inspect.getmembers(transport, lambda member: isinstance(member, property)):
        if name != "operations_client":
            getattr(made, name)
    return {path: m for path, m in recorder.methods.items() if m.request is not None}


class Service(grpc.GenericRpcHandler):
    """Serves the methods that a handler object has, under the names of the RPCs.

    With `bare`, handlers see bare protobuf, which is several times cheaper.
    """

    def __init__(self, transport: Any, handler: Any, faults: Faults, *, bare: bool) -> None:
        self._faults = faults
        self._bare = bare
        self._handlers: dict[str, Any] = {}
        for path, method in method_table(transport).items():
            function = getattr(handler, path.rpartition("/")[2], None)
            if function is not None:
                self._handlers[path] = self._make(method, function)

    def service(self, details: Any) -> Any:
        return self._handlers.get(details.method)

    def _make(self, method: Method, function: Any) -> Any:
        wrapped = hasattr(method.request, "_meta")  # IAM's messages are bare already
        request = method.request._meta.pb if wrapped and self._bare else method.request  # noqa: SLF001
        read = request.deserialize if wrapped and not self._bare else request.FromString
        write = _serialize_bare if self._bare else _serialize
        if method.streams:
            return grpc.stream_stream_rpc_method_handler(self._stream(function), read, write)
        return grpc.unary_unary_rpc_method_handler(self._unary(function), read, write)

    def _unary(self, function: Any) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            await self._faults.delay()
            if self._faults.hits(self._faults.plan.error_rate):
                await context.abort(grpc.StatusCode.UNAVAILABLE, "a fault that was asked for")
            try:
                result = function(request, context)
                return await result if inspect.isawaitable(result) else result
            except RpcError as error:
                await error.end(context)
            except sqlite3.Error as error:
                await context.abort(grpc.StatusCode.UNAVAILABLE, f"cannot keep it: {error}")

        return call

    def _stream(self, function: Any) -> Callable[[Any, Any], Awaitable[None]]:
        async def call(requests: Any, context: Any) -> None:
            try:
                await function(requests, context)
            except RpcError as error:
                await error.end(context)

        return call


def _serialize_bare(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _serialize(message: Any) -> bytes:
    wrapped = type(message)
    if hasattr(wrapped, "serialize"):
        return bytes(wrapped.serialize(message))
    return bytes(message.SerializeToString())


async def listen(host: str, port: int, *services: Service) -> tuple[Any, int]:
    """Start a gRPC server; returns it and its port. Raises `OSError` when the port is taken."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", 21 << 20),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
    )
    server.add_generic_rpc_handlers(services)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(98, "address already in use") from error
    if not bound:
        raise OSError(98, "address already in use")
    await server.start()
    return server, bound
