"""Every route of the gateway, as its own OpenAPI document tells them, and all that they take.

Whatever a caller may fill in freely either names something of a tenant, and is
swapped, or stands in `NAMES_NOTHING` with the reason. What the document holds to
a number, a day or a list of words can name nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

NOT_OF_A_TENANT = {"provider": "GCP", "domain": "cost", "template": "daily", "revision": "1"}
"""Parts of a path that name nothing of one tenant alone, and what to put there."""
NAMES_NOTHING = {
    **dict.fromkeys(NOT_OF_A_TENANT, "the platform's own, or a number"),
    "Idempotency-Key": "a word of the caller's; whose answer it repeats has a test of its own",
    "If-Match": "a revision's number",
    **dict.fromkeys(
        ("Last-Event-ID", "last_event_id"), "numbers: a place in the stream of the path's run"
    ),
    "X-User-ID": "recorded as it is, and opens nothing",
    "cursor": "sealed for one tenant; that it opens for no other has a test of its own",
    "admin_email": "an address to write to",
    "company_name": "a text to show",
    "credentials": "secrets that are never looked up",
    "cron": "when",
    "date": "a day, or none",
    "description": "a text to show",
    "from": "a day, or a step of the run in the path",
    "group_by": "names of columns",
    "parameters": "values for a definition in which they are bound, never pasted",
    "period": "a month",
    "scopes": "words of the platform's",
    "source": "a service of the platform's",
    "subscription_plan": "a plan of the platform's",
    "time_zone": "a place on earth",
    "trigger_by": "a text to show",
    "type": "a kind of message",
    "url": "an address outside the platform",
}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    told: Mapping[str, Any]
    schemas: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_for_admins_alone(self) -> bool:
        return bool(self.told["security"] == [{"AdminKey": []}])

    @property
    def is_tenants(self) -> bool:
        return any("TenantKey" in one for one in self.told["security"])

    @property
    def identifiers(self) -> list[str]:
        return [name for name in self.parameters("path") if name not in NOT_OF_A_TENANT]

    @property
    def fields(self) -> list[tuple[str, ...]]:
        """Where in a JSON body something may be filled in freely."""
        return sorted({place for place in self._leaves(self._schema(), ()) if place})

    @property
    def takes_text(self) -> bool:
        return bool(self.body[1]) and isinstance(self.body[0], str)

    @property
    def names(self) -> set[str]:
        """All that may be filled in freely, wherever it stands."""
        places = ("path", "query", "header")
        named = {name for place in places for name in self.parameters(place)}
        return named | {field[-1] for field in self.fields}

    @property
    def body(self) -> tuple[Any, str]:
        """A body that works, and its media type."""
        for media, content in self.told.get("requestBody", {}).get("content", {}).items():
            return content["example"], media
        return None, ""

    def parameters(self, place: str) -> list[str]:
        """Names of what may be filled in freely there; in a path, of everything."""
        return [
            p["name"]
            for p in self.told["parameters"]
            if p["in"] == place and (place == "path" or self._is_free(p["schema"]))
        ]

    def has(self, parameter: str) -> bool:
        return any(p["name"] == parameter for p in self.told["parameters"])

    def filled(self, values: Mapping[str, str]) -> str:
        path = self.path
        for name in self.parameters("path"):
            path = path.replace("{" + name + "}", {**NOT_OF_A_TENANT, **values}[name])
        return path

    def _schema(self) -> Mapping[str, Any]:
        content = self.told.get("requestBody", {}).get("content", {})
        return dict(content.get("application/json", {}).get("schema", {}))

    def _leaves(
        self, schema: Mapping[str, Any], place: tuple[str, ...]
    ) -> Iterator[tuple[str, ...]]:
        schema = self._looked_up(schema)
        for option in _options(schema):
            yield from self._leaves(option, place)
        for name, said in schema.get("properties", {}).items():
            yield from self._leaves(said, (*place, name))
        if "items" in schema:
            yield from self._leaves(schema["items"], place)
        elif not _options(schema) and "properties" not in schema and self._is_free(schema):
            yield place

    def _is_free(self, schema: Mapping[str, Any]) -> bool:
        schema = self._looked_up(schema)
        if options := _options(schema):
            return any(self._is_free(option) for option in options)
        if "items" in schema:
            return self._is_free(schema["items"])
        bound = {"integer", "number", "boolean", "null"}
        return not (
            schema.get("type") in bound
            or schema.get("format") in {"date", "date-time"}
            or {"enum", "const"} & schema.keys()
        )

    def _looked_up(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema


def _options(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [option for word in ("anyOf", "oneOf", "allOf") for option in schema.get(word, ())]


def operations(document: Mapping[str, Any]) -> list[Operation]:
    schemas = document.get("components", {}).get("schemas", {})
    return [
        Operation(method.upper(), path, told, schemas)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


def unknown(routes: list[Operation], identifiers: Mapping[str, str]) -> set[tuple[str, str]]:
    """What nobody has said anything about: neither what a tenant has there, nor why it has not."""
    known = identifiers.keys() | NAMES_NOTHING.keys()
    return {(one.name, name) for one in routes for name in one.names - known}


def swaps(
    names: list[str], mine: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[dict[str, str]]:
    """Every way to put at least one of their identifiers among mine."""
    for choice in product((False, True), repeat=len(names)):
        if any(choice):
            yield {
                name: (theirs if taken else mine)[name]
                for name, taken in zip(names, choice, strict=True)
            }
