"""What tenants, their admins and operators ask for while a history goes on."""

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from contracts.backfills import BackfillAction, BackfillOnly, ChangeBackfillV1, StartBackfillV1
from contracts.identifiers import BackfillId, ConfigId, RunId, TenantId
from contracts.message import Message
from contracts.pipelines import DeleteConfigV1, SaveConfigV1
from contracts.runs import CancelRunV1, RetryRunV1, RunFinishedV1, RunRequestedV1, SubmitRunV1
from contracts.schedules import DeleteScheduleV1, MisfirePolicy, SaveScheduleV1, SchedulePart
from contracts.tenants import (
    LimitsPart,
    PlanChangedV1,
    TenantOnboardedV1,
    TenantResumedV1,
    TenantSuspendedV1,
)
from tests.pipelines import ONE_STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scheduler.executors import Executors
    from tests.scheduler.simulation import Plan

CONFIG, OTHER = ConfigId("ones"), ConfigId("twos")
ZONE = "Europe/Berlin"
Run = tuple[TenantId, RunId]


class Load:
    """Remembers what it asked for, so that it can ask for more of it."""

    def __init__(
        self,
        chance: random.Random,
        plan: "Plan",
        tenants: list[TenantId],
        executors: "Executors",
    ) -> None:
        self.submitted: list[SubmitRunV1] = []
        self.retried: list[RetryRunV1] = []
        self.backfills: list[StartBackfillV1] = []
        self._chance = chance
        self._plan = plan
        self._tenants = tenants
        self._executors = executors
        self._odds: dict[Callable[[datetime], Message | None], float] = {
            self._submit_again: 0.1,
            self._cancel: 0.2,
            self._retry: 0.35,
            self._backfill: 0.3,
            self._change_backfill: 0.3,
            self._suspend_or_resume: 0.2,
            self._change_plan: 0.2,
            self._save_config: 0.15,
            self._delete_config: 0.07,
            self._schedule: 0.1,
        }

    def begin(self, tenant: TenantId, now: datetime) -> list[Message]:
        onboarded = TenantOnboardedV1(
            tenant_id=tenant,
            company_name="Acme",
            admin_email="a@b.c",
            plan="STARTER",
            limits=self._plan.limits,
            datasets=(tenant,),
            created_at=now,
            requested_by="test",
        )
        saved = [_save(tenant, name) for name in (CONFIG, OTHER)]
        schedules = [self._schedule_of(tenant, CONFIG)] if self._plan.scheduled else []
        return [onboarded, *saved, *schedules]

    def step(self, now: datetime) -> list[Message]:
        """Some runs asked for at once, and more that may be asked."""
        asked: list[Message] = [self._submit(now) for _ in range(self._chance.randint(1, 3))]
        for ask, odds in self._odds.items():
            if self._chance.random() < odds and (message := ask(now)) is not None:
                asked.append(message)
        return asked

    def calm(self, tenant: TenantId) -> list[Message]:
        """All is as it was, no schedule brings more, and what was paused goes on."""
        by: dict[str, Any] = {"tenant_id": tenant, "requested_by": "test"}
        return [
            PlanChangedV1(**by, plan="STARTER", limits=self._plan.limits),
            TenantResumedV1(**by),
            *(DeleteScheduleV1(**by, config_id=name) for name in (CONFIG, OTHER)),
            *(
                ChangeBackfillV1(**by, backfill_id=one.backfill_id, action=BackfillAction.RESUME)
                for one in self.backfills
                if one.tenant_id == tenant
            ),
        ]

    def _submit(self, now: datetime) -> SubmitRunV1:
        command = SubmitRunV1(
            tenant_id=self._tenant(),
            run_id=RunId(self._id()),
            config_id=self._config(),
            run_date=now.date(),
            priority=self._chance.randint(-2, 2),
        )
        self.submitted.append(command)
        return command

    def _submit_again(self, _: datetime) -> Message | None:
        """The sender has lost the reply, and asks again in another message."""
        return self._chance.choice(self.submitted)

    def _cancel(self, _: datetime) -> Message | None:
        runs = (self.submitted, self.retried, self._executors.known)
        one = self._chance.choice([_run_of(one) for some in runs for one in some])
        return CancelRunV1(tenant_id=one[0], run_id=one[1], requested_by="test")

    def _retry(self, _: datetime) -> Message | None:
        ended = self._chance.random() < 0.8
        runs = [_run_of(one) for one in (self._executors.ended if ended else self.submitted)]
        if not runs:
            return None
        tenant, run = self._chance.choice(runs)
        command = RetryRunV1(
            tenant_id=tenant,
            run_id=RunId(self._id()),
            retry_of=run,
            start_from=self._chance.choice(["failed", "start", "make"]),
        )
        self.retried.append(command)
        return command

    def _backfill(self, now: datetime) -> Message | None:
        first = now.date() - timedelta(days=self._chance.randint(0, 5))
        command = StartBackfillV1(
            tenant_id=self._tenant(),
            backfill_id=BackfillId(self._id()),
            config_id=self._config(),
            from_date=first,
            to_date=first + timedelta(days=self._chance.randint(0, 4)),
            only=self._chance.choice([*BackfillOnly]),
            max_active=self._chance.randint(1, 3),
            dry_run=self._chance.random() < 0.1,
            requested_by="test",
        )
        self.backfills.append(command)
        return command

    def _change_backfill(self, _: datetime) -> Message | None:
        if not self.backfills:
            return None
        one = self._chance.choice(self.backfills)
        return ChangeBackfillV1(
            tenant_id=one.tenant_id,
            backfill_id=one.backfill_id,
            action=self._chance.choice(
                [BackfillAction.PAUSE, BackfillAction.RESUME, *BackfillAction]
            ),
            requested_by="test",
        )

    def _suspend_or_resume(self, _: datetime) -> Message | None:
        by: dict[str, Any] = {"tenant_id": self._tenant(), "requested_by": "admin"}
        if self._chance.random() < 0.4:
            return TenantSuspendedV1(**by, reason="unpaid")
        return TenantResumedV1(**by)

    def _change_plan(self, _: datetime) -> Message | None:
        """Another plan, or an admin's override: the scheduler is told the numbers."""
        known = self._plan.limits
        limits = LimitsPart(
            daily=max(0, known.daily + self._chance.randint(-3, 3)),
            monthly=max(0, known.monthly + self._chance.randint(-3, 3)),
            concurrent=self._chance.randint(0, known.concurrent + 2),
        )
        return PlanChangedV1(
            tenant_id=self._tenant(), plan="OTHER", limits=limits, requested_by="admin"
        )

    def _save_config(self, _: datetime) -> Message | None:
        return _save(self._tenant(), self._config())

    def _delete_config(self, _: datetime) -> Message | None:
        name = self._config()
        return DeleteConfigV1(tenant_id=self._tenant(), config_id=name, requested_by="test")

    def _schedule(self, _: datetime) -> Message | None:
        tenant, name = self._tenant(), self._config()
        if self._chance.random() < 0.3:
            return DeleteScheduleV1(tenant_id=tenant, config_id=name, requested_by="test")
        return self._schedule_of(tenant, name)

    def _schedule_of(self, tenant: TenantId, name: ConfigId) -> SaveScheduleV1:
        schedule = SchedulePart(
            config_id=name,
            cron=self._chance.choice(self._plan.crons),
            time_zone=ZONE,
            misfire=self._chance.choice([*MisfirePolicy]),
            jitter_seconds=self._chance.choice([0, 0, 120]),
            enabled=self._chance.random() < 0.9,
        )
        return SaveScheduleV1(tenant_id=tenant, schedule=schedule, requested_by="test")

    def _tenant(self) -> TenantId:
        return self._chance.choice(self._tenants)

    def _config(self) -> ConfigId:
        return self._chance.choice([CONFIG, CONFIG, CONFIG, OTHER])

    def _id(self) -> str:
        return str(UUID(int=self._chance.getrandbits(128), version=4))


def _save(tenant: TenantId, name: ConfigId) -> SaveConfigV1:
    return SaveConfigV1(tenant_id=tenant, config_id=name, source=ONE_STEP, requested_by="test")


def _run_of(message: "SubmitRunV1 | RetryRunV1 | RunRequestedV1 | RunFinishedV1") -> Run:
    return message.tenant_id, message.run_id
