"""Definitions: two shapes, one model, and a place for everything wrong."""

import asyncio
import re
import time
from contextlib import suppress

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.identifiers import ConfigId
from services.scheduler.definitions.nodes import DefinitionError
from services.scheduler.definitions.reading import Reader
from services.scheduler.definitions.shapes import parse_definition
from services.scheduler.templates.library import Library
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
            2,
            "wait for each other: a → b",
        ),
        ("steps:\n  - {id: 'a b', type: dq.check}\n", 2, "steps.0.id"),
        ("steps:\n  - {id: a, type: dq.check, timeout: 0}\n", 2, "timeout"),
        ("x: " + "y" * 300_000, None, "256 KiB"),
        ("\ufeffa: &a 1\nb: *a\n", 2, "aliases"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, line: int | None, detail: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, NAME)
    assert line in {one.line for one in caught.value.problems if detail in one.detail}


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


@pytest.mark.parametrize(
    ("config", "line", "pointer", "detail"),
    [
        ("load_by: nobody", 5, "load_by", "'nobody' loads no files; expected executor or bigquery"),
        (
            "load_by: bigquery\n      contract: freeze",
            6,
            "contract",
            "expected evolve; or leave out",
        ),
        ("load_by: bigquery\n      format: csv", 6, "format", "expected parquet"),
        ("load_by: bigquery\n      format: [parquet]", 6, "format", "expected parquet"),
        ("load_by: bigquery\n      columns: {a: int}", 6, "columns", "expected nothing"),
        ("files: [a.parquet, 's3://b/c']\n      load_by: bigquery", 5, "files", "landing folder"),
        ("files: {a: x/*, b: y/*}\n      load_by: bigquery", 5, "files", "paths without roles"),
    ],
    ids=["nobody", "contract", "format", "formats", "columns", "files", "roles"],
)
def test_what_bigquery_cannot_load_itself_is_told_before_it_is_saved(
    config: str, line: int, pointer: str, detail: str
) -> None:
    text = f"steps:\n  - id: raw\n    type: ingest.file\n    config:\n      {config}\n"
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text, NAME)
    (told,) = caught.value.problems
    assert (told.pointer, told.line) == (f"/steps/0/config/{pointer}", line)
    assert told.detail.startswith(f"{pointer}: ")
    assert detail in told.detail


def test_what_bigquery_may_load_itself_can_be_saved() -> None:
    fit = "{load_by: bigquery, files: '${parameters.files}', format: parquet, contract: evolve}"
    text = f"steps:\n  - id: raw\n    type: ingest.file\n    config: {fit}\n"
    assert parse_definition(text, NAME).steps[0].config["load_by"] == "bigquery"
    read = text.replace("bigquery", "executor").replace("evolve", "freeze")
    assert parse_definition(read, NAME).steps[0].config["contract"] == "freeze"


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


TAG = "tag:yaml.org,2002:"
QUOTE = "quote it if text is meant"


def problems_of(text: str) -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(DefinitionError) as caught:
        Reader(Library.packaged()).read(text, NAME)
    return [(one.line, one.column, one.detail) for one in caught.value.problems]


def places_of(text: str) -> list[tuple[int | None, int | None]]:
    return [(line, column) for line, column, _ in problems_of(text)]


def test_what_is_wrong_with_the_text_does_not_hide_what_is_wrong_with_the_meaning() -> None:
    text = """\
ü: &u [1]
steps:
  - id: a
    ps_type: dq.chek
    timeout: 2026-13-45
    timeut: *u
    config: {deep: [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]], no: !!int x}
    config: {{a: 1}: 2, sql: "${secret}"}
  - *u
  - {id: b, ps_type: dq.check, needs: [zzz]}
  - {id: b, ps_type: dq.check, on_failure: perhaps}
"""
    fields = "dependencies, description, id, name, pipeline, pipeline_id, steps, version"
    assert problems_of(text) == [
        (1, 1, f"unknown field 'ü' of a definition; known are {fields}"),
        (4, 14, "'dq.chek' is not a step type; did you mean 'dq.check'?"),
        (5, 14, f"'2026-13-45' is not a value of the type {TAG}timestamp; {QUOTE}"),
        (6, 5, "unknown field 'timeut' of a step; did you mean 'timeout'?"),
        (6, 13, "aliases (*name) are not allowed; write the value out"),
        (7, 36, "nested more than 20 levels deep"),
        (7, 63, f"'x' is not a value of the type {TAG}int; {QUOTE}"),
        (8, 5, "the key 'config' is there twice"),
        (8, 14, "a key is one word, not a list or a mapping"),
        (8, 30, "${secret} is no variable; there are tenant_id, date, run_id and parameters.NAME"),
        (9, 5, "aliases (*name) are not allowed; write the value out"),
        (11, 5, "step b is there twice"),
        (11, 44, "steps.3.on_failure: Input should be 'stop' or 'continue'"),
    ]


