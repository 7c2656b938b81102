"""Types of Parquet that cannot be brought into a flat table, or not as they are."""

from collections.abc import Iterator
from functools import cache

import pyarrow as pa

DIGITS = 38


def problem_of(type_: pa.DataType) -> str:
    """What is wrong with a column of this type; empty if nothing is."""
    within = list(_within(type_))
    if any(pa.types.is_decimal256(each) for each in (type_, *within)):
        return f"it has room for numbers of more than {DIGITS} digits; write it with fewer"
    if any(_is_bytes(each) for each in within):
        return "it has bytes within a map, list or record; write them as text"
    return ""


def parts_of(type_: pa.DataType) -> list[pa.Field]:
    """Of a list, a record or a map; nothing else has any."""
    return [type_.field(number) for number in range(type_.num_fields)]


@cache
def known_of(type_: pa.DataType) -> pa.DataType:
    """The same, but for zones that are offsets, as no database of time zones has: those are UTC."""
    types = pa.types
    if types.is_timestamp(type_) and (type_.tz or "").startswith(("+", "-")):
        return pa.timestamp(type_.unit, tz="UTC")
    if types.is_struct(type_):
        return pa.struct([each.with_type(known_of(each.type)) for each in type_])
    if types.is_list(type_) or types.is_large_list(type_):
        made = pa.list_ if types.is_list(type_) else pa.large_list
        return made(type_.value_field.with_type(known_of(type_.value_type)))
    return type_


def _is_bytes(type_: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(type_)
        or types.is_large_binary(type_)
        or types.is_fixed_size_binary(type_)
        or types.is_binary_view(type_)
    )


def _within(type_: pa.DataType) -> Iterator[pa.DataType]:
    """All types of which it is made, however deep."""
    for part in parts_of(type_):
        yield part.type
        yield from _within(part.type)
