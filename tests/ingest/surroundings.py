"""What steps of ingestion run in: real emulators, a landing folder, a teller that listens."""

import atexit
import itertools
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from contracts.identifiers import ConfigId, CredentialId, RunId, StepId, TenantId
from contracts.message import Event
from contracts.pipelines import DefinitionPart, StepPart
from contracts.quality import QualityCheckedV1
from contracts.runs import RunRequestedV1
from libs.objects import Objects
from libs.outgoing.client import Outgoing, OutgoingRules
from libs.slotlog.bucket import Bucket, BucketSettings
from libs.testing.processes import EmulatorProcess, emulator
from libs.warehouse.schema import Dataset
from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from services.executor.steps.registry import step_types
from services.executor.steps.step import Credential, StepError, StepResult, StepRun, StepType
from services.executor.steps.tools import Tools

PROJECT = "convergence-local"
NOW = datetime(2026, 12, 3, 4, 5, 6, tzinfo=UTC)
NUMBERS = itertools.count(1)


@lru_cache
def emulators() -> dict[str, EmulatorProcess]:
    """One of each for all tests: starting them takes longer than most."""
    stack = ExitStack()
    atexit.register(stack.close)
    storage = stack.enter_context(emulator("storage"))
    host = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{storage.ports['http']}"}
    return {"storage": storage, "bigquery": stack.enter_context(emulator("bigquery", env=host))}


class Listener:
    """A teller that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.events: list[Event] = []

    def progress(
        self,
        *,
        rows: int = 0,  # noqa: ARG002  only notes are looked at
        bytes_: int = 0,  # noqa: ARG002
        fraction: float | None = None,  # noqa: ARG002
        note: str = "",
    ) -> None:
        if note:
            self.notes.append(note)

    def say(self, what: str, event: Event) -> None:  # noqa: ARG002  told once in tests
        self.events.append(event)

    @property
    def checks(self) -> dict[str, str]:
        """Name and status of every quality check that was told."""
        told = [e for e in self.events if isinstance(e, QualityCheckedV1)]
        return {check.name: check.status.value for event in told for check in event.checks}


class KnownCredentials:
    """Opens what a test gave it."""

    def __init__(self) -> None:
        self.known: dict[str, Credential] = {}

    async def open(self, tenant_id: TenantId, credential_id: CredentialId) -> Credential:  # noqa: ARG002
        try:
            return self.known[str(credential_id)]
        except KeyError:
            raise StepError("credential_not_found", f"no credential {credential_id}") from None


@dataclass(slots=True)
class Surroundings:
    """One tenant with a dataset of its own, and a landing folder."""

    tools: Tools
    landing: Path
    tenant: TenantId
    credentials: KnownCredentials
    heard: Listener = field(default_factory=Listener)

    async def run(
        self, type_: str, config: Mapping[str, Any], *, run: int = 0, **parameters: Any
    ) -> StepResult:
        """One step of a run of its own, or of the run with that number."""
        return await self.types[type_].run(self.given(type_, config, run=run, **parameters))

    @property
    def types(self) -> Mapping[str, StepType]:
        return step_types(self.tools)

    def given(
        self, type_: str, config: Mapping[str, Any], *, run: int = 0, **parameters: Any
    ) -> StepRun:
        step = StepPart(step_id=StepId(type_.replace(".", "_")), type=type_, config=dict(config))
        number = run or next(NUMBERS)
        request = RunRequestedV1(
            tenant_id=self.tenant,
            run_id=RunId(f"00000000-0000-4000-8000-{number:012d}"),
            attempt=1,
            config_id=ConfigId("test"),
            revision=1,
            definition=DefinitionPart(pipeline_id=ConfigId("test"), steps=(step,)),
            run_date=NOW.date(),
            parameters=parameters,
            datasets=(str(self.tenant),),
            max_bytes_billed=0,
            lease_seconds=60,
            submitted_at=NOW,
        )
        return StepRun(request, step, 1, self.heard)

    def deliver(self, name: str, content: bytes) -> None:
        path = self.landing / str(self.tenant) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        return await self.tools.warehouse.query(sql.replace("$", str(self.tenant)))

    async def close(self) -> None:
        await self.tools.outgoing.close()
        await self.tools.warehouse.close()
        self.tools.data.close()
        await self.tools.files.close()


def ports_of_emulators() -> dict[str, int]:
    running = emulators()
    return {**running["bigquery"].ports, "storage": running["storage"].ports["http"]}


async def surroundings(landing: Path) -> Surroundings:
    tenant = TenantId(f"tenant_{next(NUMBERS)}")
    return await surroundings_at(ports_of_emulators(), landing, tenant)


async def surroundings_at(
    ports: Mapping[str, int], landing: Path, tenant: TenantId
) -> Surroundings:
    """On emulators that are there already, for a tenant that may be."""
    storage = f"http://127.0.0.1:{ports['storage']}"
    warehouse = Warehouse.connect(
        WarehouseSettings(
            PROJECT,
            endpoint=f"http://127.0.0.1:{ports['rest']}",
            storage_endpoint=f"127.0.0.1:{ports['grpc']}",
        )
    )
    data = Objects(BucketSettings(PROJECT, "test-data", storage, at_once=8))
    await data.ensure()
    await warehouse.ensure(Dataset(str(tenant)))
    credentials = KnownCredentials()
    tools = Tools(
        warehouse=warehouse,
        files=Bucket(BucketSettings(PROJECT, "test-data", storage, at_once=2)),
        data=data,
        credentials=credentials,
        outgoing=Outgoing(OutgoingRules.of(development=True)),
        clock=lambda: NOW,
        development=True,
        landing_folder=landing,
    )
    return Surroundings(tools, landing, tenant, credentials)
