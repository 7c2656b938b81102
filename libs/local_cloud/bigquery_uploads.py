"""Mends loads of uploaded files: they run as the job that their request names."""

from typing import Any

from bqemulator.api.routes import upload
from bqemulator.catalog.models import JobMeta

from libs.local_cloud.bigquery_jobs import JobRoutes, new_job_id
from libs.local_cloud.bigquery_loads import uploaded
from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_runs import Run

REFERENCE = "uploadedJobReference"


def mend(routes: JobRoutes) -> None:
    """Bqemulator gives every uploaded job an id of its own, and runs it on its loop."""
    configuration_of: Any = upload._load_configuration_from_envelope  # noqa: SLF001

    def keep_reference(envelope: dict[str, Any]) -> dict[str, Any]:
        reference = envelope.get("jobReference") or {}
        return {**configuration_of(envelope), REFERENCE: reference.get("jobId")}

    async def run_load(
        *, project_id: str, configuration: dict[str, Any], media_path: str, ctx: Any
    ) -> tuple[str, JobMeta]:
        own = uploaded(configuration, media_path)
        job_id = own.pop(REFERENCE, None) or new_job_id()
        run = routes.start(Run((project_id, job_id), own), ctx, None)
        await run.done  # the file is taken away when this returns
        return job_id, run.done.result()

    replace(upload, "_load_configuration_from_envelope", keep_reference)
    replace(upload, "_run_load", run_load)
