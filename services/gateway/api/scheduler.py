"""Endpoints for the scheduler's operators: Cloud Scheduler's ticks by hand, and a look at it."""

from contracts.identifiers import TenantId
from contracts.message import Part
from contracts.quota import GetSchedulerStatusV1, SchedulerStatusV1, TenantSharePart
from contracts.ticks import TickAppliedV1, TickJob, TickV1
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Call, Who, endpoint
from services.gateway.api.pages import PageQuery

PATIENCE = 30.0


class StatusShown(Part):
    max_running: int = 0
    """Places for running work over all tenants; 0 is without limit."""
    running: int
    waiting: int
    """Both over all tenants when there is a limit, else over this page."""
    tenants: tuple[TenantSharePart, ...]
    next_cursor: str | None = None


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

    @endpoint("GET", "/api/v1/scheduler/status", Who.ADMIN, errors=("invalid_cursor",))
    async def status(self, call: Call, query: PageQuery) -> StatusShown:
        """Show what each tenant has of the running work, and why it has no more."""
        after = self._edge.pages.begin("", "status", query)
        wanted = GetSchedulerStatusV1(after=TenantId(after) if after else None, limit=query.limit)
        found = await self._edge.questions.ask(wanted, SchedulerStatusV1, within=PATIENCE)
        following = self._edge.pages.following("", "status", query, found.next_after or "")
        return StatusShown(**found.model_dump(exclude={"next_after"}), next_cursor=following)
