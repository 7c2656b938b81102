"""A definition may name exactly the step types that executors have."""

from unittest.mock import MagicMock

from contracts.pipelines import STEP_TYPES
from services.executor.steps.registry import step_types


def test_the_step_types_of_the_contract_are_those_of_the_registry() -> None:
    assert set(STEP_TYPES) == set(step_types(MagicMock()))
    assert list(STEP_TYPES) == sorted(set(STEP_TYPES))
