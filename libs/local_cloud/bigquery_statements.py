"""Mends statements that bqemulator translates or classifies wrongly."""

import base64
from typing import Any

import sqlglot
from bqemulator.jobs import executor
from bqemulator.scripting import interpreter
from bqemulator.sql import parameters
from sqlglot import exp

from libs.local_cloud.bigquery_mending import replace


def mend() -> None:
    _know_every_query()
    _decode_bytes()
    _resolve_unnested_fields()


def _know_every_query() -> None:
    """A UNION, or a query in parentheses, would be of no type at all."""
    classify: Any = executor._classify_parsed_tree  # noqa: SLF001

    def classify_all(tree: Any) -> str:
        return classify(tree) or ("SELECT" if isinstance(tree, exp.Query) else "")

    replace(executor, "_classify_parsed_tree", classify_all)


def _decode_bytes() -> None:
    """A BYTES parameter would be bound as the base64 that it travels in."""
    converters: Any = parameters._SCALAR_CONVERTERS  # noqa: SLF001
    replace(parameters, "_SCALAR_CONVERTERS", {**converters, "BYTES": base64.b64decode})


def _resolve_unnested_fields() -> None:
    """`SELECT value FROM UNNEST(labels)` names a field of the elements, without an alias."""
    translate: Any = vars(executor)["rewrite_and_translate_statement"]

    async def resolved(bq_sql: str, **given: Any) -> str:
        translated: str = await translate(qualify_unnested(bq_sql), **given)
        return translated

    for module in (executor, interpreter):
        replace(module, "rewrite_and_translate_statement", resolved)


def has_where(sql: str) -> bool:
    tree = sqlglot.parse_one(sql, read="bigquery")
    return tree.args.get("where") is not None


def qualify_unnested(sql: str) -> str:
    """Name the element in every select over nothing but one array."""
    if "unnest" not in sql.lower():
        return sql
    try:
        tree = sqlglot.parse_one(sql, read="bigquery")
    except sqlglot.errors.SqlglotError:
        return sql
    changed = [_qualify(select) for select in list(tree.find_all(exp.Select))]
    return tree.sql("bigquery") if any(changed) else sql


def _qualify(select: exp.Select) -> bool:
    unnest = _only_source(select)
    if unnest is None or not isinstance(unnest.expressions[0], exp.Column | exp.Dot):
        return False
    alias = unnest.args.get("alias")
    name = unnest.alias or (alias.columns[0].name if alias and alias.columns else "")
    if not name:
        name = "element"
        unnest.set("alias", exp.TableAlias(columns=[exp.to_identifier(name)]))
    offset = unnest.args.get("offset")
    own = {name, offset.name if isinstance(offset, exp.Expression) else "offset"}
    fields = [c for c in select.find_all(exp.Column) if _is_field(c, select, unnest, own)]
    for column in fields:
        column.replace(exp.column(column.this.copy(), table=name))
    return bool(fields) or alias is None


def _only_source(select: exp.Select) -> exp.Unnest | None:
    from_ = select.args.get("from_") or select.args.get("from")
    if from_ is None or select.args.get("joins"):
        return None
    return from_.this if isinstance(from_.this, exp.Unnest) else None


def _is_field(column: exp.Column, select: exp.Select, unnest: exp.Unnest, own: set[str]) -> bool:
    return (
        column.find_ancestor(exp.Select) is select
        and column.find_ancestor(exp.Unnest) is not unnest
        and not column.args.get("table")
        and column.name not in own
    )
