"""How much a page may hold: a reply travels as one message of 10 MB at most."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
PAGE_BYTES = 4_000_000


def encoded_bytes(text: str) -> int:
    """Of a text inside a JSON reply, where quotes and backslashes are escaped."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def fitting(parts: Iterable[T], encode: Callable[[T], str]) -> tuple[T, ...]:
    """The first, and those after it while there is room for them in a reply."""
    found: list[T] = []
    used = 0
    for part in parts:
        used += len(encode(part).encode("utf-8", "surrogatepass"))
        if found and used > PAGE_BYTES:
            break
        found.append(part)
    return tuple(found)


def within_bytes(order: str, *texts: str) -> str:
    """SQL around a query of a page: its first row, and those after it while there is room.

    `found` says how many rows there are without that bound. BigQuery sends no more
    than one page, however large the rows are.
    """
    size = " + ".join(f"BYTE_LENGTH(TO_JSON_STRING({text}))" for text in texts)
    return f"""
SELECT * FROM (
  SELECT *, COUNT(*) OVER () AS found, SUM({size}) OVER (
    ORDER BY {order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS bytes_through, ROW_NUMBER() OVER (ORDER BY {order}) AS place_in_page
  FROM ({{query}})
) WHERE place_in_page = 1 OR bytes_through <= {PAGE_BYTES} ORDER BY {order}
"""  # noqa: S608  our names
