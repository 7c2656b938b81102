"""Every line of the golden ledgers becomes exactly the FOCUS rows worked out by hand."""

from decimal import Decimal
from functools import cache

import pytest

from libs.warehouse.data_tables import FOCUS, FOCUS_VERSION
from services.executor.focus.engine import Converter
from services.executor.focus.specification import focus
from tests.focus.ledger import LEDGERS, Ledger, Line, load_ledger, shown

NAMES = sorted(path.stem for path in LEDGERS.glob("*.yml"))


@cache
def converter_of(name: str) -> Converter:
    """One for all lines: compiling its expressions takes longer than most lines."""
    return load_ledger(name).converter()


LINES = [
    pytest.param(name, ledger, line, id=f"{name}-{number}-{line.title}")
    for name in NAMES
    for ledger in [load_ledger(name)]
    for number, line in enumerate(ledger.lines, 1)
]


@pytest.mark.parametrize(("name", "ledger", "line"), LINES)
def test_a_line_of_the_bill(name: str, ledger: Ledger, line: Line) -> None:
    frame = converter_of(name).convert(ledger.frame([line]))
    found = [
        {name: shown(row[name]) for name in expected}
        for row, expected in zip(frame.to_dicts(), line.expected, strict=True)
    ]
    assert found == list(line.expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_bill_is_conserved_to_the_last_digit(name: str) -> None:
    ledger = load_ledger(name)
    frame, converter = ledger.convert(ledger.lines)
    tally = converter.tally
    sums = {name: frame[name].sum() for name in ("BilledCost", "EffectiveCost")}
    found = {
        "rows_in": str(tally.rows_in),
        "rows_out": str(frame.height),
        **{name: shown(value) for name, value in sums.items()},
    }
    assert found == ledger.totals
    assert (tally.lost, tally.rows_accounted, tally.rounded) == ({}, True, 0)
    assert sum(tally.billed.values()) == sums["BilledCost"] != Decimal(0)


@pytest.mark.parametrize("name", NAMES)
def test_the_result_has_every_column_of_focus_with_its_type(name: str) -> None:
    ledger = load_ledger(name)
    frame, _ = ledger.convert(ledger.lines)
    schema = {column: type_ for column, type_ in frame.schema.items() if column[:2] != "x_"}
    assert schema == focus().dtypes
    for column, rule in focus().columns.items():
        values = frame[column]
        if rule.required:
            assert values.null_count() == 0, column
        if rule.allowed:
            assert set(values.drop_nulls()) <= set(rule.allowed), column


@pytest.mark.parametrize("name", NAMES)
def test_subcategories_belong_to_their_categories(name: str) -> None:
    ledger = load_ledger(name)
    frame, _ = ledger.convert(ledger.lines)
    pairs = set(frame.select("ServiceCategory", "ServiceSubcategory").iter_rows())
    assert all(sub in focus().subcategories[category] for category, sub in pairs)


def test_a_tenants_table_has_the_columns_of_the_specification() -> None:
    types = {"text": "STRING", "decimal": "BIGNUMERIC", "time": "TIMESTAMP", "json": "STRING"}
    specified = [(name, types[rule.type]) for name, rule in focus().columns.items()]
    assert [(column.name, column.type) for column in FOCUS] == specified
    assert focus().version == FOCUS_VERSION
