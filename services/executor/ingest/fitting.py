"""Values in the type of their column: as they are, to the last digit, or refused by their row."""

import re
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, InvalidOperation

import polars as pl

from libs.warehouse.schema import Type
from services.executor.ingest.values import EXPECTED, MONEY, PLAIN, Style, with_point

NUMBER = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?$"
WIDTHS: Sequence[Type] = ("INT64", "FLOAT64", "BIGNUMERIC", "STRING")
"""Each holds what those before it hold, but for a few values that are refused."""
DIGITS, DECIMALS = 38, 18
WHOLE = 20
CERTAIN = 2**53
"""Up to here a float holds every whole number."""
_EXACT = Context(prec=2 * DIGITS)
_LAST = Decimal(1).scaleb(-DECIMALS)
_IS_NUMBER = re.compile(NUMBER)
_POWER = r"^\s*[+-]?\d*[.,]?(?<decimals>(?:\d*[1-9])?)0*[eE](?<power>[+-]?\d+)\s*$"
_PLAIN = rf"^-?\d{{1,{WHOLE}}}(\.\d{{1,{DECIMALS}}})?$"


class NoFitError(Exception):
    """The first value that a type does not hold as it is."""

    def __init__(self, row: int, value: object) -> None:
        self.row, self.value = row, value
        super().__init__(f"row {row}: {value!r}")


def wider(first: Type, then: Type) -> Type | None:
    """What holds the values of both; None if nothing does."""
    if first == then:
        return first
    if first in WIDTHS and then in WIDTHS:
        return max(first, then, key=WIDTHS.index)
    return None


def is_number(text: str) -> bool:
    return _IS_NUMBER.fullmatch(text) is not None


def type_of(type_: pl.DataType) -> Type:
    if isinstance(type_, pl.Decimal):
        return "BIGNUMERIC"
    if isinstance(type_, pl.Datetime):
        return "TIMESTAMP"
    if type_.is_integer():
        return "INT64"
    if type_.is_float():
        return "FLOAT64"
    known: dict[type[pl.DataType], Type] = {
        pl.Boolean: "BOOL",
        pl.Date: "DATE",
        pl.Binary: "BYTES",
    }
    return known.get(type(type_), "STRING")


def fitted(values: pl.Series, type_: Type, *, given: bool = False) -> pl.Series:
    """Numbers, or texts that are numbers, in one of `WIDTHS`. Raises `NoFitError`.

    A type that is given is a table's: its FLOAT64 rounds, its BIGNUMERIC has 38 decimals.
    """
    if type_of(values.dtype) == type_:
        return _small(values)
    match type_:
        case "STRING":
            return texts(values)
        case "BIGNUMERIC":
            return _checked(values, _amounts(values, DIGITS if given else DECIMALS))
        case "FLOAT64":
            return _checked(values, _floats(values, rounded=given))
        case _:
            return _checked(values, _ints(values))


def _small(values: pl.Series) -> pl.Series:
    """Amounts that have fewer decimals than usual are too large for those."""
    if isinstance(values.dtype, pl.Decimal) and values.dtype.scale < DECIMALS:
        return _checked(values, values.cast(MONEY, strict=False))
    return values


def texts(values: pl.Series) -> pl.Series:
    """Numbers as they would be written, without zeros that only fill their places."""
    found = values.cast(pl.String)
    if isinstance(values.dtype, pl.Decimal) and values.dtype.scale:
        return found.str.strip_chars_end("0").str.strip_chars_end(".")
    return found


def too_fine(values: pl.Series, decimals: int = DECIMALS) -> int:
    """How many amounts have digits beyond those that are kept."""
    type_ = values.dtype
    finest = type_.scale if isinstance(type_, pl.Decimal) else DECIMALS
    if type_ != pl.String and finest <= decimals:
        return 0
    text = values.cast(pl.String)
    finer = rf"[.,]\d{{{decimals}}}\d*[1-9]0*\s*$"
    found = int(text.str.contains(finer).sum())
    return found + _fine_powers(text, decimals) if text.str.contains("[eE]").any() else found


def _fine_powers(text: pl.Series, decimals: int) -> int:
    found = text.filter(text.str.contains(_POWER)).str.extract_groups(_POWER).struct.unnest()
    power = found["power"].cast(pl.Int64, strict=False)
    return int((found["decimals"].str.len_chars().cast(pl.Int64) - power > decimals).sum())


