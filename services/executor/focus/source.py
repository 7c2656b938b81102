"""Finds a mapping's columns under whatever headers an export has, and reads them typed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import polars as pl

from services.executor.focus import objects
from services.executor.focus.bills import BILL
from services.executor.focus.errors import BadValueError, MissingColumnsError
from services.executor.focus.expressions import evaluated
from services.executor.focus.mapping import Mapping as FocusMapping
from services.executor.focus.mapping import ObjectPart
from services.executor.focus.specification import TIME
from services.executor.ingest.fitting import (
    DECIMALS,
    DIGITS,
    WHOLE,
    expected_of,
    too_fine,
    written_out,
)
from services.executor.ingest.values import (
    EXPECTED,
    LARGEST,
    MONEY,
    PLAIN,
    Kind,
    Style,
    bad,
    bare_decimals,
    read,
    spread,
    unread,
)

_PUNCTUATION = re.compile(r"[^a-z0-9]")
_TRANSLATED = re.compile(r"\(([^()]+)\)\s*$")
"""Localised exports name a column in their own language, and in English behind it."""
_NULLS: dict[str, pl.DataType] = {
    "decimal": MONEY,
    "text": pl.String(),
    "json": pl.String(),
    "pairs": pl.Null(),
    "list": pl.Null(),
}
_NO_PAIRS = (pl.Null(), pl.List(pl.Null))
"""What lines of JSON make of a list that is empty in all of them."""
HAS = "has_"
_SOME = "^[^eE]*[1-9]"
"""An amount that is written, and not nothing."""
_EMPTY = "empty "
LARGE = "\0large"
"""What is written where expressions see twenty nines; only of exports that have such an amount."""
_NINES = pl.lit(LARGEST, dtype=MONEY)
_TIMES = frozenset({"time", "end", "last_day", "epoch"})


class _Plan(NamedTuple):
    """What is asked of batches with these columns."""

    schema: pl.Schema
    values: list[pl.Expr]
    seen: list[pl.Expr]
    objects: list[pl.Expr]


def plain(header: str) -> str:
    """What remains of a header when case and punctuation do not matter."""
    return _PUNCTUATION.sub("", header.removeprefix("\ufeff").lower())


def english(header: str) -> str:
    """Without its translation."""
    in_parentheses = _TRANSLATED.search(header)
    return in_parentheses.group(1) if in_parentheses else header


def headers_of(mapping: FocusMapping, kind: str) -> frozenset[str]:
    """The headers of columns of a kind, as `plain` has them."""
    return frozenset(
        plain(each)
        for name, rule in mapping.source.items()
        if rule.type == kind
        for each in ([rule.header] if rule.header else [name, *rule.names])
    )


class Source:
    """One export's header, resolved once; `read` takes its rows batch by batch."""

    def __init__(self, mapping: FocusMapping, header: Sequence[str], style: Style = PLAIN) -> None:
        """Raises `MissingColumnsError`."""
        self._mapping, self._style = mapping, style
        self._rounded, self._large = 0, False
        self.found = _resolve(mapping, header)
        prefixes = [p.prefix for parts in mapping.objects.values() for p in parts if p.prefix]
        named = set(self.found.values())
        self.needs = [h for h in header if h in named or h.startswith(tuple(prefixes))]
        """The headers that are read, of all there are."""
        self._amounts = {
            name: header
            for name, header in self.found.items()
            if mapping.source[name].type == "decimal"
        }
        self._plan: _Plan | None = None

    def read(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of the mapping, typed, and its objects. Raises `BadValueError`."""
        plan = self._planned(frame.schema)
        typed = evaluated(frame.lazy().select(plan.values))
        careful = [*self._checked(frame, typed, plan.seen), *self._times(frame)]
        careful += self._spelled(typed)
        typed = typed.with_columns(careful) if careful else typed
        if self._large and LARGE not in typed.columns:
            # From the first one on, as parts have one schema.
            typed = typed.with_columns(pl.lit(None, dtype=pl.String()).alias(LARGE))
        if filled := [*self._filled(typed)]:
            typed = typed.with_columns(filled)
        made = [_made(frame, typed, value) for value in plan.objects]
        return typed.hstack(made)

    @property
    def tells(self) -> list[str]:
        """The headers that `bills` reads; none where the export has nothing of the kind."""
        some = [name for name in self._mapping.in_some_bills if name in self.found]
        of_bill = [self._mapping.bill_period, self._mapping.account]
        return [self.found[name] for name in (*of_bill, *some)] if some else []

    def bill_of(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The bill that each row is of."""
        period, account = self._mapping.bill_period, self._mapping.account
        return frame.select(
            pl.col(self.found[name]).cast(pl.String).alias(alias)
            for name, alias in zip((period, account), BILL, strict=True)
        )

    def bills(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The same, and what of that which only some bills have each row has itself."""
        having = (
            _some(self.found[name], frame.schema).alias(f"{HAS}{name}")
            for name in self._mapping.in_some_bills
            if name in self.found
        )
        return self.bill_of(frame).hstack(frame.select(having))

    def _planned(self, schema: pl.Schema) -> _Plan:
        """The expressions: those of the batch before if it had the same columns."""
        if self._plan is None or self._plan.schema != schema:
            values, seen = list(self._values(schema)), list(self._seen(schema))
            self._plan = _Plan(schema, values, seen, list(self._objects(schema)))
        return self._plan

    def take_rounded(self) -> int:
        """How many values read since the last call had digits too fine to keep."""
        found, self._rounded = self._rounded, 0
        return found

    def _values(self, schema: pl.Schema) -> Iterator[pl.Expr]:
        """All but times, in one pass. What is no bare number is null: see `_checked`."""
        # A first column that is there gives the rows their number.
        yield pl.col(self.needs[0]).is_null().alias("\0")
        for name, rule in self._mapping.source.items():
            header = self.found.get(name)
            if header is None:
                nothing = pl.lit(None, dtype=_NULLS.get(rule.type, TIME))
                yield nothing.alias(name)
            elif rule.type == "decimal":
                yield bare_decimals(pl.col(header), schema[header], self._style).alias(name)
            elif rule.type in {"pairs", "list"}:
                yield pl.col(header).alias(name)
            elif rule.type == "json" and isinstance(schema[header], pl.List | pl.Struct):
                yield objects.of_nested(header, schema[header]).alias(name)
            elif rule.type in {"text", "json"}:
                text = pl.col(header).cast(pl.String)
                yield pl.when(self._is_something(text)).then(text).alias(name)

    def _is_something(self, text: pl.Expr) -> pl.Expr:
        nulls = self._mapping.nulls
        return text.is_in(["", *nulls]).not_() if nulls else text != ""

    def _times(self, frame: pl.DataFrame) -> Iterator[pl.Series]:
        for name, rule in self._mapping.source.items():
            header = self.found.get(name)
            if header is not None and rule.type in _TIMES:
                kind = cast("Kind", rule.type)
                values = frame[header].alias(name)
                found = read(values, kind, self._style)
                _refuse_bad(values, found, kind)
                yield found

    def _spelled(self, typed: pl.DataFrame) -> Iterator[pl.Series]:
        """The texts that are not written as the mapping has them."""
        for name, rule in self._mapping.source.items():
            if rule.of and name in self.found:
                different = typed[name].unique().drop_nulls()
                known = {plain(text): text for text in rule.of}
                meant = [known.get(plain(text), text) for text in different]
                if meant != different.to_list():
                    yield spread(typed[name], different, pl.Series(meant, dtype=pl.String()))

    def _seen(self, schema: pl.Schema) -> Iterator[pl.Expr]:
        """How many amounts are empty, and how long the longest is."""
        for name, header in self._amounts.items():
            if schema[header] == pl.String:
                yield (pl.col(header) == "").sum().alias(f"{_EMPTY}{name}")
                yield pl.col(header).str.len_bytes().max().alias(name)

    def _checked(
        self, frame: pl.DataFrame, typed: pl.DataFrame, seen: Sequence[pl.Expr]
    ) -> Iterator[pl.Series]:
        """The amounts that had to be read more carefully. Raises `BadValueError`."""
        of = evaluated(frame.lazy().select(seen)).row(0, named=True) if seen else {}
        for name, header in self._amounts.items():
            values, found = frame[header].alias(name), typed[name]
            if found.null_count() > values.null_count() + of.get(f"{_EMPTY}{name}", 0):
                yield from self._carefully(values)
            decimals = self._mapping.source[name].decimals
            if (of.get(name, DECIMALS + 1) or 0) > decimals:
                self._rounded += too_fine(values, decimals)

    def _carefully(self, values: pl.Series) -> Iterator[pl.Series]:
        """Raises `BadValueError`."""
        found, whole = read(values, "decimal", self._style), WHOLE
        wrong = unread(values, found)
        if self._mapping.source[values.name].large and wrong.any():
            whole = DIGITS
            unread_ = values.to_frame().select(pl.when(wrong).then(pl.all())).to_series()
            large = written_out(unread_, self._style).alias(LARGE)
            self._large |= large.null_count() < large.len()
            found = found.to_frame().select(_in_nines(found.name, large)).to_series()
            yield large
        if bad_ := bad(values, found):
            expected = expected_of(bad_.value, self._style, whole)
            raise BadValueError(values.name, bad_.row, bad_.value, expected)
        yield found

    def _filled(self, typed: pl.DataFrame) -> Iterator[pl.Series]:
        for name, rule in self._mapping.source.items():
            if rule.empty is not None and typed[name].has_nulls():
                yield typed[name].fill_null(pl.lit(rule.empty, dtype=MONEY))

    def _objects(self, schema: pl.Schema) -> Iterator[pl.Expr]:
        for name, parts in self._mapping.objects.items():
            members = [m for part in parts for m in self._members(part, schema)]
            yield objects.object_of(members).alias(name)

    def _members(self, part: ObjectPart, schema: pl.Schema) -> Iterator[pl.Expr]:
        if part.prefix:
            for header in self.needs:
                if header.startswith(part.prefix):
                    value = pl.col(header).cast(pl.String)
                    key = part.key + header.removeprefix(part.prefix)
                    yield objects.member(key, pl.when(value != "").then(value))
        elif part.pairs and part.pairs in self.found:
            column = self.found[part.pairs]
            if schema[column] not in _NO_PAIRS:
                yield objects.members_of_pairs(
                    column, schema[column], part.key, part.within, part.prefixes
                )
        elif part.json_text and part.json_text in self.found:
            yield objects.members_of_json(self.found[part.json_text], part.key)
        for key, name in part.columns.items():
            if name in self.found:
                yield objects.member(part.key + key, pl.col(f"\0{name}").cast(pl.String))


def _some(header: str, schema: pl.Schema) -> pl.Expr:
    value = pl.col(header)
    found = value.str.contains(_SOME) if schema[header] == pl.String else value != 0
    return found.fill_null(value=False)


def _resolve(mapping: FocusMapping, header: Sequence[str]) -> Mapping[str, str]:
    by_plain: dict[str, str] = {}
    for name in header:
        by_plain.setdefault(plain(name), name)
        if in_parentheses := _TRANSLATED.search(name):
            by_plain.setdefault(plain(in_parentheses.group(1)), name)
    found = {}
    for name, rule in mapping.source.items():
        if rule.header:
            found[name] = rule.header
            continue
        for candidate in (name, *rule.names):
            if plain(candidate) in by_plain:
                found[name] = by_plain[plain(candidate)]
                break
    missing = [name for name, rule in mapping.source.items() if rule.required and name not in found]
    if missing:
        raise MissingColumnsError(mapping.name, missing, header)
    return found


def _made(frame: pl.DataFrame, typed: pl.DataFrame, value: pl.Expr) -> pl.Series:
    """An object, of columns as they came, and of those that were read."""
    read_ = {name for name in value.meta.root_names() if name.startswith("\0")}
    beside = [typed[name.removeprefix("\0")].alias(name) for name in sorted(read_)]
    made = objects.repeated(frame.hstack(beside), value)
    return made.alias(value.meta.output_name())


def _in_nines(amount: str, large: pl.Series) -> pl.Expr:
    written = pl.lit(large)
    nines = pl.when(written.str.starts_with("-")).then(-_NINES).otherwise(_NINES)
    found = pl.when(written.is_not_null()).then(nines).otherwise(pl.col(amount))
    return found.alias(amount)


def as_written(amount: str) -> pl.Expr:
    """A column of amounts as text, with what `LARGE` has instead of nines of either sign."""
    value, large = pl.col(amount), pl.col(LARGE).str.strip_prefix("-")
    signed = pl.when(value < 0).then(pl.lit("-") + large).otherwise(large)
    is_large = (value.abs() == _NINES) & large.is_not_null()
    return pl.when(is_large).then(signed).otherwise(value.cast(pl.String)).alias(amount)


def _refuse_bad(values: pl.Series, found: pl.Series, kind: Kind) -> None:
    if wrong := bad(values, found):
        raise BadValueError(values.name, wrong.row, wrong.value, EXPECTED[kind])
