"""Tenants that ask for more than they may, until each knows what became of every request."""

import asyncio
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from tests.soak.pace import paced

APPENDING = """
pipeline_id: ledger
description: Leaves one row for each run, so that a second time would show.
steps:
  - id: write
    ps_type: bq_etl.query
    config:
      source_query: "SELECT '${run_id}' AS run_id"
      target_table: ${tenant_id}.effects
      write_disposition: WRITE_APPEND
"""
FAILING = """
pipeline_id: failing
description: Reads what is not there.
steps:
  - id: read
    ps_type: bq_etl.query
    config: {source_query: "SELECT no_such_column", target_table: "${tenant_id}.never"}
"""
PIPELINES = {"ledger": APPENDING, "failing": FAILING}
FAILING_SHARE = 0.1
CANCEL_SHARE = 0.05
RUSH_SECONDS, RUSH_SHARE = 5.0, 0.1
"""So many of all requests come in the last seconds: runs still wait when the last fault is over."""
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
REFUSED = "quota_exceeded"
FULL = "queue_full"
LOOK_SECONDS = 0.2
LOOKS_AT_ONCE = 8


@dataclass(slots=True)
class Request:
    """What is asked for under one key until it is decided.

    That the queue was full is a decision, which stays: it is asked for anew under another key.
    """

    name: str
    pipeline: str = ""
    found_full: int = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotency-Key": f"{self.name}-{self.found_full}"}

    def heed(self, code: str | None) -> bool:
        """Whether it may be asked for again: under another key, of which this one takes care."""
        self.found_full += code == FULL
        return code == FULL


class Caller(Protocol):
    """Whoever has a key."""

    @property
    def key(self) -> str: ...


@dataclass(slots=True)
class Tenant:
    """What a tenant did, and what it was told."""

    name: str
    key: str
    daily: int
    demand: int
    accepted: dict[str, str] = field(default_factory=dict)
    """Run ids and the pipeline of each."""
    refused: int = 0
    cancelled: set[str] = field(default_factory=set)
    """Runs whose cancellation was asked for."""
    ended: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Workload:
    """All tenants' clients. They try again whatever is not an answer."""

    urls: list[str]
    tenants: list[Tenant]
    seconds: float
    chance: random.Random
    session: aiohttp.ClientSession
    unexpected: list[str] = field(default_factory=list)
    pause: float = 0.5
    """Seconds before a request is repeated."""
    requests: dict[str, Request] = field(default_factory=dict)
    """What was asked for, by the run that it was told of."""

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for tenant in self.tenants:
                group.create_task(self._ask(tenant))

    async def _ask(self, tenant: Tenant) -> None:
        steady = round(tenant.demand * (1 - RUSH_SHARE))
        rush = min(RUSH_SECONDS, self.seconds)
        parts = (
            (range(steady), self.seconds - rush),
            (range(steady, tenant.demand), rush),
        )
        async with asyncio.TaskGroup() as group:
            for numbers, seconds in parts:
                async for number in paced(numbers, seconds, self.chance):
                    group.create_task(self._submit(tenant, number))

    async def _submit(self, tenant: Tenant, number: int) -> None:
        pipeline = "failing" if self.chance.random() < FAILING_SHARE else "ledger"
        cancels = self.chance.random() < CANCEL_SHARE
        run_id = await self._obtain(tenant, Request(f"{tenant.name}-{number}", pipeline))
        if cancels and run_id:
            tenant.cancelled.add(run_id)
            await self.call("DELETE", f"/api/v1/pipelines/runs/{run_id}", tenant)

    async def _obtain(self, tenant: Tenant, request: Request) -> str | None:
        """The run that was begun, if the limits allow one."""
        path = f"/api/v1/pipelines/run/{request.pipeline}"
        while True:
            status, body = await self.call("POST", path, tenant, request.headers)
            if status == 202:
                run_id = str(body["run_id"])
                tenant.accepted[run_id] = request.pipeline
                self.requests[run_id] = request
                return run_id
            if status == 429 and body.get("code") == REFUSED:
                tenant.refused += 1
                return None
            request.heed(body.get("code"))
            self._note("POST", status, body)
            await asyncio.sleep(self.pause)

    async def wait_for_ends(self, within: float) -> float:
        """Return how long it took until every accepted run was seen to have ended, or `within`."""
        started = asyncio.get_running_loop().time()
        places = asyncio.Semaphore(LOOKS_AT_ONCE)
        with suppress(TimeoutError):
            async with asyncio.timeout(within), asyncio.TaskGroup() as group:
                anew: list[asyncio.Task[str | None]] = []
                while (open_runs := self._open_runs) or not all(task.done() for task in anew):
                    looks = [self._look(places, *one) for one in open_runs]
                    for (tenant, _), request in zip(
                        open_runs, await asyncio.gather(*looks), strict=True
                    ):
                        if request is not None:
                            anew.append(group.create_task(self._obtain(tenant, request)))
                    await asyncio.sleep(LOOK_SECONDS)
        return asyncio.get_running_loop().time() - started

    @property
    def _open_runs(self) -> list[tuple[Tenant, str]]:
        return [
            (tenant, run_id)
            for tenant in self.tenants
            for run_id in tenant.accepted
            if run_id not in tenant.ended
        ]

    async def _look(self, places: asyncio.Semaphore, tenant: Tenant, run_id: str) -> Request | None:
        """Take in a run's end; what found a full queue, as was known only later, is given back."""
        async with places:
            status, body = await self.call("GET", f"/api/v1/pipelines/runs/{run_id}", tenant)
        if status != 200 or body["status"] not in FINAL:
            return None
        if body["status"] != "REJECTED":
            tenant.ended[run_id] = body["status"]
            return None
        del tenant.accepted[run_id]
        request = self.requests[run_id]
        if request.heed((body.get("error") or {}).get("code")):
            return request
        tenant.refused += 1
        return None

    async def call(
        self,
        method: str,
        path: str,
        caller: Caller,
        headers: dict[str, str] | None = None,
        body: Any = None,
    ) -> tuple[int, Any]:
        """0 when nobody answered."""
        url = self.chance.choice(self.urls) + path
        headers = {"X-API-Key": caller.key, **(headers or {})}
        data = json.dumps(body or {}) if method == "POST" else None
        try:
            async with self.session.request(method, url, headers=headers, data=data) as answer:
                return answer.status, await answer.json(content_type=None) or {}
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    def _note(self, method: str, status: int, body: Any) -> None:
        """4xx that no client of ours can have earned."""
        if 400 <= status < 500 and status not in {409, 429}:
            self.unexpected.append(f"{method} {status} {body}")
