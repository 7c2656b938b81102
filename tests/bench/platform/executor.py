"""The executor with step types that exist only in benches, and a watch on its warehouse."""

import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import ExecutorSettings, load
from libs.warehouse.jobs import JobResult
from libs.warehouse.warehouse import Warehouse
from services.executor import app
from services.executor.steps.registry import step_types
from services.executor.steps.step import StepResult, StepRun, StepType
from services.executor.steps.tools import Tools

HEAVY = 33
JOB_TIMES = "BENCH_JOB_TIMES"
"""Names a file that gets a line for each query job: for how many seconds its step waited."""
NAP_SECONDS = 0.05


def fibonacci(number: int) -> int:
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)


class Light(StepType):
    """Does nothing: what is left is the platform's own time."""

    async def run(self, given: StepRun) -> StepResult:
        del given
        return StepResult()


class Heavy(StepType):
    """Computes, as long as a slow function does."""

    async def run(self, given: StepRun) -> StepResult:
        del given
        return StepResult(rows=await asyncio.to_thread(fibonacci, HEAVY))


class Nap(StepType):
    """Waits, so that steps side by side can be counted."""

    async def run(self, given: StepRun) -> StepResult:
        del given
        await asyncio.sleep(NAP_SECONDS)
        return StepResult()


OURS: Mapping[str, StepType] = {
    "bench.light": Light(),
    "bench.heavy": Heavy(),
    "bench.nap": Nap(),
}


def with_ours(tools: Tools) -> Mapping[str, StepType]:
    return {**step_types(tools), **OURS}


async def timed(self: Warehouse, *given: Any) -> JobResult:
    started = time.perf_counter()
    result = await RUN_QUERY_JOB(self, *given)
    if JOB_TIMES in os.environ:
        keep(time.perf_counter() - started)
    return result


def keep(seconds: float) -> None:
    with Path(os.environ[JOB_TIMES]).open("a") as times:
        times.write(f"{seconds}\n")


RUN_QUERY_JOB = Warehouse.run_query_job

if __name__ == "__main__":
    with (
        patch.object(app, "step_types", with_ours),
        patch.object(Warehouse, "run_query_job", timed),
    ):
        run_service(Process(Service.EXECUTOR, load(ExecutorSettings)), app.build)
