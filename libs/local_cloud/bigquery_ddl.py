"""Mends what the catalogue learns from DDL.

bqemulator passes over CLUSTER BY, labels and partitions by an expression, and
does not notice that ALTER TABLE changes columns.
"""

from collections.abc import Iterator
from typing import Any

import sqlglot
from bqemulator.catalog import ddl_sync
from bqemulator.catalog.models import Clustering, TimePartitioning
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from sqlglot import exp

from libs.local_cloud.bigquery_mending import replace
from libs.local_cloud.bigquery_tables import TableName

UNITS = frozenset({"HOUR", "DAY", "MONTH", "YEAR"})


def mend() -> None:
    sync: Any = vars(executor)["sync_created_table"]

    def sync_all(sql: str, project: str, ctx: Any) -> None:
        sync(sql, project, ctx)
        learn(sql, project, ctx)

    for module in (executor, interpreter):
        replace(module, "sync_created_table", sync_all)


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


def _learn_columns(target: exp.Table, project: str, ctx: Any) -> None:
    table = _name(target, project)
    known = ctx.catalog.get_table(*table)
    if known is not None and not known.view_query:
        schema = ddl_sync._introspect_schema(*table, ctx)  # noqa: SLF001
        ctx.catalog.update_table(known.model_copy(update={"schema_": schema}))


def _name(target: exp.Table, project: str) -> TableName:
    return (target.catalog or project, target.db, target.name)