def test_every_value_that_is_none_is_told() -> None:
    steps = "steps: [{id: a, ps_type: dq.check, config: {a: 2026-13-01, b: !!int x, c: !!int y}}]"
    assert places_of(steps) == [(1, 48), (1, 63), (1, 75)]


def test_a_definition_without_steps_is_told_the_rest_as_well() -> None:
    assert places_of("stepz: []\npipeline: 3\ndependencies: 4\n") == [
        (1, 1),
        (1, 1),
        (2, 11),
        (3, 15),
    ]


def test_each_circle_of_steps_is_told_beside_all_else() -> None:
    text = """\
steps:
  - {id: a, ps_type: dq.check, needs: [b, nobody]}
  - {id: b, ps_type: dq.check, needs: [c]}
  - {id: c, ps_type: dq.check, needs: [a]}
  - {id: after, ps_type: dq.check, needs: [a, self]}
  - {id: self, ps_type: dq.check, needs: [self]}
  - {id: x, ps_type: dq.check, needs: [y]}
  - {id: y, ps_type: dq.check, needs: [x, after]}
  - {id: good, ps_type: dq.check, needs: [y]}
"""
    assert problems_of(text) == [
        (2, 39, "step a: it needs nobody, which is no step"),
        (2, 39, "steps wait for each other: a → b → c"),
        (6, 42, "steps wait for each other: self"),
        (7, 39, "steps wait for each other: x → y"),
    ]


def test_a_use_of_a_template_is_told_everything_at_once() -> None:
    text = """\
template: gcp/cost/billing_by_service
steps: []
nmae: x
parameters:
  minimum_cost: -1
  minimum_cots: 1
  other: 2026-13-01
"""
    fields = "description, name, parameters, pipeline_id, template"
    assert problems_of(text) == [
        (2, 1, f"a use of a template has only the fields {fields}"),
        (3, 1, f"a use of a template has only the fields {fields}"),
        (5, 17, "minimum_cost: -1 is less than the minimum of 0"),
        (6, 17, "'minimum_cots' was unexpected; did you mean 'minimum_cost'?"),
        (7, 10, f"'2026-13-01' is not a value of the type {TAG}timestamp; {QUOTE}"),
    ]
    assert places_of("template: gcp/cost/nothing\nmore: 1\nparameters: 3\n") == [
        (1, 11),
        (2, 1),
        (3, 13),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"ste{n}: 1\n" for n in range(22_000)) + "steps: [{id: a}]",
        "a: 1\n" * 50_000,
        "a: &a 1\nb: [" + "*a, " * 60_000 + "]",
        "template: a/b/c\nparameters: {" + "".join(f"a{n}: 1, " for n in range(20_000)) + "}",
        "steps: [" + "{id: a}, " * 25_000 + "]",
        "steps:\n" + "- {id: a, xid: b}\n" * 499,
        "[" * 100_000,
        "a: " + "[" * 100_000 + "]" * 100_000,
        "a: " + ("[" * 190 + "x" + "]" * 190 + ", ").join(["["] + [""] * 500) + "]",
    ],
    ids=["fields", "twice", "aliases", "parameters", "steps", "hints", "open", "deep", "as deep"],
)
def test_a_text_made_to_take_long_does_not(text: str) -> None:
    """Ledgers of others wait meanwhile. Some 100 problems are told, and how many more there are."""
    started = time.process_time()
    problems = problems_of(text)
    assert time.process_time() - started < 4
    assert len(problems) <= 101
    if len(problems) > 100:
        assert re.fullmatch(r"and [\d,]+ more; mend these first, then ask again", problems[-1][2])


async def test_others_go_on_while_a_large_text_is_read() -> None:
    reader = Reader(Library.packaged())
    large = asyncio.create_task(reader.read_soon("a: 1\n" * 10_000, NAME))
    turns = 0
    while not large.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 2
    with pytest.raises(DefinitionError):
        await large


def test_levels_that_tie_everything_to_everything_are_refused() -> None:
    names = [f"s{n}" for n in range(400)]
    text = f"""\
steps: [{", ".join(f"{{id: {n}, ps_type: dq.check}}" for n in names)}]
dependencies:
  level_1: [{", ".join(names[:200])}]
  level_2: [{", ".join(names[200:])}]
"""
    ((line, column, detail),) = problems_of(text)
    assert (line, column) == (3, 3)
    assert detail.startswith("each step needs all of the level before: 40,000 in all, of 10,000")


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
