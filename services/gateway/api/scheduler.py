"""Endpoints for the scheduler's operators: Cloud Scheduler's ticks by hand, and a look at it."""

from pydantic import Field

from contracts.identifiers import TenantId
from contracts.quota import GetSchedulerStatusV1, SchedulerStatusV1
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Call, Query, Who, endpoint

PATIENCE = 30.0


class StatusPage(Query):
    after: TenantId | None = None
    """The last tenant of the page before."""
    limit: int = Field(default=50, ge=1, le=200)


class SchedulerRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("POST", "/api/v1/scheduler/trigger", Who.ADMIN)
    async def trigger(self, call: Call) -> TickAppliedV1:
        """Start what is due, as each minute's tick does; harmless to repeat."""
        return await self._tick(TickJob.TRIGGER)

    @endpoint("POST", "/api/v1/scheduler/process-queue", Who.ADMIN)
    async def process_queue(self, call: Call) -> TickAppliedV1:
        """Start what waits, as far as slots are free; harmless to repeat."""
        return await self._tick(TickJob.QUEUE)

    @endpoint("POST", "/api/v1/scheduler/reset-daily-quotas", Who.ADMIN)
    async def daily(self, call: Call) -> TickAppliedV1:
        """Drop what has outlived its retention; limits need no reset. Harmless to repeat."""
        return await self._tick(TickJob.DAILY)

    async def _tick(self, job: TickJob) -> TickAppliedV1:
        return await self._edge.questions.ask(TickV1(job=job), TickAppliedV1, within=PATIENCE)

    @endpoint("GET", "/api/v1/scheduler/status", Who.ADMIN)
    async def status(self, call: Call, query: StatusPage) -> SchedulerStatusV1:
        """Show what each tenant has of the running work, and why it has no more."""
        wanted = GetSchedulerStatusV1(**query.model_dump())
        return await self._edge.questions.ask(wanted, SchedulerStatusV1, within=PATIENCE)
