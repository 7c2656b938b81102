"""The hash chain: each row of the event log carries the hash of the one before it.

A chain belongs to one writer and one tenant, so what a tenant exports is whole.
A writer begins a new chain when it starts, and whenever it cannot know whether
its last rows were written. Standard library only: rows are verified offline.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

HASHED = (
    "event_id",
    "event_type",
    "kind",
    "source",
    "event_time",
    "tenant_id",
    "correlation_id",
    "causation_id",
    "sequence",
    "traceparent",
    "data",
    "recorded_at",
    "chain_id",
    "chain_position",
    "previous_hash",
)
VERSION_2 = "/2"
"""How the id of a chain ends whose hashes cover the run too; the id itself is hashed."""
MOST_OPEN = 50_000


def hash_of(row: Mapping[str, Any]) -> str:
    """The hash of a row as it is stored or exported; both give the same."""
    names = (*HASHED, "run_id") if row["chain_id"].endswith(VERSION_2) else HASHED
    values = [_plain(row.get(name)) for name in names]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: Any) -> Any:
    """Times in one form; nothing, empty and zero are the same, as exports leave them out."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return value or None


@dataclass(slots=True)
class Head:
    """Where a chain has come to."""

    chain_id: str
    position: int = 0
    hash: str = ""


class Chains:
    """The chains that one writer is at. Bounded: the longest untouched are ended."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self._made = 0
        self._heads: OrderedDict[str, Head] = OrderedDict()

    def link(self, rows: Iterable[dict[str, Any]]) -> None:
        """Give each row its place; rows of a tenant are in the order they will be written."""
        for row in rows:
            head = self._head(row["tenant_id"] or "")
            row["chain_id"] = head.chain_id
            row["chain_position"] = head.position + 1
            row["previous_hash"] = head.hash or None
            row["row_hash"] = hash_of(row)
            head.position, head.hash = head.position + 1, row["row_hash"]

    def end(self) -> None:
        """Begin anew: the last rows may or may not have been written."""
        self._heads.clear()

    def _head(self, tenant: str) -> Head:
        head = self._heads.get(tenant)
        if head is None:
            self._made += 1
            head = self._heads[tenant] = Head(f"{self._writer}.{self._made}{VERSION_2}")
            if len(self._heads) > MOST_OPEN:
                self._heads.popitem(last=False)
        self._heads.move_to_end(tenant)
        return head
