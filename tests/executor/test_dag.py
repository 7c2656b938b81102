"""The order of steps: only what may run, nothing twice, always an end."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.identifiers import ConfigId, StepId
from contracts.pipelines import DefinitionPart, OnFailure, StepPart
from contracts.runs import RunStatus
from contracts.steps import StepStatus
from services.executor.dag import Dag, StepState


@st.composite
def definitions(draw: st.DrawFn) -> DefinitionPart:
    count = draw(st.integers(1, 8))
    steps = []
    for number in range(count):
        needs = draw(st.sets(st.integers(0, number - 1), max_size=3)) if number else set()
        steps.append(
            StepPart(
                step_id=StepId(f"s{number}"),
                type="x",
                needs=tuple(StepId(f"s{need}") for need in sorted(needs)),
                on_failure=draw(st.sampled_from(OnFailure)),
            )
        )
    return DefinitionPart(pipeline_id=ConfigId("p"), steps=tuple(steps))


@given(definitions(), st.data())
def test_steps_run_once_after_their_needs_and_the_run_ends(
    definition: DefinitionPart, data: st.DataObject
) -> None:
    dag, ran = Dag.of(definition), list[str]()
    while ready := dag.waiting:
        step = data.draw(st.sampled_from(ready))
        assert step.step_id not in ran
        assert set(step.needs) <= set(ran)
        ran.append(step.step_id)
        failed = data.draw(st.booleans())
        status = StepStatus.FAILED if failed else StepStatus.COMPLETED
        dag = dag.with_step(step.step_id, StepState(status))
    for step in dag.doomed:
        dag = dag.with_step(step.step_id, StepState(StepStatus.SKIPPED))
    assert dag.is_over
    good = all(state.status is StepStatus.COMPLETED for state in dag.states.values())
    assert not good or dag.outcome is RunStatus.COMPLETED
    assert not dag.stopped or dag.outcome is RunStatus.FAILED
