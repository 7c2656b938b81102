"""What becomes of batches that BigQuery takes in part, late, or nobody knows whether."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

from contracts.identifiers import TenantId
from libs.clock import system_clock
from libs.warehouse.errors import UnavailableError
from libs.warehouse.schema import Table
from services.audit_log import verify
from services.audit_log.handlers import Handlers
from services.audit_log.tables import TABLES
from tests.audit_log.recorder import delivery
from tests.audit_log.test_views import queued

if TYPE_CHECKING:
    from libs.warehouse.warehouse import Warehouse


class Appended:
    """A warehouse of appended rows that fails as it is told to, by table."""

    project = "convergence-local"

    def __init__(self) -> None:
        self.rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.failing: dict[str, Exception] = {}

    async def tables(self, dataset: str) -> list[str]:
        return [table.name for table in TABLES if table.dataset == dataset]

    async def append(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if table.name in self.failing:
            raise self.failing.pop(table.name)
        self.rows[table.name] += map(dict, rows)

    def verified(self) -> verify.Verdict:
        rows = self.rows["event_log"]
        return verify.verify(json.dumps(row, default=lambda at: at.isoformat()) for row in rows)


@pytest.fixture
def warehouse() -> Appended:
    return Appended()


@pytest.fixture
def handlers(warehouse: Appended) -> Handlers:
    return Handlers(cast("Warehouse", warehouse), system_clock)


@pytest.mark.parametrize("away", ["event_log", "run_log"])
async def test_a_batch_is_recorded_when_every_table_has_its_rows(
    warehouse: Appended, handlers: Handlers, away: str
) -> None:
    warehouse.failing[away] = UnavailableError("an append", "away")
    one = delivery(queued(TenantId("acme"), 1))
    await handlers.record([one])
    for name in ("event_log", "run_log"):
        assert {row["event_id"] for row in warehouse.rows[name]} == {one.envelope.id}, name
    assert (warehouse.verified().rows, len(warehouse.verified().heads)) == (1, 1)


async def test_nothing_follows_from_rows_that_may_not_have_been_written(
    warehouse: Appended, handlers: Handlers
) -> None:
    first, lost, later = (delivery(queued(TenantId("acme"), number)) for number in range(3))
    await handlers.record([first])
    warehouse.failing["event_log"] = OSError("nobody knows")
    with pytest.raises(OSError, match="nobody knows"):
        await handlers.record([lost])
    await handlers.record([lost, later])
    verdict = warehouse.verified()
    assert (verdict.rows, len(verdict.heads)) == (3, 2)
