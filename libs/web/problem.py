"""Errors as users see them: RFC 9457 problem documents, made in one place."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from aiohttp import web
from pydantic import ValidationError

from libs.telemetry import trace
from libs.telemetry.logs import mask

LOG = logging.getLogger(__name__)
CONTENT_TYPE = "application/problem+json"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request, and where."""

    pointer: str
    detail: str
    line: int | None = None
    column: int | None = None


@dataclass(slots=True)
class Problem(Exception):  # noqa: N818  the RFC's own word
    """Ends a request with a problem document."""

    status: int
    code: str
    """Stable and machine-readable."""
    detail: str
    """What was wrong, and what to do about it."""
    errors: Sequence[Fault] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def response(self, path: str) -> web.Response:
        body: dict[str, object] = {
            "type": f"/docs/errors#{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": mask(self.detail),
            "instance": mask(path),
            "trace_id": trace.current_id(),
            **self.extra,
        }
        if self.errors:
            body["errors"] = [_present(fault) for fault in self.errors]
        return web.Response(
            status=self.status,
            body=orjson.dumps(body),
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )


def _present(fault: Fault) -> dict[str, object]:
    places = {"line": fault.line, "column": fault.column}
    return {
        "pointer": mask(fault.pointer),
        "detail": mask(fault.detail),
        **{name: place for name, place in places.items() if place is not None},
    }


def invalid(error: ValidationError) -> Problem:
    """Every way in which a body misses its model, each with a pointer."""
    faults = [
        Fault(
            "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in e["loc"]),
            e["msg"].removeprefix("Value error, "),
        )
        for e in error.errors(include_input=False, include_url=False)
    ]
    return Problem(
        400,
        "invalid_request",
        "The request is not as this endpoint expects it; see errors for each place.",
        faults,
    )


def problem_of(error: Exception) -> Problem:
    """Whatever ended a request, phrased for who sent it."""
    match error:
        case Problem():
            return error
        case ValidationError():
            return invalid(error)
        case json.JSONDecodeError():
            return _not_json(error)
        case web.HTTPException():
            return _of_http(error)
        case _:
            LOG.error("a request failed", exc_info=error)
            return Problem(
                500,
                "internal_error",
                "Something went wrong on our side; nothing you can mend. "
                "Try again, and report the trace_id if it stays.",
            )


def _not_json(error: json.JSONDecodeError) -> Problem:
    fault = Fault("", error.msg, error.lineno, error.colno)
    return Problem(
        400, "invalid_json", f"The body is not JSON: {error.msg} at line {error.lineno}.", [fault]
    )


_CODES = {
    404: ("not_found", "There is nothing at this path; check its spelling."),
    413: ("body_too_large", "The body is larger than this endpoint takes; send less at a time."),
}


def _of_http(error: web.HTTPException) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem(
            405,
            "method_not_allowed",
            f"{error.method} is not possible here; use {allowed}.",
            headers={"Allow": allowed},
        )
    code, detail = _CODES.get(
        error.status, (HTTPStatus(error.status).name.lower(), error.reason or "")
    )
    return Problem(error.status, code, detail)
