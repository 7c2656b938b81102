"""The first wall around tenant SQL: what may be run at all.

One SELECT, over tables of the tenant's own datasets only. Parsed, not searched
for words; what the parser does not understand is refused.
"""

from collections.abc import Collection

import sqlglot
from sqlglot import exp

from services.executor.steps.step import StepError

_FORBIDDEN = (
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.Drop,
    exp.Alter,
    exp.Into,
    exp.Set,
)
_FORBIDDEN_FUNCTIONS = frozenset(
    {"EXTERNAL_QUERY", "EXTERNAL_OBJECT_TRANSFORM", "SESSION_USER", "KEYS.NEW_KEYSET"}
)


def check_select(sql: str, project: str, datasets: Collection[str]) -> None:
    """Raises `StepError` that names what is not allowed and where."""
    try:
        statements = [s for s in sqlglot.parse(sql, read="bigquery") if s is not None]
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f"line {first.get('line')}, column {first.get('col')}"
        raise _refused(f"it cannot be parsed at {where}: {first.get('description')}") from None
    except sqlglot.errors.SqlglotError as error:
        raise _refused(f"it cannot be parsed: {error}") from None
    except RecursionError:
        raise _refused("it is nested too deeply") from None
    if len(statements) != 1:
        raise _refused(f"it has {len(statements)} statements; exactly one SELECT is allowed")
    tree = statements[0]
    if not isinstance(tree, exp.Query):
        raise _refused(f"it is a {tree.key.upper()}; only SELECT is allowed")
    _check_nodes(tree)
    _check_tables(tree, project, datasets)


def _check_nodes(tree: exp.Expr) -> None:
    for node in tree.find_all(*_FORBIDDEN):
        if node is not tree and not isinstance(node, exp.Query):
            raise _refused(f"{node.key.upper()} is not allowed in it")
    for function in tree.find_all(exp.Anonymous):
        name = str(function.this).upper()
        if name in _FORBIDDEN_FUNCTIONS or isinstance(function.parent, exp.Dot):
            raise _refused(f"the function {name} is not allowed")


def _check_tables(tree: exp.Expr, project: str, datasets: Collection[str]) -> None:
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise _refused(f"{table.sql('bigquery')[:80]}: table functions are not allowed")
        parts = [part.name for part in table.parts]
        shown = ".".join(parts)
        if len(parts) == 1:
            _check_bare(parts[0], table)
            continue
        if len(parts) > 3:  # noqa: PLR2004  project.dataset.table
            raise _refused(f"{shown}: a table is dataset.table")
        dataset, name = parts[-2], parts[-1]
        if len(parts) == 3 and parts[0] != project:  # noqa: PLR2004
            raise _refused(f"{shown}: tables of other projects are not allowed")
        if dataset not in datasets:
            allowed = ", ".join(datasets)
            raise _refused(f"{shown}: dataset {dataset} is not yours; yours are {allowed}")
        if "*" in name or "INFORMATION_SCHEMA" in shown.upper():
            raise _refused(f"{shown}: wildcard and INFORMATION_SCHEMA tables are not allowed")


def _check_bare(name: str, table: exp.Table) -> None:
    """A name alone is a WITH query, a table of the own dataset, or a column to unnest."""
    if "." in name or "*" in name or name.upper().startswith("INFORMATION_SCHEMA"):
        raise _refused(f"{table.sql('bigquery')[:80]} is not allowed")


def _refused(reason: str) -> StepError:
    return StepError("sql_not_allowed", f"the query was refused: {reason}")
