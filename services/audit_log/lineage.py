"""Which tables and columns a step reads and writes, as its SQL tells.

Read from the definition that a run pins, before the run begins: what SQL does not
tell (`SELECT *` over tables whose columns are not known here) is left out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.lineage import to_node
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

from contracts.envelope import Envelope
from contracts.pipelines import StepPart
from contracts.runs import RunRequestedV1

DIALECT = "bigquery"
LONGEST = 20_000
"""Characters of SQL whose columns are followed; of longer ones only the tables are told."""
MOST_COLUMNS = 200
_SQL_FIELDS = ("source_query", "sql", "query")
_TARGET_FIELDS = ("target_table", "target", "table")
_QUOTED = re.compile(r"'\$\{[^{}]*\}'")
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Lineage:
    """What one step reads and writes, as `dataset.table`."""

    inputs: tuple[str, ...] = ()
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of each column written: `dataset.table.column` of what it is made of."""
    untold: str = ""
    """Why something could not be told."""


@dataclass(frozen=True, slots=True)
class StepLineage:
    """A step with SQL, and what that tells."""

    step: StepPart
    target: str
    lineage: Lineage


def lineage_of(request: RunRequestedV1) -> Iterator[StepLineage]:
    """Every step that has SQL. Takes a while: not for the event loop."""
    for step in request.definition.steps:
        sql = _text(step, _SQL_FIELDS)
        if sql:
            target = _filled(_text(step, _TARGET_FIELDS), request).partition("$")[0]
            default = request.datasets[0] if request.datasets else str(request.tenant_id)
            yield StepLineage(step, target, _read(_filled(sql, request), default))


def lineage_rows(
    envelope: Envelope, request: RunRequestedV1, found: Iterable[StepLineage], now: datetime
) -> list[dict[str, Any]]:
    return [
        {
            "event_id": envelope.id,
            "event_time": envelope.time,
            "tenant_id": request.tenant_id,
            "run_id": request.run_id,
            "pipeline_id": request.config_id,
            "step_id": one.step.step_id,
            "attempt": request.attempt,
            "inputs": json.dumps(one.lineage.inputs),
            "output": one.target or None,
            "columns": json.dumps(one.lineage.columns),
            "untold": one.lineage.untold or None,
            "recorded_at": now,
        }
        for one in found
    ]


def _text(step: StepPart, names: tuple[str, ...]) -> str:
    values = (step.config.get(name) for name in names)
    return next((value for value in values if isinstance(value, str)), "")


def _filled(text: str, request: RunRequestedV1) -> str:
    """Values are bound when it runs; which they are says nothing of tables."""
    text = text.replace("${tenant_id}", str(request.tenant_id))
    return _VARIABLE.sub("@given", _QUOTED.sub("@given", text))


@lru_cache(maxsize=2000)
def _read(sql: str, default: str) -> Lineage:
    try:
        tree = parse_one(sql, dialect=DIALECT)
        inputs = tuple(sorted(_tables(tree, default)))
    except Exception as error:  # noqa: BLE001  whatever a parser chokes on is told in the row
        return Lineage(untold=f"the SQL cannot be read: {type(error).__name__}")
    if len(sql) > LONGEST:
        return Lineage(inputs, untold=f"it has more than {LONGEST} characters")
    try:
        return Lineage(inputs, dict(_columns(tree, default)))
    except Exception as error:  # noqa: BLE001  as above
        return Lineage(inputs, untold=f"columns cannot be followed: {type(error).__name__}")


def _tables(tree: exp.Expr, default: str) -> set[str]:
    named = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    return {
        _name(table, default)
        for table in tree.find_all(exp.Table)
        if table.name and (table.db or table.name not in named)
    }


def _name(table: exp.Table, default: str) -> str:
    return f"{table.db or default}.{table.name}"


def _columns(tree: exp.Expr, default: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    whole = qualify(
        tree.copy(),
        dialect=DIALECT,
        validate_qualify_columns=False,
        identify=False,
        quote_identifiers=False,
    )
    scope = build_scope(whole)
    if scope is None or not isinstance(whole, exp.Query):
        return
    for select in whole.selects[:MOST_COLUMNS]:
        if not select.is_star:
            name = select.alias_or_name
            yield name, tuple(sorted(_sources(name, scope, default)))


def _sources(name: str, scope: Scope, default: str) -> set[str]:
    node = to_node(name, scope, DIALECT, trim_selects=False)
    return {
        f"{_name(leaf.expression, default)}.{leaf.name.rpartition('.')[2]}"
        for leaf in node.walk()
        if isinstance(leaf.expression, exp.Table)
    }
