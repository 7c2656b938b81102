"""A tenant service without a bus: its handlers, over a log and the emulators."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from uuid import uuid4

from contracts.catalogue import entry_of
from contracts.envelope import Envelope, Wire
from contracts.identifiers import KeyHash, TenantId
from contracts.keys import KeyPart
from contracts.message import Message, Service
from contracts.tenants import OnboardTenantV1
from libs.bus.message import Context, Outgoing
from libs.bus.router import Router
from libs.slotlog.bucket import Bucket
from libs.slotlog.cloud_storage import Claims
from libs.slotlog.log import SlotLog
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.warehouse.warehouse import Warehouse
from services.tenant.ciphertexts import Ciphertexts, Objects
from services.tenant.domain.tenant import Tenant
from services.tenant.handlers import Handlers, Sender
from services.tenant.provisioning import ClaimPort, Provisioner
from services.tenant.store import TenantDecider

M = TypeVar("M", bound=Message)
NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)


def key(number: int, **more: object) -> KeyPart:
    parts = {"key_hash": KeyHash(f"{number:064x}"), "last_four": f"{number:04}", **more}
    return KeyPart.model_validate(parts)


def onboarding(tenant: str, **more: object) -> OnboardTenantV1:
    parts = {
        "tenant_id": tenant,
        "company_name": tenant.title(),
        "admin_email": f"admin@{tenant}.example",
        "plan": "STARTER",
        "requested_by": "admin",
        **more,
    }
    return OnboardTenantV1.model_validate(parts)


def context_of(message: Message, id_: str = "") -> Context:
    return Context(
        Envelope(
            id=id_ or str(uuid4()),
            type=message.wire_type,
            kind=message.kind,
            source=Service.GATEWAY.value,
            time=NOW,
            tenant_id=message.scope or "",
            reply_to="instance-one",
        )
    )


@dataclass(slots=True)
class Desk:
    """One instance of the service; `another` is a second one on the same state."""

    warehouse: Warehouse
    bucket: Bucket
    log: SlotLog = field(default_factory=MemorySlotLog)
    claims: ClaimPort | None = None
    objects: Objects | None = None
    sender: Sender | None = None
    now: datetime = NOW
    sent: list[Message] = field(default_factory=list)
    """What was published before the handler ended."""
    tenants: Writer[Tenant] = field(init=False)
    router: Router = field(default_factory=Router)

    def __post_init__(self) -> None:
        self.tenants = Writer(
            self.log, TenantDecider(), service=Service.TENANT, clock=lambda: self.now
        )
        provisioner = Provisioner(self.warehouse, self.claims or Claims(self.bucket))
        ciphertexts = Ciphertexts(self.objects or self.bucket)
        Handlers(self.tenants, provisioner, ciphertexts, self.sender or self).register(self.router)

    async def send(self, *emits: Wire) -> None:
        self.sent += [_opened(emit) for emit in emits]

    async def give(self, message: Message, id_: str = "") -> list[Message]:
        """Hand a message to its handler; all that it says, decoded."""
        handler = self.router.handler_for(message)
        assert handler is not None
        self.sent.clear()
        said = await handler(message, context_of(message, id_))
        return [*self.sent, *(_opened(emit) for emit in said or ())]

    async def expect(self, message: Message, answer: type[M]) -> M:
        found = [said for said in await self.give(message) if isinstance(said, answer)]
        assert len(found) == 1
        return found[0]

    async def state(self, tenant: str) -> Tenant:
        return await self.tenants.state(TenantId(tenant))


def _opened(emit: Message | Outgoing | Wire) -> Message:
    if isinstance(emit, Wire):
        return entry_of(emit.attributes["ce-type"]).model.decode(emit.data)
    return emit.message if isinstance(emit, Outgoing) else emit


def kinds(said: Sequence[Message]) -> list[str]:
    return [message.wire_type for message in said]
