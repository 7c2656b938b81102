"""Tenants whose pipelines run by schedule, and who load corrected bills over and over."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.identifiers import ConfigId, TenantId
from deploy.local.demonstration import HERE, PERIOD, RUN_BODY, TEMPLATE
from libs.warehouse.errors import WarehouseError
from libs.warehouse.warehouse import Warehouse
from services.scheduler.domain.schedules import scheduled_run_id
from tests.faults.checker import Finding
from tests.soak.workload import APPENDING, FINAL, Request, Workload
from tests.stack import Stack, eventually

NAMES = ("regular_0", "regular_1")
SCHEDULED = "ledger"
LEFT_OUT = 10
"""Lines of the bill that its corrected version has no more."""
LOOK_SECONDS = 2.0
LOAD_SECONDS = 30.0
AROUND = timedelta(seconds=90)
"""So near to when a schedule is saved or deleted, a time may have run or not."""
MINUTE = timedelta(minutes=1)
Held = tuple[int, Decimal, int]
"""Rows, their cost, and how many loads they are of."""


@dataclass(slots=True)
class Regular:
    """One such tenant; everything is asked through the workload's bad network."""

    name: str
    key: str
    landing: Path
    clock: Callable[[], datetime]
    possible: set[Held] = field(default_factory=set)
    seen: list[Held] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    """How each load ended."""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def lines(self) -> list[str]:
        return (HERE / f"aws-cur-{PERIOD}.csv").read_text().splitlines(keepends=True)

    def deliver(self, *, whole: bool) -> None:
        folder = self.landing / self.name / "aws" / "cur" / PERIOD
        folder.mkdir(parents=True, exist_ok=True)
        new = folder.parent / "bill.csv"
        new.write_text("".join(self.lines if whole else self.lines[:-LEFT_OUT]))
        new.replace(folder / "bill.csv")

    async def look(self, warehouse: Warehouse) -> Held:
        (row,) = await warehouse.query(
            "SELECT COUNT(*) AS n, SUM(BilledCost) AS cost, COUNT(DISTINCT x_load_id) AS loads"
            f" FROM {self.name}.focus_costs"
        )
        return row["n"], row["cost"], row["loads"]

    async def keep_loading(self, work: Workload, seconds: float) -> None:
        """One bill and its correction by turns, each once the other has ended."""
        stop = asyncio.get_running_loop().time() + seconds
        number = 0
        while asyncio.get_running_loop().time() < stop:
            number += 1
            self.deliver(whole=bool(number % 2))
            self.loads.append(await _load_once(self, work, number))
            await asyncio.sleep(LOAD_SECONDS * work.chance.uniform(0.5, 1.5))

    async def keep_looking(self, warehouse: Warehouse, stop: asyncio.Event) -> None:
        """Whoever reads the costs at any time sees one whole delivery."""
        while not stop.is_set():
            with suppress(WarehouseError):  # of emulators that are killed or told to fail
                self.seen.append(await self.look(warehouse))
            await asyncio.sleep(LOOK_SECONDS)


def prepare(stack: Stack, clock: Callable[[], datetime]) -> list[Regular]:
    """Onboard them, load both versions of the bill once, and begin their schedules."""
    found = []
    for name in NAMES:
        stack.onboard(name)
        one = Regular(name, stack.keys[name], stack.state_dir / "landing", clock)
        path = f"/api/v1/pipelines/configs/{SCHEDULED}"
        assert stack.call("PUT", path, text=APPENDING, tenant=name).status == 200
        found.append(one)
    return found


def load(stack: Stack, one: Regular, *, whole: bool) -> None:
    """Before there is trouble, so that it must go well."""
    one.deliver(whole=whole)
    body = {**RUN_BODY, "trigger_by": f"whole {whole}"}
    answer = stack.call("POST", _run_path(one), body, tenant=one.name)
    assert answer.status == 202, answer.body
    ended = stack.wait_for_run(one.name, answer.body["run_id"], within=120)
    assert ended["status"] == "COMPLETED", ended


def begin(stack: Stack, one: Regular) -> None:
    body = {"config_id": SCHEDULED, "cron": "* * * * *", "misfire": "run_all", "misfire_limit": 100}

    def saved() -> None:
        answer = stack.call("POST", _schedules(one), body, tenant=one.name)
        assert answer.status == 201, answer.body

    eventually(saved, within=60)
    one.since = one.clock()


def end(stack: Stack, one: Regular) -> None:
    def deleted() -> None:
        answer = stack.call("DELETE", f"{_schedules(one)}/{SCHEDULED}", tenant=one.name)
        assert answer.status in {204, 404}, answer.body

    eventually(deleted, within=60)
    one.until = one.clock()


async def _load_once(one: Regular, work: Workload, number: int) -> str:
    request = Request(f"load-{number}")
    status: int = 0
    body: Any = {}
    while status != 202:
        status, body = await work.call("POST", _run_path(one), one, request.headers, RUN_BODY)
        request.heed(body.get("code"))
        await asyncio.sleep(work.pause)
    while True:
        status, found = await work.call("GET", f"/api/v1/pipelines/runs/{body['run_id']}", one)
        if status == 200 and found["status"] in FINAL:
            return f"{found['status']}{found.get('error') or ''}"
        await asyncio.sleep(work.pause)


def minutes(first: datetime, last: datetime) -> Iterator[datetime]:
    due = first.replace(second=0, microsecond=0) + MINUTE
    while due <= last:
        yield due
        due += MINUTE


async def check(tenants: list[Regular], warehouse: Warehouse) -> list[Finding]:
    times, lost, more, unended = 0, [], [], []
    for one in tenants:
        assert one.since is not None
        assert one.until is not None
        ids = {
            str(scheduled_run_id(TenantId(one.name), ConfigId(SCHEDULED), due)): due
            for due in minutes(one.since - AROUND, one.until + AROUND)
        }
        times += len(ids)
        effects = await _effects(one, warehouse)
        for id_, due in ids.items():
            is_sure = one.since + AROUND < due < one.until - AROUND
            if effects.get(id_, 0) != 1 and (is_sure or effects.get(id_)):
                lost.append(f"{one.name} {due:%d %H:%M}: {effects.get(id_, 0)} rows")
        more += [f"{one.name}: {id_}" for id_ in effects if id_ not in ids]
        unended += [f"{one.name}: {how}" for how in one.loads if how != "COMPLETED"]
    return [
        Finding("each minute's scheduled run had its effect once", times, tuple(lost)),
        Finding("no run by schedule without a due time", times, tuple(more)),
        Finding(
            "each load of a bill completes", sum(len(o.loads) for o in tenants), tuple(unended)
        ),
        Finding(
            "costs were one whole delivery whenever looked at",
            sum(len(one.seen) for one in tenants),
            tuple(
                f"{one.name}: {held}"
                for one in tenants
                for held in one.seen
                if held not in one.possible
            ),
        ),
    ]


async def _effects(one: Regular, warehouse: Warehouse) -> dict[str, int]:
    rows = await warehouse.query(f"SELECT run_id, COUNT(*) AS n FROM {one.name}.effects GROUP BY 1")
    return {row["run_id"]: row["n"] for row in rows}


def _run_path(one: Regular) -> str:
    return f"/api/v1/pipelines/run/{one.name}/{TEMPLATE}"


def _schedules(one: Regular) -> str:
    return f"/api/v1/scheduler/customer/{one.name}/pipelines"
