"""Which steps may run next: a pure fold over what steps have come to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from contracts.identifiers import StepId
from contracts.pipelines import DefinitionPart, OnFailure, StepPart
from contracts.runs import RunStatus
from contracts.steps import StepStatus

GOOD = frozenset({StepStatus.COMPLETED})
OVER = frozenset(
    {StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED}
)


@dataclass(frozen=True, slots=True)
class Dag:
    """A definition and what has become of its steps so far."""

    definition: DefinitionPart
    states: Mapping[StepId, StepStatus]

    @classmethod
    def of(cls, definition: DefinitionPart) -> "Dag":
        return cls(definition, {})

    def with_step(self, step_id: StepId, status: StepStatus) -> "Dag":
        return replace(self, states={**self.states, step_id: status})

    @property
    def ready(self) -> list[StepPart]:
        """Steps that have not begun and whose needs are met, in the order written."""
        if self.stopped:
            return []
        return [step for step in self._untouched if all(map(self._met, step.needs))]

    @property
    def doomed(self) -> list[StepPart]:
        """Steps that can never run any more."""
        return [
            step
            for step in self._untouched
            if self.stopped or any(self._never(need) for need in step.needs)
        ]

    @property
    def stopped(self) -> bool:
        """A step that must not fail has failed."""
        return any(
            self.states.get(step.step_id) is StepStatus.FAILED and step.on_failure is OnFailure.STOP
            for step in self.definition.steps
        )

    @property
    def is_over(self) -> bool:
        return all(self.states.get(step.step_id) in OVER for step in self.definition.steps)

    @property
    def outcome(self) -> RunStatus:
        if self.stopped:
            return RunStatus.FAILED
        if StepStatus.CANCELLED in self.states.values():
            return RunStatus.CANCELLED
        return RunStatus.COMPLETED

    @property
    def _untouched(self) -> list[StepPart]:
        return [step for step in self.definition.steps if step.step_id not in self.states]

    def _met(self, need: StepId) -> bool:
        state = self.states.get(need)
        return state in GOOD or (state is StepStatus.FAILED and self._may_fail(need))

    def _never(self, need: StepId) -> bool:
        state = self.states.get(need)
        return state in OVER and not self._met(need)

    def _may_fail(self, step_id: StepId) -> bool:
        step = next(s for s in self.definition.steps if s.step_id == step_id)
        return step.on_failure is OnFailure.CONTINUE
