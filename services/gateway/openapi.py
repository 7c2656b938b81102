"""Writes openapi.json, the OpenAPI 3.1 document, from the endpoints; `--check` says if it is stale.

python -m services.gateway.openapi [--check]
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from contracts.examples import NoExampleValueError, example_part
from libs.settings import VERSION
from services.gateway import openapi_parts as parts
from services.gateway.api.codes import codes_of, is_repeatable
from services.gateway.api.endpoint import Endpoint, Text, Who
from services.gateway.api.groups import GROUPS, all_endpoints
from services.gateway.api.health import HealthRoutes
from services.gateway.api.signature import Signature, signature_of
from services.gateway.errors import CODES

PATH = Path(__file__).parent / "openapi.json"
REF = "#/components/schemas/{model}"
Mode = Literal["validation", "serialization"]
Handler = Callable[..., Any]


class UndeclaredError(ValueError):
    """An endpoint that is not told in full; says what is missing."""


def document() -> dict[str, Any]:
    """Make the whole document; raises `UndeclaredError`."""
    schemas, definitions = _schemas()
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for declared, function, group in all_endpoints():
        for place, path in enumerate(declared.paths):
            told = Telling(declared, function, group, schemas).operation(alias=place > 0)
            paths[path][declared.method.lower()] = told
    _name_uniquely(paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Convergence Data Pipeline",
            "version": VERSION,
            "description": "Runs tenants' cost pipelines and shows what came of them.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _tags()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": parts.KEYS,
            "examples": parts.examples(),
            "schemas": {**definitions, "Problem": parts.PROBLEM, "Fault": parts.FAULT},
        },
    }


class Telling:
    """How one endpoint is told."""

    def __init__(
        self, declared: Endpoint, function: Handler, group: type, schemas: dict[Any, Any]
    ) -> None:
        self._declared = declared
        self._function = function
        self._group = group
        self._schemas = schemas
        self._signature = signature_of(function)

    def operation(self, *, alias: bool) -> dict[str, Any]:
        summary = (self._function.__doc__ or "").strip()
        if not summary:
            message = f"{self._function.__qualname__} needs a docstring: it is the summary"
            raise UndeclaredError(message)
        told: dict[str, Any] = {
            "operationId": f"{_tag(self._group)}_{self._function.__name__}",
            "tags": [_tag(self._group)],
            "summary": " ".join(summary.split()),
            "security": parts.SECURITY[self._declared.who],
            "parameters": list(self._parameters()),
            "responses": self._responses(),
        }
        if alias:
            told["description"] = f"The same as {self._declared.path}."
        if self._signature.body:
            told["requestBody"] = self._body()
        return told

    def _parameters(self) -> Iterator[dict[str, Any]]:
        for name, kind in self._signature.path.items():
            schema = TypeAdapter(kind).json_schema()
            yield {"name": name, "in": "path", "required": True, "schema": schema}
        if self._signature.query:
            yield from _query_parameters(self._signature.query[1])
        common = () if self._declared.who is Who.ANYONE else ("X-User-ID",)
        repeatable = ("Idempotency-Key",) if is_repeatable(self._declared) else ()
        for name in dict.fromkeys((*common, *repeatable, *self._declared.reads)):
            yield {
                "name": name,
                "in": "header",
                "description": parts.REQUEST_HEADERS[name],
                "schema": parts.HEADER_SCHEMAS.get(name, parts.ANY_TEXT),
            }

    def _body(self) -> dict[str, Any]:
        _, kind = self._signature.body or ("", Text)
        if issubclass(kind, Text):
            schema = {"description": (kind.__doc__ or "").strip()}
            content = {m: {"schema": schema, "example": kind.example} for m in kind.media}
            return {"required": True, "content": content}
        example = self._declared.example
        if example is None:
            message = f"{self._function.__qualname__} needs an example of its body"
            raise UndeclaredError(message)
        kind.model_validate(example)
        schema = self._schemas[kind, "validation"]
        required = any(field.is_required() for field in kind.model_fields.values())
        content = {"application/json": {"schema": schema, "example": example}}
        return {"required": required, "content": content}

    def _responses(self) -> dict[str, Any]:
        declared = self._declared
        good: dict[str, Any] = {"description": HTTPStatus(declared.status).phrase}
        answer = self._signature.answer or declared.answers
        content = {"application/json": self._content(answer)} if answer else {}
        if declared.streams:
            content[declared.streams] = {"schema": {"type": "string"}}
        if content:
            good["content"] = content
        headers = parts.RESPONSE_HEADERS
        if declared.sends:
            good["headers"] = {
                name: {"description": headers[name], "schema": {"type": "string"}}
                for name in declared.sends
            }
        also = {
            str(status): {
                "description": HTTPStatus(status).phrase,
                "content": {"application/json": self._content(model)},
            }
            for status, model in declared.also.items()
        }
        return {str(declared.status): good, **also, **self._errors()}

    def _errors(self) -> dict[str, Any]:
        if self._declared.who is Who.ANYONE and self._group is HealthRoutes:
            return {}
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in sorted(codes_of(self._declared, self._signature)):
            if code not in CODES:
                message = f"{self._function.__qualname__}: add {code} to services/gateway/errors.py"
                raise UndeclaredError(message)
            by_status[CODES[code].status].append(code)
        return {
            str(status): parts.problem_response(codes)
            for status, codes in sorted(by_status.items())
        }

    def _content(self, model: type[BaseModel]) -> dict[str, Any]:
        content: dict[str, Any] = {"schema": self._schemas[model, "serialization"]}
        try:
            content["example"] = example_part(model).model_dump(mode="json", by_alias=True)
        except NoExampleValueError:
            given = model.model_json_schema().get("examples", [])
            content |= {"example": given[0]} if given else {}
        return content


def _query_parameters(model: type[BaseModel]) -> Iterator[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    for name, said in schema["properties"].items():
        plain = _without_null(said, definitions)
        yield {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": plain.pop("description", ""),
            "schema": plain,
        }


def _without_null(said: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or is not; it is never null."""
    options = [one for one in said.get("anyOf", ()) if one.get("type") != "null"]
    merged = {**said, **options[0]} if len(options) == 1 else dict(said)
    if len(options) == 1:
        merged.pop("anyOf")
    if merged.get("default", 0) is None:
        merged.pop("default")
    if "$ref" in merged:
        merged |= definitions[merged.pop("$ref").rsplit("/", 1)[1]]
    merged.pop("title", None)
    return merged


