"""Files that a load reads: uploads, and objects of the local Cloud Storage."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

from bqemulator.domain.errors import NotFoundError, ValidationError

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


class UnreadableError(ValidationError):
    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"the local Cloud Storage did not answer {url}: {reason}")


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
        _open(url, uri) as response,
        tempfile.NamedTemporaryFile(dir=directory, suffix=suffix, delete=False) as file,
    ):
        shutil.copyfileobj(response, file, 1 << 20)
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


def _open(url: str, uri: str) -> Any:
    try:
        return urlopen(url, timeout=CALL_SECONDS)  # noqa: S310  our own emulator, by its address
    except HTTPError as error:
        if error.code == 404:  # noqa: PLR2004  HTTP
            raise NotFoundError(f"Not found: URI {uri}") from error
        raise UnreadableError(url, error) from error
    except URLError as error:
        raise UnreadableError(url, error.reason) from error
