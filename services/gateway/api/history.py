"""Endpoints that look at runs: one, many, their steps. Changing them: `runs.py`."""

import asyncio
from collections.abc import Sequence

from aiohttp import web
from pydantic import Field

from contracts.identifiers import ConfigId, RunId, TenantId
from contracts.message import Part
from contracts.runs import ListRunsV1, RunListV1, RunPart, RunStatus
from contracts.steps import ListStepsV1, StepListV1, StepRowPart
from services.gateway.api.edge import READING_SECONDS, RUNS, Edge
from services.gateway.api.endpoint import Answer, Call, Query, Who, endpoint
from services.gateway.api.moments import Day
from services.gateway.api.pages import LISTING, Item, PageQuery

LONGEST_WAIT = 25.0
LIVE, STORED = {"X-Source": "live"}, {"X-Source": "warehouse"}


class News(Query):
    wait: float = Field(default=0.0, ge=0, le=LONGEST_WAIT)
    """How many seconds to wait for news."""
    since: int | None = Field(default=None, ge=0)
    """The `version` that is known already; without it the answer waits for the end."""


class RunFilters(PageQuery):
    status: RunStatus | None = None
    pipeline: ConfigId | None = None
    from_date: Day | None = Field(default=None, alias="from")
    to_date: Day | None = Field(default=None, alias="to")


class RunShown(RunPart):
    pipeline_logging_id: RunId
    """The same as run_id."""
    tenant_id: TenantId
    pipeline_id: ConfigId
    """The same as config_id."""
    version: int = 0
    """Grows with every change, while the run is live."""


class RunsShown(Part):
    runs: tuple[RunShown, ...]
    next_cursor: str | None = None


class StepsShown(Part):
    run_id: RunId
    steps: tuple[StepRowPart, ...]


class HistoryRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", RUNS + "/{run_id}", Who.TENANT, errors=("run_not_found",), sends=("X-Source",))
    @endpoint(
        "GET",
        "/api/v1/pipelines/status/{run_id}",
        Who.TENANT,
        errors=("run_not_found",),
        sends=("X-Source",),
    )
    async def show(self, call: Call, run_id: RunId, query: News) -> Answer[RunShown]:
        """Show a run; with `wait` and `since`, once it has changed."""
        tenant = call.tenant
        live = self._edge.live.find(tenant, run_id)
        if live is not None and live.is_silent(self._edge.clock()):
            await self._edge.backfill.refresh(tenant, run_id, live)
        if live is not None and live.run is not None:
            await self._wait_for_news(call, run_id, query)
            return Answer(_shown(tenant, live.run, live.version), LIVE)
        found = await self._edge.backfill.find(tenant, run_id)
        return Answer(_shown(tenant, found, 0), STORED)

    async def _wait_for_news(self, call: Call, run_id: RunId, query: News) -> None:
        """Hold the answer while the run is as the client knows it, or goes on at all.

        Versions are this instance's own: one that another instance gave is news at once.
        """
        live = self._edge.live.find(call.tenant, run_id)
        if live is None or live.run is None or not query.wait:
            return
        ends_at = asyncio.get_running_loop().time() + query.wait
        while query.since in {None, live.version} and not live.run.status.is_final:
            if self._edge.stopping.is_set():
                return
            try:
                async with asyncio.timeout_at(ends_at):
                    await live.changed.wait()
            except TimeoutError:
                return  # no news is an answer too
            await self._edge.auth.still(call.request)

    @endpoint("GET", RUNS, Who.TENANT, answers=RunsShown, **LISTING)
    @endpoint("GET", "/api/v1/pipelines/history", Who.TENANT, answers=RunsShown, **LISTING)
    async def list(self, call: Call, query: RunFilters) -> web.StreamResponse:
        """List runs, the newest first.

        `from` and `to` are days that runs are about; those asked for more than a year before their
        day are found by `to` alone. With neither, runs of the last 30 days; NDJSON gives all pages.
        """

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListRunsV1(
                tenant_id=call.tenant,
                status=query.status,
                config_id=query.pipeline,
                from_date=query.from_date,
                to_date=query.to_date,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, RunListV1, within=READING_SECONDS)
            return [shown(call.tenant, run, 0) for run in found.runs], found.next_after

        return await self._edge.pages.respond(call.request, call.tenant, "runs", query, fetch)

    @endpoint(
        "GET", RUNS + "/{run_id}/steps", Who.TENANT, errors=("run_not_found",), sends=("X-Source",)
    )
    async def steps(self, call: Call, run_id: RunId) -> Answer[StepsShown]:
        """Show the steps of a run, with what each did."""
        live = self._edge.live.find(call.tenant, run_id)
        if live is not None and live.is_complete and live.steps:
            return Answer(StepsShown(run_id=run_id, steps=tuple(live.steps.values())), LIVE)
        query = ListStepsV1(tenant_id=call.tenant, run_id=run_id)
        found = await self._edge.questions.ask(query, StepListV1, within=READING_SECONDS)
        if not found.steps and live is None:
            await self._edge.backfill.find(call.tenant, run_id)
        return Answer(StepsShown(run_id=run_id, steps=found.steps), STORED)


def shown(tenant: TenantId, run: RunPart, version: int) -> Item:
    """As `RunShown` has it: making those of a long list takes longer than reading it."""
    return {
        **run.model_dump(mode="json"),
        "pipeline_logging_id": run.run_id,
        "tenant_id": tenant,
        "pipeline_id": run.config_id,
        "version": version,
    }


def _shown(tenant: TenantId, run: RunPart, version: int) -> RunShown:
    return RunShown(
        **dict(run),
        pipeline_logging_id=run.run_id,
        tenant_id=tenant,
        pipeline_id=run.config_id,
        version=version,
    )
