"""Endpoints that change runs, or say why one waits. Looking at them: `history.py`."""

from functools import lru_cache
from uuid import NAMESPACE_URL, uuid5

import orjson
from aiohttp import hdrs
from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Part
from contracts.runs import (
    CancelRunV1,
    ExplainRunV1,
    RetryRunV1,
    RunCancelRequestedV1,
    RunExplainedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
    TriggerPart,
    TriggerType,
)
from contracts.templates import TemplateRefPart
from libs.randomness import random_uuid
from libs.web.problem import Problem
from services.gateway.api.edge import RUNS, Edge
from services.gateway.api.endpoint import Answer, Body, Call, Who, endpoint
from services.gateway.api.moments import day_asked_for
from services.gateway.errors import CODES
from services.gateway.idempotency import HEADER

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/gateway/runs")
STARTING = ("config_not_found", "quota_exceeded", "queue_full", "tenant_not_found")


class RunBody(Body):
    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """The day that the run is about; today in UTC when empty."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    trigger_by: str = Field(default="", max_length=200)
    priority: int = Field(default=0, ge=-100, le=100)
    """Higher starts earlier, among the tenant's own runs that wait."""


class RetryBody(Body):
    from_: str = Field(default="failed", alias="from", max_length=100)
    """`failed` keeps what completed, `start` nothing; or the step to begin with."""
    trigger_by: str = Field(default="", max_length=200)


class Accepted(Part):
    pipeline_logging_id: RunId
    """The same as run_id."""
    run_id: RunId
    tenant_id: TenantId
    pipeline_id: ConfigId | None
    """Absent when a retry was not answered in time."""
    status: RunStatus
    retry_of: RunId | None = None


class Cancelling(Part):
    run_id: RunId
    status: RunStatus
    """RUNNING until its steps have stopped."""


class RunRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        "/api/v1/pipelines/run/{config_id}",
        Who.TENANT,
        status=202,
        errors=(*STARTING, "invalid_parameters"),
        sends=("Location",),
        example={"date": "2026-03-14", "parameters": {}, "trigger_by": "nightly"},
    )
    async def start(self, call: Call, config_id: ConfigId, body: RunBody) -> Answer[Accepted]:
        """Run a pipeline; watch it where Location says."""
        return await self.submit(self.command(call, config_id, body), config_id)

    def command(
        self,
        call: Call,
        config_id: ConfigId,
        body: RunBody,
        template: TemplateRefPart | None = None,
    ) -> SubmitRunV1:
        return SubmitRunV1(
            tenant_id=call.tenant,
            run_id=_new_run_id(call),
            config_id=config_id,
            template=template,
            run_date=day_asked_for(body.date, self._edge.clock().date()),
            parameters=body.parameters,
            trigger=_trigger(call, body),
            priority=body.priority,
        )

    async def submit(
        self, command: SubmitRunV1 | RetryRunV1, config_id: ConfigId | None = None
    ) -> Answer[Accepted]:
        """Ask for a run; an answer that does not come in time is no refusal."""
        try:
            decided: RunRequestedV1 | RunQueuedV1 | RunRejectedV1 = await self._edge.questions.ask(
                command,
                RunRequestedV1,
                RunQueuedV1,
                RunRejectedV1,
                id_=command.run_id,  # one submission a run, so its id is one
            )
        except Problem as problem:
            if problem.code not in {"no_answer_yet", "run_exists"}:
                raise
            return _accepted(command, config_id, RunStatus.PENDING)
        match decided:
            case RunRequestedV1():
                return _accepted(command, decided.config_id, RunStatus.RUNNING)
            case RunQueuedV1():
                return _accepted(command, decided.config_id, RunStatus.QUEUED)
            case RunRejectedV1():
                raise _rejected(decided)

    @endpoint(
        "DELETE",
        RUNS + "/{run_id}",
        Who.TENANT,
        status=202,
        errors=("run_not_found", "run_ended", "tenant_not_found"),
    )
    async def cancel(self, call: Call, run_id: RunId) -> Cancelling:
        """Cancel a run: at once while it waits; while it works, its BigQuery jobs are stopped."""
        command = CancelRunV1(tenant_id=call.tenant, run_id=run_id, requested_by=call.who())
        done = await self._edge.questions.ask(command, RunCancelRequestedV1, RunFinishedV1)
        status = done.status if isinstance(done, RunFinishedV1) else RunStatus.RUNNING
        return Cancelling(run_id=run_id, status=status)

    @endpoint(
        "POST",
        RUNS + "/{run_id}/retry",
        Who.TENANT,
        status=202,
        errors=(*STARTING, "run_not_found", "run_not_ended", "definition_gone", "unknown_step"),
        sends=("Location",),
        example={"from": "failed"},
    )
    async def retry(self, call: Call, run_id: RunId, body: RetryBody) -> Answer[Accepted]:
        """Repeat an ended run as a new one, which the quota is charged for."""
        command = RetryRunV1(
            tenant_id=call.tenant,
            run_id=_new_run_id(call),
            retry_of=run_id,
            start_from=body.from_,
            trigger=_trigger(call, body, TriggerType.RETRY),
        )
        return await self.submit(command)

    @endpoint("GET", RUNS + "/{run_id}/explain", Who.TENANT, errors=("run_not_found",))
    async def explain(self, call: Call, run_id: RunId) -> RunExplainedV1:
        """Say why a run waits: what holds it up, its place, when it may start."""
        query = ExplainRunV1(tenant_id=call.tenant, run_id=run_id)
        return await self._edge.questions.ask(query, RunExplainedV1)


def _trigger(
    call: Call, body: RunBody | RetryBody, kind: TriggerType = TriggerType.API
) -> TriggerPart:
    return _trigger_of(kind, body.trigger_by, call.user_id)


@lru_cache(maxsize=1_000)
def _trigger_of(kind: TriggerType, by: str, user_id: str) -> TriggerPart:
    """Whoever starts runs starts many."""
    return TriggerPart(type=kind, by=by, user_id=user_id)


def _new_run_id(call: Call) -> RunId:
    """A repeated Idempotency-Key names the same run, so it is submitted once."""
    key = call.request.headers.get(HEADER)
    return RunId.made(str(uuid5(NAMESPACE, f"{call.tenant}/{key}")) if key else random_uuid())


def _accepted(
    command: SubmitRunV1 | RetryRunV1, config_id: ConfigId | None, status: RunStatus
) -> Answer[Accepted]:
    body = {
        "pipeline_logging_id": command.run_id,
        "run_id": command.run_id,
        "tenant_id": command.tenant_id,
        "pipeline_id": config_id,
        "status": status,
        "retry_of": None if isinstance(command, SubmitRunV1) else command.retry_of,
    }
    return Answer(orjson.dumps(body), {hdrs.LOCATION: f"{RUNS}/{command.run_id}"})


def _rejected(event: RunRejectedV1) -> Problem:
    extra = {"limit": event.limit, "resets_at": event.resets_at} if event.limit else {}
    known = CODES.get(event.code)
    status = known.status if known else 429
    return Problem(status, event.code, event.reason, extra={**extra, "run_id": event.run_id})
