"""A realistic example of any message, in the envelope it travels in.

Used once for each new message: the file it becomes is then frozen, and must
decode for as long as that version of the message is supported.
"""

from datetime import datetime
from types import NoneType
from typing import Any, get_args, get_origin
from uuid import NAMESPACE_URL, uuid5

from pydantic import BaseModel

from contracts.catalogue import Entry
from contracts.envelope import Envelope, Wire, seal
from contracts.example_values import FINISHED_AT, VALUES
from contracts.message import Kind, Message, Service

_NAMESPACE = uuid5(NAMESPACE_URL, "convergence/examples")
_CAUSE = str(uuid5(_NAMESPACE, "cause"))
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_FIXED = ("content-type", "ce-specversion", "ce-type", "ce-kind", "ce-source", "ce-to")


class NoExampleValueError(LookupError):
    """A field that nobody has thought of an example for."""

    def __init__(self, model: type[BaseModel], field: str) -> None:
        super().__init__(
            f"{model.__name__}.{field} has no example: add it to contracts/example_values.py"
        )


def example_of(entry: Entry) -> Wire:
    """The message as its first producer would send it; raises `NoExampleValueError`."""
    message: Message = example_part(entry.model)
    wire = seal(_envelope(entry, message), message)
    return _by_cloud_scheduler(wire) if entry.producers[0] is Service.TICKS else wire


def _envelope(entry: Entry, message: Message) -> Envelope:
    asked = message.kind in {Kind.COMMAND, Kind.QUERY}
    own = str(uuid5(_NAMESPACE, message.wire_type))
    return Envelope(
        id=own,
        type=message.wire_type,
        kind=message.kind,
        source=entry.producers[0].value,
        time=datetime.fromisoformat(FINISHED_AT),
        tenant_id=message.scope or "",
        correlation_id=own if asked else _CAUSE,
        causation_id="" if asked else _CAUSE,
        sequence=10_001 if message.kind is Kind.EVENT else 0,
        to=message.to,
        reply_to="" if message.kind is Kind.EVENT else f"{_asker(entry, asked=asked)}-1",
        traceparent=_TRACE,
    )


def _asker(entry: Entry, *, asked: bool) -> Service:
    asker = entry.producers[0] if asked else entry.asked_by
    return Service.GATEWAY if asker is Service.TICKS else asker


def _by_cloud_scheduler(wire: Wire) -> Wire:
    """It sends the same attributes each time, so neither an id nor a time."""
    return Wire({name: wire.attributes[name] for name in _FIXED}, wire.data)


def example_part(model: type[BaseModel]) -> Any:
    fields = model.model_fields.items()
    return model.model_validate({name: _value(model, name, f.annotation) for name, f in fields})


def _value(model: type[BaseModel], name: str, annotation: Any) -> Any:
    for key in (f"{model.__name__}.{name}", name):
        if key in VALUES:
            return VALUES[key]
    part = _part_in(annotation)
    if part is None:
        raise NoExampleValueError(model, name)
    return (example_part(part),) if get_origin(annotation) is tuple else example_part(part)


def _part_in(annotation: Any) -> type[BaseModel] | None:
    """The part that a field holds, alone, as an option or several times."""
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and inner is not NoneType and issubclass(inner, BaseModel):
            return inner
    return None
