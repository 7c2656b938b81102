"""How long until a tenant is told that its bill cannot be read: from POST to the failed run."""

import time
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.peers import made
from tests.stack import Stack

TENANT, PERIOD = "refused", "2026-10"
PATH = f"/api/v1/pipelines/run/{TENANT}/aws/cost/cur"
COST, READ_AS = "lineItem/UnblendedCost", "line_item_unblended_cost"
ROWS, ROUNDS = 1000, 5
ANSWERS_WITHIN = 1.0


def measured(folder: Path) -> list[Figure]:
    """A file that is not there, and one that lacks a column."""
    lines = made.AWS.make(folder, ROWS).read_text().splitlines(keepends=True)
    stack = Stack(folder / "platform").start()
    try:
        stack.onboard(TENANT)
        missing = [_refused(stack, "nothing_delivered") for _ in range(ROUNDS)]
        columns = []
        for number in range(ROUNDS):
            # Another file each time: the same would be known to be loaded already.
            bill = [lines[0].replace(COST, "lineItem/Amount"), *lines[1 : ROWS - number]]
            _deliver(stack, "".join(bill))
            columns.append(_refused(stack, READ_AS))
    finally:
        stack.stop()
    return [_figure("a missing file", missing), _figure("a missing column", columns)]


def _figure(what: str, seconds: list[float]) -> Figure:
    name = f"{what}: POST to the failed run, which says so"
    return Figure(name, "s", seconds, aim=ANSWERS_WITHIN, more_is_better=False)


def _refused(stack: Stack, says: str) -> float:
    started = time.perf_counter()
    answer = stack.call("POST", PATH, {"parameters": {"period": PERIOD}}, tenant=TENANT)
    if answer.status != 202:
        raise SystemExit(f"the run was not accepted: {answer.body}")
    ended = stack.wait_for_run(TENANT, answer.body["run_id"])
    took = time.perf_counter() - started
    if ended["status"] != "FAILED" or says not in str(ended["error"]):
        raise SystemExit(f"the run did not fail for {says}: {ended}")
    return took


def _deliver(stack: Stack, bill: str) -> None:
    place = stack.state_dir / "landing" / TENANT / "aws" / "cur" / PERIOD
    place.mkdir(parents=True, exist_ok=True)
    (place / "bill.csv").write_text(bill)
