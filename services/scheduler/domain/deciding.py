"""What every decision is given beside its message, and what comes of it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from contracts.identifiers import RunId, TenantId
from contracts.message import Message
from contracts.pipelines import DefinitionPart, SaveConfigV1
from contracts.platform import CommandRefusedV1
from contracts.runs import RetryRunV1, SubmitRunV1
from services.scheduler.domain.evolving import evolve
from services.scheduler.domain.facts import Fact
from services.scheduler.domain.ledger import Ledger


class TenantUnknownError(Exception):
    """The tenant's onboarding has not reached this service yet, or never happened."""

    def __init__(self, tenant: TenantId) -> None:
        super().__init__(f"tenant {tenant}")


class Rules(Fact):
    """What the deployment decides."""

    lease_seconds: float = 60.0
    max_attempts: int = 5
    queue_limit: int = 100
    max_bytes_billed: int = 1 << 40
    aging_seconds: float = 60.0
    """Waiting so long counts as much as one point of priority."""
    misfire_seconds: float = 300.0
    """A schedule's time that passed longer ago was missed: its policy says what happens."""
    max_running: int = 0
    """Places for running work over all tenants; 0 is without limit."""
    keep_days: int = 90
    """For how long what has ended is remembered."""


class KeepConfig(Message):
    """Not a contract: a definition that the handler has read."""

    command: SaveConfigV1
    definition: DefinitionPart

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class SubmitTemplate(Message):
    """Not a contract: a run of a template that the handler has resolved."""

    command: SubmitRunV1
    version: int
    definition: DefinitionPart

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class RetryWith(Message):
    """Not a contract: a retry with the definition that the handler has found again."""

    command: RetryRunV1
    definition: DefinitionPart

    @property
    def scope(self) -> TenantId:
        return self.command.tenant_id


class Look(Message):
    """Not a contract: a tick, for one tenant's ledger."""

    tenant_id: TenantId
    forget: bool = False
    """Also drop what has outlived its retention."""
    reminder: int | None = None
    """The number of the reminder that led to it."""


class RequestRefused(Message):
    """Not a contract: no executor will ever hear of an attempt, its request cannot be sent."""

    tenant_id: TenantId
    run_id: RunId
    attempt: int


Outcome = tuple[tuple[Fact, ...], tuple[Message, ...]]
NOTHING: Outcome = ((), ())


class Worked(tuple[tuple[Fact, ...], tuple[Message, ...]]):  # noqa: SLOT001  none for tuples
    """An outcome that knows what it leads to, so that nobody works it out again."""

    before: Ledger
    after: Ledger

    @classmethod
    def of(cls, outcome: Outcome, before: Ledger, after: Ledger) -> "Worked":
        made = cls(outcome)
        made.before, made.after = before, after
        return made


class Working:
    """Decisions made one after another, each on what the ones before left."""

    def __init__(self, state: Ledger, now: datetime, rules: Rules) -> None:
        self._before = self.state = state
        self.now = now
        self.rules = rules
        self._facts: list[Fact] = []
        self._emits: list[Any] = []

    def take(self, outcome: Outcome) -> None:
        facts, emits = outcome
        if isinstance(outcome, Worked) and outcome.before is self.state:
            self.state = outcome.after
        else:
            self.state = reduce(evolve, facts, self.state)
        self._facts += facts
        self._emits += emits

    def decide(self, rule: Callable[..., Outcome], *given: Any) -> Outcome:
        """Apply a rule to the state as it is now, and take its outcome."""
        outcome = rule(self.state, *given, self.now, self.rules)
        self.take(outcome)
        return outcome

    @property
    def outcome(self) -> Worked:
        made = tuple(self._facts), tuple(self._emits)
        return Worked.of(made, self._before, self.state)


def refuse(tenant: TenantId, code: str, detail: str) -> Outcome:
    return (), (CommandRefusedV1(tenant_id=tenant, code=code, detail=detail),)


def check_known(state: Ledger, tenant: TenantId) -> None:
    if not state.known:
        raise TenantUnknownError(tenant)


def lease_until(now: datetime, rules: Rules) -> datetime:
    return now + timedelta(seconds=rules.lease_seconds)
