"""What a key may be narrowed to: an area of the API, to read or to write."""

from http import HTTPMethod

AREAS = (
    "audit",
    "cost",
    "credentials",
    "keys",
    "notifications",
    "pipelines",
    "runs",
    "schedules",
    "tenant",
)
ALL = frozenset(f"{area}:{right}" for area in AREAS for right in ("read", "write"))

_READING = frozenset({HTTPMethod.GET, HTTPMethod.HEAD, HTTPMethod.OPTIONS})
_RUNS = frozenset({"run", "runs", "status", "history", "backfills"})
_BY_FIRST = {
    "audit": "audit",
    "cost": "cost",
    "costs": "cost",
    "notifications": "notifications",
    "usage": "cost",
    "pipelines": "pipelines",
    "scheduler": "schedules",
    "templates": "pipelines",
    "tenants": "tenant",
}


def needed(method: str, path: str) -> str:
    """The scope that a narrowed key must have for a route; `path` is the route's pattern.

    An area that nobody has named here is one that no narrowed key may enter.
    """
    parts = path.removeprefix("/api/v1/").split("/")
    area = _BY_FIRST.get(parts[0], parts[0])
    if area == "pipelines" and _RUNS.intersection(parts[1:]):
        area = "runs"
    if area == "tenant" and "credentials" in parts:
        area = "credentials"
    if area == "tenant" and "api-keys" in parts:
        area = "keys"
    return f"{area}:{'read' if method in _READING else 'write'}"
