"""Every route of the gateway, as its own OpenAPI document tells them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

NOT_OF_A_TENANT = {"provider": "GCP", "domain": "cost", "template": "daily", "revision": "1"}
"""Parts of a path that name nothing of one tenant alone."""


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    told: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_tenants(self) -> bool:
        return any("TenantKey" in one for one in self.told["security"])

    @property
    def identifiers(self) -> list[str]:
        names = self._parameters("path")
        return [name for name in names if name not in NOT_OF_A_TENANT]

    @property
    def filters(self) -> list[str]:
        return self._parameters("query")

    def _parameters(self, place: str) -> list[str]:
        return [p["name"] for p in self.told["parameters"] if p["in"] == place]

    @property
    def body(self) -> tuple[Any, str]:
        """A body that works, and its media type."""
        for media, content in self.told.get("requestBody", {}).get("content", {}).items():
            return content["example"], media
        return None, ""

    def filled(self, values: Mapping[str, str]) -> str:
        path = self.path
        for name in self._parameters("path"):
            path = path.replace("{" + name + "}", {**NOT_OF_A_TENANT, **values}[name])
        return path


def operations(document: Mapping[str, Any]) -> list[Operation]:
    return [
        Operation(method.upper(), path, told)
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]


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