def _schemas() -> tuple[dict[Any, Any], dict[str, Any]]:
    wanted: dict[tuple[type[BaseModel], Mode], None] = {}
    for declared, function, _ in all_endpoints():
        wanted |= dict.fromkeys(_models(declared, signature_of(function)))
    schemas, top = models_json_schema(list(wanted), by_alias=True, ref_template=REF)
    return dict(schemas), top.get("$defs", {})


def _models(declared: Endpoint, signature: Signature) -> Iterator[tuple[type[BaseModel], Mode]]:
    if signature.body and issubclass(signature.body[1], BaseModel):
        yield signature.body[1], "validation"
    answer = signature.answer or declared.answers
    if answer:
        yield answer, "serialization"
    for model in declared.also.values():
        yield model, "serialization"


def _name_uniquely(paths: dict[str, dict[str, Any]]) -> None:
    """An operation that answers at several paths has a number at all but its first."""
    seen: dict[str, int] = defaultdict(int)
    for path in sorted(paths, key=lambda one: (not one.startswith("/api/"), one)):
        for told in paths[path].values():
            name = told["operationId"]
            seen[name] += 1
            if seen[name] > 1:
                told["operationId"] = f"{name}_{seen[name]}"


def _tag(group: type) -> str:
    return group.__name__.removesuffix("Routes").lower()


def _tags() -> list[str]:
    return [_tag(group) for group in (HealthRoutes, *GROUPS)]


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.gateway.openapi")
    parser.add_argument("--check", action="store_true", help="change nothing")
    made = text()
    if not parser.parse_args(argv).check:
        PATH.write_text(made, encoding="utf-8")
        return 0
    if PATH.read_text(encoding="utf-8") != made:
        sys.stderr.write("services/gateway/openapi.json is stale: run `make contracts`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
