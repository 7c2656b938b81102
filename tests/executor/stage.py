"""What a step needs around it to be run alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

from contracts.identifiers import ConfigId, CredentialId, RunId, StepId, TenantId
from contracts.message import Event
from contracts.pipelines import DefinitionPart, RetryPart, StepPart
from contracts.runs import RunRequestedV1
from services.executor.steps.step import Credential, StepError, StepRun

PROJECT = "convergence-local"
TENANT = "acme"
RUN_DATE = date(2026, 1, 31)


@dataclass(slots=True)
class Heard:
    """A teller that remembers."""

    said: dict[str, Event] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def progress(
        self, *, rows: int = 0, bytes_: int = 0, fraction: float | None = None, note: str = ""
    ) -> None:
        self.notes.append(f"{rows} {bytes_} {fraction} {note}")

    def say(self, what: str, event: Event) -> None:
        self.said[what] = event


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Credentials by id, or none."""

    known: Mapping[str, Credential] = field(default_factory=dict)

    async def open(self, tenant_id: TenantId, credential_id: CredentialId) -> Credential:
        assert tenant_id == TENANT
        if credential_id not in self.known:
            raise StepError("credential_not_found", f"there is no credential {credential_id}")
        return self.known[credential_id]


def step(type_: str, config: dict[str, Any] | None = None, **more: Any) -> StepPart:
    more.setdefault("retry", RetryPart(backoff_seconds=0))
    return StepPart(step_id=StepId(more.pop("id", "it")), type=type_, config=config or {}, **more)


def requested(*steps: StepPart, **more: Any) -> RunRequestedV1:
    given = {
        "tenant_id": TenantId(TENANT),
        "run_id": RunId(str(uuid4())),
        "attempt": 1,
        "config_id": ConfigId("p"),
        "revision": 1,
        "definition": DefinitionPart(pipeline_id=ConfigId("p"), steps=steps),
        "run_date": RUN_DATE,
        "datasets": (TENANT,),
        "max_bytes_billed": 1 << 40,
        "lease_seconds": 60.0,
        "submitted_at": datetime(2026, 1, 31, 9, tzinfo=UTC),
    }
    return RunRequestedV1(**{**given, **more})


def given(part: StepPart, teller: Heard | None = None, **more: Any) -> StepRun:
    return StepRun(requested(part, **more), part, 1, teller or Heard())
