"""The JSON Schema of every message, as its producer writes it."""

from typing import Any

from contracts.message import Message


def schema_of(model: type[Message]) -> dict[str, Any]:
    return model.model_json_schema(mode="serialization")
