"""Dagster: the same two chains as jobs, each run in one process."""

from dagster import Definitions, in_process_executor, job, op

from tests.bench.peers.scripts.work import HEAVY, HEAVY_STEPS, STEPS, fibonacci


@op
def nothing(last: int = 0) -> int:
    return last


@op
def slow(last: int = 0) -> int:
    return fibonacci(HEAVY)


@job(executor_def=in_process_executor)
def light() -> None:
    last = nothing()
    for _ in range(STEPS - 1):
        last = nothing(last)


@job(executor_def=in_process_executor)
def heavy() -> None:
    last = slow()
    for _ in range(HEAVY_STEPS - 1):
        last = slow(last)


defs = Definitions(jobs=[light, heavy])