def written_out(values: pl.Series, style: Style = PLAIN) -> pl.Series:
    """Numbers as text without powers, to the decimal that is kept.

    Null for what is none, and for what BIGNUMERIC has no room for.
    """
    found = [_written_out(value) for value in _numbers(values, style)]
    return pl.Series(values.name, found, dtype=pl.String())


def expected_of(value: object, style: Style = PLAIN, whole: int = WHOLE) -> str:
    """What a value should have been that is no amount: a number, or a smaller one."""
    (number,) = _numbers(pl.Series([value]), style)
    found = EXPECTED["decimal"]
    return found if number is None else f"{found} of at most {whole} digits before the point"


def with_points(values: pl.Series) -> pl.Series:
    """Texts that are numbers with a comma, as others write them. Raises `NoFitError`."""
    return _checked(values, values.to_frame().select(with_point(pl.all())).to_series())


def check_numbers(values: pl.Series) -> None:
    """Raises `NoFitError` for a text that is none."""
    _checked(values, values.set(~values.str.contains(NUMBER), None))


def decimals(values: pl.Series) -> pl.Series:
    """Floats that stand for what was written: as amounts, or as text if one is too fine."""
    found = _money(texts(values))
    return found if found is not None else texts(values)


def _money(written: pl.Series) -> pl.Series | None:
    """None if that is too narrow for a digit of them."""
    odd = written.filter(~written.str.contains(_PLAIN))
    if all(_fits(_decimal(text), DECIMALS, WHOLE) for text in odd.drop_nulls()):
        return written.cast(MONEY)
    return None


def _amounts(values: pl.Series, most: int) -> pl.Series:
    """With as many decimals as they need; null for what there is no room for."""
    written = texts(values)
    found = _money(written)
    if found is not None:
        return found
    each = [_decimal(text) for text in written]
    scale = DECIMALS
    if most > DECIMALS:
        finest = max((_finest(value) for value in each if value is not None), default=0)
        scale = min(max(finest, DECIMALS), most)
    held = [value if _fits(value, scale, DIGITS - scale) else None for value in each]
    return pl.Series(values.name, held, dtype=pl.Decimal(DIGITS, scale))


def _ints(values: pl.Series) -> pl.Series:
    held = _amounts(values, DECIMALS)
    whole = held.cast(pl.Int64, strict=False)
    return whole.set((whole.cast(MONEY) != held).fill_null(value=True), None)


def _floats(values: pl.Series, *, rounded: bool) -> pl.Series:
    found = values.cast(pl.Float64, strict=False)
    if rounded or not values.dtype.is_integer():
        return found
    return found.set(~values.is_between(-CERTAIN, CERTAIN), None)


def _checked(values: pl.Series, found: pl.Series) -> pl.Series:
    if found.null_count() > values.null_count():
        row = int((values.is_not_null() & found.is_null()).arg_max() or 0)
        raise NoFitError(row, values[row])
    return found


def _fits(value: Decimal | None, decimals: int, whole: int) -> bool:
    return value is not None and _finest(value) <= decimals and value.adjusted() < whole


def _decimal(text: str | None) -> Decimal | None:
    """None for what is no number, or one that nobody could write out."""
    if text is None or not is_number(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _numbers(values: pl.Series, style: Style) -> Iterable[Decimal | None]:
    """Also those that nothing has room for."""
    written = texts(values)
    if values.dtype == pl.String:
        written = written.str.strip_chars()
        if style.decimal_comma:
            written = written.to_frame().select(with_point(pl.all())).to_series()
    return map(_decimal, written)


def _written_out(value: Decimal | None) -> str | None:
    if value is None or value.adjusted() >= DIGITS:
        return None
    kept = value.quantize(_LAST, context=_EXACT)
    return f"{kept:f}" if kept.adjusted() < DIGITS else None


def _finest(value: Decimal) -> int:
    """How many decimals say something."""
    _, digits, exponent = value.as_tuple()
    said = "".join(map(str, digits)).rstrip("0")
    return max(-int(exponent) - (len(digits) - len(said)), 0) if said else 0
