"""Endpoints for the quality of data: what was checked, and what was found."""

from collections.abc import Sequence

from aiohttp import web

from contracts.identifiers import RunId, StepId
from contracts.message import Part, Utc
from contracts.quality import (
    CheckPart,
    CheckStatus,
    ListQualityV1,
    QualityListV1,
    QualityRowPart,
)
from services.gateway.api.edge import READING_SECONDS, RUNS, Edge
from services.gateway.api.endpoint import Call, Who, endpoint
from services.gateway.api.pages import LISTING, Item, MomentsQuery

OF_RUN = {**LISTING, "errors": (*LISTING["errors"], "run_not_found")}


class QualityFilters(MomentsQuery):
    status: CheckStatus | None = None


class CheckShown(CheckPart):
    run_id: RunId
    step_id: StepId
    attempt: int
    table: str
    checked_at: Utc


class ChecksShown(Part):
    checks: tuple[CheckShown, ...]
    next_cursor: str | None = None


class QualityRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", RUNS + "/{run_id}/dq", Who.TENANT, answers=ChecksShown, **OF_RUN)
    async def of_run(self, call: Call, run_id: RunId, query: QualityFilters) -> web.StreamResponse:
        """List what a run has checked, the newest first."""
        return await self._checks(call, query, run_id)

    @endpoint("GET", "/api/v1/pipelines/dq", Who.TENANT, answers=ChecksShown, **LISTING)
    async def of_all(self, call: Call, query: QualityFilters) -> web.StreamResponse:
        """List what all runs have checked, the newest first.

        Of the last 30 days unless `from` says otherwise; NDJSON gives every page of the same.
        """
        return await self._checks(call, query, None)

    async def _checks(
        self, call: Call, query: QualityFilters, run_id: RunId | None
    ) -> web.StreamResponse:
        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListQualityV1(
                tenant_id=call.tenant,
                run_id=run_id,
                status=query.status,
                from_time=query.from_time,
                to_time=query.to_time,
                after=after,
                limit=limit,
            )
            found = await self._edge.questions.ask(wanted, QualityListV1, within=READING_SECONDS)
            if run_id is not None and not found.checks:
                await self._check_exists(call, run_id)
            return [_shown(row) for row in found.checks], found.next_after

        name = f"checks/{run_id or ''}"
        return await self._edge.pages.respond(call.request, call.tenant, name, query, fetch)

    async def _check_exists(self, call: Call, run_id: RunId) -> None:
        if self._edge.live.find(call.tenant, run_id) is None:
            await self._edge.backfill.find(call.tenant, run_id)


def _shown(row: QualityRowPart) -> Item:
    found = row.model_dump(mode="json")
    return {**found.pop("check"), **found}
