"""A recorder on the BigQuery emulator, fed with messages as the bus would feed it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from contracts.catalogue import entry_of
from contracts.envelope import Envelope
from contracts.message import Message
from contracts.platform import BootstrapPlatformV1
from libs.bus.message import Context, Received
from libs.bus.router import Delivery
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.audit_log.handlers import Handlers

START = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)


def connect(ports: dict[str, int]) -> Warehouse:
    return Warehouse.connect(
        WarehouseSettings(
            "convergence-local",
            endpoint=f"http://127.0.0.1:{ports['rest']}",
            storage_endpoint=f"127.0.0.1:{ports['grpc']}",
        )
    )


def keep_signing_key(directory: Path) -> None:
    """What audit_log signs webhooks with, so that it does not ask Google for it."""
    key = directory / "webhook-signing-key"
    key.write_bytes(b"only for tests".ljust(32, b"-"))
    key.chmod(0o600)


def delivery(message: Message, *, sequence: int = 0, at: datetime = START) -> Delivery:
    envelope = Envelope(
        id=str(uuid4()),
        type=message.wire_type,
        kind=message.kind,
        source=entry_of(message.wire_type).producers[0].value,
        time=at,
        tenant_id=message.scope or "",
        correlation_id="c-1",
        sequence=sequence,
    )
    received = Received("s", envelope.id, at, {}, message.encode())
    return Delivery(received, envelope, message)


@dataclass(slots=True)
class Recorder:
    """Gives messages a time and a sequence of their own, in the order they are told."""

    warehouse: Warehouse
    handlers: Handlers
    said: int = field(default=0)

    async def bootstrap(self) -> None:
        context = Context(replace(delivery(BootstrapPlatformV1()).envelope))
        await self.handlers.on_bootstrap(BootstrapPlatformV1(), context)

    def deliveries(self, *messages: Message) -> list[Delivery]:
        made = []
        for message in messages:
            self.said += 1
            at = START + timedelta(seconds=self.said)
            made.append(delivery(message, sequence=self.said, at=at))
        return made

    async def record(self, *messages: Message) -> None:
        await self.handlers.record(self.deliveries(*messages))

    async def record_badly(self, *messages: Message) -> None:
        """Every message twice, the last first."""
        backwards = list(reversed(self.deliveries(*messages)))
        await self.handlers.record(backwards)
        await asyncio.gather(*(self.handlers.record([one]) for one in backwards))

    async def rows(self, view: str, **where: str) -> Sequence[dict[str, Any]]:
        conditions = " AND ".join(f"{name} = @{name}" for name in where) or "TRUE"
        sql = f"SELECT * FROM `convergence-local.{view}` WHERE {conditions}"
        return await self.warehouse.query(sql, where)
