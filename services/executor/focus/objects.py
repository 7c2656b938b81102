"""JSON objects out of columns, of repeated key-value pairs, or of text that is almost JSON."""

from collections.abc import Mapping, Sequence

import polars as pl

_CONTROL = [chr(n) for n in range(0x20)]
_RAW = ["\\", '"', *_CONTROL]
_ESCAPED = ["\\\\", '\\"', *(f"\\u{n:04x}" for n in range(0x20))]
OPEN, CLOSE = pl.lit("{"), pl.lit("}")
MADE = "\0made"
_CHARACTERS = r'(?:[^"\\]|\\.)*'
_SINGLE = rf'(?:"{_CHARACTERS}"|-?[0-9]+(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)'
_MEMBER = rf'"({_CHARACTERS})"\s*:\s*({_SINGLE})'
_MEMBERS = rf"^{_MEMBER}(?:\s*,\s*{_MEMBER})*$"
_Type = pl.DataType | pl.datatypes.DataTypeClass


def member(key: str, value: pl.Expr) -> pl.Expr:
    """`"key":"value"`, or null when there is no value."""
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return pl.concat_str([pl.lit(f'"{quoted}":"'), escaped(value), pl.lit('"')])


def escaped(value: pl.Expr) -> pl.Expr:
    return value.str.replace_many(_RAW, _ESCAPED)


def members_of_pairs(
    column: str,
    type_: pl.DataType,
    prefix: str = "",
    within: str = "",
    prefixes: Mapping[str, str] | None = None,
) -> pl.Expr:
    """The members that a column of repeated {key, value} has, joined by commas.

    Of `prefixes` the longest that fits counts; of members that get the same key, the first.
    """
    pair, types = pl.element().struct, types_of_pairs(type_)
    key = pair.field("key").cast(pl.String)
    for old, new in sorted((prefixes or {}).items(), key=lambda each: len(each[0])):
        begins = pair.field("key").cast(pl.String).str.starts_with(old)
        instead = pl.lit(new) + pair.field("key").cast(pl.String).str.strip_prefix(old)
        key = pl.when(begins).then(instead).otherwise(key)
    # A key without a namespace stands alone.
    outer = [_before(pair.field(within))] if within in types else []
    name = pl.concat_str([pl.lit(f'"{prefix}'), *outer, escaped(key), pl.lit('":"')])
    value = escaped(in_words(pair.field("value"), types.get("value", pl.String())).fill_null(""))
    one = pl.concat_str([name, value, pl.lit('"')])
    pairs = pl.col(column)
    doubled = pairs.list.eval(name).list.n_unique() < pairs.list.len()
    # Few have any: looking for them one by one takes ten times as long as making all.
    some = pl.when(doubled).then(pairs).list.eval(one.filter(name.is_first_distinct()))
    made = pl.when(doubled).then(some).otherwise(pairs.list.eval(one))
    return _filled(made.list.join(",", ignore_nulls=True))


def _before(namespace: pl.Expr) -> pl.Expr:
    return pl.concat_str(escaped(namespace).replace("", None), pl.lit("/")).fill_null("")


def of_nested(column: str, type_: pl.DataType) -> pl.Expr:
    """JSON of what a file holds as a map or as a record instead of as text."""
    value = pl.col(column)
    if isinstance(type_, pl.Struct):
        names = [field.name for field in type_.fields]
        return object_of([_nested_member(name, value.struct.field(name)) for name in names])
    if {"key", "value"} <= set(types_of_pairs(type_)):
        return object_of([members_of_pairs(column, type_)])
    return _encoded(value)


def types_of_pairs(type_: pl.DataType) -> dict[str, _Type]:
    inner = type_.inner if isinstance(type_, pl.List) else None
    fields = inner.fields if isinstance(inner, pl.Struct) else []
    return {field.name: field.dtype for field in fields}


def in_words(value: pl.Expr, type_: _Type) -> pl.Expr:
    """A text as it is, of what has parts its JSON."""
    return _encoded(value) if type_.is_nested() else value.cast(pl.String)


def _nested_member(key: str, value: pl.Expr) -> pl.Expr:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return pl.concat_str([pl.lit(f'"{quoted}":'), _encoded(value)])


def _encoded(value: pl.Expr) -> pl.Expr:
    alone = pl.struct(value.alias("v")).struct.json_encode()
    text = alone.str.strip_prefix('{"v":').str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(text)


def members_of_json(column: str, prefix: str = "") -> pl.Expr:
    """What stands between the braces, which some exports leave out.

    With a prefix before each key, where all values are single ones; otherwise null.
    """
    inner = pl.col(column).str.strip_chars().str.strip_prefix("{").str.strip_suffix("}")
    inner = inner.str.strip_chars()
    if prefix:
        named = inner.str.replace_all(_MEMBER, f'"{prefix}${{1}}":${{2}}')
        inner = pl.when(inner.str.contains(_MEMBERS)).then(named)
    return _filled(inner)


def object_of(members: Sequence[pl.Expr]) -> pl.Expr:
    """`{...}` of the members that are not null; null when there are none."""
    if not members:
        return pl.lit(None, dtype=pl.String)
    joined = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.concat_str([OPEN, _filled(joined), CLOSE])


def _filled(text: pl.Expr) -> pl.Expr:
    """Null instead of nothing. A condition would make the text twice: to ask, and to give."""
    return text.replace("", None)


def repeated(frame: pl.DataFrame, made: pl.Expr) -> pl.Series:
    """What an expression makes of each row; once for all rows that say the same."""
    of = list(dict.fromkeys(made.meta.root_names()))
    said = frame.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias(MADE),
        *(_as_text(pl.col(name), frame.schema[name]) for name in of),
    )
    first = said.select(pl.col(MADE).first().over(of)).to_series() if of else said[MADE]
    different = first.unique()
    if different.len() > frame.height // 2:
        return frame.with_columns(made.alias(MADE))[MADE]
    # In one piece: it takes a sixth of the time to look anything up in.
    known = said[different].select(made.alias(MADE)).to_series().rechunk()
    places = pl.zeros(frame.height, dtype=pl.UInt32, eager=True)
    places = places.scatter(different, pl.int_range(different.len(), eager=True))
    return known.gather(places.gather(first))


def _as_text(value: pl.Expr, type_: pl.DataType) -> pl.Expr:
    """Equal numbers may be written differently, texts that are equal are the same."""
    return value if type_.is_nested() else value.cast(pl.String)
