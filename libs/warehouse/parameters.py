"""Python values as BigQuery query parameters: bound, never pasted into SQL."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from google.cloud import bigquery


class UnsupportedParameterError(ValueError):
    """A value that has no BigQuery type here; names the parameter."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(
            f"parameter {name}: a {type(value).__name__} cannot be bound; use a string, "
            "number, boolean, date, time or a non-empty list of one of these"
        )


# In this order: a bool is an int, and a datetime is a date.
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"),
    (int, "INT64"),
    (float, "FLOAT64"),
    (Decimal, "BIGNUMERIC"),
    (datetime, "TIMESTAMP"),
    (date, "DATE"),
    (bytes, "BYTES"),
    (str, "STRING"),
    (type(None), "STRING"),
)
Parameter = bigquery.ScalarQueryParameter | bigquery.ArrayQueryParameter


def query_parameters(values: Mapping[str, object]) -> list[Parameter]:
    return [_bind(name, value) for name, value in values.items()]


def _bind(name: str, value: Any) -> Parameter:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        kinds = {_kind(name, item) for item in value}
        if len(kinds) != 1:
            raise UnsupportedParameterError(name, value)
        return bigquery.ArrayQueryParameter(name, kinds.pop(), list(value))
    return bigquery.ScalarQueryParameter(name, _kind(name, value), value)


def _kind(name: str, value: object) -> str:
    for type_, kind in _KINDS:
        if isinstance(value, type_):
            return kind
    raise UnsupportedParameterError(name, value)
