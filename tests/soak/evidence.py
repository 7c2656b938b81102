"""What a soak leaves to its judge, in memory: made by the services' own rules, and all is well."""

import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from contracts.envelope import Envelope, Wire
from contracts.examples import example_part
from contracts.identifiers import ConfigId, TenantId
from contracts.message import Kind, Message, Service
from contracts.pipelines import SaveConfigV1
from contracts.runs import AttemptFinishedV1, RunStatus
from contracts.tenants import LimitsPart, TenantOnboardedV1
from contracts.topology import dead_letters_of
from libs.bus.message import Received
from libs.bus.transport import Verdict
from libs.slotlog.log import Record
from libs.slotlog.memory import MemorySlotLog
from libs.slotlog.writer import Writer
from libs.warehouse.warehouse import Warehouse
from services.scheduler.domain.deciding import KeepConfig, Rules
from services.scheduler.domain.schedules import scheduled_run_id
from services.scheduler.store import LedgerDecider
from services.tenant.domain.onboarding import FinishProvisioning
from services.tenant.store import TenantDecider
from tests.faults.checker import Finding
from tests.scheduler.memory import MemoryObjects
from tests.scheduler.platforms import CONFIG, DEFINITION, TENANT, run_id, submit
from tests.soak import __main__ as soak
from tests.soak import regular
from tests.soak.checker import check_all
from tests.soak.collector import Collector
from tests.soak.regular import Regular
from tests.soak.workload import Tenant, Workload
from tests.tenant.desk import onboarding

CALM = datetime(2026, 2, 27, 22, 0, tzinfo=UTC)
"""When everything happened, and the last fault was over."""
COMPLETING, FAILING = str(run_id(1)), str(run_id(2))
LEDGER, ACCOUNT = f"scheduler/{TENANT}", f"tenant/{TENANT}"
SCHEDULED = "regular_0"
SURE = [CALM + timedelta(minutes=n) for n in range(2, 9)]
"""Of ten minutes of a schedule, those that are not near its beginning or its end."""
WHOLE, CORRECTED = (20, Decimal(20), 1), (10, Decimal(10), 1)
POISON, GAVE_UP = "poison-1", "convergence-scheduler-from-gateway-v1"
TABLES = """
    CREATE TABLE tenants.events (event_id, event_type, data);
    CREATE TABLE tenants.tenant_pipeline_runs (run_id, status);
    CREATE TABLE acme.effects (run_id);
    CREATE TABLE regular_0.effects (run_id);
"""


class Tables(Warehouse):
    """For queries that SQLite reads as BigQuery does."""

    def __init__(self) -> None:
        """It has no client."""
        self._database = sqlite3.connect(":memory:")
        self._database.row_factory = sqlite3.Row
        self._database.create_function("JSON_VALUE", 2, self._value)
        for dataset in ("tenants", TENANT, SCHEDULED):
            self._database.execute(f"ATTACH ':memory:' AS {dataset}")
        self._database.executescript(TABLES)

    async def query(self, sql: str, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self.change(sql)]

    def change(self, sql: str, *values: str) -> Sequence[sqlite3.Row]:
        return self._database.execute(sql, values).fetchall()

    def add(self, table: str, *values: str) -> None:
        self.change(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", *values)

    def shut(self) -> None:
        self._database.close()

    def _value(self, data: str, path: str) -> Any:
        return self._database.execute("SELECT json_extract(?, ?)", (data, path)).fetchone()[0]


@dataclass(slots=True)
class Evidence:
    work: Workload
    tenant: Tenant
    regular: Regular
    records: dict[tuple[str, int], Record] = field(default_factory=dict)
    """By stream and slot."""
    delivered: list[Received] = field(default_factory=list)
    poisoned: list[str] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)

    async def judged(self) -> list[Finding]:
        tenants, heard, objects = [self.tenant], Collector("", ""), MemoryObjects()
        for received in self.delivered:
            assert await heard._hear(received) is Verdict.ACK
        for (stream, slot), record in self.records.items():
            await objects.replace(f"ledger/{stream}/{slot:012d}.json", record.encode())
        return [
            *await check_all(tenants, heard, self.poisoned, objects, self.tables),
            *await regular.check([self.regular], self.tables),
            soak.deserved(tenants, self.work),
            soak.in_time(tenants, heard, CALM),
        ]

    def publish(self, wire: Wire) -> None:
        """It is heard, and kept in the warehouse."""
        id_, type_ = wire.attributes["ce-id"], wire.attributes["ce-type"]
        self.delivered.append(Received("soak", id_, CALM, wire.attributes, wire.data))
        self.tables.add("tenants.events", id_, type_, wire.data.decode())

    def bury(self, id_: str, by: str = GAVE_UP, **why: str) -> None:
        """Each underscore in a name stands for a hyphen."""
        attributes = {"ce-id": id_, "ce-type": "run.submit.v1"}
        attributes |= {name.replace("_", "-"): value for name, value in why.items()}
        self.delivered.append(Received(dead_letters_of(by), id_, CALM, attributes, b""))

    def first(self, type_: str) -> int:
        """The place among deliveries of the first of a type."""
        types = [received.attributes["ce-type"] for received in self.delivered]
        return types.index(type_)

    def id_of(self, type_: str) -> str:
        return self.delivered[self.first(type_)].attributes["ce-id"]

    def last_slot(self, stream: str) -> int:
        return max(slot for name, slot in self.records if name == stream)

    def end(self, run: str, status: str) -> None:
        """As the API and the view say."""
        self.tenant.ended[run] = status
        self.show(run, status)

    def show(self, run: str, status: str) -> None:
        view = "tenants.tenant_pipeline_runs"
        self.tables.change(f"UPDATE {view} SET status = ? WHERE run_id = ?", status, run)


