"""Mends scripts: real transactions, and parameters.

bqemulator plays a transaction by copying tables, which others see half done,
and forgets query parameters when a query has more than one statement.
"""

from itertools import pairwise
from typing import Any

import sqlglot
from bqemulator.jobs import executor
from bqemulator.scripting.interpreter import ScriptInterpreter
from bqemulator.sql import parameters
from sqlglot import tokens as kinds

from libs.local_cloud.bigquery_mending import replace

PREFIX = "script_parameter_"


def mend() -> None:
    replace(ScriptInterpreter, "_handle_txn_statement", _control)
    replace(ScriptInterpreter, "_snapshot_dml_targets", _nothing)
    replace(ScriptInterpreter, "_drop_txn_snapshots", _commit)
    replace(ScriptInterpreter, "_restore_txn_snapshots", _roll_back)
    run_body: Any = executor._run_query_body  # noqa: SLF001

    async def run_with_parameters(**given: Any) -> Any:
        if given["is_scripted"] and given["query_params"]:
            return await _run_script(given)
        return await run_body(**given)

    replace(executor, "_run_query_body", run_with_parameters)


async def _control(self: Any, operation: str) -> None:
    if operation == "BEGIN":
        if self._active_txn is None:
            self._ctx.engine.connection.begin()
            self._active_txn = {}
    else:
        await (_commit if operation == "COMMIT" else _roll_back)(self)


async def _nothing(*_: Any) -> None:
    """Nothing to copy: DuckDB keeps what a transaction changes to itself."""


async def _commit(self: Any) -> None:
    if self._active_txn is not None:
        self._active_txn = None
        self._ctx.engine.connection.commit()


async def _roll_back(self: Any) -> None:
    if self._active_txn is not None:
        self._active_txn = None
        self._ctx.engine.connection.rollback()


async def _run_script(given: dict[str, Any]) -> Any:
    """Parameters become variables of the script, which no script can name by chance."""
    caller = given["effective_caller"]
    script = ScriptInterpreter(given["ctx"], given["project_id"], caller=caller)
    for parameter in given["query_params"]:
        value = parameters._extract_value(parameter)  # noqa: SLF001
        kind = parameter.get("parameterType", {}).get("type", "STRING")
        script._frames.declare(PREFIX + parameter["name"], kind, value)  # noqa: SLF001
    return await executor._run_script(  # noqa: SLF001
        script, _name_variables(given["bq_sql"]), given["ctx"]
    )


def _name_variables(sql: str) -> str:
    """`@name` as the variable that stands for it; in text and comments it stays."""
    named, end = [], 0
    tokens = sqlglot.tokenize(sql, read="bigquery")
    for sign, name in pairwise(tokens):
        if sign.token_type is vars(kinds)["TokenType"].PARAMETER and name.start == sign.end + 1:
            named += [sql[end : sign.start], PREFIX, sql[name.start : name.end + 1]]
            end = name.end + 1
    return "".join([*named, sql[end:]])
