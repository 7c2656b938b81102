"""Messages about pipeline definitions and their revisions."""

from enum import StrEnum

from pydantic import Field, JsonValue, field_validator

from contracts.conditions import Condition
from contracts.identifiers import ConfigId, StepId, TenantId
from contracts.message import Command, Event, Part, Query, Reply, Service, Utc
from contracts.platform import ProblemPart

STEP_TYPES = (
    "bq_etl.query",
    "compliance.ocsf",
    "cost.focus",
    "dq.check",
    "ingest.api",
    "ingest.file",
    "ingest.replay",
    "notify.webhook",
    "transform.sql",
)
"""What a step may be: a definition with another is refused, and executors have each."""


class OnFailure(StrEnum):
    STOP = "stop"
    CONTINUE = "continue"


class RetryPart(Part):
    """How often a step that gave way for a passing reason is tried, and how far apart."""

    attempts: int = Field(default=3, ge=1, le=10)
    backoff_seconds: float = Field(default=0.5, ge=0, le=600)
    """Before the second try; doubled with each further one."""


class StepPart(Part):
    """One step, resolved: what to do, after what, and for how long at most."""

    step_id: StepId
    type: str
    """A registered step type, e.g. `bq_etl.query`."""
    config: dict[str, JsonValue] = Field(default_factory=dict)
    needs: tuple[StepId, ...] = ()
    on_failure: OnFailure = OnFailure.STOP
    timeout_seconds: int = Field(default=3600, ge=1, le=86400)
    when: str = Field(default="", max_length=1000)
    """The step is left out unless this condition holds; see contracts/conditions.py."""
    retry: RetryPart = RetryPart()

    @field_validator("when")
    @classmethod
    def _can_be_decided(cls, text: str) -> str:
        if text:
            Condition.parse(text)
        return text


class DefinitionPart(Part):
    """A pipeline as it runs: the one model behind both YAML shapes."""

    pipeline_id: ConfigId
    name: str = ""
    description: str = ""
    version: str = ""
    steps: tuple[StepPart, ...] = Field(min_length=1)
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    """What a run has unless it is given something else."""


class SaveConfigV1(Command, type="config.save.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    config_id: ConfigId
    source: str
    """The definition as its author wrote it."""
    if_revision: int | None = None
    """Save only over this revision; 0 means only when there is none yet."""
    requested_by: str


class ConfigSavedV1(Event, type="config.saved.v1"):
    tenant_id: TenantId
    config_id: ConfigId
    revision: int
    source: str
    definition: DefinitionPart
    requested_by: str


class DeleteConfigV1(Command, type="config.delete.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    config_id: ConfigId
    if_revision: int | None = None
    requested_by: str


class ConfigDeletedV1(Event, type="config.deleted.v1"):
    tenant_id: TenantId
    config_id: ConfigId
    revision: int
    requested_by: str


class ConfigPart(Part):
    config_id: ConfigId
    revision: int
    source: str
    definition: DefinitionPart
    saved_at: Utc
    saved_by: str


class GetConfigV1(Query, type="config.get.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    config_id: ConfigId
    revision: int | None = None
    """An older one, also of a pipeline that was deleted."""


class RevisionPart(Part):
    """One revision, without its text."""

    revision: int
    saved_at: Utc
    saved_by: str
    bytes: int
    deleted_at: Utc | None = None
    """When the pipeline was deleted while this was its newest revision."""


class ListRevisionsV1(Query, type="revision.list.v1", to=Service.SCHEDULER):
    """Also of a pipeline that was deleted."""

    tenant_id: TenantId
    config_id: ConfigId


class RevisionListV1(Reply, type="revision.page.v1"):
    tenant_id: TenantId
    config_id: ConfigId
    revisions: tuple[RevisionPart, ...]
    """The newest first, as far back as is kept."""


class CheckDefinitionV1(Query, type="definition.check.v1", to=Service.SCHEDULER):
    """Asks whether a definition could be saved; answered by what is wrong with it."""

    tenant_id: TenantId
    source: str


class DefinitionCheckedV1(Reply, type="definition.checked.v1"):
    tenant_id: TenantId
    problems: tuple[ProblemPart, ...] = ()
    definition: DefinitionPart | None = None
    """The one model behind both shapes, when nothing is wrong."""


class ConfigV1(Reply, type="config.v1"):
    tenant_id: TenantId
    config: ConfigPart


class ListConfigsV1(Query, type="config.list.v1", to=Service.SCHEDULER):
    tenant_id: TenantId
    after: ConfigId | None = None
    limit: int = Field(default=50, ge=1, le=200)


class ConfigListV1(Reply, type="config.page.v1"):
    tenant_id: TenantId
    configs: tuple[ConfigPart, ...]
    next_after: ConfigId | None = None
