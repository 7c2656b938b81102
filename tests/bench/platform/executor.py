"""The executor with step types that exist only in benches."""

import asyncio
from collections.abc import Mapping
from unittest.mock import patch

from contracts.message import Service
from libs.service import Process, run_service
from libs.settings import ExecutorSettings, load
from services.executor import app
from services.executor.steps.registry import step_types
from services.executor.steps.step import StepResult, StepRun, StepType
from services.executor.steps.tools import Tools

HEAVY = 33
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


if __name__ == "__main__":
    with patch.object(app, "step_types", with_ours):
        run_service(Process(Service.EXECUTOR, load(ExecutorSettings)), app.build)
