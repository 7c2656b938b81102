"""The ledger beside a model that is too simple to be wrong: both say the same, always."""

from datetime import date, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.backfills import (
    BackfillAction,
    BackfillOnly,
    BackfillStatus,
    ChangeBackfillV1,
    StartBackfillV1,
)
from contracts.identifiers import BackfillId, RunId
from contracts.pipelines import DeleteConfigV1, SaveConfigV1
from contracts.runs import (
    PLATFORM_FAULTS,
    AttemptFinishedV1,
    AttemptHeartbeatV1,
    AttemptReturnedV1,
    AttemptStartedV1,
    CancelRunV1,
    ErrorPart,
    RetryRunV1,
    RunStatus,
)
from contracts.schedules import DeleteScheduleV1, MisfirePolicy, SaveScheduleV1, SchedulePart
from contracts.tenants import LimitsPart, PlanChangedV1, TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain.deciding import KeepConfig, RetryWith
from services.scheduler.domain.queue import waiting
from tests.scheduler.model import SAVED, Model
from tests.scheduler.platforms import (
    CONFIG,
    DEFINITION,
    RULES,
    TENANT,
    Platform,
    kinds,
    run_id,
    submit,
)
from tests.scheduler.timetable import MATCHES, Timetable

BY: dict[str, Any] = {"tenant_id": TENANT, "requested_by": "test"}
STATUS = {
    BackfillAction.PAUSE: BackfillStatus.PAUSED,
    BackfillAction.RESUME: BackfillStatus.ACTIVE,
    BackfillAction.CANCEL: BackfillStatus.CANCELLED,
}
SECOND = timedelta(seconds=1)
RUNS, OFF = st.integers(0, 30), st.sampled_from([0, 0, 0, -1, 1])


def backfill_id(number: int) -> BackfillId:
    return BackfillId(f"00000000-0000-4000-9000-{number:012d}")


