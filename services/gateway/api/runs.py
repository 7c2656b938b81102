"""Endpoints that change runs: start, cancel. Looking at them: `history.py`."""

from datetime import date
from uuid import NAMESPACE_URL, uuid4, uuid5

from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Part
from contracts.runs import (
    CancelRunV1,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    SubmitRunV1,
    TriggerPart,
)
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import RUNS, Edge
from services.gateway.api.endpoint import Answer, Body, Call, Who, endpoint
from services.gateway.errors import CODES

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/gateway/runs")
STARTING = ("config_not_found", "quota_exceeded", "queue_full", "tenant_not_found")


class RunBody(Body):
    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    """The day that the run is about; today in UTC when empty."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    trigger_by: str = Field(default="", max_length=200)
    priority: int = Field(default=0, ge=-100, le=100)
    """Higher starts earlier, among the tenant's own runs that wait."""


class Accepted(Part):
    pipeline_logging_id: RunId
    """The same as run_id."""
    run_id: RunId
    tenant_id: TenantId
    pipeline_id: ConfigId
    status: RunStatus


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
        errors=STARTING,
        sends=("Location",),
        example={"date": "2026-03-14", "parameters": {}, "trigger_by": "nightly"},
    )
    async def start(self, call: Call, config_id: ConfigId, body: RunBody) -> Answer[Accepted]:
        """Run a pipeline; watch it where Location says."""
        command = SubmitRunV1(
            tenant_id=call.tenant,
            run_id=_new_run_id(call),
            config_id=config_id,
            run_date=self._date(body),
            parameters=body.parameters,
            trigger=_trigger(call, body),
            priority=body.priority,
        )
        return await self.submit(command)

    async def submit(self, command: SubmitRunV1) -> Answer[Accepted]:
        """Ask for a run; an answer that does not come in time is no refusal."""
        try:
            decided = await self._edge.questions.ask(
                command,
                RunRequestedV1,
                RunQueuedV1,
                RunRejectedV1,
                id_=str(uuid5(NAMESPACE, command.run_id)),
            )
        except Problem as problem:
            if problem.code not in {"no_answer_yet", "run_exists"}:
                raise
            return _accepted(command, RunStatus.PENDING)
        if isinstance(decided, RunRejectedV1):
            raise _rejected(decided)
        queued = isinstance(decided, RunQueuedV1)
        return _accepted(command, RunStatus.QUEUED if queued else RunStatus.RUNNING)

    def _date(self, body: RunBody) -> date:
        try:
            return date.fromisoformat(body.date) if body.date else self._edge.clock().date()
        except ValueError as error:
            detail = f"date: {error}"
            raise Problem(400, "invalid_request", detail, [Fault("/date", detail)]) from None

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


def _trigger(call: Call, body: RunBody) -> TriggerPart:
    return TriggerPart(by=body.trigger_by, user_id=call.request.headers.get("X-User-ID", "")[:200])


def _new_run_id(call: Call) -> RunId:
    """A repeated Idempotency-Key names the same run, so it is submitted once."""
    key = call.request.headers.get("Idempotency-Key")
    return RunId(str(uuid5(NAMESPACE, f"{call.tenant}/{key}") if key else uuid4()))


def _accepted(command: SubmitRunV1, status: RunStatus) -> Answer[Accepted]:
    body = Accepted(
        pipeline_logging_id=command.run_id,
        run_id=command.run_id,
        tenant_id=command.tenant_id,
        pipeline_id=command.config_id,
        status=status,
    )
    return Answer(body, {"Location": f"{RUNS}/{command.run_id}"})


def _rejected(event: RunRejectedV1) -> Problem:
    extra = {"limit": event.limit, "resets_at": event.resets_at} if event.limit else {}
    known = CODES.get(event.code)
    status = known.status if known else 429
    return Problem(status, event.code, event.reason, extra={**extra, "run_id": event.run_id})
