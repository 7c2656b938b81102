"""One tenant's ledger with a clock of its own, and everything it has said."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from contracts.identifiers import ConfigId, RunId, StepId, TenantId
from contracts.message import Message
from contracts.pipelines import DefinitionPart, SaveConfigV1, StepPart
from contracts.runs import AttemptFinishedV1, RunStatus, SubmitRunV1
from contracts.tenants import LimitsPart, TenantOnboardedV1
from services.scheduler.domain.deciding import KeepConfig, Look, Rules
from services.scheduler.domain.ledger import Ledger
from services.scheduler.store import LedgerDecider

TENANT, CONFIG = TenantId("acme"), ConfigId("ones")
START = datetime(2026, 2, 27, 22, 0, tzinfo=UTC)
RULES = Rules(lease_seconds=60, max_attempts=3, queue_limit=4)
DEFINITION = DefinitionPart(
    pipeline_id=CONFIG, steps=(StepPart(step_id=StepId("make"), type="bq_etl.query"),)
)


def run_id(number: int) -> RunId:
    return RunId(f"00000000-0000-4000-8000-{number:012d}")


def submit(number: int, priority: int = 0) -> SubmitRunV1:
    return SubmitRunV1(
        tenant_id=TENANT,
        run_id=run_id(number),
        config_id=CONFIG,
        run_date=START.date(),
        priority=priority,
    )


class Platform:
    """One ledger, its clock, and everything it has said."""

    def __init__(
        self, daily: int = 6, monthly: int = 20, concurrent: int = 2, rules: Rules = RULES
    ) -> None:
        self.decider = LedgerDecider(rules)
        self.ledger = Ledger()
        self.now = START
        self.said: list[Message] = []
        limits = LimitsPart(daily=daily, monthly=monthly, concurrent=concurrent)
        self.tell(
            TenantOnboardedV1(
                tenant_id=TENANT,
                company_name="Acme",
                admin_email="a@b.c",
                plan="STARTER",
                limits=limits,
                datasets=("acme",),
                created_at=START,
                requested_by="test",
            )
        )
        self.save(CONFIG)

    def save(self, config: ConfigId) -> None:
        command = SaveConfigV1(tenant_id=TENANT, config_id=config, source="…", requested_by="test")
        self.tell(KeepConfig(command=command, definition=DEFINITION))

    def tell(self, message: Message) -> list[Message]:
        decision = self.decider.decide(self.ledger, message, self.now)
        for fact in decision.facts:
            reread = self.decider.load_fact(fact.model_dump(mode="json"))
            self.ledger = self.decider.evolve(self.ledger, reread)
        self.said += decision.emits
        return list(decision.emits)

    def finish(self, number: int, attempt: int = 1, status: str = "COMPLETED") -> list[Message]:
        return self.tell(
            AttemptFinishedV1(
                tenant_id=TENANT,
                run_id=run_id(number),
                attempt=attempt,
                status=RunStatus(status),
                started_at=self.now,
                finished_at=self.now,
            )
        )

    def pass_time(self, **by: float) -> list[Message]:
        """Move the clock, and let a tick look."""
        self.now += timedelta(**by)
        return self.look()

    def look(self) -> list[Message]:
        return self.tell(Look(tenant_id=TENANT))


def kinds(messages: Sequence[Message]) -> list[str]:
    return [message.wire_type for message in messages]