class LedgerMachine(RuleBasedStateMachine):
    """Any order of commands, reports, losses, plans and time."""

    @initialize()
    def begin(self) -> None:
        self.platform = Platform(daily=8, monthly=12, concurrent=2)
        self.model = Model(8, 12, 2)
        self.submitted = 0
        self.backfills = 0

    @rule(again=st.booleans(), priority=st.integers(-2, 2))
    def submit_one(self, *, again: bool, priority: int) -> None:
        number = self.number(again=again)
        said = kinds(self.platform.tell(submit(number, priority)))
        assert said == self.model.submit(run_id(number), priority)

    @rule(again=st.booleans(), of=RUNS)
    def retry(self, *, again: bool, of: int) -> None:
        number = self.number(again=again)
        command = RetryRunV1(tenant_id=TENANT, run_id=run_id(number), retry_of=self.name(of))
        said = kinds(self.platform.tell(RetryWith(command=command, definition=DEFINITION)))
        assert said == self.model.retry(run_id(number), self.name(of))

    @rule(which=RUNS, off=OFF, code=st.sampled_from(["", "invalid", *PLATFORM_FAULTS]))
    def report(self, which: int, off: int, code: str) -> None:
        attempt = self.attempt(which, off)
        event = AttemptFinishedV1(
            tenant_id=TENANT,
            run_id=self.name(which),
            attempt=attempt,
            status=RunStatus.FAILED if code else RunStatus.COMPLETED,
            started_at=self.platform.now,
            finished_at=self.platform.now,
            error=ErrorPart(code=code, detail="it failed") if code else None,
        )
        said = kinds(self.platform.tell(event))
        refund = code in PLATFORM_FAULTS
        assert said == self.model.finish(self.name(which), attempt, refund=refund)

    @rule(which=RUNS, off=OFF)
    def begin_attempt(self, which: int, off: int) -> None:
        attempt = self.attempt(which, off)
        started = AttemptStartedV1(
            tenant_id=TENANT,
            run_id=self.name(which),
            config_id=CONFIG,
            attempt=attempt,
            steps=("make",),
            started_at=self.platform.now,
        )
        said = kinds(self.platform.tell(started))
        assert said == self.model.begin(self.name(which), attempt)

    @rule(which=RUNS, off=OFF)
    def stay_alive(self, which: int, off: int) -> None:
        attempt = self.attempt(which, off)
        alive = AttemptHeartbeatV1(tenant_id=TENANT, run_id=self.name(which), attempt=attempt)
        said = kinds(self.platform.tell(alive))
        assert said == self.model.begin(self.name(which), attempt)

    @rule(which=RUNS, off=OFF)
    def give_back(self, which: int, off: int) -> None:
        attempt = self.attempt(which, off)
        returned = AttemptReturnedV1(tenant_id=TENANT, run_id=self.name(which), attempt=attempt)
        said = kinds(self.platform.tell(returned))
        assert said == self.model.give_back(self.name(which), attempt)

    @rule(which=RUNS)
    def cancel(self, which: int) -> None:
        said = kinds(self.platform.tell(CancelRunV1(**BY, run_id=self.name(which))))
        assert said == self.model.cancel(self.name(which))

    @rule(days=st.integers(1, 4), most=st.integers(1, 3))
    def start_backfill(self, days: int, most: int) -> None:
        name, first = backfill_id(self.backfills), date(2026, 1, 1)
        self.backfills += 1
        last = first + timedelta(days=days - 1)
        command = StartBackfillV1(
            **BY,
            backfill_id=name,
            config_id=CONFIG,
            from_date=first,
            to_date=last,
            only=BackfillOnly.ALL,
            max_active=most,
        )
        said = kinds(self.platform.tell(command))
        all_days = [first + timedelta(days=offset) for offset in range(days)]
        assert said == self.model.begin_backfill(name, all_days, most)

    @rule(which=st.integers(0, 3), action=st.sampled_from([*BackfillAction]))
    def change_backfill(self, which: int, action: BackfillAction) -> None:
        command = ChangeBackfillV1(**BY, backfill_id=backfill_id(which), action=action)
        said = kinds(self.platform.tell(command))
        assert said == self.model.change_backfill(backfill_id(which), STATUS[action])

    @rule(really=st.sampled_from([True, False, False, False]))
    def delete_config(self, *, really: bool) -> None:
        if not really:
            return
        said = kinds(self.platform.tell(DeleteConfigV1(**BY, config_id=CONFIG)))
        assert sorted(said) == sorted(self.model.delete())

    @rule(
        cron=st.sampled_from([*MATCHES]),
        misfire=st.sampled_from([*MisfirePolicy]),
        limit=st.integers(1, 3),
        enabled=st.sampled_from([True, True, True, False]),
    )
    def save_schedule(
        self, cron: str, misfire: MisfirePolicy, limit: int, *, enabled: bool
    ) -> None:
        schedule = SchedulePart(
            config_id=CONFIG, cron=cron, misfire=misfire, misfire_limit=limit, enabled=enabled
        )
        said = kinds(self.platform.tell(SaveScheduleV1(**BY, schedule=schedule)))
        table = Timetable(cron, misfire, limit)
        assert sorted(said) == sorted(self.model.plan(table, enabled=enabled))

    @rule(really=st.booleans())
    def delete_schedule(self, *, really: bool) -> None:
        if not really:
            return
        said = kinds(self.platform.tell(DeleteScheduleV1(**BY, config_id=CONFIG)))
        assert said == self.model.unplan()

    @rule()
    def save_config(self) -> None:
        command = SaveConfigV1(**BY, config_id=CONFIG, source="…")
        said = kinds(self.platform.tell(KeepConfig(command=command, definition=DEFINITION)))
        self.model.saved = True
        assert said == [SAVED]

    @rule(seconds=st.sampled_from([1, 30, 61, 600, -600, 3600, 86_400, 3 * 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)
        said = kinds(self.platform.pass_time(seconds=seconds))
        assert sorted(said) == sorted(self.model.look())

    @rule(late=st.sampled_from([0, 60, 300, 301, 7200]))
    def wait_for_the_schedule(self, late: int) -> None:
        due = self.model.table.due if self.model.table is not None else None
        wait = 0.0 if due is None else (due - self.model.now).total_seconds()
        self.pass_time(late + max(0, int(wait)))

    @rule(concurrent=st.integers(0, 4), daily=st.integers(5, 10))
    def change_plan(self, concurrent: int, daily: int) -> None:
        limits = LimitsPart(daily=daily, monthly=12, concurrent=concurrent)
        self.model.daily, self.model.concurrent = daily, concurrent
        said = kinds(self.platform.tell(PlanChangedV1(**BY, plan="X", limits=limits)))
        assert said == self.model.settle()

    @rule(suspended=st.sampled_from([True, False, False]))
    def suspend_or_resume(self, *, suspended: bool) -> None:
        self.model.suspended = suspended
        if suspended:
            assert self.platform.tell(TenantSuspendedV1(**BY, reason="unpaid")) == []
            return
        said = kinds(self.platform.tell(TenantResumedV1(**BY)))
        assert sorted(said) == sorted(self.model.look())

    @invariant()
    def both_know_the_same(self) -> None:
        if not hasattr(self, "platform"):
            return
        ledger, model = self.platform.ledger, self.model
        going = {one.request.run_id: (one.request.attempt, one.until) for one in ledger.running}
        assert going == {run.name: (run.attempt, run.until) for run in model.going}
        line = [lease.request.run_id for lease in waiting(ledger, RULES)]
        assert line == [run.name for run in model.order()]
        assert set(ledger.ended) == set(model.over)
        kept = {k: n for k, n in model.charged.items() if k in (model.latest, model.latest[:7])}
        assert ledger.charged == kept
        backfills = {
            str(name): (one.about.status, set(one.active)) for name, one in ledger.backfills.items()
        }
        assert backfills == {name: (one.status, one.active) for name, one in model.fills.items()}
        planned = ledger.schedules.get(CONFIG)
        assert (planned is None) == (model.table is None)
        if planned is not None and model.table is not None:
            assert (planned.due_at, planned.last_due_at) == (model.table.due, model.table.last)

    @invariant()
    def somebody_will_look_in_time(self) -> None:
        if not hasattr(self, "platform"):
            return
        ledger = self.platform.ledger
        for lease in ledger.running:
            assert ledger.reminder is not None
            assert ledger.reminder <= lease.until + SECOND
        if ledger.first_due_at is not None and not ledger.suspended:
            assert ledger.reminder is not None
            assert ledger.reminder <= max(self.platform.now, ledger.first_due_at) + SECOND

    def number(self, *, again: bool) -> int:
        """Of the next run, or of the last one once more."""
        number = max(0, self.submitted - 1) if again else self.submitted
        self.submitted = max(self.submitted, number + 1)
        return number

    def name(self, which: int) -> RunId:
        """Of a run that there is or has been, a backfill's too; or else of one to come."""
        runs = [*self.model.going, *self.model.line]
        names = [*(run.name for run in runs), *self.model.over, run_id(self.submitted)]
        return RunId(names[which % len(names)])

    def attempt(self, which: int, off: int) -> int:
        """The attempt that goes on, or one before or after it."""
        run = self.model.find(self.name(which))
        return max(1, off + (run.attempt if run is not None else 1))


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
