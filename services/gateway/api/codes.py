"""Which error codes an endpoint may answer with: its own and those of all that are like it."""

from services.gateway.api.endpoint import Body, Endpoint, Who
from services.gateway.api.signature import Signature

KEYED = (
    "api_key_required",
    "invalid_api_key",
    "scope_missing",
    "tenant_suspended",
    "authentication_unavailable",
)
ASKING = ("no_answer_yet", "overloaded")
REPEATABLE = ("idempotency_key_reused", "request_in_progress")
JSON_BODY = ("invalid_json", "invalid_encoding", "too_deep", "body_too_large")
TEXT_BODY = ("invalid_encoding", "body_too_large")


def codes_of(declared: Endpoint, signature: Signature) -> frozenset[str]:
    """An unknown query parameter is refused everywhere, and so is who calls too often."""
    found = {"invalid_request", "rate_limited", *declared.errors}
    if declared.who in {Who.TENANT, Who.TENANT_OR_ADMIN}:
        found |= {*KEYED, *ASKING}
    if declared.who in {Who.ADMIN, Who.TENANT_OR_ADMIN, Who.GUEST}:
        found |= {"admin_key_required", *ASKING}
    if is_repeatable(declared):
        found |= {*REPEATABLE}
    if signature.body:
        _, kind = signature.body
        found |= {*JSON_BODY} if issubclass(kind, Body) else {*TEXT_BODY, kind.too_large}
    return frozenset(found)


def is_repeatable(declared: Endpoint) -> bool:
    """Whether it heeds an Idempotency-Key, as every POST of a known caller does."""
    return declared.method == "POST" and declared.who is not Who.ANYONE
