"""What the client asks and reads is what the OpenAPI document says."""

import inspect
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from convergence import ask
from convergence.ask import Ask
from convergence.models import Model

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "services/gateway/openapi.json").read_text()
)
DAY = date(2026, 3, 14)
VALUES: dict[str, Any] = {"job": "trigger", "first": DAY, "last": DAY, "fields": {"password": "x"}}


def made_by(function: Callable[..., Ask[Any]]) -> Ask[Any]:
    parameters = inspect.signature(function).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    return function(**{name: VALUES.get(name, "one") for name in needed})


FUNCTIONS = [
    function
    for name, function in inspect.getmembers(ask, inspect.isfunction)
    if function.__module__ == ask.__name__ and not name.startswith("_")
]
ASKS = [made_by(function) for function in FUNCTIONS]


def id_of(asked: Ask[Any]) -> str:
    return f"{asked.method} {asked.template}"


@pytest.mark.parametrize("asked", ASKS, ids=id_of)
def test_it_asks_what_is_there(asked: Ask[Any]) -> None:
    operation = DOCUMENT["paths"][asked.template][asked.method.lower()]
    named = {p["name"] for p in operation["parameters"]}
    assert set(asked.given) | set(asked.headers) <= named
    assert (asked.body is not None or asked.text is not None) <= ("requestBody" in operation)


@pytest.mark.parametrize("asked", ASKS, ids=id_of)
def test_it_reads_what_is_answered(asked: Ask[Any]) -> None:
    operation = DOCUMENT["paths"][asked.template][asked.method.lower()]
    good = [r for status, r in operation["responses"].items() if status.startswith("2")]
    if asked.answer is type(None):
        assert "content" not in good[0]
        return
    assert issubclass(asked.answer, Model)
    schemas = [one["content"]["application/json"]["schema"]["$ref"] for one in good]
    told = [DOCUMENT["components"]["schemas"][ref.rsplit("/", 1)[1]] for ref in schemas]
    assert any(set(asked.answer.model_fields) <= set(one["properties"]) for one in told)


def test_an_operators_calls_about_keys_are_there_too() -> None:
    for asked in (
        ask.keys("acme"),
        ask.make_key("x", (), "acme"),
        ask.rotate_key("ab", 0, "acme"),
        ask.revoke_key("ab", "acme"),
    ):
        operation = DOCUMENT["paths"][asked.template][asked.method.lower()]
        assert set(asked.given) <= {p["name"] for p in operation["parameters"]}
        assert operation["security"] == [{"AdminKey": []}]


def test_days_and_moments_are_said_as_the_document_wants_them() -> None:
    moment = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
    assert ask.dead_letters(since=moment).given["from"] == "2026-03-14T09:30:00+00:00"
    assert ask.costs(from_day=DAY).given["from"] == "2026-03-14"
