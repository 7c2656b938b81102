"""Finds a mapping's columns under whatever headers an export has, and reads them typed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import polars as pl

from services.executor.focus import objects
from services.executor.focus.errors import BadValueError, MissingColumnsError
from services.executor.focus.mapping import Mapping as FocusMapping
from services.executor.focus.mapping import ObjectPart, SourceColumn
from services.executor.focus.specification import TIME
from services.executor.ingest.values import EXPECTED, MONEY, PLAIN, Kind, Style, bad, read

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
DECIMALS = 18
_TOO_FINE = rf"[.,]\d{{{DECIMALS}}}\d*[1-9]"
HAS = "has_"


def plain(header: str) -> str:
    """What remains of a header when case and punctuation do not matter."""
    return _PUNCTUATION.sub("", header.removeprefix("\ufeff").lower())


class Source:
    """One export's header, resolved once; `read` takes its rows batch by batch."""

    def __init__(self, mapping: FocusMapping, header: Sequence[str], style: Style = PLAIN) -> None:
        """Raises `MissingColumnsError`."""
        self._mapping, self._style = mapping, style
        self._header = list(header)
        self._rounded = 0
        self.found = _resolve(mapping, header)

    def read(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of the mapping, typed, and its objects. Raises `BadValueError`."""
        columns = [self._column(frame, name, rule) for name, rule in self._mapping.source.items()]
        typed = pl.DataFrame(columns) if columns else frame.select()
        present = [
            pl.lit(value=name in self.found).alias(f"{HAS}{name}")
            for name, rule in self._mapping.source.items()
            if not rule.required
        ]
        made = frame.hstack(typed.select(pl.all().name.prefix("\0"))).select(
            *(self._object(parts).alias(name) for name, parts in self._mapping.objects.items())
        )
        typed = typed.with_columns(present)
        return typed.hstack(made) if made.width else typed

    def take_rounded(self) -> int:
        """How many values read since the last call had digits too fine to keep."""
        found, self._rounded = self._rounded, 0
        return found

    def _column(self, frame: pl.DataFrame, name: str, rule: SourceColumn) -> pl.Series:
        header = self.found.get(name)
        if header is None:
            return pl.Series(name, [None] * frame.height, dtype=_NULLS.get(rule.type, TIME))
        found = frame[header].alias(name)
        if rule.type == "decimal":
            self._rounded += _too_fine(found)
        return _typed(found, rule.type, self._style)

    def _object(self, parts: Sequence[ObjectPart]) -> pl.Expr:
        return objects.object_of([m for part in parts for m in self._members(part)])

    def _members(self, part: ObjectPart) -> Iterator[pl.Expr]:
        if part.prefix:
            for header in self._header:
                if header.startswith(part.prefix):
                    value = pl.col(header).cast(pl.String)
                    key = part.key + header.removeprefix(part.prefix)
                    yield objects.member(key, pl.when(value != "").then(value))
        elif part.pairs and part.pairs in self.found:
            yield objects.members_of_pairs(self.found[part.pairs], part.key, part.within)
        elif part.json_text and part.json_text in self.found:
            yield objects.members_of_json(self.found[part.json_text])
        for key, name in part.columns.items():
            if name in self.found:
                yield objects.member(part.key + key, pl.col(f"\0{name}").cast(pl.String))


def _resolve(mapping: FocusMapping, header: Sequence[str]) -> Mapping[str, str]:
    by_plain: dict[str, str] = {}
    for name in header:
        by_plain.setdefault(plain(name), name)
        if in_parentheses := _TRANSLATED.search(name):
            by_plain.setdefault(plain(in_parentheses.group(1)), name)
    found = {}
    for name, rule in mapping.source.items():
        for candidate in (name, *rule.names):
            if plain(candidate) in by_plain:
                found[name] = by_plain[plain(candidate)]
                break
    missing = [name for name, rule in mapping.source.items() if rule.required and name not in found]
    if missing:
        raise MissingColumnsError(mapping.name, missing, header)
    return found


def _typed(values: pl.Series, kind: str, style: Style) -> pl.Series:
    if kind in {"text", "json"}:
        text = values.cast(pl.String)
        return text.set(text == "", None)
    if kind in {"pairs", "list"}:
        return values
    of = cast("Kind", kind)
    found = read(values, of, style)
    if wrong := bad(values, found):
        raise BadValueError(values.name, wrong.row, wrong.value, EXPECTED[of])
    return found


def _too_fine(values: pl.Series) -> int:
    """How many values have digits that `MONEY` cannot keep."""
    if values.dtype != pl.String:
        return 0
    longest = values.str.len_bytes().max()
    if not isinstance(longest, int) or longest <= DECIMALS:
        return 0
    return int(values.str.contains(_TOO_FINE).sum())
