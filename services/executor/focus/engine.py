"""Turns batches of an export into FOCUS rows as a mapping says; knows no provider.

A converter serves one export: it resolves the header once, keeps no rows, and
adds up what happened in its tally. Same input, same output, to the last digit.
"""

from collections.abc import Sequence
from itertools import chain

import polars as pl
from polars.exceptions import PolarsError

from services.executor.focus.bills import Bills
from services.executor.focus.elements import ROW, ElementRows
from services.executor.focus.errors import BadValueError, MappingError
from services.executor.focus.expressions import compile_expression, evaluated, layers
from services.executor.focus.lookups import load_lookup
from services.executor.focus.mapping import Mapping
from services.executor.focus.natives import with_kept, with_natives
from services.executor.focus.needed import ACCOUNT, CURRENCY, Needed
from services.executor.focus.objects import in_words, types_of_pairs
from services.executor.focus.pairs import in_pairs, member
from services.executor.focus.periods import with_period
from services.executor.focus.source import HAS, LARGE, Source, as_written, headers_of, plain
from services.executor.focus.specification import QUANTITIES, focus
from services.executor.focus.tally import AMOUNT, COUNTED, Offset, Tally, Unmapped
from services.executor.ingest.parts import ROLE
from services.executor.ingest.values import PLAIN, Style

PART, SPLIT = "part", "\0split"
FILE = "x_file"
NOT_SPLIT = 0
_PERIOD = ("period_start", "period_end")


