"""Messages of many runs, as every service would publish them, and what they must become."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from contracts.catalogue import entry_of, topic_of
from contracts.envelope import Envelope, Wire, seal
from contracts.identifiers import ConfigId, RunId, StepId, TenantId
from contracts.message import Message
from contracts.pipelines import DefinitionPart, StepPart
from contracts.runs import (
    AttemptFinishedV1,
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.steps import StepCompletedV1, StepStartedV1, StepStatus

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
DAY = date(2026, 3, 14)
CONFIG, STEP = ConfigId("daily"), StepId("load")
SQL = {"source_query": "SELECT cost FROM ${tenant_id}.bill", "target_table": "${tenant_id}.sums"}
STEPS = (StepPart(step_id=STEP, type="bq_etl.query", config={**SQL}),)
DEFINITION = DefinitionPart(pipeline_id=CONFIG, steps=STEPS)
STATUSES = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
Published = tuple[str, Wire]


@dataclass(slots=True)
class Load:
    """What was published so far, and what the views must say of it in the end."""

    chance: random.Random
    ids: set[str] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    steps: dict[str, str] = field(default_factory=dict)
    bytes_billed: int = 0

    def run(self) -> list[Published]:
        """The messages of one more run, by topic."""
        status = self.chance.choice(STATUSES)
        run_id = RunId(str(UUID(int=self.chance.getrandbits(128), version=4)))
        tenant = TenantId(f"load_{self.chance.randrange(7)}")
        self.runs[run_id] = status.value
        self.steps[run_id] = StepStatus(status.value).value
        return [self._sealed(message, n) for n, message in enumerate(self._said(tenant, run_id))]

    def _said(self, tenant: TenantId, run_id: RunId) -> Iterator[Message]:
        status, size = RunStatus(self.runs[run_id]), self.chance.randrange(1 << 30)
        self.bytes_billed += size
        run = {"tenant_id": tenant, "run_id": run_id, "config_id": CONFIG, "run_date": DAY}
        step = {"tenant_id": tenant, "run_id": run_id, "attempt": 1}
        kind = {"step_id": STEP, "step_type": "bq_etl.query"}
        yield SubmitRunV1.model_validate(run)
        queued = {"revision": 1, "position": 1, "reason": "full", "submitted_at": START}
        yield RunQueuedV1.model_validate({**run, **queued})
        admitted = {"attempt": 1, "revision": 1, "definition": DEFINITION, "submitted_at": START}
        bounds = {"datasets": (tenant,), "max_bytes_billed": 0, "lease_seconds": 60}
        yield RunRequestedV1.model_validate({**run, **admitted, **bounds})
        begun = {"config_id": CONFIG, "steps": (STEP,), "started_at": START}
        yield AttemptStartedV1.model_validate({**step, **begun})
        yield StepStartedV1.model_validate({**step, **kind, "started_at": START})
        end = {"status": status.value, "finished_at": START, "bytes": size, "job_ids": (run_id,)}
        yield StepCompletedV1.model_validate({**step, **kind, **end})
        ended = {"status": status, "started_at": START, "finished_at": START}
        yield AttemptFinishedV1.model_validate({**step, **ended})
        finish = {"revision": 1, "attempt": 1, "submitted_at": START}
        yield RunFinishedV1.model_validate({**run, **ended, **finish})

    def _sealed(self, message: Message, number: int) -> Published:
        source = entry_of(message.wire_type).producers[0]
        id_ = str(UUID(int=self.chance.getrandbits(128), version=4))
        self.ids.add(id_)
        envelope = Envelope(
            id=id_,
            type=message.wire_type,
            kind=message.kind,
            source=source.value,
            time=START + timedelta(milliseconds=number),
            tenant_id=message.scope or "",
            correlation_id=id_,
            sequence=number + 1,
        )
        return topic_of(source), seal(envelope, message)

    def shuffled(self, runs: int, *, doubled: float = 0.3) -> list[Published]:
        """Many runs' messages in no order, a part of them twice."""
        found = [one for _ in range(runs) for one in self.run()]
        found += self.chance.sample(found, int(len(found) * doubled))
        self.chance.shuffle(found)
        return found