async def collected(session: aiohttp.ClientSession, landing: Path) -> Evidence:
    """Two runs where two are allowed and three were asked for, and ten minutes of a schedule."""
    tenant = Tenant(TENANT, "key", daily=2, demand=3, refused=1)
    tenant.accepted = {COMPLETING: "ledger", FAILING: "failing"}
    tenant.ended = {COMPLETING: "COMPLETED", FAILING: "FAILED"}
    scheduled = Regular(SCHEDULED, "key", landing, lambda: CALM)
    scheduled.possible, scheduled.seen = {WHOLE, CORRECTED}, [WHOLE, CORRECTED, WHOLE]
    scheduled.since, scheduled.until = CALM, CALM + timedelta(minutes=10)
    scheduled.loads = ["COMPLETED"]
    work = Workload([], [tenant], 0, random.Random(1), session)
    found = Evidence(work, tenant, scheduled, await decided(), poisoned=[POISON])
    for record in found.records.values():
        for wire in (wire for entry in record.entries for wire in entry.emits):
            found.publish(wire)
    for run, status in tenant.ended.items():
        found.tables.add("tenants.tenant_pipeline_runs", run, status)
    found.tables.add("acme.effects", COMPLETING)
    for due in SURE:
        found.tables.add("regular_0.effects", run_at(due))
    found.bury(POISON, dead_reason="it makes no sense")
    return found


async def decided() -> dict[tuple[str, int], Record]:
    """What the tenant service and the scheduler write, by their own rules."""
    log = MemorySlotLog()
    accounts = Writer(log, TenantDecider(), service=Service.TENANT, clock=lambda: CALM)
    ledgers = Writer(log, LedgerDecider(Rules()), service=Service.SCHEDULER, clock=lambda: CALM)
    for change in (onboarding(TENANT), _provisioned()):
        await accounts.submit(TENANT, change, _envelope())
    for message in (_known(), _saved(), submit(1), submit(2), submit(3), *_ends()):
        await ledgers.submit(TENANT, message, _envelope())
    return {
        (stream, slot): record
        for stream in (ACCOUNT, LEDGER)
        for slot, record in await log.read(stream, 0)
    }


def run_at(due: datetime) -> str:
    return str(scheduled_run_id(TenantId(SCHEDULED), ConfigId(regular.SCHEDULED), due))


def _provisioned() -> Message:
    return FinishProvisioning(tenant_id=TENANT, requested_by="test", objects=())


def _known() -> Message:
    update = {
        "tenant_id": TENANT,
        "limits": LimitsPart(daily=2, monthly=20, concurrent=1),
        "datasets": (TENANT,),
        "created_at": CALM,
    }
    known: Message = example_part(TenantOnboardedV1).model_copy(update=update)
    return known


def _saved() -> Message:
    command = SaveConfigV1(tenant_id=TENANT, config_id=CONFIG, source="…", requested_by="test")
    return KeepConfig(command=command, definition=DEFINITION)


def _ends() -> list[Message]:
    return [
        AttemptFinishedV1(
            tenant_id=TENANT,
            run_id=run_id(number),
            attempt=1,
            status=status,
            started_at=CALM,
            finished_at=CALM,
        )
        for number, status in ((1, RunStatus.COMPLETED), (2, RunStatus.FAILED))
    ]


def _envelope() -> Envelope:
    return Envelope(str(uuid4()), "any", Kind.COMMAND, Service.GATEWAY.value, CALM)
