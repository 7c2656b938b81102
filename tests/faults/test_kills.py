"""Kill -9 of any service while runs are in flight: each run ends once, nothing is lost."""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from functools import partial

import pytest

from libs.warehouse.warehouse import Warehouse, WarehouseSettings
from tests.faults.checker import Finding, check_runs
from tests.pipelines import ONE_STEP
from tests.stack import Stack, eventually

SERVICES = ("gateway", "tenant", "scheduler", "executor", "audit_log")
FINAL = {"COMPLETED", "FAILED", "CANCELLED", "REJECTED"}


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "LEASE_SECONDS": "4",
        "TICK_SECONDS": "1",
        "MAX_ATTEMPTS": "50",
        "QUESTION_TIMEOUT_SECONDS": "2",  # so clients often have to ask again
    }
    found = Stack(tmp_path_factory.mktemp("faults"), settings).start()
    yield found
    found.stop()


def prepare(stack: Stack, count: int) -> list[str]:
    tenants = [f"tenant_{number:02}" for number in range(count)]
    for tenant in tenants:
        stack.onboard(tenant)
        eventually(partial(save, stack, tenant))
    return tenants


def save(stack: Stack, tenant: str) -> None:
    path, anyway = "/api/v1/pipelines/configs/ones", {"If-Match": "*"}
    answer = stack.call("PUT", path, text=ONE_STEP, tenant=tenant, headers=anyway)
    assert answer.status == 200, answer.body


def submit(stack: Stack, tenant: str, number: int) -> tuple[str, str]:
    """Start a run, again and again until it is accepted: the key makes it one run."""

    def accepted() -> tuple[str, str]:
        answer = stack.call(
            "POST",
            "/api/v1/pipelines/run/ones",
            {},
            tenant=tenant,
            headers={"Idempotency-Key": f"run-{number}"},
        )
        assert answer.status == 202, answer.body
        return tenant, str(answer.body["run_id"])

    return eventually(accepted, within=150)


def run_under_fire(
    stack: Stack, runs: int, kills: int, seed: int
) -> tuple[list[tuple[str, str]], list[datetime]]:
    """Submit runs from several clients while services are killed at random; tells both."""
    chance, killed = random.Random(seed), []
    tenants = prepare(stack, max(2, runs // 25))
    with ThreadPoolExecutor(8) as clients:
        futures = [
            clients.submit(submit, stack, tenants[number % len(tenants)], number)
            for number in range(runs)
        ]
        wait(futures, timeout=150, return_when=FIRST_COMPLETED)  # before, nothing is in flight
        for _ in range(kills):
            stack.kill(chance.choice(SERVICES))
            killed.append(datetime.now(UTC))
            until = time.monotonic() + chance.uniform(0.2, 1.0)
            eventually(partial(_passed, until), within=60)
        return [future.result() for future in futures], killed


def _passed(moment: float) -> None:
    assert time.monotonic() >= moment


def wait_for_all(stack: Stack, submitted: list[tuple[str, str]], within: float) -> None:
    open_runs = set(submitted)

    def all_ended() -> None:
        for tenant, run_id in list(open_runs):
            answer = stack.call("GET", f"/api/v1/pipelines/runs/{run_id}", tenant=tenant)
            if answer.status == 200 and answer.body["status"] in FINAL:
                open_runs.discard((tenant, run_id))
        assert not open_runs, f"{len(open_runs)} runs have not ended"

    eventually(all_ended, within=within)


def met_by(stack: Stack, submitted: list[tuple[str, str]], killed: list[datetime]) -> list[int]:
    """How many runs were accepted and not yet ended at each kill."""
    spans = []
    for tenant, run_id in submitted:
        run = stack.call("GET", f"/api/v1/pipelines/runs/{run_id}", tenant=tenant).body
        spans.append((datetime.fromisoformat(run["submitted_at"]), _ended(run)))
    return [sum(begun <= moment <= ended for begun, ended in spans) for moment in killed]


def _ended(run: dict[str, str]) -> datetime:
    return datetime.fromisoformat(run["finished_at"])


async def findings_when_quiet(stack: Stack, submitted: list[tuple[str, str]]) -> list[Finding]:
    """What the checker finds once everything published has been recorded."""
    ports = stack.ports()["bigquery"]
    warehouse = Warehouse.connect(
        WarehouseSettings(
            os.environ.get("GCP_PROJECT_ID", "convergence-local"),
            endpoint=f"http://127.0.0.1:{ports['rest']}",
        )
    )
    end = time.monotonic() + 120
    while True:
        found = await check_runs(warehouse, submitted)
        if not any(one.violations for one in found) or time.monotonic() > end:
            await warehouse.close()
            return found
        await asyncio.sleep(0.5)


def assert_nothing_broken(stack: Stack, runs: int, kills: int, seed: int) -> None:
    submitted, killed = run_under_fire(stack, runs, kills, seed)
    assert len(set(submitted)) == runs
    wait_for_all(stack, submitted, within=150)
    found = asyncio.run(findings_when_quiet(stack, submitted))
    met = met_by(stack, submitted, killed)
    assert sum(map(bool, met)) >= kills / 2
    broken = {one.promise: one.violations[:5] for one in found if one.violations}
    assert not broken, broken


@pytest.mark.timeout(900)
def test_runs_survive_kills_of_any_service(stack: Stack) -> None:
    assert_nothing_broken(stack, runs=40, kills=6, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_two_hundred_runs_survive_many_kills(stack: Stack) -> None:
    runs, kills = int(os.environ.get("RUNS", "200")), int(os.environ.get("KILLS", "30"))
    assert_nothing_broken(stack, runs, kills, seed=int(os.environ.get("SEED", "2")))