class Converter:
    """Not safe to share: one per export, or per stream of its batches."""

    def __init__(
        self,
        mapping: Mapping,
        schema: pl.Schema,
        tally: Tally | None = None,
        style: Style = PLAIN,
        bills: Bills | None = None,
    ) -> None:
        """Adds to the tally if one is given; a batch is all of its bills unless they are told.

        Raises `MappingError` or `MissingColumnsError`.
        """
        mapping = with_natives(mapping, schema.names())
        self.tally = Tally() if tally is None else tally
        twice = self.tally.twice
        self._twice = twice if twice is not None and twice.looking else None
        found = flattened(schema, headers_of(mapping, "json") | headers_of(mapping, "list"))
        found |= _members(mapping, schema)
        mapping, absent = with_kept(mapping, list(found))
        self._mapping = mapping
        self.tally.miss(absent)
        self._source, self._bills = Source(mapping, list(found), style), bills
        self._flattened = {name: found[name] for name in self._source.needs}
        paired = headers_of(mapping, "pairs") | {plain(name) for name in mapping.maps}
        self._texts = [
            name for name in self.reads if schema[name] == pl.String and plain(name) in paired
        ]
        self._elements = [ElementRows(mapping.name, said) for said in mapping.elements]
        self._lookups = {
            name: load_lookup(said.table, said.prefix, said.block)
            for name, said in mapping.lookups.items()
        }
        self._needed = Needed(mapping, self._source.found)
        self._compile()

    @property
    def reads(self) -> frozenset[str]:
        """The columns that a batch must have: no others are looked at."""
        return frozenset(
            name for value in self._flattened.values() for name in value.meta.root_names()
        )

    def convert(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Raises `BadValueError`, with the number of the row in this batch, and `MappingError`."""
        try:
            return self._converted(batch)
        except BadValueError as error:
            raise error.under(self._source.found.get(error.column, error.column)) from None
        except PolarsError as error:
            raise MappingError(self._mapping.name, str(error).splitlines()[0]) from error

    def _converted(self, batch: pl.DataFrame) -> pl.DataFrame:
        batch = in_pairs(batch, self._texts) if self._texts else batch
        flat = batch.select(expression.alias(name) for name, expression in self._flattened.items())
        typed = self._source.read(flat).hstack(self._having(flat))
        rows = with_period(typed, self._mapping.billing_period)
        if self._twice is not None:
            rows = rows.with_columns(batch[FILE])
        found = [(each, each.of(rows)) for each in self._elements]
        for each, elements in found:
            rows = rows.hstack(each.sums(rows.height, elements))
            self.tally.repeated[each.said.list] += each.repeated(elements)
        return self._rows_to_focus(rows, found)

    def _having(self, flat: pl.DataFrame) -> list[pl.Series]:
        """What some bills have and others have not: whether a row is of such a bill."""
        bills = self._bills
        if bills is None:
            bills = Bills()
            if self._source.tells:
                bills.add(self._source.bills(flat))
        if bills.empty:
            return [
                pl.repeat(value=False, n=flat.height, eager=True).alias(name) for name in self._some
            ]
        lines = self._source.bill_of(flat)
        return [bills.having(lines, name) for name in self._some]

    def _rows_to_focus(
        self, rows: pl.DataFrame, found: Sequence[tuple[ElementRows, pl.DataFrame]]
    ) -> pl.DataFrame:
        tally = self.tally
        tally.rows_in += rows.height
        tally.rounded += self._source.take_rounded()
        tally.rounded += sum(each.take_rounded() for each, _ in found)
        # Not in one query, which would leave the columns in pieces of different sizes: whatever
        # is asked of such a frame copies all of it first.
        for group in self._let:
            rows = rows.with_columns(group)
        charged = rows.select(self._conserved)
        self._needed.check([*rows.get_columns(), *charged.get_columns()])
        tally.add_charged(charged)
        for name, (when, by) in self._cancel.items():
            chosen = rows.select(when).to_series()
            if chosen.any():
                tally.add_cancelling(name, rows.select(by).filter(chosen), charged.filter(chosen))
        for name, (when, lines, amount) in self._offset.items():
            chosen = rows.select(when).to_series()
            if chosen.any():
                amounts = charged.with_columns(rows.select(amount).to_series().alias(AMOUNT))
                taken = rows.select(lines).to_series().filter(chosen)
                tally.add_offset(name, taken, amounts.filter(chosen))
        if self._twice is not None:
            self._twice.add(rows.select(FILE, *self._once), FILE)
        rows = self._look_up(rows, charged)
        moved = [(each, self._moving(each, elements, rows)) for each, elements in found]
        rows = self._with_elements(self._left(rows), moved)
        result = self._finished(rows)
        tally.add_result(pl.DataFrame([result[name] for name in COUNTED]))
        return result

    def _look_up(self, rows: pl.DataFrame, charged: pl.DataFrame) -> pl.DataFrame:
        for name in self._mapping.lookups:
            keys, lookup = _texts(rows, self._keys[name]), self._lookups[name]
            places, found = lookup.find(keys)
            self._count_unmapped(name, keys, places.is_null(), charged)
            rows = rows.hstack(found)
        for name, (value, known) in self._known.items():
            values = _texts(rows, value)
            self._count_unmapped(name, values, ~values.is_in(known), charged)
        return rows

    def _count_unmapped(
        self, name: str, values: pl.Series, unknown: pl.Series, charged: pl.DataFrame
    ) -> None:
        missed = (unknown & values.is_not_null()).fill_null(value=False)
        if missed.any():
            self.tally.unmapped[name].add(values.filter(missed), charged.filter(missed))

    def _left(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Without the rows that are dropped; those that are split are there once for each part."""
        which = rows.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW),
            self._split().alias(SPLIT),
            *(when.alias(f"\0{n}") for n, when in enumerate(self._drops)),
        )
        for number, rule in enumerate(self._mapping.drop):
            left = which.filter(pl.col(f"\0{number}").fill_null(value=False).not_())
            self.tally.dropped[rule.name] += which.height - left.height
            which = left
        parts = which.join(self._parts, on=SPLIT, how="left", maintain_order="left_right")
        self.tally.added["split"] += parts.height - which.height
        rows = rows.select(*self._later, *_large(rows))
        if not parts.height == which.height == rows.height:
            rows = rows[parts[ROW]]
        return rows.hstack([parts[PART]])

    def _split(self) -> pl.Expr:
        """Which rule splits a row; the last that does."""
        found = pl.lit(NOT_SPLIT, dtype=pl.UInt8)
        for number, when in enumerate(self._splits, NOT_SPLIT + 1):
            chosen = pl.lit(number, dtype=pl.UInt8)
            found = pl.when(when.fill_null(value=False)).then(chosen).otherwise(found)
        return found

    def _moving(
        self, each: ElementRows, elements: pl.DataFrame, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """The rows that elements become: as the row they stand in, but for `element_*`."""
        numbered = rows.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW))
        moving = each.moving(elements)
        joined = moving.join(numbered, on=ROW, how="left", maintain_order="left").drop(ROW)
        return joined.with_columns(pl.lit(each.said.part).alias(PART))

    def _with_elements(
        self, rows: pl.DataFrame, moved: Sequence[tuple[ElementRows, pl.DataFrame]]
    ) -> pl.DataFrame:
        for each, _ in moved:
            rows = rows.with_columns(each.empty())
        for each, more in moved:
            self.tally.added[each.said.part] += more.height
            rows = pl.concat([rows, more.select(rows.columns)]) if more.height else rows
        return rows

    def _finished(self, rows: pl.DataFrame) -> pl.DataFrame:
        query = rows.lazy()
        for group in self._then:
            query = query.with_columns(group)
        found = evaluated(query.select(*self._columns, *_large(rows)))
        return (
            found.with_columns(map(as_written, QUANTITIES)).drop(LARGE) if _large(rows) else found
        )

    def _compile(self) -> None:
        """Every expression once, against what will be there when it is evaluated."""
        mapping = self._mapping
        there = {*mapping.source, *mapping.objects, *_PERIOD}
        self._some = [f"{HAS}{name}" for name in mapping.in_some_bills]
        there |= set(self._some)
        for each in self._elements:
            there |= each.added
        self._let = layers(f"{mapping.name}.let", mapping.let, there)
        there |= set(mapping.let)
        self._conserved = [
            pl.col("period_start"),
            self._one("account", mapping.account, there).alias(ACCOUNT),
            self._one("currency", mapping.currency, there).alias(CURRENCY),
            self._one("conserve", mapping.conserve, there).alias(AMOUNT),
        ]
        self._cancel = {
            name: (self._one(f"cancel.{name}", said.when, there), self._one(name, said.by, there))
            for name, said in mapping.cancel.items()
        }
        self._offset = {
            name: [self._one(name, text, there) for text in (said.when, said.lines, said.amount)]
            for name, said in mapping.offset.items()
        }
        for name in mapping.offset:
            self.tally.offsets.setdefault(name, Offset())
        for name in mapping.cancel:
            self.tally.cancelling.setdefault(name, {})
        # What stands in files of two roles is told apart by them.
        once = (*mapping.once.by, *[ROLE] * bool(mapping.roles)) if mapping.once else ()
        self._once = [self._one("once", text, there).alias(f"\0{n}") for n, text in enumerate(once)]
        self._keys = {}
        for name, said in mapping.lookups.items():
            self._keys[name] = self._one(f"lookups.{name}", said.by, there)
            there |= set(self._lookups[name].columns)
        self._known = {
            name: (self._one(f"known.{name}", said.value, there), list(said.of))
            for name, said in mapping.known.items()
        }
        for each in self._elements:
            self.tally.repeated.setdefault(each.said.list, 0)
        for name in (*mapping.lookups, *mapping.known):
            self.tally.unmapped.setdefault(name, Unmapped())
        self._drops = [self._one(f"drop.{r.name}", r.when, there) for r in mapping.drop]
        self._splits = [self._one("split", s.when, there) for s in mapping.split]
        self._parts = _parts_of(mapping)
        there_before = frozenset(there)
        there |= {PART, *(name for each in self._elements for name in each.names)}
        self._then = layers(f"{mapping.name}.then", mapping.then, there)
        there |= set(mapping.then)
        self._columns = [
            self._one(f"columns.{name}", mapping.columns[name], there).cast(type_).alias(name)
            for name, type_ in focus().dtypes.items()
        ] + [
            self._one(f"keep.{name}", text, there).cast(pl.String).alias(f"x_{name}")
            for name, text in mapping.keep.items()
        ]
        later = [*self._drops, *self._splits, *chain.from_iterable(self._then), *self._columns]
        spoken = {name for expression in later for name in expression.meta.root_names()}
        # What nothing speaks of after look-ups is not carried any further.
        self._later = sorted(spoken & there_before)

    def _one(self, where: str, text: str, there: set[str]) -> pl.Expr:
        return compile_expression(f"{self._mapping.name}.{where}", text, there)


