"""Adds what bqemulator does not have: which tables a query reads, and how much of them.

BigQuery bills the columns that a query names, at a size by type. That size is
counted here from rows and widths; text is measured on the first rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sqlglot
from bqemulator.domain.errors import ErrorDetail, NotFoundError
from bqemulator.storage.sql_identifiers import quoted_table_ref
from sqlglot import exp

from libs.local_cloud.bigquery_columns import quoted

LEAST_BILLED = 10 << 20  # for each table that is read at all
MEGABYTE = 1 << 20
DEEPEST_VIEW = 16
SAMPLED_ROWS = 1_000
WIDTHS = {"BOOLEAN": 1, "BOOL": 1, "NUMERIC": 16, "BIGNUMERIC": 32, "INTERVAL": 16}
WIDTHS |= dict.fromkeys(
    ("INTEGER", "INT64", "FLOAT", "FLOAT64", "DATE", "DATETIME", "TIME", "TIMESTAMP"), 8
)

TableName = tuple[str, str, str]
"""(project, dataset, table)."""
ALL_COLUMNS = "*"


@dataclass(frozen=True, slots=True)
class Read:
    """One table that a query reads, or a view on the way to it."""

    table: TableName
    rows: int
    bytes: int

    @property
    def billed(self) -> int:
        whole = -(-self.bytes // MEGABYTE) * MEGABYTE
        return max(whole, LEAST_BILLED) if self.bytes else 0


def reads_of(sql: str, project: str, ctx: Any) -> tuple[Read, ...]:
    """What a statement or script reads, through views, in order of appearance."""
    wanted: dict[TableName, set[str]] = {}
    for tree in _trees(sql):
        _collect(tree, project, ctx, wanted, 0)
    return tuple(Read(table, *_size(ctx, table, names)) for table, names in wanted.items())


def check_known(reads: tuple[Read, ...], ctx: Any) -> None:
    for read in reads:
        project, dataset, table = read.table
        if not table.endswith("*") and ctx.catalog.get_table(*read.table) is None:
            message = f"Not found: Table {project}:{dataset}.{table} was not found in location US"
            raise NotFoundError(message, details=[ErrorDetail(reason="notFound", message=message)])


def stored_bytes(ctx: Any, table: TableName) -> int:
    return _size(ctx, table, {ALL_COLUMNS})[1]


def _trees(sql: str) -> list[Any]:
    try:
        return [sqlglot.parse_one(sql, read="bigquery")]
    except sqlglot.errors.SqlglotError:
        return _script(sql)


def _script(sql: str) -> list[Any]:
    try:
        return [tree for tree in sqlglot.parse(sql, read="bigquery") if tree is not None]
    except sqlglot.errors.SqlglotError:
        return []  # running it will say what is wrong with it


def _collect(
    tree: exp.Expression, project: str, ctx: Any, wanted: dict[TableName, set[str]], depth: int
) -> None:
    columns = _columns_named(tree)
    for node in _tables(tree):
        table = (node.catalog or project, node.db, node.name)
        wholly = {node.name, node.alias} & columns  # a row as a value
        wanted.setdefault(table, set()).update({ALL_COLUMNS} if wholly else columns)
        known = ctx.catalog.get_table(*table)
        if known is not None and known.view_query and depth < DEEPEST_VIEW:
            for inner in _trees(known.view_query):
                _collect(inner, table[0], ctx, wanted, depth + 1)


def _tables(tree: exp.Expression) -> Iterator[exp.Table]:
    written = _only_written(tree)
    nodes = list(tree.find_all(exp.Table))
    aliases = {node.alias_or_name for node in nodes}
    for node in nodes:
        is_array = not node.catalog and node.db in aliases  # `FROM t, t.labels`
        is_schema = "INFORMATION_SCHEMA" in f"{node.db}.{node.name}".upper()
        is_function = isinstance(node.this, exp.Func)
        if node is not written and node.db and not (is_array or is_schema or is_function):
            yield node


def _only_written(tree: exp.Expression) -> Any:
    if not isinstance(tree, exp.Insert | exp.Create | exp.Drop):
        return None
    target = tree.this
    return target.this if isinstance(target, exp.Schema) else target


def _columns_named(tree: exp.Expression) -> set[str]:
    names = {node.name for node in tree.find_all(exp.Column)}
    stars = (node for node in tree.find_all(exp.Star) if not isinstance(node.parent, exp.Count))
    return names | ({ALL_COLUMNS} if any(True for _ in stars) else set())


def _size(ctx: Any, table: TableName, names: set[str]) -> tuple[int, int]:
    """Rows, and bytes of the columns named."""
    known = ctx.catalog.get_table(*table)
    if known is None or known.view_query:
        return 0, 0
    path = quoted_table_ref(*table)
    rows = count(ctx, path)
    lower = {name.lower() for name in names}
    fields = [f for f in known.schema_.fields if ALL_COLUMNS in names or f.name.lower() in lower]
    fixed = [f for f in fields if f.mode != "REPEATED" and str(f.type).upper() in WIDTHS]
    width = sum(WIDTHS[str(f.type).upper()] for f in fixed)
    text = tuple(f.name for f in fields if f not in fixed)
    varying = _text_width(ctx.engine, path, text, rows) if text and rows else 0
    return rows, rows * (width + varying)


@lru_cache(maxsize=1_000)
def _text_width(engine: Any, path: str, names: tuple[str, ...], _rows: int) -> int:
    """Bytes of a row in columns whose size varies; measured again when rows come or go."""
    lengths = " + ".join(f"2 + coalesce(strlen({quoted(n)}::VARCHAR), 0)" for n in names)
    listed = ", ".join(quoted(n) for n in names)
    sample = f"SELECT {listed} FROM {path} LIMIT {SAMPLED_ROWS}"  # noqa: S608  quoted names
    found = engine.execute(f"SELECT avg({lengths}) FROM ({sample})").fetchone()  # noqa: S608
    return int(found[0] or 0)


def count(ctx: Any, path: str, where: str = "") -> int:
    condition = f" WHERE {where}" if where else ""
    found = ctx.engine.execute(f"SELECT count(*) FROM {path}{condition}").fetchone()  # noqa: S608
    return int(found[0])
