"""What the client asks and reads is what the OpenAPI document says."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergence import ask
from convergence.ask import Ask
from convergence.models import Model

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "services/gateway/openapi.json").read_text()
)
VALUES = {"job": "trigger"}


def made_by(function: Callable[..., Ask[Any]]) -> Ask[Any]:
    parameters = inspect.signature(function).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty]
    return function(**{name: VALUES.get(name, "one") for name in needed})


FUNCTIONS = [
    function
    for _, function in inspect.getmembers(ask, inspect.isfunction)
    if function.__module__ == ask.__name__
]
ASKS = [made_by(function) for function in FUNCTIONS]


def id_of(asked: Ask[Any]) -> str:
    return f"{asked.method} {asked.template}"


@pytest.mark.parametrize("asked", ASKS, ids=id_of)
def test_it_asks_what_is_there(asked: Ask[Any]) -> None:
    operation = DOCUMENT["paths"][asked.template][asked.method.lower()]
    named = {p["name"] for p in operation["parameters"]}
    assert set(asked.query) | set(asked.headers) <= named
    assert (asked.body is not None or asked.text is not None) <= ("requestBody" in operation)


@pytest.mark.parametrize("asked", ASKS, ids=id_of)
def test_it_reads_what_is_answered(asked: Ask[Any]) -> None:
    operation = DOCUMENT["paths"][asked.template][asked.method.lower()]
    good = next(r for status, r in operation["responses"].items() if status.startswith("2"))
    if asked.answer is type(None):
        assert "content" not in good
        return
    assert issubclass(asked.answer, Model)
    schema = good["content"]["application/json"]["schema"]
    told = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]["properties"]
    assert set(asked.answer.model_fields) <= set(told)
