"""Buckets of S3, Cloud Storage and Azure Blob, and plain https: what to ask, what is answered."""

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit
from xml.etree import ElementTree as ET

import orjson

from libs.outgoing.client import Call
from services.executor.ingest.errors import IngestError
from services.executor.ingest.places import FoundFile, written

PAGE = 1000
_PIECE = 16 << 10
_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_AZURE_VERSION = {"x-ms-version": "2023-11-03"}


class BadListingError(IngestError):
    code = "unexpected_answer"

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: the answer to a listing is none that this store gives")


class Store(Protocol):
    """One bucket, spoken to by HTTP. Calls are without what lets them in."""

    @property
    def name(self) -> str:
        """What a tenant calls it."""

    def listing(self, prefix: str, after: str) -> Call:
        """Asks for a page of names; `after` is what the page before gave."""

    def listed(self, body: bytes) -> tuple[list[FoundFile], str]:
        """The files of a page, and what asks for the next one. Raises `IngestError`."""

    def content(self, file: FoundFile) -> Call:
        """Asks for the file as it was listed."""


@dataclass(frozen=True, slots=True)
class S3:
    bucket: str
    region: str
    endpoint: str = ""

    @property
    def name(self) -> str:
        return f"s3://{self.bucket}"

    def listing(self, prefix: str, after: str) -> Call:
        asked = {"list-type": "2", "max-keys": str(PAGE), "prefix": prefix}
        if after:
            asked["continuation-token"] = after
        return Call("GET", f"{self._root}/?{_query(asked)}")

    def listed(self, body: bytes) -> tuple[list[FoundFile], str]:
        root = _xml(self.name, body)
        space = _S3 if root.tag.startswith(_S3) else ""
        found = [
            FoundFile(
                _text(item, f"{space}Key"),
                _number(self.name, _text(item, f"{space}Size")),
                _text(item, f"{space}ETag"),
                _text(item, f"{space}LastModified"),
            )
            for item in root.iter(f"{space}Contents")
        ]
        return found, _text(root, f"{space}NextContinuationToken")

    def content(self, file: FoundFile) -> Call:
        url = f"{self._root}/{quote(file.name, safe='/-_.~')}"
        return Call("GET", url, {"If-Match": file.checksum})

    @property
    def _root(self) -> str:
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{self.bucket}"
        if "." in self.bucket:
            return f"https://s3.{self.region}.amazonaws.com/{self.bucket}"
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class CloudStorage:
    bucket: str
    endpoint: str = ""

    @property
    def name(self) -> str:
        return f"gs://{self.bucket}"

    def listing(self, prefix: str, after: str) -> Call:
        asked = {"prefix": prefix, "maxResults": str(PAGE)}
        if after:
            asked["pageToken"] = after
        return Call("GET", f"{self._root}?{_query(asked)}")

    def listed(self, body: bytes) -> tuple[list[FoundFile], str]:
        try:
            answer = orjson.loads(body)
            found = [
                FoundFile(
                    str(item["name"]),
                    int(item["size"]),
                    str(item["generation"]),
                    str(item.get("updated", "")),
                )
                for item in answer.get("items", ())
            ]
            return found, str(answer.get("nextPageToken", ""))
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
            raise BadListingError(self.name) from None

    def content(self, file: FoundFile) -> Call:
        asked = {"alt": "media", "generation": file.checksum}
        url = f"{self._root}/{quote(file.name, safe='')}?{_query(asked)}"
        return Call("GET", url, {"Accept-Encoding": "gzip"}, exact=True)

    @property
    def _root(self) -> str:
        endpoint = (self.endpoint or "https://storage.googleapis.com").rstrip("/")
        return f"{endpoint}/storage/v1/b/{quote(self.bucket, safe='')}/o"


@dataclass(frozen=True, slots=True)
class AzureBlob:
    account: str
    container: str
    endpoint: str = ""
    signature: str = ""
    """A shared access signature, where there is no token."""

    @property
    def name(self) -> str:
        return f"az://{self.account}/{self.container}"

    def listing(self, prefix: str, after: str) -> Call:
        asked = {"restype": "container", "comp": "list", "prefix": prefix}
        asked |= {"maxresults": str(PAGE), **({"marker": after} if after else {})}
        url = self._signed(f"{self._root}?{_query(asked)}")
        return Call("GET", url, _AZURE_VERSION, exact=True)

    def listed(self, body: bytes) -> tuple[list[FoundFile], str]:
        root = _xml(self.name, body)
        return list(self._blobs(root)), _text(root, "NextMarker")

    def content(self, file: FoundFile) -> Call:
        url = f"{self._root}/{quote(file.name, safe='/-_.~')}"
        headers = {**_AZURE_VERSION, "If-Match": file.checksum}
        return Call("GET", self._signed(url), headers, exact=True)

    def _blobs(self, root: ET.Element) -> Iterator[FoundFile]:
        for blob in root.iter("Blob"):
            facts = blob.find("Properties")
            if facts is None:
                raise BadListingError(self.name)
            etag = _text(facts, "Etag")
            tag = etag if etag.startswith('"') else f'"{etag}"'
            size = _number(self.name, _text(facts, "Content-Length"))
            at = _time(self.name, _text(facts, "Last-Modified"))
            yield FoundFile(_text(blob, "Name"), size, tag, at)

    def _signed(self, url: str) -> str:
        if not self.signature:
            return url
        return f"{url}{'&' if '?' in url else '?'}{self.signature.removeprefix('?')}"

    @property
    def _root(self) -> str:
        if self.endpoint:
            return f"{self.endpoint.rstrip('/')}/{self.account}/{self.container}"
        return f"https://{self.account}.blob.core.windows.net/{self.container}"


@dataclass(frozen=True, slots=True)
class WebFile:
    """One file by its URL. Its name is the path: a query may hold a signature."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url).hostname or "the URL"

    @property
    def file(self) -> str:
        return unquote(urlsplit(self.url).path).lstrip("/")


def _query(asked: dict[str, str]) -> str:
    return urlencode(asked, quote_via=quote, safe="-_.~")


class _Declared(Exception):  # noqa: N818  a sign, not an error
    """It says what it may hold, as no listing does."""


class _Plain(ET.TreeBuilder):
    def doctype(self, *_: object) -> None:
        raise _Declared


def _xml(where: str, body: bytes) -> ET.Element:
    """However it is encoded. Without entities there is no bomb."""
    parser = ET.XMLParser(target=_Plain())  # noqa: S314
    try:
        # What stands in a piece behind a declaration is still read, though for nothing.
        for at in range(0, len(body), _PIECE):
            parser.feed(body[at : at + _PIECE])
        return parser.close()
    except (_Declared, ET.ParseError, LookupError, ValueError):  # encodings that it does not know
        raise BadListingError(where) from None


def _number(where: str, said: str) -> int:
    try:
        return int(said or 0)
    except ValueError:
        raise BadListingError(where) from None


def _time(where: str, said: str) -> str:
    """Of one as mails write it; empty where none is said."""
    try:
        return written(parsedate_to_datetime(said)) if said else ""
    except ValueError:
        raise BadListingError(where) from None


def _text(item: ET.Element, name: str) -> str:
    return item.findtext(name) or ""
