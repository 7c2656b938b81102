"""What services would say, in the order in which it happens: runs of tenants, and changes."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.credentials import (
    CredentialAction,
    CredentialDeletedV1,
    CredentialStoredV1,
    Provider,
)
from contracts.keys import KeyIssuedV1, KeyRevokedV1, KeyRotatedV1
from contracts.message import Message
from contracts.pipelines import ConfigDeletedV1, ConfigSavedV1, DefinitionPart
from contracts.quality import QualityCheckedV1
from contracts.runs import (
    AttemptFinishedV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
)
from contracts.schedules import ScheduleDeletedV1, SchedulesAdvancedV1, ScheduleSavedV1
from contracts.steps import StepCompletedV1, StepStartedV1, StepStatus
from contracts.tenants import (
    PlanChangedV1,
    TenantOffboardedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
TENANTS = tuple(f"load_{number}" for number in range(7))
PIPELINES = ("daily", "hourly", "monthly")
SQL = {"source_query": "SELECT cost FROM ${tenant_id}.bill", "target_table": "${tenant_id}.sums"}
STEPS = ("load", "sum")
TYPE = "bq_etl.query"
ENDS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)
ERROR = {"code": "quota_exceeded", "detail": "too much", "step_id": "load"}


def definition(name: str = "") -> DefinitionPart:
    steps = [{"step_id": id_, "type": TYPE, "config": SQL} for id_ in STEPS]
    return DefinitionPart.model_validate({"pipeline_id": "daily", "name": name, "steps": steps})


@dataclass(slots=True)
class Stories:
    """Repeatable for a seed. Time goes on by a second with each thing said."""

    chance: random.Random
    now: datetime = START
    known: dict[str, list[str]] = field(default_factory=dict)
    """Of each tenant: the keys it was given."""
    paid: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Of each tenant: completed steps, which a run that repeats another keeps."""

    def uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def run(self) -> Iterator[Message]:
        """All that is said of one run, of any length."""
        tenant = self.chance.choice(TENANTS)
        self.now += timedelta(minutes=self.chance.choice([1, 20, 900]))
        trigger = {"type": self.chance.choice(["api", "schedule"]), "by": "load"}
        run: dict[str, Any] = {
            "tenant_id": tenant,
            "run_id": self.uuid(),
            "config_id": self.chance.choice(PIPELINES),
            "run_date": self.now.date(),
            "trigger": trigger,
        }
        yield SubmitRunV1.model_validate({**run, "priority": self.chance.randrange(3)})
        run["submitted_at"] = self.now
        if self.chance.random() < 0.1:
            refused = {"code": "quota_exceeded", "limit": "daily", "reason": "too many"}
            yield RunRejectedV1.model_validate({**run, **refused})
            return
        run["revision"] = self.chance.randrange(1, 9)
        if self.chance.random() < 0.4:
            place = {"position": self.chance.randrange(1, 9), "reason": "full"}
            yield RunQueuedV1.model_validate({**run, **place})
        yield from self._admitted(run)

    def _admitted(self, run: dict[str, Any]) -> Iterator[Message]:
        status, last = self.chance.choice(ENDS), self.chance.choice([1, 1, 2, 3])
        bounds = {"datasets": (run["tenant_id"],), "max_bytes_billed": 0, "lease_seconds": 60}
        jobs: dict[str, dict[str, int]] = {step: {} for step in STEPS}
        began = self.now
        for attempt in range(1, last + 1):
            asked = {**run, "attempt": attempt, "definition": definition(), **bounds}
            yield RunRequestedV1.model_validate(asked)
            yield from self._attempt(run, attempt, jobs, status if attempt == last else None)
        refunded = status is RunStatus.FAILED and self.chance.random() < 0.3
        end = {"status": status, "started_at": began, "finished_at": self.now, "attempt": last}
        error = ERROR if status is RunStatus.FAILED else None
        yield RunFinishedV1.model_validate({**run, **end, "refunded": refunded, "error": error})

    def _attempt(
        self,
        run: dict[str, Any],
        attempt: int,
        jobs: dict[str, dict[str, int]],
        status: RunStatus | None,
    ) -> Iterator[Message]:
        """Of what ends well or not; None for an attempt that is given up."""
        about = {"tenant_id": run["tenant_id"], "run_id": run["run_id"], "attempt": attempt}
        begun = {"config_id": run["config_id"], "steps": STEPS, "started_at": self.now}
        yield AttemptStartedV1.model_validate({**about, **begun})
        for step in STEPS:
            yield from self._step({**about, "step_id": step}, jobs[step], status)
        if status is not None:
            end = {"status": status, "started_at": START, "finished_at": self.now}
            yield AttemptFinishedV1.model_validate({**about, **end})
        elif self.chance.random() < 0.5:
            yield AttemptReturnedV1.model_validate(about)

    def _step(
        self, about: dict[str, Any], jobs: dict[str, int], status: RunStatus | None
    ) -> Iterator[Message]:
        """A later attempt knows the jobs of those before, and pays for its own."""
        kind = {"step_type": TYPE, "started_at": self.now}
        yield StepStartedV1.model_validate({**about, **kind})
        if status is None and self.chance.random() < 0.5:
            return  # whoever did it was killed
        kept = self.paid.get(about["tenant_id"], [])
        repeats = status is RunStatus.COMPLETED and not jobs and self.chance.random() < 0.2
        old = [one for one in kept if one["step_id"] == about["step_id"]]
        if repeats and old:
            paid = self.chance.choice(old)
        else:
            jobs[self.uuid()] = self.chance.randrange(1 << 30)
            paid = {"bytes": sum(jobs.values()), "job_ids": tuple(jobs), "slot_ms": len(jobs)}
        paid = {name: paid[name] for name in ("bytes", "job_ids", "slot_ms")}
        ended = StepStatus((status or RunStatus.FAILED).value)
        end = {"status": ended, "finished_at": self.now, "rows": 7, "duration_ms": 50, **paid}
        error = ERROR if ended is StepStatus.FAILED else None
        yield StepCompletedV1.model_validate({**about, **kind, **end, "error": error})
        if ended is StepStatus.COMPLETED:
            kept.append({"step_id": about["step_id"], **paid})
            self.paid[about["tenant_id"]] = kept
        if self.chance.random() < 0.3:
            yield self._checked(about)

    def _checked(self, about: dict[str, Any]) -> Message:
        status = self.chance.choice(["PASSED", "FAILED", "ERROR"])
        check = {"kind": "unique", "severity": "warn", "status": status, "failing_rows": 3}
        checks = [{**check, "name": name, "samples": [{"id": 1}]} for name in ("a", "b")]
        found = {"table": "sums", "checked_at": self.now, "checks": checks}
        return QualityCheckedV1.model_validate({**about, **found})

    def onboarding(self) -> Iterator[Message]:
        for tenant in TENANTS:
            about = {"tenant_id": tenant, "company_name": tenant.upper(), "plan": "STARTER"}
            who = {"admin_email": f"a@{tenant}.example", "requested_by": "admin"}
            more = {"datasets": (tenant,), "created_at": self.now, "limits": self._limits()}
            yield TenantOnboardedV1.model_validate({**about, **who, **more})

    def _limits(self) -> dict[str, int]:
        return {n: self.chance.randrange(1, 99) for n in ("daily", "monthly", "concurrent")}

    def change(self) -> Iterator[Message]:
        """One thing that a tenant or an operator changes."""
        about = {"tenant_id": self.chance.choice(TENANTS), "requested_by": "admin"}
        kind = self.chance.choice(
            [self._of_tenant, self._of_keys, self._of_configs, self._of_credentials]
        )
        yield from kind(about)

    def _of_tenant(self, about: dict[str, Any]) -> Iterator[Message]:
        match self.chance.randrange(8):
            case 0:
                yield TenantOffboardedV1.model_validate(about)
            case 1 | 2:
                yield TenantSuspendedV1.model_validate({**about, "reason": "unpaid"})
            case 3 | 4:
                yield TenantResumedV1.model_validate(about)
            case _:
                plan = {"plan": self.chance.choice(["SCALE", "STARTER"]), "limits": self._limits()}
                yield PlanChangedV1.model_validate({**about, **plan})

    def _of_keys(self, about: dict[str, Any]) -> Iterator[Message]:
        mine = self.known.setdefault(about["tenant_id"], [])
        fresh = f"{self.chance.getrandbits(256):064x}"
        key = {"key_hash": fresh, "last_four": fresh[:4], "scopes": ["runs:read"]}
        made = {**about, "key": key, "created_at": self.now}
        if mine and self.chance.random() < 0.5:
            old = self.chance.choice(mine)
            if self.chance.random() < 0.5:
                revoked = {**about, "key_hash": old, "revoked_at": self.now}
                yield KeyRevokedV1.model_validate(revoked)
                return
            ends = {"old_key_hash": old, "overlap_until": self.now + timedelta(days=1)}
            yield KeyRotatedV1.model_validate({**made, **ends})
        else:
            yield KeyIssuedV1.model_validate(made)
        mine.append(fresh)

    def _of_configs(self, about: dict[str, Any]) -> Iterator[Message]:
        config = {"config_id": self.chance.choice(PIPELINES)}
        match self.chance.randrange(8):
            case 6 | 7:
                yield self._advanced(about["tenant_id"])
            case 0:
                yield ConfigDeletedV1.model_validate({**about, **config, "revision": 1})
            case 1:
                yield ScheduleDeletedV1.model_validate({**about, **config})
            case 2 | 3:
                when = {"cron": f"{self.chance.randrange(60)} 3 * * *", "time_zone": "UTC"}
                times = (self.now + timedelta(days=1),)
                schedule = {"schedule": {**config, **when}, "next_times": times}
                yield ScheduleSavedV1.model_validate({**about, **schedule})
            case _:
                name = f"Bill {self.chance.randrange(99)}"
                saved = {"revision": self.chance.randrange(99), "source": f"name: {name}"}
                whole = {**about, **config, **saved, "definition": definition(name)}
                yield ConfigSavedV1.model_validate(whole)

    def _advanced(self, tenant: str) -> Message:
        moved = [
            {
                "config_id": name,
                "last_due_at": self.now,
                "next_due_at": self.now + timedelta(days=n),
            }
            for n, name in enumerate(self.chance.sample(PIPELINES, 2), start=1)
        ]
        return SchedulesAdvancedV1.model_validate({"tenant_id": tenant, "schedules": moved})

    def _of_credentials(self, about: dict[str, Any]) -> Iterator[Message]:
        about = {**about, "credential_id": self.chance.choice(["aws", "gcp"])}
        if self.chance.random() < 0.4:
            yield CredentialDeletedV1.model_validate(about)
            return
        action = {"provider": self.chance.choice(list(Provider))}
        stored = {**action, "action": CredentialAction.UPDATED}
        yield CredentialStoredV1.model_validate({**about, **stored})
