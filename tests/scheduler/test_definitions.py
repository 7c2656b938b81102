"""Definitions: two shapes, one model, and a place for everything wrong."""

from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.identifiers import ConfigId
from services.scheduler.definitions.nodes import DefinitionError
from services.scheduler.definitions.shapes import parse_definition
from tests.pipelines import BAD_SQL, ONE_STEP

NAME = ConfigId("p")
STEP = "config: {source_query: SELECT 1, target_table: a.b}"


def test_both_shapes_become_one_model() -> None:
    flat = parse_definition(ONE_STEP, NAME)
    assert [step.step_id for step in flat.steps] == ["make"]
    levels = f"""
pipeline: {{id: p, name: Daily, version: "1.0.0"}}
dependencies:
  level_2: [{{step: b}}, {{step: c}}]
  level_1: [{{step: a}}]
  level_10: [{{step: d}}]
steps:
  - {{id: a, ps_type: bq_etl.query, {STEP}}}
  - {{id: b, ps_type: bq_etl.query, {STEP}}}
  - {{id: c, ps_type: bq_etl.query, {STEP}}}
  - {{id: d, ps_type: bq_etl.query, {STEP}}}
"""
    found = parse_definition(levels, NAME)
    assert {step.step_id: step.needs for step in found.steps} == {
        "a": (),
        "b": ("a",),
        "c": ("a",),
        "d": ("b", "c"),
    }
    assert (found.name, found.version) == ("Daily", "1.0.0")
    assert parse_definition(BAD_SQL, NAME).steps[1].needs == ("make",)


@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        ("", None, "empty"),
        ("- a\n- b\n", 1, "mapping"),
        ("steps: []\n", 1, "at least one step"),
        ("steps:\n  - id: a\n    type: dq.check\n  bad\n", 5, "not YAML"),
        ("a: &x 1\nb: *x\n", 2, "aliases"),
        ("a: 1\na: 2\n", 2, "twice"),
        ("a: " + "[" * 30 + "]" * 30, 1, "levels deep"),
        (
            "steps:\n  - id: a\n    type: dq.check\n  - id: a\n    type: dq.check\n",
            4,
            "there twice",
        ),
        ("steps:\n  - {id: a, type: dq.check, needs: [b]}\n", 2, "needs b"),
        (
            "steps:\n- {id: a, type: dq.check, needs: [b]}\n- {id: b, type: dq.check, needs: [a]}",
            1,
            "wait for each other",
        ),
        ("steps:\n  - {id: 'a b', type: dq.check}\n", 2, "steps.0.id"),
        ("steps:\n  - {id: a, type: dq.check, timeout: 0}\n", 2, "timeout"),
        ("x: " + "y" * 300_000, None, "256 KiB"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, line: int | None, detail: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, NAME)
    first = caught.value.problems[0]
    assert detail in first.detail
    assert first.line == line


def test_everything_wrong_is_said_at_once_in_the_order_of_the_text() -> None:
    text = """\
pipelin: {id: p}
steps:
  - id: a
    ps_type: dq.check
    timeut: 3
    config: {sql: "SELECT ${secret}"}
  - ps_type: dq.check
    needs: nothing
  - {id: c, ps_type: dq.check, needs: [zzz], timeout: 0}
"""
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, NAME)
    found = [(p.line, p.column, p.pointer) for p in caught.value.problems]
    assert found == [
        (1, 1, "/pipelin"),
        (5, 5, "/steps/0/timeut"),
        (6, 19, "/steps/0/config/sql"),
        (7, 5, "/steps/1/id"),
        (8, 12, "/steps/1/needs"),
        (9, 39, "/steps/2/needs"),
        (9, 55, "/steps/2/timeout"),
    ]
    assert "did you mean 'pipeline'" in caught.value.problems[0].detail


def test_an_unknown_step_type_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition("steps:\n  - id: a\n    ps_type: bq_etl.qery\n", NAME)
    (wrong,) = caught.value.problems
    assert (wrong.pointer, wrong.line, wrong.column) == ("/steps/0/ps_type", 3, 14)
    assert wrong.detail == "'bq_etl.qery' is not a step type; did you mean 'bq_etl.query'?"


@pytest.mark.parametrize("level", ["level_1", "level_2"], ids=["first", "last"])
@pytest.mark.parametrize("written", ["{step: lod}", "lod"], ids=["mapping", "text"])
def test_a_level_names_only_steps_that_there_are(level: str, written: str) -> None:
    levels = {"level_1": "{step: extract}", "level_2": "{step: load}", level: written}
    text = f"""\
dependencies:
  level_1: [{levels["level_1"]}]
  level_2: [{levels["level_2"]}]
steps:
  - {{id: extract, ps_type: dq.check}}
  - {{id: load, ps_type: dq.check}}
"""
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, NAME)
    (wrong,) = caught.value.problems
    line = text.splitlines().index(f"  {level}: [{written}]") + 1
    column = text.splitlines()[line - 1].index("lod") + 1
    assert (wrong.pointer, wrong.line, wrong.column) == (f"/dependencies/{level}/0", line, column)
    assert "'lod' is no step; did you mean 'load'?" in wrong.detail


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
NAMES = st.sampled_from(["steps", "id", "ps_type", "config", "needs", "dependencies", "pipeline"])
TREES = st.recursive(
    LEAVES, lambda t: st.lists(t, max_size=4) | st.dictionaries(NAMES, t, max_size=5), max_leaves=20
)


@given(TREES | st.text())
@settings(max_examples=300, deadline=None)
def test_whatever_is_written_is_read_or_refused(given_text: object) -> None:
    text = given_text if isinstance(given_text, str) else yaml.safe_dump(given_text)
    with suppress(DefinitionError):
        assert parse_definition(text, NAME).steps
