"""Buckets and objects as the store keeps them and as the JSON API shows them."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

WRITABLE = (
    "cacheControl",
    "contentDisposition",
    "contentEncoding",
    "contentLanguage",
    "contentType",
    "customTime",
    "metadata",
    "storageClass",
)
"""What a caller may say of an object."""
BUCKET_WRITABLE = (
    "cors",
    "iamConfiguration",
    "labels",
    "lifecycle",
    "location",
    "retentionPolicy",
    "softDeletePolicy",
    "storageClass",
)
Fields = Mapping[str, Any]


class PreconditionError(Exception):
    """A generation is not as the caller demanded."""


class NotModifiedError(Exception):
    """A read was wanted only if something had changed, and nothing has."""


@dataclass(frozen=True, slots=True)
class StoredBucket:
    name: str
    created: float
    updated: float
    metageneration: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object without its body."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    created: float
    updated: float
    size: int
    crc32c: str
    md5: str
    fields: str
    """What the caller said of it, as JSON."""
    content: int

    @property
    def etag(self) -> str:
        text = f"{self.generation}/{self.metageneration}"
        return base64.b64encode(text.encode()).decode()

    @property
    def content_type(self) -> str:
        return str(json.loads(self.fields).get("contentType") or "application/octet-stream")


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must hold for a call to go through; generation 0 means: must not exist."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check(self, found: StoredObject | None) -> None:
        """Raise `PreconditionError` unless all holds of the object as it is now."""
        if not (self._matches(found) and self._differs(found)):
            raise PreconditionError

    def check_read(self, found: StoredObject) -> None:
        if not self._matches(found):
            raise PreconditionError
        if not self._differs(found):
            raise NotModifiedError

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def _matches(self, found: StoredObject | None) -> bool:
        generation = found.generation if found else 0
        metageneration = found.metageneration if found else None
        return self.generation in {None, generation} and self.metageneration in {
            None,
            metageneration,
        }

    def _differs(self, found: StoredObject | None) -> bool:
        if self.not_generation is not None and self.not_generation == (
            found.generation if found else 0
        ):
            return False
        return self.not_metageneration is None or (
            found is not None and self.not_metageneration != found.metageneration
        )


ALWAYS = Precondition()


def kept_fields(said: Fields, names: tuple[str, ...] = WRITABLE) -> dict[str, Any]:
    return {name: said[name] for name in names if said.get(name) is not None}


def patched_fields(old: Fields, changes: Fields, names: tuple[str, ...]) -> dict[str, Any]:
    """Merge as JSON Merge Patch does: null takes away, nested objects merge."""
    merged = dict(old)
    for name in names:
        if name not in changes:
            continue
        new, before = changes[name], merged.get(name)
        if isinstance(new, dict) and isinstance(before, dict):
            new = {k: v for k, v in {**before, **new}.items() if v is not None}
        merged[name] = new
    return kept_fields(merged, names)


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bucket_resource(found: StoredBucket) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": found.name,
        "name": found.name,
        "projectNumber": "1",
        "metageneration": str(found.metageneration),
        "timeCreated": rfc3339(found.created),
        "updated": rfc3339(found.updated),
        "etag": base64.b64encode(str(found.metageneration).encode()).decode(),
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        **found.fields,
    }


def object_resource(found: StoredObject) -> dict[str, Any]:
    return {
        "kind": "storage#object",
        "id": f"{found.bucket}/{found.name}/{found.generation}",
        "name": found.name,
        "bucket": found.bucket,
        "generation": str(found.generation),
        "metageneration": str(found.metageneration),
        "storageClass": "STANDARD",
        "size": str(found.size),
        "crc32c": found.crc32c,
        "md5Hash": found.md5,
        "etag": found.etag,
        "timeCreated": rfc3339(found.created),
        "updated": rfc3339(found.updated),
        **json.loads(found.fields),
    }
