"""What a step type is: given its part of the definition, it does one thing once.

StepError              phrased for the tenant; trying again cannot help
└── StepRetryError     something gave way that may hold next time
"""

from dataclasses import dataclass
from typing import Protocol

from contracts.pipelines import StepPart
from contracts.runs import RunRequestedV1


class StepError(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code}: {detail}")


class StepRetryError(StepError):
    """The next try gets a job id of its own."""


@dataclass(frozen=True, slots=True)
class StepRun:
    """One try of one step."""

    request: RunRequestedV1
    step: StepPart
    try_number: int

    @property
    def job_id(self) -> str:
        """The same for every attempt of the run, so that a job begun before is adopted."""
        return f"run_{self.request.run_id}_{self.step.step_id}_{self.try_number}"


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did."""

    rows: int = 0
    bytes: int = 0
    job_ids: tuple[str, ...] = ()


class StepType(Protocol):
    async def run(self, given: StepRun) -> StepResult:
        """Do it, or find it done; raises `StepError`. May be cancelled at any await."""

    async def cancel(self, given: StepRun) -> None:
        """Stop what goes on outside this process."""
