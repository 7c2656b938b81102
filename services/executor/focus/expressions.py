"""SQL expressions of a mapping as Polars expressions, in layers that may run side by side."""

from collections.abc import Collection, Iterable, Mapping

import polars as pl
from polars.exceptions import PolarsError

from services.executor.focus.errors import MappingError
from services.executor.focus.mapping import Product


def compile_expression(where: str, text: str, known: Collection[str]) -> pl.Expr:
    """Raises `MappingError` for what is no expression, or names a column that is not there."""
    try:
        found = pl.sql_expr(text)
        names = found.meta.root_names()
    except PolarsError as error:
        raise MappingError(where, f"{text!r}: {str(error).splitlines()[0]}") from None
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise MappingError(where, f"{text!r} speaks of {unknown[0]}, which is no column here")
    return found


def layers(
    where: str, written: Mapping[str, str | Product], known: Iterable[str]
) -> list[list[pl.Expr]]:
    """Named expressions in groups: those of a group need nothing of one another."""
    there = set(known)
    found: list[list[pl.Expr]] = []
    level: dict[str, int] = {}
    for name, text in written.items():
        expression = _compiled(f"{where}.{name}", text, there)
        needs = [level[root] for root in expression.meta.root_names() if root in level]
        level[name] = max(needs, default=-1) + 1
        while len(found) <= level[name]:
            found.append([])
        found[level[name]].append(expression.alias(name))
        there.add(name)
    return found


def _compiled(where: str, said: str | Product, known: Collection[str]) -> pl.Expr:
    if isinstance(said, str):
        return compile_expression(where, said, known)
    one, other = (compile_expression(where, factor, known) for factor in said.times)
    return one * other


def evaluated(query: pl.LazyFrame) -> pl.DataFrame:
    """Of a batch, which is too small to be streamed, and for a better plan to pay."""
    return query.collect(engine="in-memory", optimizations=pl.QueryOptFlags.none())
