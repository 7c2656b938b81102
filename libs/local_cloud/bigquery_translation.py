"""Mends the cost of translation, which is most of what a small query takes.

bqemulator parses a statement some twenty times on its way to DuckDB and
translates it anew each time it is run. The same text gives the same result.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import sqlglot
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.sql.translator import SQLTranslator
from sqlglot.expressions.core import POSITION_META_KEYS

from libs.local_cloud.bigquery_mending import replace

KEPT_TREES = 256
KEPT_TRANSLATIONS = 1_000


def mend() -> None:
    _parse_once()
    _translate_once()
    _qualify_once()


def _parse_once() -> None:
    parse: Any = sqlglot.parse_one

    @lru_cache(KEPT_TREES)
    def parsed(sql: str) -> Any:
        tree = parse(sql, read="bigquery")
        for node in tree.walk():
            kept = {
                name: value for name, value in node.meta.items() if name not in POSITION_META_KEYS
            }
            node._meta = kept or None  # noqa: SLF001  to copy these takes longer than all else
        return tree

    def parse_one(sql: str, read: Any = None, **options: Any) -> Any:
        known = read == "bigquery" and not options
        return parsed(sql).copy() if known else parse(sql, read=read, **options)

    replace(sqlglot, "parse_one", parse_one)


def _translate_once() -> None:
    """The translation depends on the types of columns, and on who asks."""
    translate: Any = SQLTranslator.translate
    translator = SQLTranslator()

    @lru_cache(KEPT_TRANSLATIONS)
    def translated(sql: str, columns: _Columns, caller: Any) -> Any:
        return translate(translator, sql, schema=columns.schema, caller=caller)

    def once(_: Any, sql: str, *, schema: Any = None, caller: Any = None) -> Any:
        return translated(sql, _Columns(repr(schema), schema), caller)

    replace(SQLTranslator, "translate", once)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns that a statement may name, compared by how they read."""

    text: str
    schema: Any = field(compare=False)


def _qualify_once() -> None:
    qualify: Any = vars(executor)["rewrite_table_refs"]
    for module in (executor, interpreter):
        replace(module, "rewrite_table_refs", lru_cache(KEPT_TRANSLATIONS)(qualify))
