"""Mends the record of jobs: complete, bounded, and true after a crash.

bqemulator forgets labels and most of a job's configuration, has no statistics
of bytes, and keeps every job for ever.
"""

from datetime import UTC, datetime
from typing import Any

from bqemulator.api.routes import jobs
from bqemulator.catalog.etag import generate_etag
from bqemulator.catalog.models import JobMeta
from bqemulator.domain.errors import DomainError

from libs.local_cloud.bigquery_runs import Run

KEPT_JOBS = 10_000
DROPPED_AT_ONCE = 50
USER = "local@convergence.invalid"
KINDS = ("query", "load", "copy", "extract")
INTERRUPTED = {
    "reason": "jobBackendError",
    "message": "The emulator ended while this job ran. Retrying may solve the problem.",
}


def describe(
    run: Run, statistics: dict[str, Any], error: dict[str, Any] | None = None, state: str = "DONE"
) -> JobMeta:
    """The record of a run as it stands now."""
    project, job_id = run.key
    kind = kind_of(run.configuration)
    described: dict[str, Any] = {"job_type": kind.upper(), "state": state}
    return JobMeta(
        **described,
        project_id=project,
        job_id=job_id,
        configuration={**run.configuration, "jobType": kind.upper()},
        statistics=statistics,
        error_result=error,
        creation_time=run.created,
        start_time=run.started,
        end_time=datetime.now(UTC) if state == "DONE" else None,
        user_email=USER,
        etag=generate_etag(project, job_id, state),
    )


def kind_of(configuration: dict[str, Any]) -> str:
    return next((kind for kind in KINDS if kind in configuration), "query")


def record(ctx: Any, meta: JobMeta) -> JobMeta:
    """Keep it, in the transaction that is open on this thread if one is."""
    ctx.catalog.upsert_job(meta)
    known = _known(ctx)
    if len(known) > KEPT_JOBS + DROPPED_AT_ONCE:
        for key in list(known)[:DROPPED_AT_ONCE]:
            ctx.catalog.delete_job(*key, not_found_ok=True)
    return meta


def record_failure(ctx: Any, run: Run, error: BaseException) -> None:
    record(ctx, describe(run, {}, error_result(error)))


def error_result(error: BaseException) -> dict[str, Any]:
    if not isinstance(error, DomainError):
        return {"reason": "invalidQuery", "message": f"{type(error).__name__}: {error}"}
    shaped: Any = jobs._domain_error_to_error_result  # noqa: SLF001
    result: dict[str, Any] = shaped(error)
    return result


def end_interrupted(ctx: Any) -> None:
    """What was running when the process ended will not go on."""
    for meta in list(_known(ctx).values()):
        if meta.state != "DONE":
            ended = {"state": "DONE", "error_result": INTERRUPTED, "end_time": datetime.now(UTC)}
            ctx.catalog.upsert_job(meta.model_copy(update=ended))


def newest(ctx: Any, project: str) -> list[JobMeta]:
    found = [meta for key, meta in _known(ctx).items() if key[0] == project]
    return sorted(found, key=lambda meta: meta.creation_time, reverse=True)


def _known(ctx: Any) -> dict[tuple[str, str], JobMeta]:
    catalog = getattr(ctx.catalog, "_cache", ctx.catalog)
    known: dict[tuple[str, str], JobMeta] = catalog._jobs  # noqa: SLF001  its only full list
    return known


def resource(meta: JobMeta) -> dict[str, Any]:
    """The job as the REST interface shows it."""
    shown: dict[str, Any] = jobs._build_job_response(  # noqa: SLF001
        meta.project_id, meta.job_id, meta, meta.configuration
    )
    shown["user_email"] = meta.user_email or USER
    labels = meta.configuration.get("labels")
    if labels:
        shown["configuration"]["labels"] = labels
    return shown
