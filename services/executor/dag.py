"""Which steps may run next: a pure fold over what steps have come to.

A step waits for its needs. A step that failed and may fail counts as met, and so
does one that its own condition left out. After a step has failed that may not,
only steps run whose condition asks for it with `failed()` or `always()`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from contracts.conditions import Condition, Facts
from contracts.identifiers import StepId
from contracts.pipelines import DefinitionPart, OnFailure, StepPart
from contracts.runs import RunStatus
from contracts.steps import StepStatus

OVER = frozenset(
    {StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED}
)
START = "start"


class CycleError(ValueError):
    """Steps that wait for each other."""

    def __init__(self, steps: Sequence[StepId]) -> None:
        self.steps = steps
        super().__init__(f"steps wait for each other: {', '.join(steps)}")


@dataclass(frozen=True, slots=True)
class StepState:
    """What has become of a step."""

    status: StepStatus
    rows: int = 0
    bytes: int = 0
    left_out: bool = False
    """Skipped by its own condition, which holds up nobody."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What follows from a definition alone."""

    may_fail: frozenset[StepId]
    survivors: frozenset[StepId]
    """Steps whose condition asks for a failure."""

    @classmethod
    def of(cls, definition: DefinitionPart) -> "Shape":
        """Raises `CycleError`."""
        levels_of(definition)
        steps = definition.steps
        return cls(
            frozenset(step.step_id for step in steps if step.on_failure is OnFailure.CONTINUE),
            frozenset(step.step_id for step in steps if _survives_failure(step)),
        )


@dataclass(frozen=True)  # no slots: what follows from its states is worked out once
class Dag:
    """A definition and what has become of its steps so far."""

    definition: DefinitionPart
    shape: Shape
    parameters: Mapping[str, Any] = field(default_factory=dict)
    date: str = ""
    states: Mapping[StepId, StepState] = field(default_factory=dict)

    @classmethod
    def of(
        cls, definition: DefinitionPart, parameters: Mapping[str, Any] | None = None, date: str = ""
    ) -> "Dag":
        """Raises `CycleError`."""
        return cls(definition, Shape.of(definition), parameters or {}, date)

    def with_step(self, step_id: StepId, state: StepState) -> "Dag":
        return replace(self, states={**self.states, step_id: state})

    @cached_property
    def waiting(self) -> list[StepPart]:
        """Steps that may be decided now: their needs are over, and nothing forbids them."""
        return [step for step in self._untouched if self._may_be_decided(step)]

    @cached_property
    def doomed(self) -> list[StepPart]:
        """Steps that can never run any more."""
        return [step for step in self._untouched if self._is_doomed(step)]

    def wanted(self, step: StepPart) -> bool:
        """Whether a step's condition lets it run; raises `ConditionError`."""
        return not step.when or Condition.parse(step.when).holds(self._facts)

    @cached_property
    def stopped(self) -> bool:
        """A step that must not fail has failed."""
        return any(
            state.status is StepStatus.FAILED and step_id not in self.shape.may_fail
            for step_id, state in self.states.items()
        )

    @property
    def is_over(self) -> bool:
        return all(self._status(step.step_id) in OVER for step in self.definition.steps)

    @property
    def outcome(self) -> RunStatus:
        if self.stopped:
            return RunStatus.FAILED
        if any(state.status is StepStatus.CANCELLED for state in self.states.values()):
            return RunStatus.CANCELLED
        return RunStatus.COMPLETED

    @cached_property
    def _untouched(self) -> list[StepPart]:
        return [step for step in self.definition.steps if step.step_id not in self.states]

    @cached_property
    def _facts(self) -> Facts:
        steps = {
            str(name): {"status": state.status.value, "rows": state.rows, "bytes": state.bytes}
            for name, state in self.states.items()
        }
        failed = any(state.status is StepStatus.FAILED for state in self.states.values())
        return Facts(self.parameters, steps, self.date, failed)

    @cached_property
    def _lost(self) -> frozenset[StepId]:
        return frozenset(step.step_id for step in self.doomed)

    def _may_be_decided(self, step: StepPart) -> bool:
        if step.step_id in self.shape.survivors:
            return all(self._status(need) in OVER or need in self._lost for need in step.needs)
        return not self.stopped and all(map(self._met, step.needs))

    def _is_doomed(self, step: StepPart) -> bool:
        if step.step_id in self.shape.survivors:
            return False
        return self.stopped or any(map(self._never, step.needs))

    def _met(self, need: StepId) -> bool:
        state = self.states.get(need)
        if state is None:
            return False
        if state.status is StepStatus.FAILED:
            return need in self.shape.may_fail
        return state.status is StepStatus.COMPLETED or state.left_out

    def _never(self, need: StepId) -> bool:
        return self._status(need) in OVER and not self._met(need)

    def _status(self, step_id: StepId) -> StepStatus | None:
        state = self.states.get(step_id)
        return state.status if state else None


def levels_of(definition: DefinitionPart) -> dict[StepId, int]:
    """Each step's level: 1, or one more than the highest of its needs; raises `CycleError`."""
    levels: dict[StepId, int] = {}
    left = list(definition.steps)
    while left:
        ready = [step for step in left if all(need in levels for need in step.needs)]
        if not ready:
            raise CycleError([step.step_id for step in left])
        for step in ready:
            levels[step.step_id] = 1 + max((levels[need] for need in step.needs), default=0)
        left = [step for step in left if step.step_id not in levels]
    return levels


def redone(definition: DefinitionPart, resume_from: str) -> set[StepId]:
    """Which steps are done again, whatever came of them, when a person asks for a run again."""
    if not resume_from:
        return set()
    if resume_from == START:
        return {step.step_id for step in definition.steps}
    found = {step.step_id for step in definition.steps if step.step_id == resume_from}
    levels = levels_of(definition)
    for step in sorted(definition.steps, key=lambda step: levels[step.step_id]):
        if found.intersection(step.needs):
            found.add(step.step_id)
    return found


def _survives_failure(step: StepPart) -> bool:
    return bool(step.when) and Condition.parse(step.when).survives_failure
