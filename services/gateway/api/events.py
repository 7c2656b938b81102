"""A run as it goes, by server-sent events: from its beginning, or from where a client was."""

import asyncio
import time
from collections import Counter
from contextlib import suppress

from aiohttp import web
from pydantic import Field

from contracts.identifiers import RunId, TenantId
from libs.web.app import begin
from libs.web.problem import Fault, Problem
from services.gateway.api.edge import RUNS, Edge
from services.gateway.api.endpoint import Call, Query, Who, endpoint
from services.gateway.journal import START, Position, parse_position
from services.gateway.live import LiveRun

HEARTBEAT_SECONDS = 15.0
LOOK_AGAIN_SECONDS = 0.5
MOST_PER_TENANT = 2_000
MOST = 10_000
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}


class From(Query):
    last_event_id: str = Field(default="", max_length=100)
    """The same as the header Last-Event-ID, for clients that cannot set one."""


class EventRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._backfill = edge.backfill
        self._open: Counter[TenantId] = Counter()

    @endpoint(
        "GET",
        RUNS + "/{run_id}/events",
        Who.TENANT,
        errors=("run_not_found", "too_many_streams"),
        streams="text/event-stream",
        reads=("Last-Event-ID",),
    )
    async def follow(self, call: Call, run_id: RunId, query: From) -> web.StreamResponse:
        """Follow a run by server-sent events, from its beginning or from where a client was."""
        request, tenant = call.request, call.tenant
        position = _position(request.headers.get("Last-Event-ID", "") or query.last_event_id)
        self._check_room(tenant)
        self._open[tenant] += 1
        try:
            await self._known(tenant, run_id)
            response = web.StreamResponse(headers=HEADERS)
            await begin(request, response)
            await response.write(b"retry: 2000\n\n")
            with suppress(ConnectionError, Problem):
                await self._tell(call, run_id, response, position)
            return response
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]

    def _check_room(self, tenant: TenantId) -> None:
        if self._open[tenant] >= MOST_PER_TENANT or self._open.total() >= MOST:
            raise Problem(
                429,
                "too_many_streams",
                f"At most {MOST_PER_TENANT} event streams of a tenant may be open on one instance;"
                " close some, or ask for the status with ?wait= instead.",
                headers={"Retry-After": "5"},
            )

    async def _known(self, tenant: TenantId, run_id: RunId) -> None:
        """Raises `Problem` unless it is a run of the tenant's own."""
        live = self._edge.live.followed(tenant, run_id)
        if live.run is not None and not self._backfill.is_due(live):
            return
        try:
            await self._backfill.refresh(tenant, run_id, live)
        except Problem:
            if live.run is None:
                self._edge.live.drop(tenant, run_id)
            raise

    async def _tell(
        self, call: Call, run_id: RunId, response: web.StreamResponse, position: Position
    ) -> None:
        written = time.monotonic()
        while not self._edge.stopping.is_set():
            await self._edge.auth.still(call.request)
            live = self._edge.live.followed(call.tenant, run_id)
            news, changed = live.journal.after(position), live.changed
            if news:
                await response.write(b"".join(entry.frame for entry in news))
                position, written = news[-1].position, time.monotonic()
                continue
            if live.journal.has_ended:
                return
            if time.monotonic() - written >= HEARTBEAT_SECONDS:
                await response.write(b": still here\n\n")
                written = time.monotonic()
            await self._wait(run_id, live, changed, written + HEARTBEAT_SECONDS)

    async def _wait(
        self, run_id: RunId, live: LiveRun, changed: asyncio.Event, heartbeat: float
    ) -> None:
        """Until there is news, or it is time for a sign of life or for another look."""
        restless = live.journal.lacks_something or self._backfill.is_due(live)
        left = max(heartbeat - time.monotonic(), 0.0)
        try:
            async with asyncio.timeout(min(LOOK_AGAIN_SECONDS, left) if restless else left):
                await changed.wait()
        except TimeoutError:
            if self._backfill.is_due(live):
                with suppress(Problem):  # asked again later
                    await self._backfill.refresh(live.tenant_id, run_id, live)
            self._edge.live.release(live)


def _position(text: str) -> Position:
    if not text:
        return START
    try:
        return parse_position(text)
    except ValueError:
        detail = f"Last-Event-ID: expected an id of this stream such as 1.1.3, found {text[:40]!r}"
        raise Problem(400, "invalid_request", detail, [Fault("/Last-Event-ID", detail)]) from None
