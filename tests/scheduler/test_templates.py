"""Templates: every packaged one is usable, parameters are checked, bad files are named."""

from pathlib import Path

import pytest

from contracts.templates import TemplateRefPart
from services.scheduler.templates import page
from services.scheduler.templates.library import Library, ParameterError, TemplateFileError

BILLING = TemplateRefPart(provider="gcp", domain="cost", template="billing_by_service")
GOOD = """
title: T
description: D
version: 1
parameters:
  type: object
  additionalProperties: false
  required: [days]
  properties: {days: {type: integer, minimum: 1}, region: {type: string, default: eu}}
definition:
  steps:
    - id: a
      ps_type: bq_etl.query
      config: {source_query: "SELECT ${parameters.days}", target_table: "${tenant_id}.t"}
"""


def library(root: Path, text: str) -> Library:
    path = root / "gcp" / "cost" / "t.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return Library.packaged(root)


def test_the_page_of_templates_is_current() -> None:
    assert page.main(["--check"]) == 0, "run `make contracts`"


def test_every_packaged_template_can_be_read() -> None:
    found = Library.packaged()
    assert found.find(BILLING) is not None
    assert all(one.about.title and one.definition.steps for one in found)


def test_defaults_fill_what_is_absent(tmp_path: Path) -> None:
    (one,) = library(tmp_path, GOOD)
    assert one.fill({"days": 3}) == {"days": 3, "region": "eu"}


@pytest.mark.parametrize(
    ("given", "pointer", "detail"),
    [
        ({}, "/parameters", "'days' is a required property"),
        ({"days": 0}, "/parameters/days", "less than the minimum"),
        ({"days": 1, "regoin": "us"}, "/parameters/regoin", "'regoin' was unexpected; did"),
    ],
    ids=["missing", "too small", "unknown"],
)
def test_wrong_parameters_are_named(
    tmp_path: Path, given: dict[str, int | str], pointer: str, detail: str
) -> None:
    (one,) = library(tmp_path, GOOD)
    with pytest.raises(ParameterError) as caught:
        one.fill({**given})
    assert [p.pointer for p in caught.value.problems] == [pointer]
    assert detail in caught.value.problems[0].detail


@pytest.mark.parametrize(
    ("before", "after", "detail"),
    [
        ("title: T\n", "", "exactly the fields"),
        ("type: integer", "type: whole", "is not valid"),
        ("additionalProperties: false", "additionalProperties: true", "additionalProperties"),
        ("required: [days]", "required: []", "neither a default"),
        ("ps_type", "ps_typ", "a step needs ps_type"),
        ("version: 1", "version: one", "version"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(
    tmp_path: Path, before: str, after: str, detail: str
) -> None:
    with pytest.raises(TemplateFileError, match=r"gcp/cost/t\.yml") as caught:
        library(tmp_path, GOOD.replace(before, after))
    assert detail in str(caught.value)
