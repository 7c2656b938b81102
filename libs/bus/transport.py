"""The port between the bus and what carries its messages."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from contracts.envelope import Wire
from contracts.topology import SubscriptionSpec
from libs.bus.message import Received


class Verdict(Enum):
    """What becomes of a delivery."""

    ACK = auto()
    NACK = auto()


class Break(Enum):
    """What becomes of a pull."""

    ENDED = auto()
    """What was on its way may come later; brokers end pulls now and then, and all is well again."""
    LASTING = auto()
    """It has not been open again within a moment: nothing is heard."""


Receiver = Callable[[Received], Awaitable[Verdict]]
OnBreak = Callable[[Break], None]


def unheeded(_: Break) -> None:
    """For who loses nothing by hearing late."""


@dataclass(frozen=True, slots=True)
class FlowControl:
    """How much one subscription may hand over before it is acknowledged."""

    max_messages: int = 1000
    max_bytes: int = 64 << 20
    in_order: bool = True
    """Whether messages of one ordering key are handed over one after another."""


class Subscription(Protocol):
    """A running pull. Messages of one ordering key come one after another."""

    @property
    def waiting_for(self) -> str:
        """What keeps it from receiving; empty when nothing does."""

    async def drain(self, grace: float) -> None:
        """Stop pulling, let what was handed over end, give back what did not in time."""


class Transport(Protocol):
    """Safe to share between tasks of one event loop."""

    async def publish(self, topic: str, wires: Sequence[Wire]) -> None:
        """Return when all are durable; keeps trying while the broker is away.

        Order within a key is kept. Raises `PublishRefusedError` when all others are durable.
        """

    def subscribe(
        self, subscription: str, receiver: Receiver, flow: FlowControl, on_break: OnBreak = unheeded
    ) -> Subscription: ...

    async def ensure_subscription(self, spec: SubscriptionSpec) -> None:
        """Create a short-lived subscription unless it exists; keeps trying."""

    async def drop_subscription(self, name: str) -> None:
        """Delete it if it is there; one try, for an orderly end."""

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What publishing waits for; empty when healthy."""

    async def close(self) -> None: ...
