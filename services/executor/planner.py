"""What a run would do: every step compiled, checked and estimated; nothing runs."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import uuid4

from contracts.identifiers import RunId
from contracts.message import Event, Message
from contracts.pipelines import StepPart
from contracts.planning import PlanRunV1, RunPlanV1, StepPlanPart, Verdict
from contracts.platform import CommandRefusedV1
from contracts.runs import ErrorPart, RunRequestedV1
from libs.bus.message import Context
from libs.bus.router import Router
from libs.clock import Clock
from services.executor.dag import CycleError, levels_of
from services.executor.steps.step import StepError, StepPlan, StepRetryError, StepRun, StepType

AT_ONCE = 8
PATIENCE_SECONDS = 20.0


class Silent:
    """A teller for steps that do not run."""

    def progress(
        self, *, rows: int = 0, bytes_: int = 0, fraction: float | None = None, note: str = ""
    ) -> None: ...

    def say(self, what: str, event: Event) -> None: ...


class Planner:
    """Answers `run.plan.v1`."""

    def __init__(self, types: Mapping[str, StepType], clock: Clock) -> None:
        self._types = types
        self._clock = clock

    def register(self, router: Router) -> None:
        router.on(PlanRunV1)(self.on_plan_run)

    async def on_plan_run(self, query: PlanRunV1, _: Context) -> Sequence[Message]:
        try:
            levels = levels_of(query.definition)
        except CycleError as error:
            return [
                CommandRefusedV1(
                    tenant_id=query.tenant_id, code="invalid_definition", detail=str(error)
                )
            ]
        request, gate = _as_if_requested(query, self._clock()), asyncio.Semaphore(AT_ONCE)

        async def one(step: StepPart) -> StepPlanPart:
            async with gate:
                return await self._plan(request, step, levels[step.step_id])

        parts = await asyncio.gather(*(one(step) for step in query.definition.steps))
        return [
            RunPlanV1(
                tenant_id=query.tenant_id,
                steps=tuple(sorted(parts, key=lambda part: part.level)),
                bytes=sum(part.bytes for part in parts),
                price_usd=sum((part.price_usd for part in parts), Decimal(0)),
                allowed=all(part.verdict is not Verdict.REFUSED for part in parts),
            )
        ]

    async def _plan(self, request: RunRequestedV1, step: StepPart, level: int) -> StepPlanPart:
        def part(verdict: Verdict, plan: StepPlan, error: ErrorPart | None = None) -> StepPlanPart:
            return StepPlanPart(
                step_id=step.step_id,
                step_type=step.type,
                level=level,
                verdict=verdict,
                sql=plan.sql,
                reads=plan.reads,
                writes=plan.writes,
                bytes=plan.bytes,
                price_usd=plan.price_usd,
                note=plan.note,
                error=error,
            )

        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                plan = await self._ask(request, step)
        except TimeoutError:
            return part(Verdict.UNKNOWN, StepPlan(note="BigQuery did not estimate it in time"))
        except StepRetryError as error:
            return part(Verdict.UNKNOWN, StepPlan(note=error.detail))
        except StepError as error:
            told = ErrorPart(code=error.code, detail=error.detail, step_id=str(step.step_id))
            return part(Verdict.REFUSED, StepPlan(), told)
        return part(Verdict.ALLOWED if plan.known else Verdict.UNKNOWN, plan)

    async def _ask(self, request: RunRequestedV1, step: StepPart) -> StepPlan:
        type_ = self._types.get(step.type)
        if type_ is None:
            known = ", ".join(self._types)
            raise StepError("unknown_step_type", f"{step.type!r} is none of {known}")
        return await type_.plan(StepRun(request, step, 1, Silent()))


def _as_if_requested(query: PlanRunV1, now: datetime) -> RunRequestedV1:
    return RunRequestedV1(
        tenant_id=query.tenant_id,
        run_id=RunId(str(uuid4())),
        attempt=1,
        config_id=query.definition.pipeline_id,
        revision=0,
        definition=query.definition,
        run_date=query.run_date,
        parameters=query.parameters,
        datasets=query.datasets,
        max_bytes_billed=query.max_bytes_billed,
        lease_seconds=1,
        submitted_at=now,
    )
