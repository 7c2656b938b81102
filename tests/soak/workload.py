"""Tenants that ask for more than they may, until each knows what became of every request."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

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
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
REFUSED = "quota_exceeded"


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
    ended: dict[str, str] = field(default_factory=dict)
    ended_after: dict[str, float] = field(default_factory=dict)
    """Seconds after the last fault that each end was seen."""


@dataclass(slots=True)
class Workload:
    """All tenants' clients. They try again whatever is not an answer."""

    urls: list[str]
    tenants: list[Tenant]
    seconds: float
    chance: random.Random
    session: aiohttp.ClientSession
    unexpected: list[str] = field(default_factory=list)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for tenant in self.tenants:
                group.create_task(self._ask(tenant))

    async def _ask(self, tenant: Tenant) -> None:
        pause = self.seconds / tenant.demand
        async with asyncio.TaskGroup() as group:
            for number in range(tenant.demand):
                group.create_task(self._submit(tenant, number))
                await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause)

    async def _submit(self, tenant: Tenant, number: int) -> None:
        pipeline = "failing" if self.chance.random() < FAILING_SHARE else "ledger"
        cancels = self.chance.random() < CANCEL_SHARE
        key = {"Idempotency-Key": f"{tenant.name}-{number}"}
        path = f"/api/v1/pipelines/run/{pipeline}"
        while True:
            status, body = await self.call("POST", path, tenant, key)
            if status == 202:
                tenant.accepted[body["run_id"]] = pipeline
                break
            if status == 429 and body.get("code") == REFUSED:
                tenant.refused += 1
                return
            self._note("POST", status, body)
            await asyncio.sleep(0.5)
        if cancels:
            await self.call("DELETE", f"/api/v1/pipelines/runs/{body['run_id']}", tenant)

    async def wait_for_ends(self, within: float) -> float:
        """Return how long it took until every accepted run had ended, or `within`."""
        started = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - started < within:
            open_runs = [
                (tenant, run_id)
                for tenant in self.tenants
                for run_id in tenant.accepted
                if run_id not in tenant.ended
            ]
            if not open_runs:
                break
            for tenant, run_id in open_runs:
                path = f"/api/v1/pipelines/runs/{run_id}"
                status, body = await self.call("GET", path, tenant)
                if status != 200 or body["status"] not in FINAL:
                    continue
                if body["status"] == "REJECTED":  # it was only known after the 202
                    del tenant.accepted[run_id]
                    tenant.refused += 1
                else:
                    tenant.ended[run_id] = body["status"]
                    tenant.ended_after[run_id] = asyncio.get_running_loop().time() - started
            await asyncio.sleep(0.2)
        return asyncio.get_running_loop().time() - started

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
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    def _note(self, method: str, status: int, body: Any) -> None:
        """4xx that no client of ours can have earned."""
        if 400 <= status < 500 and status not in {409, 429}:
            self.unexpected.append(f"{method} {status} {body}")
