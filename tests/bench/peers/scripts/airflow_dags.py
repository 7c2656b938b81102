"""Airflow: the same two chains as DAGs, started only when asked."""

from airflow.sdk import dag, task

from tests.bench.peers.scripts.work import HEAVY, HEAVY_STEPS, STEPS, fibonacci


@task
def nothing(_: object = None) -> int:
    return 0


@task
def slow(_: object = None) -> int:
    return fibonacci(HEAVY)


@dag(schedule=None, max_active_runs=1)
def light() -> None:
    last = None
    for _ in range(STEPS):
        last = nothing(last)


@dag(schedule=None, max_active_runs=1)
def heavy() -> None:
    last = None
    for _ in range(HEAVY_STEPS):
        last = slow(last)


light()
heavy()
