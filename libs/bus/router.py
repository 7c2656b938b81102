"""Which handler is for which message: `@router.on(SomethingV1)`."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.envelope import Envelope
from contracts.message import Message
from libs.bus.message import Context, Emit, Received

Answer = Awaitable[Iterable[Emit] | None]
Handler = Callable[[Any, Context], Answer]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that could be read, with all that is known of it."""

    received: Received
    envelope: Envelope
    message: Message


BatchHandler = Callable[[Sequence[Delivery]], Awaitable[None]]


class HandlerTakenError(ValueError):
    def __init__(self, message: type[Message]) -> None:
        super().__init__(f"{message.__name__} has a handler already")


class Router:
    """A service's handlers: one per message type, and optionally a sink for all."""

    def __init__(self) -> None:
        self._handlers: dict[type[Message], Handler] = {}
        self.sink: BatchHandler | None = None

    def on(self, *types: type[Message]) -> Callable[[Handler], Handler]:
        """Register a handler. What it returns is published before the message is acknowledged."""

        def register(handler: Handler) -> Handler:
            for type_ in types:
                if type_ in self._handlers:
                    raise HandlerTakenError(type_)
                self._handlers[type_] = handler
            return handler

        return register

    def record_all(self, handler: BatchHandler) -> None:
        """Give every message of a known type to `handler`, in batches, before acknowledging."""
        self.sink = handler

    def handler_for(self, message: Message) -> Handler | None:
        return self._handlers.get(type(message))

    @property
    def handled(self) -> frozenset[type[Message]]:
        return frozenset(self._handlers)
