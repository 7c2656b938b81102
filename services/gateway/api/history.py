"""Routes that look at runs: one, many, their steps. Changing them: `runs.py`."""

import asyncio
from collections.abc import Sequence
from datetime import date

from aiohttp import web

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.runs import GetRunV1, ListRunsV1, RunListV1, RunPart, RunStatus, RunV1
from contracts.steps import ListStepsV1, StepListV1
from libs.web.app import answer
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import RUNS, Edge, run_id_of

LONGEST_WAIT = 25.0
_PATIENCE = 10.0


class HistoryRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    def routes(self) -> Sequence[web.AbstractRouteDef]:
        return [
            web.get(RUNS, self.list),
            web.get("/api/v1/pipelines/history", self.list),
            web.get(RUNS + "/{run_id}", self.show),
            web.get("/api/v1/pipelines/status/{run_id}", self.show),
            web.get(RUNS + "/{run_id}/steps", self.steps),
        ]

    async def show(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        run_id = run_id_of(request)
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
        run_id = run_id_of(request)
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


def _no_run(run_id: RunId) -> Problem:
    return Problem(404, "run_not_found", f"There is no run {run_id}.")


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
