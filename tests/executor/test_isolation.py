"""The second wall: what BigQuery says of a query that the first has let through."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from libs.objects import ObjectsError
from libs.warehouse.errors import JobFailedError, UnavailableError
from libs.warehouse.warehouse import DryRun
from services.executor.steps import isolation
from services.executor.steps.isolation import MOST_TABLES, Isolation, Judged, failed_job
from services.executor.steps.phrasing import phrased
from services.executor.steps.step import (
    StepError,
    StepFaultError,
    StepRetryError,
    StepUnknownError,
)
from services.executor.steps.variables import BoundSql
from tests.executor.stage import requested, step

VIEW = "p.acme.x_meta_runs"
OF_VIEW = (VIEW, "p.tenants.tenant_runs", "p.tenants.event_log")


@dataclass
class Saying:
    """A warehouse whose dry runs say what they are told to."""

    query: DryRun
    project: str = "p"
    asked: list[str] = field(default_factory=list)

    async def dry_run(
        self, sql: str, *, default_dataset: str, parameters: Mapping[str, object]
    ) -> DryRun:
        del default_dataset, parameters
        self.asked.append(sql)
        return DryRun(0, OF_VIEW) if sql == f"SELECT * FROM `{VIEW}`" else self.query


async def judged(sql: str, said: DryRun) -> Judged:
    return await Isolation(lambda _: Saying(said)).judge(BoundSql(sql), requested(step("x")))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (DryRun(0, ("p.other.t",)), "reads other.t"),
        (DryRun(0, ("q.acme.t",)), "reads acme.t"),
        (DryRun(0, ("p.tenants.event_log",)), "reads tenants.event_log"),
        (DryRun(0, (), statement="SCRIPT"), "a SCRIPT"),
        (DryRun(0, (), statement=""), "a script"),
        (DryRun(0, (), routines=("other.f",)), "calls other.f"),
        (DryRun(0, tuple(f"p.acme.t{n}" for n in range(MOST_TABLES))), "tables or more"),
    ],
)
async def test_what_bigquery_sees_otherwise_is_refused(said: DryRun, reason: str) -> None:
    with pytest.raises(StepError, match=reason) as caught:
        await judged("SELECT * FROM acme.t", said)
    assert caught.value.code == "sql_not_allowed"


async def test_a_view_of_the_platform_may_read_what_it_reads() -> None:
    found = await judged("SELECT * FROM acme.x_meta_runs", DryRun(7, OF_VIEW))
    assert found.bytes == 7


async def test_whoever_names_a_view_of_the_platform_may_not_read_beside_it() -> None:
    with pytest.raises(StepError, match=r"reads tenants\.secrets"):
        await judged("SELECT * FROM acme.x_meta_runs", DryRun(7, (*OF_VIEW, "p.tenants.secrets")))


async def test_who_is_told_that_bigquery_is_away_is_told_of_no_host() -> None:
    class Away(Saying):
        async def dry_run(self, *_: object, **__: object) -> DryRun:
            what, reason = "a dry run", "ConnectionError: host='10.1.2.3', port=443"
            raise UnavailableError(what, reason)

    walls = Isolation(lambda _: Away(DryRun(0, ())))  # type: ignore[arg-type,return-value]
    with pytest.raises(StepUnknownError) as caught:
        await walls.admit(BoundSql("SELECT 1"), requested(step("x")))
    assert "BigQuery is not available for a dry run" in caught.value.detail
    assert "10.1.2.3" not in caught.value.detail
    with pytest.raises(StepUnknownError) as stored, phrased():
        raise ObjectsError("ledger", "reading", OSError("host='10.1.2.3'"))
    assert "10.1.2.3" not in stored.value.detail


async def test_a_verdict_is_for_one_tenants_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Saying(DryRun(0, ("p.acme.t",)))
    walls = Isolation(lambda _: warehouse)  # type: ignore[arg-type,return-value]
    sql = BoundSql("SELECT * FROM t")
    for _ in range(2):
        await walls.admit(sql, requested(step("x")))
    assert len(warehouse.asked) == 1
    with pytest.raises(StepError):
        await walls.admit(sql, requested(step("x"), datasets=("other",)))
    monkeypatch.setattr(isolation, "TRUSTED_SECONDS", -1.0)
    await walls.admit(BoundSql("SELECT 1"), requested(step("x")))
    await walls.admit(BoundSql("SELECT 1"), requested(step("x")))
    assert len(warehouse.asked) == 4


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("backendError", StepFaultError),
        ("jobInternalError", StepFaultError),
        ("rateLimitExceeded", StepRetryError),
        ("invalidQuery", StepError),
    ],
)
def test_why_a_job_failed_tells_how_it_is_tried_again(reason: str, kind: type[StepError]) -> None:
    found = failed_job(JobFailedError("job-1", reason, "so"))
    assert (type(found), found.code) == (kind, f"bigquery_{reason}")
