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
    records_of,
)
from services.executor.ingest.errors import IngestError


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
            if number >= self._source.most_pages:
                problem = f"there are more than most_pages={self._source.most_pages}"
                raise BadAnswerError(number + 1, problem)
            kept = await self._store.page(number)
            ask = _ask_of(kept) if kept is not None else await self._fetch(number, ask)
            number += 1
        return number

    async def _fetch(self, number: int, ask: Ask) -> Ask | None:
        answer, link = await self._client.ask(ask.url, ask.query, ask.body)
        try:
            records = records_of(self._source, answer)
        except SelectionError as error:
            raise BadAnswerError(number + 1, str(error)) from None
        after = self._after(number, ask, answer, len(records), link)
        if after == ask:
            raise BadAnswerError(number + 1, "it asks for itself as the next page")
        await self._store.keep(number, records, after)
        self.fetched += 1
        return after

    def _first(self, ask: Ask) -> Ask:
        pages = self._source.pages
        if isinstance(pages, NumberedPages):
            return ask.following(pages.first if pages.kind == "page" else 0, pages)
        return ask

    def _after(self, number: int, ask: Ask, answer: Any, records: int, link: str) -> Ask | None:
        match self._source.pages:
            case TokenPages() as pages:
                token = _at(answer, pages.next)
                return ask.following(token, pages) if token else None
            case NumberedPages() as pages if records >= pages.size:
                after = (
                    pages.first + number + 1 if pages.kind == "page" else (number + 1) * pages.size
                )
                return ask.following(after, pages)
            case LinkedPages() as pages if said := _at(answer, pages.next) if pages.next else link:
                return Ask(_linked(number, ask.url, said), {}, ask.body)
            case _:
                return None


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
