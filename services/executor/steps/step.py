"""What a step type is: given its part of the definition, it does one thing once.

StepError                phrased for the tenant; trying again cannot help
└── StepRetryError       it failed, by something that may hold next time
    ├── StepFaultError   it failed, by a fault of the cloud's that takes no try
    └── StepUnknownError nobody knows whether it was done: asked again under the same number
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.identifiers import CredentialId, StepId, TenantId
from contracts.message import Event
from contracts.pipelines import StepPart
from contracts.runs import RunRequestedV1
from libs.warehouse.jobs import JobProgress, JobResult

Config = TypeVar("Config", bound=BaseModel)
LONGEST_JOB_LABEL = 63


class StepError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


class StepRetryError(StepError):
    """The next try gets a number, and so job ids, of its own."""


class StepFaultError(StepRetryError):
    """The next try gets a number of its own too, and is one more only of an outage."""


class StepUnknownError(StepRetryError):
    """The next try has the same number, so that it finds what this one may have begun."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did."""

    rows: int = 0
    bytes: int = 0
    """Bytes that BigQuery billed for; this and what follows is said of a step that has ended."""
    job_ids: tuple[str, ...] = ()
    status: str = ""
    slot_ms: int = 0


@dataclass(slots=True)
class Spent:
    """What the jobs of a step took of BigQuery, each of them once."""

    jobs: dict[str, JobResult] = field(default_factory=dict)

    def add(self, *done: JobResult) -> None:
        self.jobs |= {job.job_id: job for job in done}

    def of(self, result: StepResult) -> StepResult:
        """The result with all that was spent, whatever came of the step."""
        jobs = self.jobs.values()
        return replace(
            result,
            bytes=sum(job.bytes_billed for job in jobs),
            slot_ms=sum(job.slot_ms for job in jobs),
            job_ids=tuple(sorted(self.jobs)),
        )


@dataclass(frozen=True, slots=True)
class Span:
    """From where to where one job takes its step."""

    begin: float = 0.0
    end: float = 1.0
    note: str = ""

    def at(self, fraction: float) -> float:
        return self.begin + (self.end - self.begin) * fraction


WHOLE = Span()


class Teller(Protocol):
    """Says what goes on in a step. Never waits for the bus."""

    def progress(
        self, *, rows: int = 0, bytes_: int = 0, fraction: float | None = None, note: str = ""
    ) -> None:
        """How far the step is; call it as often as you like, it is thinned out."""

    def say(self, what: str, event: Event) -> None:
        """Publish an event; `what` must be the same whenever the same fact is said again."""


@dataclass(frozen=True, slots=True)
class StepRun:
    """One try of one step, and all it may use of its run."""

    request: RunRequestedV1
    step: StepPart
    try_number: int
    tell: Teller
    earlier: Mapping[StepId, StepResult] = field(default_factory=dict)
    """What the steps before it did."""
    spent: Spent = field(default_factory=Spent)
    """To be told of every job that has ended."""

    @property
    def job_id(self) -> str:
        return self.job_id_of("job")

    def job_id_of(self, part: str) -> str:
        """The same for every attempt of this generation, so that a job begun is adopted.

        `part` tells several jobs of one step apart: lower-case letters and digits.
        """
        request = self.request
        return (
            f"run_{request.run_id}_{request.generation}_{self.try_number}_{part}"
            f"_{self.step.step_id}"
        )

    def tell_job(self, job: JobProgress, span: Span = WHOLE) -> None:
        """How far one of the step's jobs is, and with it the step."""
        fraction = None if job.fraction is None else span.at(job.fraction)
        self.tell.progress(
            rows=job.rows_read, bytes_=job.bytes_read, fraction=fraction, note=span.note
        )

    @property
    def staging_table(self) -> str:
        """`dataset.table` for rows that are not yet in their place; the same for every try."""
        request = self.request
        step = str(self.step.step_id)
        # A table's name has no hyphens, so that `a-b` would be the same as `a_b`.
        apart = hashlib.sha256(step.encode()).hexdigest()[:8]
        name = f"{request.run_id}_{request.generation}_{step}_{apart}".replace("-", "_")
        return f"{request.datasets[0]}.{STAGING_PREFIX}{name}"

    @property
    def work_folder(self) -> str:
        """Prefix in the bucket for files of this step; the same for every try."""
        request = self.request
        return f"work/{request.tenant_id}/{request.run_id}/{request.generation}/{self.step.step_id}"

    @property
    def labels(self) -> dict[str, str]:
        """Labels of every BigQuery job, by which its cost is found again."""
        return {
            "tenant": str(self.request.tenant_id),
            "pipeline": str(self.request.config_id)[:LONGEST_JOB_LABEL],
            "run": str(self.request.run_id),
            "step": str(self.step.step_id).lower()[:LONGEST_JOB_LABEL],
        }

    def config(self, model: type[Config]) -> Config:
        """The step's config; raises `StepError` that names the first field that is wrong."""
        try:
            return model.model_validate(self.step.config)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, ("config", *first["loc"])))
            detail = f"step {self.step.step_id}, {where}: {first['msg']}"
            raise StepError("invalid_config", detail) from None


STAGING_PREFIX = "_convergence_staging_"
STAGING_HOURS = 24
"""How long a table of rows that are not in their place is kept at most."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What a step would do, as far as can be told without doing it."""

    sql: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    bytes: int = 0
    price_usd: Decimal = Decimal(0)
    known: bool = True
    """False when it depends on what earlier steps make."""
    note: str = ""


class StepType(ABC):
    """Safe to share between runs. One file each, and one line in the registry."""

    carries_rows: ClassVar[bool] = False
    """Rows go through this process, so that its memory allows only some at once."""

    @abstractmethod
    async def run(self, given: StepRun) -> StepResult:
        """Do it, or find it done; raises `StepError`. May be cancelled at any await."""

    async def cancel(self, given: StepRun) -> None:
        """Stop what goes on outside this process. Nothing, unless overridden."""
        del given

    async def plan(self, given: StepRun) -> StepPlan:
        """What `run` would do; raises `StepError` for what it would refuse."""
        del given
        return StepPlan(known=False, note="its size is known only when it runs")


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened credential. Its fields are secrets: never log, raise or publish them."""

    provider: str
    fields: Mapping[str, str] = field(repr=False)


class Credentials(Protocol):
    async def open(self, tenant_id: TenantId, credential_id: CredentialId) -> Credential:
        """Raises `StepError` when there is none, `StepRetryError` when nobody answers."""
