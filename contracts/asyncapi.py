"""The catalogue as an AsyncAPI 3 document."""

from typing import Any

from contracts.catalogue import CATALOGUE, CONSUMING_SERVICES, Entry, topic_of
from contracts.message import Kind, Message, Service

_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["ce-specversion", "ce-type", "ce-kind", "ce-source"],
    "properties": {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "Absent on ticks of Cloud Scheduler"},
        "ce-type": {"type": "string"},
        "ce-kind": {"enum": ["command", "event", "query", "reply"]},
        "ce-source": {"type": "string"},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-tenantid": {"type": "string", "description": "Also what the ordering key begins with"},
        "ce-correlationid": {"type": "string"},
        "ce-causationid": {"type": "string"},
        "ce-sequence": {"type": "string", "pattern": "^[0-9]+$"},
        "ce-to": {"type": "string", "description": "Owner of a command or query; * is everybody"},
        "ce-replyto": {"type": "string", "description": "The gateway instance that waits"},
        "ce-expirytime": {
            "type": "string",
            "format": "date-time",
            "description": "Of a question that changes nothing: until when its asker waits",
        },
        "traceparent": {"type": "string", "description": "W3C trace context"},
    },
}


def asyncapi() -> dict[str, Any]:
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Convergence Data Pipeline",
            "version": "1.0.0",
            "description": "Messages between the services: CloudEvents 1.0 in binary mode.",
        },
        "defaultContentType": "application/json",
        "channels": {service.value: _channel(service) for service in Service},
        "operations": {
            name: operation for entry in CATALOGUE for name, operation in _operations(entry)
        },
        "components": {
            "messages": {entry.model.wire_type: _message(entry) for entry in CATALOGUE},
            "schemas": {"headers": _HEADERS},
        },
    }


def _channel(service: Service) -> dict[str, Any]:
    carried = [e.model.wire_type for e in CATALOGUE if service in e.producers]
    return {
        "address": topic_of(service),
        "description": f"Published to by {service} alone",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in carried},
    }


def _operations(entry: Entry) -> list[tuple[str, dict[str, Any]]]:
    name = entry.model.wire_type
    found = []
    for producer in entry.producers:
        channel = {"$ref": f"#/channels/{producer}"}
        message = [{"$ref": f"#/channels/{producer}/messages/{name}"}]
        found.append(
            (
                f"{producer} sends {name}",
                {"action": "send", "channel": channel, "messages": message},
            )
        )
        found += [
            (
                f"{consumer} receives {name} from {producer}",
                {"action": "receive", "channel": channel, "messages": message},
            )
            for consumer in CONSUMING_SERVICES
            if _receives(consumer, entry)
        ]
    return found


def _receives(consumer: Service, entry: Entry) -> bool:
    """Beside its declared consumers: who asked hears the reply, audit_log records everything."""
    asked = consumer is Service.GATEWAY and entry.model.kind is Kind.REPLY
    recorded = consumer is Service.AUDIT_LOG and entry.recorded
    return asked or recorded or consumer in entry.consumers


def _message(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.model.wire_type,
        "title": entry.model.__name__,
        "summary": _summary(entry.model),
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"schemas/{entry.model.wire_type}.json"},
        },
        "bindings": {"googlepubsub": {"orderingKey": entry.ordering_key}},
    }


def _summary(model: type[Message]) -> str:
    own = model.__dict__.get("__doc__") or ""
    return own.strip().partition("\n")[0]
