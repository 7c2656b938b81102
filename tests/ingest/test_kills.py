"""Kill -9 in the middle of loads: the tables hold the old delivery or the new one, never both."""

import json
import random
import subprocess
import sys
from decimal import Decimal

import pytest

from tests.focus.ledger import load_ledger
from tests.ingest.loader import load
from tests.ingest.surroundings import Surroundings, ports_of_emulators
from tests.stack import ROOT

LEDGER = load_ledger("aws_cur")
VERSIONS = {
    "old": list(LEDGER.lines),
    "new": [line for line in LEDGER.lines if line.title != "Value added tax"],
}
LONGEST_LIFE = 4.0


def expected() -> set[tuple[int, Decimal]]:
    found = set()
    for lines in VERSIONS.values():
        frame, _ = LEDGER.convert(lines)
        found.add((frame.height, Decimal(str(frame["BilledCost"].sum()))))
    return found


async def held(around: Surroundings) -> tuple[tuple[int, Decimal], int]:
    (row,) = await around.rows(
        "SELECT COUNT(*) AS n, SUM(BilledCost) AS c, COUNT(DISTINCT x_load_id) AS loads"
        " FROM $.focus_costs"
    )
    return (row["n"], row["c"]), row["loads"]


def killed_somewhere(around: Surroundings, life: float) -> None:
    said = {
        "ports": ports_of_emulators(),
        "landing": str(around.landing),
        "tenant": str(around.tenant),
    }
    command = [sys.executable, "-m", "tests.ingest.loader", json.dumps(said)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "loading\n"
        try:
            child.wait(timeout=life)
        except subprocess.TimeoutExpired:
            child.kill()
        assert child.wait() == -9


async def kill(around: Surroundings, times: int, seed: int) -> None:
    for version, lines in VERSIONS.items():
        around.deliver(f"bill-{version}.csv", LEDGER.frame(lines).write_csv().encode())
    await load(around, "old")
    chance, possible = random.Random(seed), expected()
    assert len(possible) == 2
    for _ in range(times):
        killed_somewhere(around, chance.uniform(0.05, LONGEST_LIFE))
        found, loads = await held(around)
        assert found in possible
        assert loads == 1
        (raw,) = await around.rows("SELECT COUNT(DISTINCT x_load_id) AS n FROM $.raw_aws")
        assert raw["n"] == 1
    await load(around, "new")
    await load(around, "old")
    frame, _ = LEDGER.convert(VERSIONS["old"])
    assert (await held(around))[0] == (frame.height, frame["BilledCost"].sum())


async def test_loads_that_are_killed_leave_the_old_or_the_new(around: Surroundings) -> None:
    await kill(around, 2, seed=14)


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_leave_the_old_or_the_new(around: Surroundings) -> None:
    await kill(around, 100, seed=1004)
