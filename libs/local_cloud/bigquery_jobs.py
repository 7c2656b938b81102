"""Mends the REST resource of jobs: one run per id, answered while it runs.

bqemulator answers when a job has ended, accepts an id twice, and can neither
cancel nor say that a job is running.
"""

import asyncio
from collections import OrderedDict
from typing import Any
from uuid import uuid4

from bqemulator.api.routes import jobs
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import (
    InvalidQueryError,
    ResourceRef,
    resource_not_found,
)
from fastapi import Request
from fastapi.responses import JSONResponse

from libs.local_cloud.bigquery_copies import run_copy, run_extract
from libs.local_cloud.bigquery_dry_runs import dry_run
from libs.local_cloud.bigquery_history import (
    describe,
    kind_of,
    newest,
    record_failure,
    resource,
)
from libs.local_cloud.bigquery_loads import run_load
from libs.local_cloud.bigquery_mending import replace_route
from libs.local_cloud.bigquery_pages import JobFailedError, Page, page_of
from libs.local_cloud.bigquery_progress import statistics_so_far
from libs.local_cloud.bigquery_queries import run_query
from libs.local_cloud.bigquery_runs import Run, Runs

PROMPT_SECONDS = 0.25
"""How long an inserted job may take to be answered as done; then it is said to run."""
LONGEST_WAIT_SECONDS = 30.0
KEPT_REQUESTS = 1_000
QUERY_OPTIONS = (
    "query",
    "queryParameters",
    "parameterMode",
    "defaultDataset",
    "useLegacySql",
    "useQueryCache",
    "maximumBytesBilled",
    "createSession",
    "connectionProperties",
)
JOB_OPTIONS = ("labels", "dryRun", "jobTimeoutMs")


