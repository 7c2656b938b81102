"""Files that a load reads: uploads, and objects of the local Cloud Storage."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from bqemulator.domain.errors import DomainError, NotFoundError, ValidationError

UPLOADED = "file://"
STORED = "gs://"
CALL_SECONDS = 30
MOST_FILES = 10_000  # BigQuery's own limit for a load


class NoStorageError(ValidationError):
    def __init__(self, uri: str) -> None:
        super().__init__(
            f"cannot read {uri}: set STORAGE_EMULATOR_HOST to the local Cloud Storage, "
            "for example http://127.0.0.1:9023"
        )


class UnreachedError(DomainError):
    """As BigQuery says it: trying again may help."""

    http_status = 503
    bq_reason = "backendError"
    grpc_status_name = "UNAVAILABLE"

    def __init__(self, uri: str, reason: object) -> None:
        super().__init__(
            f"the local Cloud Storage did not answer for {uri}: {reason}. Retrying may help."
        )


@contextmanager
def local_files(uris: list[str]) -> Iterator[list[str]]:
    """Paths that DuckDB can read, until the block ends; copied piece by piece."""
    with tempfile.TemporaryDirectory(prefix="bigquery-load-") as directory:
        paths = []
        for uri in uris:
            paths += [_local(uri)] if uri.startswith(UPLOADED) else _download(uri, Path(directory))
        yield paths


def _local(uri: str) -> str:
    return uri.removeprefix(UPLOADED)


def _download(uri: str, directory: Path) -> list[str]:
    if not uri.startswith(STORED):
        raise ValidationError(f"Source URI must be a Google Cloud Storage location: {uri}")
    bucket, _, name = uri.removeprefix(STORED).partition("/")
    names = _matching(uri, bucket, name) if "*" in name else [name]
    return [_fetch(bucket, found, directory) for found in names]


def _matching(uri: str, bucket: str, pattern: str) -> list[str]:
    """Objects that a pattern with one or more `*` stands for, in order of name."""
    found: list[str] = []
    token = ""
    while True:
        asked = {"prefix": pattern.partition("*")[0], "pageToken": token}
        listed = _json(_base(uri) + f"/{quote(bucket, safe='')}/o?{urlencode(asked)}", uri)
        names = (item["name"] for item in listed.get("items", ()))
        found += [name for name in names if fnmatchcase(name, pattern.replace("[", "[[]"))]
        token = listed.get("nextPageToken", "")
        if not token:
            break
    if not found:
        raise NotFoundError(f"Not found: Files {uri}")
    if len(found) > MOST_FILES:
        raise ValidationError(f"{uri} stands for {len(found)} files; at most {MOST_FILES} load")
    return sorted(found)


def _fetch(bucket: str, name: str, directory: Path) -> str:
    uri = f"{STORED}{bucket}/{name}"
    url = f"{_base(uri)}/{quote(bucket, safe='')}/o/{quote(name, safe='')}?alt=media"
    # The suffix stays: DuckDB takes from it whether a file is compressed.
    suffix = "".join(Path(name).suffixes[-2:])
    with (
        tempfile.NamedTemporaryFile(dir=directory, suffix=suffix, delete=False) as file,
        _open(url, uri) as response,
    ):
        shutil.copyfileobj(response, file, 1 << 20)
        if response.length:
            raise UnreachedError(uri, f"it broke off {response.length} bytes before the end")
    return file.name


def _base(uri: str) -> str:
    host = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if not host:
        raise NoStorageError(uri)
    scheme = "" if "://" in host else "http://"
    return f"{scheme}{host.rstrip('/')}/storage/v1/b"


def _json(url: str, uri: str) -> dict[str, Any]:
    with _open(url, uri) as response:
        found: dict[str, Any] = json.load(response)
    return found


@contextmanager
def _open(url: str, uri: str) -> Iterator[Any]:
    """An answer, also while it is read."""
    try:
        with urlopen(url, timeout=CALL_SECONDS) as response:  # noqa: S310  our own emulator
            yield response
    except HTTPError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"Not found: URI {uri}") from error
        if error.code < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ValidationError(f"Cannot read {uri}: {error}") from error
        raise UnreachedError(uri, error) from error
    except (OSError, HTTPException) as error:
        raise UnreachedError(uri, error) from error
