"""Google Cloud's credits and tags, where a file has them as text instead of as records."""

import json
from decimal import Decimal
from typing import Any

import orjson
import polars as pl
import pytest

from services.executor.focus.engine import Converter
from services.executor.focus.errors import BadValueError
from services.executor.focus.mapping import load_mapping
from services.executor.focus.written import _loaded
from tests.focus.ledger import load_ledger

GCP = load_mapping("gcp_billing")
LEDGER = load_ledger("gcp_billing")
PROMOTION = {"name": "Trial", "id": "p", "type": "PROMOTION", "amount": "-0.5"}
LISTS = ("credits", "tags", "labels", "project_labels", "system_labels")


def convert(frame: pl.DataFrame) -> tuple[pl.DataFrame, Converter]:
    converter = Converter(GCP, frame.schema)
    return converter.convert(frame), converter


def in_json(values: list[dict[str, str]]) -> str:
    """With amounts as numbers, digit for digit."""
    text = json.dumps(values)
    for value in values:
        if "amount" in value:
            text = text.replace(f'"amount": "{value["amount"]}"', f'"amount": {value["amount"]}')
    return text


def as_python_shows_them(values: list[dict[str, str]]) -> str:
    shown = [
        ", ".join(
            f"{name!r}: {value if name == 'amount' else repr(value)}"
            for name, value in each.items()
        )
        for each in values
    ]
    return "[" + ", ".join("{" + one + "}" for one in shown) + "]"


@pytest.mark.parametrize("written", [in_json, as_python_shows_them])
def test_lists_in_text_are_as_good_as_records(written: Any) -> None:
    whole, _ = LEDGER.convert(LEDGER.lines)
    frame = LEDGER.frame(LEDGER.lines)
    texts = {
        name: [written(line.given[name]) if line.given[name] else "" for line in LEDGER.lines]
        for name in LISTS
    }
    found, converter = convert(frame.with_columns(pl.Series(n, t) for n, t in texts.items()))
    assert found.equals(whole)
    assert converter.tally.conserved
    assert str(converter.tally.rows_out) == LEDGER.totals["rows_out"]


def of_credits(values: pl.Series) -> tuple[pl.DataFrame, Converter]:
    frame = LEDGER.frame([LEDGER.lines[0]] * values.len())
    return convert(frame.with_columns(values.alias("credits")))


def credit(amount: str) -> str:
    return f'[{{"name": "Trial", "type": "PROMOTION", "amount": {amount}}}]'


def test_a_credits_digits_are_those_that_are_written() -> None:
    found, converter = of_credits(pl.Series([credit("-0.123456789012345678"), credit("-7e-10")]))
    moved = found.filter(pl.col("ChargeCategory") == "Credit")["BilledCost"].to_list()
    assert moved == [Decimal("-0.123456789012345678"), Decimal("-7e-10")]
    assert converter.tally.rounded == 0


def test_digits_of_credits_beyond_the_eighteenth_decimal_are_counted() -> None:
    _, converter = of_credits(pl.Series([credit("-0.1234567890123456785")]))
    assert converter.tally.rounded == 1


def test_one_record_is_a_list_of_one() -> None:
    found, _ = of_credits(pl.Series([PROMOTION]))
    assert found["BilledCost"].to_list() == [Decimal("0.031611"), Decimal("-0.5")]


@pytest.mark.parametrize("nothing", [None, "", "[]", "null", " "])
def test_no_credits(nothing: str | None) -> None:
    found, _ = of_credits(pl.Series([nothing], dtype=pl.String))
    assert found.height == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", "a list of records"),
        ("{amount=-1}", "a list of records"),
        ("[1]", "a list of records"),
        ("[" * 100_000, "a list of records"),
        ("[{'amount': nan}]", "a list of records"),
        ("[{'amount': __import__('os')}]", "a list of records"),
        ('[{"amount": "much"}]', "a number"),
        ("[{'amount': '1,5'}]", "a number"),
        (7, "a list of records"),
        (["promotion"], "a list of records"),
    ],
)
def test_what_no_list_of_credits_is_is_refused_with_its_row(value: object, expected: str) -> None:
    empty = None if not isinstance(value, str) else "[]"
    with pytest.raises(BadValueError) as caught:
        of_credits(pl.Series([empty, value]))
    assert (caught.value.row, caught.value.column) == (1, "credits")
    assert caught.value.expected == expected


def test_an_amount_of_a_record_that_is_none_is_refused_with_its_row() -> None:
    with pytest.raises(BadValueError) as caught:
        of_credits(pl.Series([[PROMOTION], [PROMOTION, {**PROMOTION, "amount": "much"}]]))
    found = caught.value
    assert (found.row, found.value, found.expected) == (1, "much", "a number")


def test_tags_have_their_namespace_where_they_have_one() -> None:
    frame = LEDGER.frame([LEDGER.lines[0]] * 2).with_columns(
        tags=pl.Series(
            ['[{"key": "env", "value": "prod", "namespace": "12"}]', '{"env": "prod"}']
        ),
        labels=pl.lit(""), project_labels=pl.lit(""), system_labels=pl.lit(""),
    )  # fmt: skip
    assert convert(frame)[0]["Tags"].to_list() == ['{"12/env":"prod"}', '{"env":"prod"}']


def test_a_long_list_is_read_as_quickly_as_its_length_allows() -> None:
    """Its time once grew with the square of it: five minutes for this one."""
    numbers = "1.50," * 9000
    assert len(_loaded(f"[{numbers}'x']")) == 9001


def test_positions_are_those_of_lines_and_bytes() -> None:
    found = _loaded("[{'ü': 'é', 'a': -1.50,\r\n 'b': [1e3,\r2]}]")
    assert orjson.dumps(found) == '[{"ü":"é","a":-1.50,"b":[1e3,2]}]'.encode()
