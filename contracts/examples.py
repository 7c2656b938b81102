"""A realistic example of any message, made from its own fields.

Used once for each new message: the file it becomes is then frozen, and must
decode for as long as that version of the message is supported.
"""

from datetime import UTC, date, datetime
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from contracts.catalogue import Entry
from contracts.envelope import Envelope, Wire, seal
from contracts.identifiers import Identifier
from contracts.message import Kind, Message, Utc

AT = datetime(2026, 3, 14, 9, 26, 53, 589000, tzinfo=UTC)
_IDENTIFIERS = {
    "TenantId": "acme_cloud",
    "RunId": "6f1c2b1e-5a0f-4f6e-9a59-0d4c8e6b7a21",
    "ConfigId": "cost_by_service",
    "StepId": "by_service",
    "CredentialId": "gcp-billing",
    "KeyHash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
}
_BY_NAME: dict[str, Any] = {
    "admin_email": "finops@acme.example",
    "company_name": "Acme Cloud",
    "requested_by": "tenant:maria",
    "plan": "PROFESSIONAL",
    "source": "pipeline:\n  id: cost_by_service\nsteps: []\n",
    "last_four": "x7Qz",
    "code": "quota_exceeded",
    "detail": "the daily limit of 25 runs is used up",
    "reason": "the daily limit of 25 runs is used up",
    "type": "bq_etl.query",
    "step_type": "bq_etl.query",
    "event_type": "run.finished.v1",
    "data": '{"status":"COMPLETED"}',
    "config": {"source_query": "SELECT 1 AS one", "target_table": "acme_cloud.ones"},
    "parameters": {"region": "eu", "days": 7},
    "kms_key": "projects/p/locations/global/keyRings/convergence/cryptoKeys/credentials",
}


def example_of(entry: Entry) -> Wire:
    """The message in its envelope, as its first producer would send it."""
    message = _model(entry.model)
    envelope = Envelope(
        id="0b6f3f0e-7d52-4c0a-8f6e-2f4a4f1f9a10",
        type=entry.model.wire_type,
        kind=entry.model.kind,
        source=entry.producers[0].value,
        time=AT,
        tenant_id=message.scope or "",
        correlation_id="c0ffee00-0000-4000-8000-000000000001",
        causation_id="c0ffee00-0000-4000-8000-000000000001",
        sequence=0 if entry.model.kind is Kind.QUERY else 10_001,
        to=entry.model.to,
        reply_to="gateway-1" if entry.model.kind is not Kind.EVENT else "",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    )
    return seal(envelope, message)


def _model(model: type[Message]) -> Message:
    found: Message = _part(model)
    return found


def _part(model: type[BaseModel]) -> Any:
    fields = model.model_fields.items()
    return model.model_validate({name: _value(name, f.annotation) for name, f in fields})


def _value(name: str, annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        inner = next(a for a in get_args(annotation) if a is not NoneType)
        return _value(name, inner)
    if origin is tuple:
        return (_value(name, get_args(annotation)[0]),)
    if origin is dict:
        return _BY_NAME.get(name, {})
    return _scalar(name, annotation)


def _scalar(name: str, annotation: Any) -> Any:  # noqa: PLR0911  one per type
    if annotation is Utc:
        return AT
    if issubclass(annotation, BaseModel):
        return _part(annotation)
    if issubclass(annotation, Identifier):
        return _IDENTIFIERS[annotation.__name__]
    if issubclass(annotation, Enum):
        return next(iter(annotation)).value
    if annotation is date:
        return AT.date()
    if annotation is bool:
        return True
    if annotation in {int, float}:
        return 3
    if annotation is bytes:
        return "c2VhbGVk"  # base64 of "sealed"
    return _BY_NAME.get(name, name.replace("_", " "))
