"""A mapping that is never changed, only followed by another, which shares nearly all of it."""

from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from itertools import chain
from typing import Any, TypeVar, get_args

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

K = TypeVar("K")
V = TypeVar("V")
PAGE = 256
"""So many entries are copied at most when one is added."""


class PagedDict(Mapping[K, V]):
    """In the order in which entries were added, page by page; as JSON it is an object."""

    __slots__ = ("_pages",)

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        items = list((entries or {}).items())
        pages = (dict(items[at : at + PAGE]) for at in range(0, len(items), PAGE))
        self._pages: tuple[dict[K, V], ...] = tuple(pages)

    def having(self, key: K, value: V) -> "PagedDict[K, V]":
        """With one more entry, or with another value in the same place."""
        for at, page in enumerate(self._pages):
            if key in page:
                return _paged(*self._pages[:at], {**page, key: value}, *self._pages[at + 1 :])
        *older, newest = self._pages or ({},)
        if len(newest) < PAGE:
            return _paged(*older, {**newest, key: value})
        return _paged(*older, newest, {key: value})

    def newest(self, most: int) -> "PagedDict[K, V]":
        """Without the oldest that are too many."""
        surplus, pages = len(self) - most, list(self._pages)
        while pages and surplus >= len(pages[0]):
            surplus -= len(pages.pop(0))
        if pages and surplus > 0:
            pages[0] = dict(list(pages[0].items())[surplus:])
        return _paged(*pages)

    def __getitem__(self, key: K) -> V:
        for page in reversed(self._pages):
            if key in page:
                return page[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return chain.from_iterable(self._pages)

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def values(self) -> ValuesView[V]:
        return self.plain().values()

    def items(self) -> ItemsView[K, V]:
        return self.plain().items()

    def __repr__(self) -> str:
        return f"PagedDict({self.plain()})"

    def plain(self) -> dict[K, V]:
        """All entries, as a dictionary of their own."""
        return dict(chain.from_iterable(page.items() for page in self._pages))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        plain = core_schema.dict_schema(*map(handler.generate_schema, get_args(source)))
        read = core_schema.no_info_after_validator_function(cls, plain)
        return core_schema.json_or_python_schema(
            json_schema=read,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), read]),
            serialization=core_schema.plain_serializer_function_ser_schema(
                cls.plain, return_schema=plain
            ),
        )


def _paged(*pages: dict[K, V]) -> PagedDict[K, V]:
    made: PagedDict[K, V] = PagedDict()
    made._pages = pages  # noqa: SLF001  its own
    return made
