"""Pages of a source, each kept as soon as it is there, so that a crash costs one page at most.

A page is an object of the step's work folder, made once: `pages/00007.json` with
its records and what asks for the page after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol
from urllib.parse import urljoin

import orjson
from yarl import URL

from services.executor.ingest.api_client import ApiClient
from services.executor.ingest.api_source import (
    ApiSource,
    LinkedPages,
    NumberedPages,
    SelectionError,
    TokenPages,
    listed,
    records_of,
)
from services.executor.ingest.asking import SourceRefusedError
from services.executor.ingest.errors import IngestError

NOT_FOUND = 404


class PageFiles(Protocol):
    """What is used of the bucket."""

    async def create(self, name: str, body: bytes) -> bool: ...

    async def fetch(self, name: str) -> bytes | None: ...

    async def delete(self, name: str) -> None: ...


class BadAnswerError(IngestError):
    code = "unexpected_answer"

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"page {number}: {problem}")


@dataclass(frozen=True, slots=True)
class Ask:
    """What gets one page."""

    url: str
    query: Mapping[str, Any]
    body: Mapping[str, Any] | None = None
    after_short: bool = False
    """The page before had fewer records than it may have: it may have been the last."""

    def place(self, pages: NumberedPages) -> int:
        """Which number it asks for."""
        return int(((self.body or {}) if pages.in_body else self.query)[pages.parameter])

    def following(self, value: Any, pages: TokenPages | NumberedPages) -> "Ask":
        """The same question for another page."""
        if pages.in_body:
            return replace(self, body={**(self.body or {}), pages.parameter: value})
        return replace(self, query={**self.query, pages.parameter: value})


class PageStore:
    """The pages of one step, in order."""

    def __init__(self, files: PageFiles, folder: str) -> None:
        self._files, self._folder = files, folder

    async def page(self, number: int) -> dict[str, Any] | None:
        body = await self._files.fetch(self._name(number))
        return None if body is None else orjson.loads(body)

    async def keep(self, number: int, records: Sequence[Any], next_: Ask | None) -> None:
        page = {"records": records, "next": next_ and asdict(next_)}
        await self._files.create(self._name(number), orjson.dumps(page))

    async def forget(self, pages: int) -> None:
        for number in range(pages):
            await self._files.delete(self._name(number))

    def _name(self, number: int) -> str:
        return f"{self._folder}/pages/{number:05d}.json"


class Collector:
    """Fetches what is not there yet."""

    def __init__(self, source: ApiSource, client: ApiClient, store: PageStore) -> None:
        self._source, self._client, self._store = source, client, store
        self.fetched = 0

    async def collect(self, query: Mapping[str, Any], body: Mapping[str, Any] | None = None) -> int:
        """How many pages there are, all of them kept. Raises `IngestError`."""
        ask: Ask | None = self._first(Ask(self._client.first_url, query, body))
        number = 0
        while ask is not None:
            if number >= self._source.most_pages + ask.after_short:
                problem = f"there are more than most_pages={self._source.most_pages}"
                raise BadAnswerError(number + 1, problem)
            kept = await self._store.page(number)
            ask = _ask_of(kept) if kept is not None else await self._fetch(number, ask)
            number += 1
        return number

    async def _fetch(self, number: int, ask: Ask) -> Ask | None:
        try:
            records, after = await self._page(number, ask)
            if after == ask:
                raise BadAnswerError(number + 1, "it asks for itself as the next page")
            await self._store.keep(number, records, after)
        except orjson.JSONEncodeError:
            problem = "lists and objects lie too deep in each other in its records"
            raise BadAnswerError(number + 1, problem) from None
        self.fetched += 1
        return after

    async def _page(self, number: int, ask: Ask) -> tuple[Sequence[Any], Ask | None]:
        """Its records, and what asks for the one after it."""
        try:
            answer, link = await self._client.ask(ask.url, ask.query, ask.body)
            records = records_of(self._source, answer)
        except SelectionError as error:
            raise BadAnswerError(number + 1, str(error)) from None
        except SourceRefusedError as error:
            if ask.after_short and error.status == NOT_FOUND:
                return [], None
            raise
        if ask.after_short and await self._came_before(number, records):
            return [], None
        return records, self._after(number, ask, answer, link)

    async def _came_before(self, number: int, records: Sequence[Any]) -> bool:
        """Whether it is the page before once more, as some sources answer behind their last."""
        page = await self._store.page(number - 1) or {}
        before, now = _written(page.get("records", ())), _written(records)
        if now and now == before:
            return True
        by_offset = getattr(self._source.pages, "kind", "") == "offset"
        if by_offset and not set(now).isdisjoint(before):
            problem = (
                "records of the page before stand in it again, as that had fewer than `size`:"
                " say the `size` that pages have, or page in another way"
            )
            raise BadAnswerError(number + 1, problem)
        return False

    def _first(self, ask: Ask) -> Ask:
        pages = self._source.pages
        if isinstance(pages, NumberedPages):
            return ask.following(pages.first if pages.kind == "page" else 0, pages)
        return ask

    def _after(self, number: int, ask: Ask, answer: Any, link: str) -> Ask | None:
        match self._source.pages:
            case TokenPages() as pages:
                token = _at(answer, pages.next)
                return ask.following(token, pages) if token else None
            case NumberedPages() as pages:
                return _numbered(number, ask, pages, listed(self._source, answer))
            case LinkedPages() as pages if said := _at(answer, pages.next) if pages.next else link:
                return Ask(_linked(number, ask.url, said), {}, ask.body)
            case _:
                return None


def _numbered(number: int, ask: Ask, pages: NumberedPages, found: int) -> Ask | None:
    """A source may give fewer than it is asked for: only a page without any is behind the last."""
    if found > pages.size:
        problem = f"it has {found} records, more than the `size` of {pages.size}"
        raise BadAnswerError(number + 1, f"{problem}: say the size that its pages have")
    if not found:
        return None
    step = 1 if pages.kind == "page" else found
    after = ask.following(ask.place(pages) + step, pages)
    return replace(after, after_short=found < pages.size)


def _written(records: Sequence[Any]) -> list[bytes]:
    return [orjson.dumps(record, option=orjson.OPT_SORT_KEYS) for record in records]


def _ask_of(page: Mapping[str, Any]) -> Ask | None:
    said = page["next"]
    return Ask(**said) if said else None


def _linked(number: int, asked: str, said: Any) -> str:
    """The address of the page that an answer says is next."""
    try:
        found: str = urljoin(asked, said)
        elsewhere = URL(found).origin() != URL(asked).origin()
    except (TypeError, ValueError):
        raise BadAnswerError(number + 1, "its next page is no address") from None
    if elsewhere:
        raise BadAnswerError(number + 1, "its next page is on another host")
    return found


def _at(answer: Any, path: str) -> Any:
    if isinstance(answer, dict) and path in answer:
        return answer[path]  # such as @odata.nextLink
    for name in path.split("."):
        answer = answer.get(name) if isinstance(answer, dict) else None
    return answer
