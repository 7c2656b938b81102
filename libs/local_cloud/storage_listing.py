"""Listing objects in order, with a delimiter's folders as one entry each."""

import base64
import binascii
from dataclasses import dataclass, field

from libs.local_cloud.storage_resources import StoredObject
from libs.local_cloud.storage_store import Store


class PageTokenError(Exception):
    """A page token that no listing gave out."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one list call asks for."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    end: str = ""
    token: str = ""
    most: int = 1000


@dataclass(slots=True)
class Page:
    objects: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    token: str = ""
    """Where the next page starts; empty at the end."""

    def __len__(self) -> int:
        return len(self.objects) + len(self.prefixes)


def page_of(store: Store, wanted: Wanted) -> Page:
    page = Page()
    start: str | None = max(wanted.prefix, wanted.start, _start_of(wanted.token))
    while start is not None:
        start = _fill(store, wanted, start, page)
    return page


def _fill(store: Store, wanted: Wanted, start: str, page: Page) -> str | None:
    """Add to the page up to its end or to the next folder; return where to go on."""
    for found in store.objects(wanted.bucket, start, wanted.end):
        if not found.name.startswith(wanted.prefix):
            return None
        if len(page) == wanted.most:
            page.token = _token_of(found.name)
            return None
        folder = _folder(found.name, wanted)
        if folder:
            page.prefixes.append(folder)
            return _behind(folder)  # whatever else it holds is the same entry
        page.objects.append(found)
    return None


def _folder(name: str, wanted: Wanted) -> str:
    cut = name.find(wanted.delimiter, len(wanted.prefix)) if wanted.delimiter else -1
    return name[: cut + len(wanted.delimiter)] if cut >= 0 else ""


def _behind(folder: str) -> str:
    return folder[:-1] + chr(ord(folder[-1]) + 1)


def _token_of(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _start_of(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise PageTokenError(token) from None
