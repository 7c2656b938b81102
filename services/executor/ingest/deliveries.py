"""What has been loaded into a slice of a table: one pointer per slice, moved after the swap.

`loads/<tenant>/<table>/<slice>/current.json` names the load that the table holds.
Its parts stay, so that later steps can read what was delivered.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from contracts.loading import Loader
from libs.objects import Objects
from services.executor.ingest.errors import NoSliceError, NotKeptError
from services.executor.ingest.places import FoundFile

ORIGIN = "origin"
"""Kept with a replay: which load brought the files."""


AT = "at"
"""When the files were read first."""
ROUNDED = "rounded"
"""Of each column, by its header: how many values had more decimals than were kept."""


class Delivery(BaseModel):
    """A load that has been committed."""

    model_config = ConfigDict(frozen=True)

    load_id: str
    files: tuple[str, ...] = ()
    roles: dict[str, str] = {}
    """What each of the files is in the delivery, where that was said."""
    parts: tuple[str, ...] = ()
    rows: int = 0
    aside: int = 0
    """Rows that did not fit the contract and are in quarantine."""
    facts: dict[str, str] = {}
    loaded_by: Loader = "executor"
    """BigQuery leaves no parts: what it loaded is in the table alone."""

    @property
    def origin(self) -> str:
        """The load that brought the files, whatever was tried again of them since."""
        return self.facts.get(ORIGIN, self.load_id)

    @property
    def at(self) -> datetime | None:
        """When its files were read, however often since; None of deliveries of older releases."""
        written = self.facts.get(AT)
        return datetime.fromisoformat(written) if written else None

    @property
    def rounded(self) -> Counter[str]:
        return rounded_in(self.facts)


def rounded_in(facts: Mapping[str, str]) -> Counter[str]:
    return Counter(json.loads(facts.get(ROUNDED, "{}")))


class Deliveries:
    """The current delivery of each slice of a tenant's tables."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def current(self, tenant: str, table: str, slice_: str) -> Delivery | None:
        body = await self._objects.read(_pointer(tenant, table, slice_))
        return Delivery.model_validate_json(body) if body is not None else None

    async def readable(self, tenant: str, table: str, slice_: str) -> Delivery | None:
        """The current one, for whoever reads its parts. Raises `NotKeptError`."""
        found = await self.current(tenant, table, slice_)
        if found is not None and found.loaded_by != "executor":
            raise NotKeptError(table, slice_)
        return found

    async def delivered(self, tenant: str, table: str, slice_: str) -> Delivery:
        """As `readable`, where there must be one. Raises `NoSliceError`, too."""
        found = await self.readable(tenant, table, slice_)
        if found is None:
            raise NoSliceError(table, slice_)
        return found

    async def commit(self, tenant: str, table: str, slice_: str, delivery: Delivery) -> None:
        """Point to a delivery; the parts of the one before it are deleted."""
        before = await self.current(tenant, table, slice_)
        body = delivery.model_dump_json().encode()
        await self._objects.write(_pointer(tenant, table, slice_), body)
        if before is not None and before.load_id != delivery.load_id:
            await self._objects.delete(*before.parts)


def folder_of(tenant: str, table: str, slice_: str, load_id: str) -> str:
    return f"loads/{tenant}/{table}/{slice_}/{load_id}"


def _pointer(tenant: str, table: str, slice_: str) -> str:
    return f"loads/{tenant}/{table}/{slice_}/current.json"


def load_id_of(files: Iterable[FoundFile], said: Mapping[str, object]) -> str:
    """The same for the same content read in the same way; else another."""
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        digest.update(f"{file.name}\0{file.size}\0{file.checksum}\n".encode())
    for name in sorted(said):
        digest.update(f"{name}={said[name]}\n".encode())
    return digest.hexdigest()[:32]
