"""Prefect: `serve` waits for runs; `trigger FLOW ROUNDS` asks for them and prints milliseconds.

`here FLOW ROUNDS` calls the flow in this process.
"""

import sys
import time

from prefect import flow, serve, task
from prefect.deployments import run_deployment

from tests.bench.peers.scripts.work import HEAVY, HEAVY_STEPS, STEPS, fibonacci


@task
def nothing(_: object) -> int:
    return 0


@task
def slow(_: object) -> int:
    return fibonacci(HEAVY)


@flow
def light() -> None:
    last = None
    for _ in range(STEPS):
        last = nothing(last)


@flow
def heavy() -> None:
    last = None
    for _ in range(HEAVY_STEPS):
        last = slow(last)


def wait_for_runs() -> None:
    serve(light.to_deployment("light"), heavy.to_deployment("heavy"))


def trigger(name: str) -> None:
    run = run_deployment(f"{name}/{name}", timeout=120, poll_interval=0.05)
    if not run.state.is_completed():
        raise SystemExit(f"it ended otherwise: {run.state}")


def here(name: str) -> None:
    {"light": light, "heavy": heavy}[name]()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        wait_for_runs()
    else:
        way = {"trigger": trigger, "here": here}[sys.argv[1]]
        for _ in range(int(sys.argv[3])):
            started = time.perf_counter()
            way(sys.argv[2])
            print("took", (time.perf_counter() - started) * 1000, flush=True)
