"""Routes that change runs: start, cancel. Looking at them: `history.py`."""

from collections.abc import Sequence
from datetime import date
from uuid import NAMESPACE_URL, uuid4, uuid5

from aiohttp import web
from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
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
from libs.web.app import answer
from libs.web.body import read_model
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import RUNS, Body, Edge, identifier, run_id_of, who

NAMESPACE = uuid5(NAMESPACE_URL, "convergence/gateway/runs")
_REJECTED = {"config_not_found": 404, "tenant_suspended": 403}


class RunBody(Body):
    date: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    trigger_by: str = Field(default="", max_length=200)
    priority: int = Field(default=0, ge=-100, le=100)


class RunRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.post("/api/v1/pipelines/run/{config_id}", self.start),
            web.delete(RUNS + "/{run_id}", self.cancel),
        ]

    async def start(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        body = await read_model(request, RunBody)
        command = SubmitRunV1(
            tenant_id=tenant,
            run_id=_new_run_id(request, tenant),
            config_id=identifier(ConfigId, request.match_info["config_id"], "/config_id"),
            run_date=self._date(body),
            parameters=body.parameters,
            trigger=TriggerPart(by=body.trigger_by, user_id=request.headers.get("X-User-ID", "")),
            priority=body.priority,
        )
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

    async def cancel(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        command = CancelRunV1(
            tenant_id=tenant, run_id=run_id_of(request), requested_by=who(request, "tenant")
        )
        done = await self._edge.questions.ask(command, RunCancelRequestedV1, RunFinishedV1)
        status = done.status if isinstance(done, RunFinishedV1) else RunStatus.RUNNING
        return answer({"run_id": command.run_id, "status": status.value}, status=202)


def _new_run_id(request: web.Request, tenant: TenantId) -> RunId:
    """A repeated Idempotency-Key names the same run, so it is submitted once."""
    key = request.headers.get("Idempotency-Key")
    return RunId(str(uuid5(NAMESPACE, f"{tenant}/{key}") if key else uuid4()))


def _accepted(command: SubmitRunV1, status: RunStatus) -> web.Response:
    body = {
        "pipeline_logging_id": command.run_id,
        "run_id": command.run_id,
        "tenant_id": command.tenant_id,
        "pipeline_id": command.config_id,
        "status": status.value,
    }
    return answer(body, status=202, Location=f"{RUNS}/{command.run_id}")


def _rejected(event: RunRejectedV1) -> Problem:
    extra = {"limit": event.limit, "resets_at": event.resets_at} if event.limit else {}
    status = _REJECTED.get(event.code, 429)
    return Problem(status, event.code, event.reason, extra={**extra, "run_id": event.run_id})
