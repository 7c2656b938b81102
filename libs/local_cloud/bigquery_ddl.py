"""Mends what the catalogue learns from DDL.

bqemulator passes over CLUSTER BY, labels and partitions by an expression, and
does not notice that ALTER TABLE changes columns. It gives a BIGNUMERIC of ALTER
TABLE five decimals, and would make any type of any other.
"""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import sqlglot
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import Clustering, TimePartitioning
from bqemulator.domain.errors import InvalidQueryError
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.storage.arrow_bridge import introspect_arrow_schema
from bqemulator.storage.sql_identifiers import quoted_table_ref
from sqlglot import exp

from libs.local_cloud.bigquery_columns import BIGNUMERIC, fields_of
from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_tables import TableName

_ALTERS = re.compile(r"\s*ALTER\s+TABLE\b", re.IGNORECASE)
_TEACHES = re.compile(r"\b(CREATE|ALTER|DROP)\b", re.IGNORECASE)
_SYNCS = "sync_created_schema", "sync_created_table", "sync_created_view", "sync_dropped_object"
_WIDTH = BIGNUMERIC.removeprefix("DECIMAL")
_SAME = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BIGDECIMAL": "BIGNUMERIC", "DECIMAL": "NUMERIC"}
_WIDER = {
    "INT64": ("NUMERIC", "BIGNUMERIC", "FLOAT64"),
    "NUMERIC": ("BIGNUMERIC", "FLOAT64"),
    "BIGNUMERIC": ("FLOAT64",),
}
UNITS = frozenset({"HOUR", "DAY", "MONTH", "YEAR"})


def mend() -> None:
    sync: Any = vars(executor)["sync_created_table"]

    def sync_all(sql: str, project: str, ctx: Any) -> None:
        sync(sql, project, ctx)
        learn(sql, project, ctx)

    translate: Any = vars(executor)["rewrite_and_translate_statement"]

    async def translated(bq_sql: str, *, project_id: str, ctx: Any, **given: Any) -> str:
        sql = widened(bq_sql, project_id, ctx)
        found: str = await translate(sql, project_id=project_id, ctx=ctx, **given)
        return found

    syncs = {name: vars(executor)[name] for name in _SYNCS} | {"sync_created_table": sync_all}
    for module in (executor, interpreter):
        replace(module, "rewrite_and_translate_statement", translated)
        for name, notice in syncs.items():
            replace(module, name, _if_it_teaches(notice))


def _if_it_teaches(sync: Any) -> Any:
    """To look closely at a statement takes longer than to run a small one."""

    def look(sql: str, project: str, ctx: Any) -> None:
        if _TEACHES.search(sql):
            sync(sql, project, ctx)

    return look


def learn(sql: str, project: str, ctx: Any) -> None:
    """Note what one executed statement says of its table's layout and columns."""
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return
    if isinstance(tree, exp.Create) and (tree.kind or "").upper() == "TABLE":
        _learn_layout(tree, project, ctx)
    elif isinstance(tree, exp.Alter) and isinstance(tree.this, exp.Table):
        _learn_columns(tree.this, project, ctx)


def _learn_layout(tree: exp.Create, project: str, ctx: Any) -> None:
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    known = ctx.catalog.get_table(*_name(target, project))
    if known is None:
        return
    changed: dict[str, Any] = {}
    for node in (tree.args.get("properties") or exp.Properties()).expressions:
        if isinstance(node, exp.PartitionedByProperty):
            changed["time_partitioning"] = _partitioning(node.this, known.time_partitioning)
        elif isinstance(node, exp.Cluster | exp.ClusterProperty):
            changed["clustering"] = Clustering(fields=tuple(c.name for c in node.expressions))
        elif isinstance(node, exp.Property) and node.name.lower() == "labels":
            changed["labels"] = dict(_pairs(node.args["value"]))
    if changed:
        ctx.catalog.update_table(known.model_copy(update=changed))


def _partitioning(by: exp.Expression, known: Any) -> Any:
    """`d`, `DATE(ts)`, `DATE_TRUNC(d, MONTH)`, `TIMESTAMP_TRUNC(ts, HOUR)`; ranges are left."""
    options = {} if known is None else known.model_dump(exclude={"field", "type"})
    column = by if isinstance(by, exp.Identifier) else by.find(exp.Column)
    if column is None or isinstance(by, exp.Anonymous | exp.RangeBucket):
        return known
    name = None if column.name.upper().startswith("_PARTITION") else column.name
    unit = by.args.get("unit")
    named = unit.name.upper() if unit else "DAY"
    kept = {**options, "field": name, "type": named if named in UNITS else "DAY"}
    return TimePartitioning.model_validate(kept)


def _pairs(value: exp.Expression) -> Iterator[tuple[str, str]]:
    for pair in value.find_all(exp.Tuple):
        key, text = pair.expressions
        yield key.name, text.name


def widened(sql: str, project: str, ctx: Any) -> str:
    """An ALTER TABLE with the width of its types; raises for one that BigQuery does not make."""
    if not _ALTERS.match(sql):
        return sql
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return sql
    if not isinstance(tree, exp.Alter) or not isinstance(tree.this, exp.Table):
        return sql
    table = _name(tree.this, project)
    changed = [c for c in tree.find_all(exp.AlterColumn) if c.args.get("dtype")]
    for column in changed:
        _check_wider(table, column.name, column.args["dtype"], ctx)
    plain = [type_ for type_ in tree.find_all(exp.DataType) if _is_plain_bignumeric(type_)]
    for type_ in plain:
        type_.replace(exp.DataType.build(f"BIGNUMERIC{_WIDTH}", dialect="bigquery"))
    return tree.sql("bigquery") if plain else sql


def _is_plain_bignumeric(type_: exp.DataType) -> bool:
    return type_.this == exp.DataType.Type.BIGDECIMAL and not type_.expressions


def _check_wider(table: TableName, column: str, type_: exp.DataType, ctx: Any) -> None:
    known = ctx.catalog.get_table(*table)
    there = {} if known is None else {f["name"].lower(): f["type"] for f in fields_of(known)}
    old = there.get(column.lower())
    if old is None:
        return
    old, new = (_SAME.get(name, name) for name in (old, type_.sql("bigquery").partition("(")[0]))
    if new != old and new not in _WIDER.get(old, ()):
        raise InvalidQueryError(
            "ALTER TABLE ALTER COLUMN SET DATA TYPE requires that the existing column type"
            f" ({old}) is assignable to the new type ({new})"
        )


def _learn_columns(target: exp.Table, project: str, ctx: Any) -> None:
    table = _name(target, project)
    known = ctx.catalog.get_table(*table)
    if known is not None and not known.view_query:
        schema = ddl_sync._introspect_schema(*table, ctx)  # noqa: SLF001
        found = introspect_arrow_schema(ctx.engine, quoted_table_ref(*table))
        wide = {f.name for f in found if _columns_type(f.type) == BIGNUMERIC}
        fields = tuple(
            f.model_copy(update={"type": "BIGNUMERIC"}) if f.name in wide else f
            for f in schema.fields
        )
        schema = schema.model_copy(update={"fields": fields})
        ctx.catalog.update_table(known.model_copy(update={"schema_": schema}))


def _columns_type(type_: pa.DataType) -> str:
    """As DuckDB writes a decimal; lists are of what they hold."""
    inner = type_.value_type if pa.types.is_list(type_) else type_
    return f"DECIMAL({inner.precision}, {inner.scale})" if pa.types.is_decimal(inner) else ""


def _name(target: exp.Table, project: str) -> TableName:
    return (target.catalog or project, target.db, target.name)
