"""Routes that look at runs: one, many, their steps. Changing them: `runs.py`."""

import asyncio
from collections.abc import Sequence
from datetime import date

from aiohttp import web
from pydantic import Field

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.runs import GetRunV1, ListRunsV1, RunListV1, RunPart, RunStatus, RunV1
from contracts.steps import ListStepsV1, StepListV1
from libs.web.app import answer
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import READING_SECONDS, RUNS, Edge, run_id_of
from services.gateway.api.pages import Item, PageQuery

LONGEST_WAIT = 25.0


class RunFilters(PageQuery):
    status: RunStatus | None = None
    pipeline: ConfigId | None = None
    from_date: date | None = Field(default=None, alias="from")
    to_date: date | None = Field(default=None, alias="to")


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
            return answer(shown(tenant, live.run, live.version), X_Source="live")
        run = await self._recorded(tenant, run_id)
        return answer(shown(tenant, run, 0), X_Source="warehouse")

    async def _wait_for_news(self, request: web.Request, tenant: TenantId, run_id: RunId) -> None:
        """Hold the answer while the run is as the client knows it, or goes on at all.

        Versions are this instance's own: one that another instance gave is news at once.
        """
        wait = _number(request, "wait", LONGEST_WAIT)
        since = _number(request, "since", float("inf")) if "since" in request.query else None
        live = self._edge.live.find(tenant, run_id)
        if live is None or live.run is None or not wait:
            return
        try:
            async with asyncio.timeout(wait):
                while since in {None, live.version} and not live.run.status.is_final:
                    await live.changed.wait()
        except TimeoutError:
            return  # no news is an answer too

    async def list(self, request: web.Request) -> web.StreamResponse:
        tenant = await self._edge.auth.tenant(request)
        filters = RunFilters.of(request)

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListRunsV1(
                tenant_id=tenant,
                status=filters.status,
                config_id=filters.pipeline,
                from_date=filters.from_date,
                to_date=filters.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, RunListV1, within=READING_SECONDS)
            return [shown(tenant, run, 0) for run in found.runs], found.next_after

        return await self._edge.pages.respond(request, tenant, "runs", filters, fetch)

    async def steps(self, request: web.Request) -> web.Response:
        tenant = await self._edge.auth.tenant(request)
        run_id = run_id_of(request)
        live = self._edge.live.find(tenant, run_id)
        if live is not None and live.steps:
            rows = [step.model_dump(mode="json") for step in live.steps.values()]
            return answer({"run_id": run_id, "steps": rows}, X_Source="live")
        found = await self._edge.questions.ask(
            ListStepsV1(tenant_id=tenant, run_id=run_id), StepListV1, within=READING_SECONDS
        )
        if not found.steps and live is None:
            await self._recorded(tenant, run_id)
        rows = [step.model_dump(mode="json") for step in found.steps]
        return answer({"run_id": run_id, "steps": rows}, X_Source="warehouse")

    async def _recorded(self, tenant: TenantId, run_id: RunId) -> RunPart:
        query = GetRunV1(tenant_id=tenant, run_id=run_id)
        found = await self._edge.questions.ask(query, RunV1, within=READING_SECONDS)
        if found.run is None:
            raise Problem(404, "run_not_found", f"There is no run {run_id}.")
        return found.run


def _number(request: web.Request, name: str, most: float) -> float:
    text = request.query.get(name)
    if text is None:
        return 0.0
    try:
        return min(max(float(text), 0.0), most)
    except ValueError:
        detail = f"{name}: expected a number, found {text[:40]!r}"
        raise Problem(400, "invalid_request", detail, [Fault(f"/{name}", detail)]) from None


def shown(tenant: TenantId, run: RunPart, version: int) -> dict[str, object]:
    found: dict[str, object] = run.model_dump(mode="json")
    names = {"pipeline_logging_id": run.run_id, "tenant_id": tenant, "pipeline_id": run.config_id}
    return {**names, **found, "version": version}
