"""What the OpenAPI document says of headers, keys and errors."""

from http import HTTPStatus
from typing import Any

from services.gateway.api.endpoint import Who
from services.gateway.errors import CODES

REQUEST_HEADERS = {
    "Idempotency-Key": "Repeat a request with the same key and nothing is done twice.",
    "If-Match": 'Only if this is the revision that is there, e.g. "3".',
    "Last-Event-ID": "The last event that was seen; those after it follow.",
    "X-User-ID": "Who is asking, for the record; it opens nothing.",
    "traceparent": "W3C trace context.",
}
ANY_TEXT = {"type": "string"}
HEADER_SCHEMAS = {
    "Idempotency-Key": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    "If-Match": {"type": "string", "pattern": r'^(\*|[0-9]{1,9}|"[0-9]{1,9}")$'},
}
"""Of those that have a form; the others may be any text."""
RESPONSE_HEADERS = {
    "ETag": "The revision, for If-Match.",
    "Location": "Where to look at it.",
    "X-Source": "`live` from memory, or `warehouse` from what is recorded.",
}
KEYS = {
    "TenantKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "AdminKey": {"type": "apiKey", "in": "header", "name": "X-Admin-Key"},
}
SECURITY: dict[Who, list[dict[str, list[str]]]] = {
    Who.ANYONE: [],
    Who.GUEST: [{}, {"AdminKey": []}],
    Who.TENANT: [{"TenantKey": []}],
    Who.ADMIN: [{"AdminKey": []}],
    Who.TENANT_OR_ADMIN: [{"TenantKey": []}, {"AdminKey": []}],
}
FAULT = {
    "type": "object",
    "required": ["pointer", "detail"],
    "properties": {
        "pointer": {"type": "string", "description": "JSON pointer into the request."},
        "detail": {"type": "string"},
        "line": {"type": "integer", "minimum": 1},
        "column": {"type": "integer", "minimum": 0},
    },
}
PROBLEM = {
    "type": "object",
    "description": "An error, as RFC 9457 has it.",
    "required": ["type", "title", "status", "code", "detail", "instance", "trace_id"],
    "properties": {
        "type": {"type": "string", "description": "Where the code is explained."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable and machine-readable."},
        "detail": {"type": "string", "description": "What was wrong, and what to do about it."},
        "instance": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Fault"}},
    },
}


def problem_response(codes: list[str]) -> dict[str, Any]:
    """One error status with its codes; each explained."""
    lines = [f"- `{code}`: {CODES[code].text}" for code in codes]
    examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    return {
        "description": "\n".join(lines),
        "content": {
            "application/problem+json": {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Problem"},
                        {"properties": {"code": {"enum": codes}}},
                    ]
                },
                "examples": examples,
            }
        },
    }


def examples() -> dict[str, Any]:
    """One problem document for every code."""
    return {code: {"value": _example(code)} for code in CODES}


def _example(code: str) -> dict[str, Any]:
    meaning = CODES[code]
    return {
        "type": f"/docs/errors#{code}",
        "title": HTTPStatus(meaning.status).phrase,
        "status": meaning.status,
        "code": code,
        "detail": meaning.text,
        "instance": "/api/v1/…",
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
