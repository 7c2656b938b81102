"""The ledger beside a model that is too simple to be wrong: both say the same, always."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.runs import AttemptHeartbeatV1, CancelRunV1
from contracts.tenants import LimitsPart, PlanChangedV1, TenantResumedV1, TenantSuspendedV1
from services.scheduler.domain.queue import waiting
from tests.scheduler.platforms import RULES, START, TENANT, Platform, kinds, run_id, submit

REQUESTED, QUEUED, REJECTED = "run.requested.v1", "run.queued.v1", "run.rejected.v1"
REACHED = "quota.reached.v1"
FINISHED, REFUSED, ASKED = "run.finished.v1", "command.refused.v1", "run.cancel_requested.v1"


@dataclass
class Run:
    number: int
    priority: int
    asked_at: datetime
    day: str
    attempt: int = 0
    until: datetime = START
    cancelling: bool = False


@dataclass
class Model:
    """What the product promises, in the plainest words."""

    daily: int
    monthly: int
    concurrent: int
    now: datetime = START
    latest: str = ""
    suspended: bool = False
    charged: dict[str, int] = field(default_factory=dict)
    going: list[Run] = field(default_factory=list)
    line: list[Run] = field(default_factory=list)
    over: set[int] = field(default_factory=set)

    def day(self) -> str:
        return max(self.latest, self.now.date().isoformat())

    def find(self, number: int) -> Run | None:
        return next((r for r in self.going + self.line if r.number == number), None)

    def submit(self, number: int, priority: int) -> list[str]:
        if self.find(number) or number in self.over:
            return [REFUSED]
        day = self.day()
        full = (
            self.charged.get(day, 0) >= self.daily or self.charged.get(day[:7], 0) >= self.monthly
        )
        waits = len(self.going) >= self.concurrent or bool(self.line)
        if self.suspended or full or (waits and len(self.line) >= RULES.queue_limit):
            return [REJECTED]
        self.latest = day
        for key in (day, day[:7]):
            self.charged[key] = self.charged.get(key, 0) + 1
        run = Run(number, priority, self.now, day)
        told = [REACHED for key, need in self.worth_telling(day) if self.charged[key] == need]
        if waits:
            self.line.append(run)
            return [QUEUED, *told]
        self.start(run)
        return [REQUESTED, *told]

    def worth_telling(self, day: str) -> list[tuple[str, int]]:
        """How many runs are 80 and 100 % of each limit, rounded up."""
        return [
            (key, -(-most * percent // 100))
            for key, most in ((day, self.daily), (day[:7], self.monthly))
            for percent in (80, 100)
        ]

    def start(self, run: Run) -> None:
        run.attempt += 1
        run.until = self.now + timedelta(seconds=RULES.lease_seconds)
        if run not in self.going:
            self.going.append(run)

    def order(self) -> list[Run]:
        return sorted(self.line, key=lambda r: r.asked_at - timedelta(minutes=r.priority))

    def fill(self) -> list[str]:
        said = []
        while not self.suspended and self.line and len(self.going) < self.concurrent:
            run = self.order()[0]
            self.line.remove(run)
            self.start(run)
            said.append(REQUESTED)
        return said

    def end(self, run: Run, *, refund: bool = False) -> list[str]:
        (self.going if run in self.going else self.line).remove(run)
        self.over.add(run.number)
        if refund:
            for key in (run.day, run.day[:7]):
                if key in (self.latest, self.latest[:7]):
                    self.charged[key] -= 1
        return [FINISHED]

    def finish(self, number: int, attempt: int) -> list[str]:
        run = self.find(number)
        if run is None or run in self.line or run.attempt != attempt:
            return []
        return self.end(run) + self.fill()

    def cancel(self, number: int) -> list[str]:
        run = self.find(number)
        if run is None:
            return [REFUSED]
        if run in self.line:
            return self.end(run) + self.fill()
        run.cancelling = True
        return [ASKED]

    def look(self) -> list[str]:
        said = []
        for run in [r for r in self.going if r.until <= self.now]:
            if run.cancelling:
                said += self.end(run)
            elif run.attempt >= RULES.max_attempts:
                said += self.end(run, refund=True)
            else:
                self.start(run)
                said.append(REQUESTED)
        return said + self.fill()


class LedgerMachine(RuleBasedStateMachine):
    """Any order of commands, reports, losses, plans and time."""

    @initialize()
    def begin(self) -> None:
        self.platform = Platform(daily=8, monthly=12, concurrent=2)
        self.model = Model(8, 12, 2)
        self.submitted = 0

    @rule(again=st.booleans(), priority=st.integers(-2, 2))
    def submit_one(self, *, again: bool, priority: int) -> None:
        number = max(0, self.submitted - 1) if again else self.submitted
        self.submitted = max(self.submitted, number + 1)
        said = kinds(self.platform.tell(submit(number, priority)))
        assert said == self.model.submit(number, priority)

    @rule(which=st.integers(0, 20), attempt=st.integers(1, 4), good=st.booleans())
    def report(self, *, which: int, attempt: int, good: bool) -> None:
        said = kinds(self.platform.finish(which, attempt, "COMPLETED" if good else "FAILED"))
        assert said == self.model.finish(which, attempt)

    @rule(which=st.integers(0, 20), attempt=st.integers(1, 3))
    def stay_alive(self, which: int, attempt: int) -> None:
        alive = AttemptHeartbeatV1(tenant_id=TENANT, run_id=run_id(which), attempt=attempt)
        assert self.platform.tell(alive) == []
        run = self.model.find(which)
        if run in self.model.going and run is not None and run.attempt == attempt:
            run.until = self.model.now + timedelta(seconds=RULES.lease_seconds)

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        command = CancelRunV1(tenant_id=TENANT, run_id=run_id(which), requested_by="test")
        assert kinds(self.platform.tell(command)) == self.model.cancel(which)

    @rule(seconds=st.sampled_from([1, 30, 61, 600, -600, 3600, 86_400, 3 * 86_400]))
    def pass_time(self, seconds: int) -> None:
        self.model.now += timedelta(seconds=seconds)
        said = kinds(self.platform.pass_time(seconds=seconds))
        assert sorted(said) == sorted(self.model.look())

    @rule(concurrent=st.integers(0, 4), daily=st.integers(5, 10))
    def change_plan(self, concurrent: int, daily: int) -> None:
        limits = LimitsPart(daily=daily, monthly=12, concurrent=concurrent)
        event = PlanChangedV1(tenant_id=TENANT, plan="X", limits=limits, requested_by="test")
        self.model.daily, self.model.concurrent = daily, concurrent
        assert kinds(self.platform.tell(event)) == self.model.fill()

    @rule(suspended=st.booleans())
    def suspend_or_resume(self, *, suspended: bool) -> None:
        self.model.suspended = suspended
        if suspended:
            event = TenantSuspendedV1(tenant_id=TENANT, reason="unpaid", requested_by="admin")
            assert self.platform.tell(event) == []
            return
        resumed = TenantResumedV1(tenant_id=TENANT, requested_by="admin")
        assert sorted(kinds(self.platform.tell(resumed))) == sorted(self.model.look())

    @invariant()
    def both_know_the_same(self) -> None:
        if not hasattr(self, "platform"):
            return
        ledger, model = self.platform.ledger, self.model
        going = {lease.request.run_id: lease.request.attempt for lease in ledger.running}
        assert going == {run_id(run.number): run.attempt for run in model.going}
        line = [lease.request.run_id for lease in waiting(ledger, RULES)]
        assert line == [run_id(run.number) for run in model.order()]
        assert set(ledger.ended) == {run_id(number) for number in model.over}
        kept = {k: n for k, n in model.charged.items() if k in (model.latest, model.latest[:7])}
        assert ledger.charged == kept

    @invariant()
    def somebody_will_look_in_time(self) -> None:
        if not hasattr(self, "platform"):
            return
        ledger = self.platform.ledger
        for lease in ledger.running:
            assert ledger.reminder is not None
            assert ledger.reminder <= lease.until + timedelta(seconds=1)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
