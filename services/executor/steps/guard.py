"""The first wall around tenant SQL: what may be run at all.

One SELECT, over tables of the tenant's own datasets, with functions that only
compute. Functions are read from the tokens and tables from the tree, so that
neither rests on how the other was understood; what cannot be read is refused.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.bigquery import BigQuery

from services.executor.steps.functions import WORDS, is_allowed
from services.executor.steps.lexical import TwoReadingsError, check_one_reading
from services.executor.steps.step import StepError

_FORBIDDEN = (
    exp.Command,
    exp.DDL,
    exp.DML,
    exp.Drop,
    exp.Alter,
    exp.Into,
    exp.Set,
    exp.SessionParameter,
)
_TABLE = re.compile(r"[^\W\d][\w \-]*(\$[0-9A-Za-z_]+)?|\d[\w \-]*(\$[0-9A-Za-z_]+)?")
_WHO = frozenset({"CURRENT_USER", "SESSION_USER", "USER"})
_TEXTS = frozenset(
    {TokenType.STRING, TokenType.RAW_STRING, TokenType.BYTE_STRING, TokenType.HEX_STRING}
)
_SHOWN = 80
MOST_REMEMBERED = 500

Tables = tuple[str, ...]


def check_select(sql: str, project: str, datasets: Collection[str]) -> Tables:
    """The tables it names, as `dataset.table`; raises `StepError` saying what is wrong where."""
    return _checked(sql, project, tuple(datasets))


@lru_cache(maxsize=MOST_REMEMBERED)
def _checked(sql: str, project: str, datasets: tuple[str, ...]) -> Tables:
    try:
        tokens = BigQuery().tokenize(sql)
        parsed = sqlglot.parse(sql, read="bigquery")
        statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]
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
    _check_reading(sql, tokens)
    _check_tokens(tokens, project, datasets)
    _check_nodes(tree)
    return tuple(dict.fromkeys(_tables(tree, project, datasets)))


def _check_reading(sql: str, tokens: Sequence[Token]) -> None:
    try:
        check_one_reading(sql, tokens)
    except TwoReadingsError as error:
        line = sql.count("\n", 0, error.offset) + 1
        column = error.offset - sql.rfind("\n", 0, error.offset)
        raise _refused(
            f"its quotes or comments can be read in two ways from line {line}, column {column}; "
            "write them without backslashes before quotes"
        ) from None


def _check_tokens(tokens: Sequence[Token], project: str, datasets: Collection[str]) -> None:
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.PIPE_GT:
            raise _refused(f"pipe syntax (|>) is not allowed{_at(token)}; begin with SELECT")
        if token.token_type in _TEXTS:
            continue
        if token.token_type is TokenType.IDENTIFIER:
            _check_path(tokens, index, project, datasets)
        name = token.text.upper()
        if "INFORMATION_SCHEMA" in name and _is_name(token):
            raise _refused(f"INFORMATION_SCHEMA is not allowed{_at(token)}")
        if name in _WHO and token.token_type is not TokenType.IDENTIFIER and _asks(tokens, index):
            raise _refused(f"{name} is not allowed{_at(token)}")
        if token.token_type is TokenType.L_PAREN and index:
            _check_call(tokens, index)


def _asks(tokens: Sequence[Token], index: int) -> bool:
    """SESSION_USER and CURRENT_USER need no parentheses; USER is a column unless it has some."""
    after = tokens[index + 1].token_type if index + 1 < len(tokens) else None
    return tokens[index].text.upper() != "USER" or after is TokenType.L_PAREN


def _check_path(
    tokens: Sequence[Token], index: int, project: str, datasets: Collection[str]
) -> None:
    """A quoted name with dots is a table to BigQuery wherever it may stand in FROM."""
    token = tokens[index]
    if "\\" in token.text:
        raise _refused(f"a backslash in a quoted name is not allowed{_at(token)}")
    parts = token.text.split(".")
    if len(parts) == 1:
        return
    goes_on = index + 1 < len(tokens) and tokens[index + 1].token_type is TokenType.DOT
    if goes_on and parts == [project, parts[-1]]:  # a project and dataset: the table follows
        parts.append("table")
    _check_name(parts, _at(token))
    _check_place(parts, project, datasets, _at(token))


def _check_call(tokens: Sequence[Token], paren: int) -> None:
    """What stands before a parenthesis is a word of the grammar or a function."""
    last = tokens[paren - 1]
    if not _is_name(last):
        return
    parts, place = [last.text], paren - 1
    while place >= 2 and tokens[place - 1].token_type is TokenType.DOT:  # noqa: PLR2004  name and dot
        place -= 2
        parts.insert(0, tokens[place].text)
    quoted = any(t.token_type is TokenType.IDENTIFIER for t in tokens[place:paren])
    name = ".".join(parts)
    if not quoted and (is_allowed(name) or name.upper().rpartition(" ")[2] in WORDS):
        return
    raise _refused(f"the function {name[:_SHOWN]} is not allowed{_at(tokens[place])}")


def _is_name(token: Token) -> bool:
    if token.token_type in {TokenType.IDENTIFIER, TokenType.VAR}:
        return True
    return bool(token.text) and (token.text[0].isalpha() or token.text[0] == "_")


def _check_nodes(tree: exp.Expr) -> None:
    for node in tree.find_all(*_FORBIDDEN):
        if node is not tree and not isinstance(node, exp.Query):
            raise _refused(f"{node.key.upper()} is not allowed in it")
    for parameter in tree.find_all(exp.Parameter):
        if isinstance(parameter.this, exp.Parameter):
            raise _refused(f"the system variable {parameter.sql('bigquery')} is not allowed")


def _tables(tree: exp.Expr, project: str, datasets: Collection[str]) -> Iterator[str]:
    named = {cte.alias_or_name for cte in tree.find_all(exp.CTE)}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier):
            raise _refused(
                f"{table.sql('bigquery')[:_SHOWN]}: table functions are not allowed{_near(table)}"
            )
        parts = [part.name for part in table.parts]
        _check_name(parts, _near(table))
        if len(parts) == 1:
            if parts[0] not in named:
                yield f"{next(iter(datasets), '')}.{parts[0]}"
            continue
        _check_place(parts, project, datasets, _near(table))
        yield ".".join(parts[-2:])


def _check_name(parts: list[str], near: str) -> None:
    if not _TABLE.fullmatch(parts[-1]) or parts[-1].startswith("__"):
        raise _refused(
            f"{'.'.join(parts)[:_SHOWN]}: wildcards, decorators and hidden tables are not "
            f"allowed{near}; name one table"
        )


def _check_place(parts: list[str], project: str, datasets: Collection[str], near: str) -> None:
    shown, whole = ".".join(parts)[:_SHOWN], 3
    if len(parts) > whole:
        raise _refused(f"{shown}: a table is dataset.table{near}")
    if len(parts) == whole and parts[0] != project:
        raise _refused(f"{shown}: tables of other projects are not allowed{near}")
    if parts[-2] not in datasets:
        allowed = ", ".join(datasets)
        raise _refused(f"{shown}: dataset {parts[-2]} is not yours{near}; yours are {allowed}")


def _at(token: Token) -> str:
    return f" at line {token.line}, column {token.col}"


def _near(table: exp.Table) -> str:
    meta = table.this.meta if isinstance(table.this, exp.Expression) else {}
    return f" at line {meta['line']}, column {meta['col']}" if "line" in meta else ""


def _refused(reason: str) -> StepError:
    return StepError("sql_not_allowed", f"the query was refused: {reason}")
