"""Routes for runs: start, look, list, cancel."""

import asyncio
from collections.abc import Sequence
from datetime import date
from uuid import NAMESPACE_URL, uuid4, uuid5

from aiohttp import web
from pydantic import Field, JsonValue

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.runs import (
    CancelRunV1,
    GetRunV1,
    ListRunsV1,
    RunCancelRequestedV1,
    RunFinishedV1,
    RunListV1,
    RunPart,
    RunQueuedV1,
    RunRejectedV1,
    RunRequestedV1,
    RunStatus,
    RunV1,
    SubmitRunV1,
    TriggerPart,
)
from contracts.steps import ListStepsV1, StepListV1
from libs.web.app import answer
from libs.web.body import read_model
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import Body, Edge, identifier, who

RUNS = "/api/v1/pipelines/runs"
LONGEST_WAIT = 25.0
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
            web.get(RUNS, self.list),
            web.get("/api/v1/pipelines/history", self.list),
            web.get(RUNS + "/{run_id}", self.show),
            web.get("/api/v1/pipelines/status/{run_id}", self.show),
            web.get(RUNS + "/{run_id}/steps", self.steps),
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

    async def show(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        run_id = _run_id(request)
        live = self._edge.live.find(tenant, run_id)
        if live is not None and live.run is not None:
            await self._wait_for_news(request, tenant, run_id)
            return answer(_shown(tenant, live.run, live.version), X_Source="live")
        found = await self._edge.questions.ask(
            GetRunV1(tenant_id=tenant, run_id=run_id), RunV1, within=_PATIENCE
        )
        if found.run is None:
            raise _no_run(run_id)
        return answer(_shown(tenant, found.run, 0), X_Source="warehouse")

    async def _wait_for_news(self, request: web.Request, tenant: TenantId, run_id: RunId) -> None:
        """Hold the answer until the run has changed since the version the client knows."""
        wait = _number(request, "wait", LONGEST_WAIT)
        since = _number(request, "since", float("inf"))
        live = self._edge.live.find(tenant, run_id)
        if live is None or live.run is None or not wait:
            return
        try:
            async with asyncio.timeout(wait):
                while live.version <= since and not live.run.status.is_final:
                    await live.changed.wait()
        except TimeoutError:
            return  # no news is an answer too

    async def list(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        query = request.query
        try:
            wanted = ListRunsV1(
                tenant_id=tenant,
                status=RunStatus(query["status"]) if "status" in query else None,
                config_id=ConfigId(query["pipeline"]) if "pipeline" in query else None,
                from_date=date.fromisoformat(query["from"]) if "from" in query else None,
                to_date=date.fromisoformat(query["to"]) if "to" in query else None,
                after=query.get("cursor", ""),
                limit=int(query.get("limit", "50")),
            )
        except ValueError as error:
            raise Problem(400, "invalid_request", str(error)) from None
        found = await self._edge.questions.ask(wanted, RunListV1, within=_PATIENCE)
        runs = [_shown(tenant, run, 0) for run in found.runs]
        return answer({"runs": runs, "next_cursor": found.next_after or None})

    async def steps(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        run_id = _run_id(request)
        live = self._edge.live.find(tenant, run_id)
        if live is not None and live.steps:
            rows = [step.model_dump(mode="json") for step in live.steps.values()]
            return answer({"run_id": run_id, "steps": rows}, X_Source="live")
        found = await self._edge.questions.ask(
            ListStepsV1(tenant_id=tenant, run_id=run_id), StepListV1, within=_PATIENCE
        )
        if not found.steps and live is None:
            await self._check_exists(tenant, run_id)
        rows = [step.model_dump(mode="json") for step in found.steps]
        return answer({"run_id": run_id, "steps": rows}, X_Source="warehouse")

    async def _check_exists(self, tenant: TenantId, run_id: RunId) -> None:
        query = GetRunV1(tenant_id=tenant, run_id=run_id)
        found = await self._edge.questions.ask(query, RunV1, within=_PATIENCE)
        if found.run is None:
            raise _no_run(run_id)

    async def cancel(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        command = CancelRunV1(
            tenant_id=tenant, run_id=_run_id(request), requested_by=who(request, "tenant")
        )
        done = await self._edge.questions.ask(command, RunCancelRequestedV1, RunFinishedV1)
        status = done.status if isinstance(done, RunFinishedV1) else RunStatus.RUNNING
        return answer({"run_id": command.run_id, "status": status.value}, status=202)


_PATIENCE = 10.0


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


def _no_run(run_id: RunId) -> Problem:
    return Problem(404, "run_not_found", f"There is no run {run_id}.")


def _run_id(request: web.Request) -> RunId:
    return identifier(RunId, request.match_info["run_id"], "/run_id")


def _number(request: web.Request, name: str, most: float) -> float:
    text = request.query.get(name)
    if text is None:
        return 0.0
    try:
        return min(max(float(text), 0.0), most)
    except ValueError:
        detail = f"{name}: expected a number, found {text[:40]!r}"
        raise Problem(400, "invalid_request", detail, [Fault(f"/{name}", detail)]) from None


def _shown(tenant: TenantId, run: RunPart, version: int) -> dict[str, object]:
    shown: dict[str, object] = run.model_dump(mode="json")
    names = {"pipeline_logging_id": run.run_id, "tenant_id": tenant, "pipeline_id": run.config_id}
    return {**names, **shown, "version": version}