def _large(rows: pl.DataFrame) -> list[str]:
    return [LARGE] if LARGE in rows.columns else []


def _texts(rows: pl.DataFrame, value: pl.Expr) -> pl.Series:
    return rows.select(value.cast(pl.String)).to_series()


def _parts_of(mapping: Mapping) -> pl.DataFrame:
    """By rule that splits a row, what it becomes; a row that none splits has no part."""
    rules = enumerate(mapping.split, NOT_SPLIT + 1)
    parts = [(NOT_SPLIT, None), *((n, part) for n, rule in rules for part in rule.into)]
    return pl.DataFrame(parts, schema={SPLIT: pl.UInt8(), PART: pl.String()}, orient="row")


def flattened(schema: pl.Schema, whole: frozenset[str] = frozenset()) -> dict[str, pl.Expr]:
    """Nested records as columns of their own, `outer.inner`; but lists, and the `whole`."""
    found: dict[str, pl.Expr] = {}
    for name, type_ in schema.items():
        if plain(name) in whole:
            found[name] = pl.col(name)
        else:
            _flatten(name, type_, pl.col(name), found)
    return found


def _members(mapping: Mapping, schema: pl.Schema) -> dict[str, pl.Expr]:
    """What a mapping wants out of maps, as columns of their own."""
    headers = {plain(name): name for name, type_ in schema.items() if type_ != pl.Struct}
    return {
        f"{name}.{key}": _member(schema, headers[plain(name)], key)
        for name, keys in mapping.maps.items()
        if plain(name) in headers
        for key in keys
    }


def _member(schema: pl.Schema, header: str, key: str) -> pl.Expr:
    """A record that stands where a text is expected is its JSON, as it is in CSV."""
    type_ = types_of_pairs(schema[header]).get("value", pl.String())
    return in_words(member(pl.col(header), key), type_)


def _flatten(
    name: str,
    type_: pl.DataType | pl.datatypes.DataTypeClass,
    value: pl.Expr,
    found: dict[str, pl.Expr],
) -> None:
    if not isinstance(type_, pl.Struct):
        found[name] = value
        return
    for field in type_.fields:
        _flatten(f"{name}.{field.name}", field.dtype, value.struct.field(field.name), found)
