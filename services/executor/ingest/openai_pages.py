"""Answers of OpenAI's costs and usage, saved page by page: one JSON document each."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from services.executor.ingest.errors import (
    ColumnConflictError,
    RefusedFileError,
    TooManyColumnsError,
)
from services.executor.ingest.json_columns import MixedError, Points, TooManyFieldsError, none
from services.executor.ingest.json_rows import Decoder, NoJsonError
from services.executor.ingest.packed import content

LARGEST = 16 << 20
BUCKET = ("start_time", "end_time")


@dataclass(frozen=True, slots=True)
class Span:
    """Of one page of several; the last says that there is no more."""

    begins: int | None
    """In seconds since 1970; None where it has no bucket."""
    ends: int | None
    next: str | None


@dataclass(frozen=True, slots=True)
class Page:
    span: Span
    buckets: list[dict[str, Any]]
    decoder: Decoder
    """That read it."""


def read_span(path: Path, name: str) -> Span:
    """All that is to be kept of a page before it is its turn. Raises `RefusedFileError`."""
    return read_page(path, name).span


def read_page(path: Path, name: str) -> Page:
    """Raises `RefusedFileError`."""
    decoder = Decoder()
    try:
        said: Any = decoder.loads(content(path, name, LARGEST))
        buckets = [
            {**bucket, "results": [{**result} for result in bucket["results"]]}
            for bucket in said["data"]
        ]
        begins = min((int(bucket["start_time"]) for bucket in buckets), default=None)
        ends = max((int(bucket["end_time"]) for bucket in buckets), default=None)
        following = str(said["next_page"]) if said["has_more"] else None
    except NoJsonError as error:
        raise RefusedFileError(name, f"this is not JSON: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        problem = f"it is not a page of OpenAI: {type(error).__name__} {str(error)[:100]}"
        raise RefusedFileError(name, problem) from None
    return Page(Span(begins, ends, following), buckets, decoder)


class OpenAIPage:
    """One page: a row for each result, with the times of the bucket it lies in."""

    written = True

    def __init__(self, path: Path, name: str, declared: Points = none) -> None:
        """Raises `RefusedFileError`."""
        self._name, self._declared = name, declared
        self._page = read_page(path, name)

    @property
    def lines(self) -> None:
        """A page is one."""

    def batches(self, columns: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        rows = [
            {**{time: bucket.get(time) for time in BUCKET}, **result}
            for bucket in self._page.buckets
            for result in bucket["results"]
        ]
        if not rows:
            return
        try:
            for frame in self._page.decoder.frames(rows, self._declared):
                there = frame.columns if columns is None else columns
                yield frame.select(c for c in frame if c.name in there)
        except TooManyFieldsError:
            raise TooManyColumnsError(self._name) from None
        except MixedError as error:
            raise ColumnConflictError(self._name, error.row, error.column, error.problem) from None

    def line_of(self, row: int) -> int | None:  # noqa: ARG002  a page is one line
        return None
