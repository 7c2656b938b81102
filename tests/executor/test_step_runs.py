"""What a step is given: names that are its own."""

import pytest

from tests.executor.stage import given, requested, step


@pytest.mark.parametrize("other", ["a_b", "A-b", "a-b_", "a--b"])
def test_steps_of_one_run_never_share_a_staging_table(other: str) -> None:
    parts = [step("transform.sql", id=name) for name in ("a-b", other)]
    request = requested(*parts)
    tables = {given(part, run_id=request.run_id).staging_table for part in parts}
    assert len(tables) == 2


def test_a_staging_table_is_the_same_for_every_attempt() -> None:
    part = step("transform.sql", id="a-b")
    run_id = requested(part).run_id
    first, second = (given(part, run_id=run_id, attempt=n).staging_table for n in (1, 2))
    assert first == second