class JobRoutes:
    """The endpoints of jobs; one per process, on its event loop."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._requests: OrderedDict[str, str] = OrderedDict()
        """Request id → job id: a query that is sent again is not run again."""

    def mend(self) -> None:
        for name in ("insert_job", "get_job", "list_jobs", "cancel_job", "query"):
            replace_route(jobs.router, name, getattr(self, name))
        replace_route(jobs.router, "get_query_results", self.get_query_results)

    async def insert_job(
        self, project_id: str, request: Request, ctx: jobs._Ctx, caller: jobs._Caller
    ) -> dict[str, Any]:
        body = await request.json()
        configuration = body.get("configuration") or {}
        key = (project_id, (body.get("jobReference") or {}).get("jobId") or new_job_id())
        if configuration.get("dryRun"):
            return await self._dry_run(Run(key, configuration), ctx, caller)
        run = self.start(Run(key, configuration), ctx, caller)
        return resource(await self._after(run, PROMPT_SECONDS, ctx))

    def start(self, run: Run, ctx: Any, caller: Any) -> Run:
        """Begin a job of any kind; raises when its id was used before."""
        kind = kind_of(run.configuration)
        if kind not in run.configuration:
            raise InvalidQueryError("A job is one of: query, load, extract, copy")

        async def work(run: Run) -> JobMeta:
            if kind == "query":
                return await run_query(run, ctx, caller)
            if kind == "load":
                return run_load(run, ctx)
            return await (run_copy if kind == "copy" else run_extract)(run, ctx)

        self._runs.start(run, work, ctx, lambda run, error: record_failure(ctx, run, error))
        return run

    async def _after(self, run: Run, seconds: float, ctx: Any) -> JobMeta:
        """The job as it is after some time; raises what made its request invalid."""
        if await run.wait(seconds) and not run.shown:
            meta: JobMeta = run.done.result()
            return meta
        run.shown = True
        return self._find(run.key, ctx)

    def _find(self, key: tuple[str, str], ctx: Any) -> JobMeta:
        run = self._runs.get(key)
        if run is not None:
            return describe(run, statistics_so_far(run), state=run.state)
        meta: JobMeta | None = ctx.catalog.get_job(*key)
        if meta is None:
            raise resource_not_found(ResourceRef("job", key[0], resource_id=key[1]))
        return meta

    def _see(self, key: tuple[str, str], ctx: Any) -> JobMeta:
        run = self._runs.get(key)
        if run is not None:
            run.shown = True
        return self._find(key, ctx)

    async def get_job(self, project_id: str, job_id: str, ctx: jobs._Ctx) -> dict[str, Any]:
        return resource(self._see((project_id, job_id), ctx))

    async def cancel_job(self, project_id: str, job_id: str, ctx: jobs._Ctx) -> dict[str, Any]:
        run = self._runs.get((project_id, job_id))
        if run is not None:
            run.shown = True
            run.stop("Job execution was cancelled: User requested cancellation")
            await run.wait(PROMPT_SECONDS)
        meta = self._see((project_id, job_id), ctx)
        return {"kind": "bigquery#jobCancelResponse", "job": resource(meta)}

    async def list_jobs(  # noqa: PLR0913, PLR0917  the API's own parameters
        self,
        project_id: str,
        ctx: jobs._Ctx,
        maxResults: int = 100,  # noqa: N803
        stateFilter: str | None = None,  # noqa: N803
        parentJobId: str | None = None,  # noqa: N803
        minCreationTime: int = 0,  # noqa: N803
        maxCreationTime: int = 1 << 62,  # noqa: N803
        pageToken: int = 0,  # noqa: N803
    ) -> dict[str, Any]:
        if parentJobId is not None:  # statements of a script are no jobs of their own here
            return {"kind": "bigquery#jobList", "jobs": []}
        live = [describe(run, {}, state=run.state) for run in self._runs.live(project_id)]
        begun = {meta.job_id for meta in live}
        found = live + [meta for meta in newest(ctx, project_id) if meta.job_id not in begun]
        chosen = [
            meta
            for meta in found
            if (stateFilter is None or meta.state == stateFilter.upper())
            and minCreationTime <= meta.creation_time.timestamp() * 1000 <= maxCreationTime
        ]
        listed = chosen[pageToken : pageToken + maxResults]
        answer: dict[str, Any] = {"kind": "bigquery#jobList", "jobs": [*map(resource, listed)]}
        if pageToken + maxResults < len(chosen):
            answer["nextPageToken"] = str(pageToken + maxResults)
        return answer

    async def get_query_results(  # noqa: PLR0913, PLR0917  the API's own parameters
        self,
        project_id: str,
        job_id: str,
        ctx: jobs._Ctx,
        maxResults: int | None = None,  # noqa: N803
        startIndex: int = 0,  # noqa: N803
        pageToken: int | None = None,  # noqa: N803
        timeoutMs: int = 10_000,  # noqa: N803
    ) -> JSONResponse:
        key = (project_id, job_id)
        run = self._runs.get(key)
        if run is not None:
            run.shown = True
            if not await run.wait(min(timeoutMs / 1000, LONGEST_WAIT_SECONDS)):
                return JSONResponse(_unfinished("bigquery#getQueryResultsResponse", key))
        meta = self._find(key, ctx)
        if meta.error_result:
            raise JobFailedError(meta)
        page = Page(startIndex if pageToken is None else pageToken, maxResults)
        found = await asyncio.to_thread(page_of, ctx, meta, page)
        return JSONResponse({"kind": "bigquery#getQueryResultsResponse", **found})

    async def query(
        self, project_id: str, request: Request, ctx: jobs._Ctx, caller: jobs._Caller
    ) -> JSONResponse:
        """Run a query and answer with its first rows, if it ends in time."""
        body = await request.json()
        configuration = _as_configuration(body)
        key = (project_id, self._job_of_request(body.get("requestId")))
        if body.get("dryRun"):
            return JSONResponse(await self._dry_query(Run(key, configuration), ctx, caller))
        run = self._runs.get(key)
        if run is None and ctx.catalog.get_job(*key) is None:
            run = self.start(Run(key, configuration), ctx, caller)
        seconds = min(body.get("timeoutMs", 10_000) / 1000, LONGEST_WAIT_SECONDS)
        meta = await self._after(run, seconds, ctx) if run else self._find(key, ctx)
        if meta.state != "DONE":
            return JSONResponse(_unfinished("bigquery#queryResponse", key))
        if meta.error_result:
            raise JobFailedError(meta)
        found = await asyncio.to_thread(page_of, ctx, meta, Page(0, body.get("maxResults")))
        return JSONResponse({"kind": "bigquery#queryResponse", **found})

    def _job_of_request(self, request_id: str | None) -> str:
        if request_id is None:
            return new_job_id()
        job_id = self._requests.setdefault(request_id, new_job_id())
        if len(self._requests) > KEPT_REQUESTS:
            self._requests.popitem(last=False)
        return job_id

    async def _dry_run(self, run: Run, ctx: Any, caller: Any) -> dict[str, Any]:
        async def work(run: Run) -> dict[str, Any]:
            return await dry_run(ctx, run.key[0], run.configuration, caller)

        statistics = await self._runs.call(run, work, ctx)
        return resource(describe(run, statistics))

    async def _dry_query(self, run: Run, ctx: Any, caller: Any) -> dict[str, Any]:
        shown = await self._dry_run(run, ctx, caller)
        statistics = shown["statistics"]["query"]
        return {
            "kind": "bigquery#queryResponse",
            "jobReference": {"projectId": run.key[0], "location": "US"},
            "jobComplete": True,
            "cacheHit": False,
            "schema": statistics["schema"],
            "totalBytesProcessed": statistics["totalBytesProcessed"],
        }


def new_job_id() -> str:
    return f"job_{uuid4().hex}"


def _as_configuration(body: dict[str, Any]) -> dict[str, Any]:
    """A query's request as the job that it stands for."""
    query: dict[str, Any] = {key: body[key] for key in QUERY_OPTIONS if key in body}
    rest: dict[str, Any] = {
        key: body[key] for key in ("labels", "dryRun", "jobTimeoutMs") if key in body
    }
    return {"query": query} | rest


def _unfinished(kind: str, key: tuple[str, str]) -> dict[str, Any]:
    reference = {"projectId": key[0], "jobId": key[1], "location": "US"}
    return {"kind": kind, "jobReference": reference, "jobComplete": False}
