"""What the engine refuses, counts and finds, whatever the provider."""

from decimal import Decimal
from typing import Any

import orjson
import polars as pl
import pytest
from pydantic import ValidationError

from services.executor.focus.bills import Bills
from services.executor.focus.engine import Converter
from services.executor.focus.errors import BadValueError, MappingError, MissingColumnsError
from services.executor.focus.mapping import MAPPINGS, Mapping, load_mapping
from services.executor.focus.source import Source, plain
from services.executor.focus.specification import QUANTITIES
from services.executor.ingest.values import MONEY
from tests.focus.ledger import Line, load_ledger

LEDGER = load_ledger("aws_cur")
FIRST = LEDGER.frame(LEDGER.lines[:1])
AWS = load_mapping("aws_cur")


def convert(frame: pl.DataFrame, mapping: Mapping = AWS) -> tuple[pl.DataFrame, Converter]:
    converter = Converter(mapping, frame.schema)
    return converter.convert(frame), converter


def test_a_missing_column_is_named_before_any_row_is_read() -> None:
    schema = FIRST.drop("line_item_unblended_cost", "line_item_usage_type").schema
    with pytest.raises(MissingColumnsError) as caught:
        Converter(AWS, schema)
    assert caught.value.missing == ("line_item_usage_type", "line_item_unblended_cost")


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("line_item_unblended_cost", "12,5", "a number"),
        ("line_item_unblended_cost", "NaN", "a number"),
        ("line_item_unblended_cost", "USD", "a number"),
        ("line_item_usage_start_date", "2026-13-01", "a date or time"),
        ("bill_billing_period_start_date", "November", "a date or time"),
    ],
)
def test_a_bad_value_is_refused_with_its_row_and_column(
    column: str, value: str, expected: str
) -> None:
    frame = LEDGER.frame(LEDGER.lines[:5])
    bad = frame.with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value)).otherwise(column).alias(column)
    )
    with pytest.raises(BadValueError) as caught:
        convert(bad)
    found = caught.value
    assert (found.row, found.column, found.value, found.expected) == (3, column, value, expected)


@pytest.mark.parametrize("value", ["12,5", ""])
def test_a_refused_value_stands_in_the_column_of_the_export(value: str) -> None:
    header = "lineItem/UnblendedCost"
    frame = FIRST.rename({"line_item_unblended_cost": header}).with_columns(
        pl.lit(value).alias(header)
    )
    with pytest.raises(BadValueError) as caught:
        convert(frame)
    assert caught.value.column == header


def _needed(name: str) -> list[str]:
    """What no row may be without, of what every row of a ledger has."""
    found = [
        column
        for column, rule in load_mapping(name).source.items()
        if rule.required and rule.type not in {"text", "list"} and rule.empty is None
    ]
    return [*found, *MORE_NEEDED[name]]


MORE_NEEDED = {
    "anthropic_costs": ["currency"],
    "aws_cur": ["bill_payer_account_id", "line_item_currency_code"],
    "azure_export": ["BillingCurrency"],
    "focus_file": ["BillingAccountId", "BillingCurrency"],
    "gcp_billing": ["billing_account_id", "currency", "invoice_month"],
    "openai_costs": ["amount_currency"],
}


@pytest.mark.parametrize(
    ("name", "column"), [(name, column) for name in MORE_NEEDED for column in _needed(name)]
)
def test_a_row_without_what_no_row_can_do_without_is_refused(name: str, column: str) -> None:
    ledger = load_ledger(name)
    (header,) = {
        each
        for each in ledger.frame(ledger.lines).columns
        if plain(each) in {plain(known) for known in _names_of(name, column)}
    }
    lines = ledger.lines[:3]
    blank = Line("blank", lines[0].given | {header: ""}, ())
    with pytest.raises(BadValueError, match=r"it is empty, where .* must be") as caught:
        ledger.convert([*lines, blank])
    assert (caught.value.row, caught.value.column, caught.value.value) == (3, header, None)


def _names_of(name: str, column: str) -> tuple[str, ...]:
    rule = load_mapping(name).source.get(column)
    return (column, *rule.names) if rule else (column,)


def test_an_account_that_may_stand_in_several_columns_stands_in_one_of_them() -> None:
    ledger = load_ledger("azure_export")
    first = ledger.lines[0].given
    nobody = first | {"BillingProfileId": "", "BillingAccountId": "", "SubscriptionId": ""}
    profile = first | {"BillingProfileId": ""}
    with pytest.raises(BadValueError) as caught:
        ledger.convert([Line("an account", profile, ()), Line("none", nobody, ())])
    assert caught.value.row == 1
    assert caught.value.column == "BillingProfileId, BillingAccountId, SubscriptionId"


@pytest.mark.parametrize(
    ("name", "column"), [("aws_cur", "line_item_usage_amount"), ("azure_export", "Quantity")]
)
def test_what_costs_something_for_no_quantity_at_all_is_priced_once(name: str, column: str) -> None:
    ledger = load_ledger(name)
    blank = Line("blank", ledger.lines[0].given | {column: ""}, ())
    row = ledger.convert([blank])[0].row(0, named=True)
    assert (row["PricingQuantity"], row["ConsumedQuantity"]) == (1, 0)
    assert row["ContractedUnitPrice"] == row["ContractedCost"] != 0


@pytest.mark.parametrize(
    "header",
    [
        "lineItem/UnblendedCost",
        "line_item_unblended_cost",
        "LINEITEM.UNBLENDEDCOST",
        "\ufefflineItem/UnblendedCost",
    ],
)
def test_headers_are_found_in_any_case_and_punctuation(header: str) -> None:
    frame = FIRST.rename({"line_item_unblended_cost": header})
    assert convert(frame)[0]["BilledCost"].to_list() == [Decimal("0.107")]
    assert plain(header) == "lineitemunblendedcost"


def test_the_order_of_columns_changes_nothing() -> None:
    backwards = FIRST.select(reversed(FIRST.columns))
    tags = ["Tags"]  # in the order of the columns they come from
    assert convert(backwards)[0].drop(tags).equals(convert(FIRST)[0].drop(tags))


def test_digits_beyond_the_eighteenth_decimal_are_counted() -> None:
    frame = FIRST.with_columns(line_item_unblended_cost=pl.lit("0.1234567890123456785"))
    result, converter = convert(frame)
    assert converter.tally.rounded == 1
    assert result["BilledCost"].to_list() == [Decimal("0.123456789012345678")]


@pytest.mark.parametrize(
    ("cents", "rounded"),
    [
        ("0.123456789012345678", 1),
        (Decimal("0.123456789012345678"), 1),
        ("0.1234567890123456", 0),
        (Decimal("12.5"), 0),
    ],
)
def test_digits_that_cents_have_no_room_for_are_counted(cents: str | Decimal, rounded: int) -> None:
    ledger = load_ledger("anthropic_costs")
    frame = ledger.frame(ledger.lines[:1]).with_columns(amount=pl.lit(cents))
    result, converter = convert(frame, load_mapping("anthropic_costs"))
    assert converter.tally.rounded == rounded
    assert (result["BilledCost"][0] * 100 == Decimal(cents)) is not bool(rounded)


def test_spaces_around_an_amount_are_not_part_of_it() -> None:
    frame = pl.concat([FIRST, FIRST]).with_columns(
        line_item_unblended_cost=pl.Series([" 0.5 ", "1"])
    )
    assert convert(frame)[0]["BilledCost"].to_list() == [Decimal("0.5"), Decimal(1)]


def test_lines_that_come_again_and_again_become_what_each_becomes_alone() -> None:
    whole, one = LEDGER.convert(LEDGER.lines)
    frame = LEDGER.frame(LEDGER.lines)
    again = Converter(AWS, frame.schema)
    assert again.convert(pl.concat([frame] * 9)).equals(pl.concat([whole] * 9))
    assert again.tally.dropped == {name: 9 * n for name, n in one.tally.dropped.items()}
    assert again.tally.added == {name: 9 * n for name, n in one.tally.added.items()}


def test_numbers_that_are_equal_stay_as_they_were_written_in_an_object() -> None:
    shares = pl.DataFrame({"resource_tags_user_share": [0.0, -0.0, 0.0, -0.0]})
    tags = convert(pl.concat([FIRST] * 4).hstack(shares))[0]["Tags"]
    found = tags.str.json_path_match("$.share").to_list()
    assert found == ["0.0", "-0.0", "0.0", "-0.0"]


def test_a_covered_line_without_its_negation_is_found_out() -> None:
    (covered,) = [line for line in LEDGER.lines if line.title.startswith("An hour that the plan")]
    tally = LEDGER.convert([covered])[1].tally
    assert list(tally.lost.values()) == [Decimal("9.6")]
    assert not tally.conserved


def large(mapping: str, column: str, *amounts: object) -> tuple[pl.DataFrame, Converter]:
    ledger = load_ledger(mapping)
    frame = pl.concat([ledger.frame(ledger.lines[:1])] * len(amounts))
    return convert(frame.with_columns(pl.Series(column, amounts)), load_mapping(mapping))


PETABYTES = "250000000000000000000"
"""Bytes held for seconds: 2.9 PB of a day."""


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (PETABYTES, f"{PETABYTES}.{'0' * 18}"),
        (f"-{PETABYTES}", f"-{PETABYTES}.{'0' * 18}"),
        (" 2.5E+20 ", f"{PETABYTES}.{'0' * 18}"),
        (2.5e20, f"{PETABYTES}.{'0' * 18}"),
        (Decimal(f"{PETABYTES}.123456789"), f"{PETABYTES}.123456789{'0' * 9}"),
        (f"{PETABYTES}.123456789012345678", f"{PETABYTES}.123456789012345678"),
        ("9" * 38, f"{'9' * 38}.{'0' * 18}"),
    ],
)
@pytest.mark.parametrize(
    ("mapping", "column"), [("gcp_billing", "usage_amount"), ("focus_file", "ConsumedQuantity")]
)
def test_a_quantity_of_more_than_twenty_digits_is_what_is_written(
    mapping: str, column: str, amount: object, expected: str
) -> None:
    found, converter = large(mapping, column, amount)
    one, _ = convert(
        load_ledger(mapping).frame(load_ledger(mapping).lines[:1]), load_mapping(mapping)
    )
    assert found["ConsumedQuantity"].to_list() == [expected]
    assert found.drop(QUANTITIES).equals(one.drop(QUANTITIES))
    assert found["PricingQuantity"].cast(MONEY).equals(one["PricingQuantity"])
    assert (converter.tally.conserved, converter.tally.rounded) == (True, 0)


def test_ordinary_quantities_beside_a_large_one_keep_all_their_decimals() -> None:
    fine, nines = "0.123456789012345678", "9" * 20
    found, converter = large("gcp_billing", "usage_amount", fine, PETABYTES, nines, "1e-19")
    assert found["ConsumedQuantity"].to_list() == [
        fine, f"{PETABYTES}.{'0' * 18}", f"{nines}.{'0' * 18}", f"0.{'0' * 18}"
    ]  # fmt: skip
    assert converter.tally.rounded == 1


def test_after_a_large_quantity_all_batches_have_one_schema() -> None:
    ledger = load_ledger("gcp_billing")
    frame = pl.concat([ledger.frame(ledger.lines[:1])] * 3)
    frame = frame.with_columns(usage_amount=pl.Series(["1", PETABYTES, "1"]))
    converter = Converter(load_mapping("gcp_billing"), frame.schema)
    types = [converter.convert(b).schema["ConsumedQuantity"] for b in frame.iter_slices(1)]
    assert types == [MONEY, pl.String(), pl.String()]


def test_what_is_priced_by_a_large_quantity_alone_is_priced_once() -> None:
    ledger = load_ledger("gcp_billing")
    frame = ledger.frame(ledger.lines[:1])
    frame = frame.with_columns(
        usage_amount=pl.lit(PETABYTES), usage_amount_in_pricing_units=pl.lit("")
    )
    found, _ = convert(frame, load_mapping("gcp_billing"))
    cost = Decimal("0.031611")
    assert found.select("ContractedUnitPrice", "ContractedCost").row(0) == (cost, cost)
    assert Decimal(found["PricingQuantity"][0]) == 1


@pytest.mark.parametrize(
    ("mapping", "column", "amount", "expected"),
    [
        ("gcp_billing", "usage_amount", f"1{'0' * 38}", "a number of at most 38 digits before"),
        ("gcp_billing", "usage_amount", "1e999999", "a number of at most 38 digits before"),
        ("gcp_billing", "usage_amount", "much", "a number$"),
        ("gcp_billing", "cost", PETABYTES, "a number of at most 20 digits before the point"),
        ("aws_cur", "line_item_usage_amount", 2.5e20, "a number of at most 20 digits before"),
    ],
)
def test_an_amount_that_is_too_large_is_refused_as_that(
    mapping: str, column: str, amount: object, expected: str
) -> None:
    with pytest.raises(BadValueError, match=f"is not {expected}"):
        large(mapping, column, amount)


def test_batches_add_up_to_the_whole() -> None:
    whole, one = LEDGER.convert(LEDGER.lines)
    frame = LEDGER.frame(LEDGER.lines)
    many = Converter(AWS, frame.schema)
    parts = [many.convert(batch) for batch in frame.iter_slices(7)]
    assert pl.concat(parts).equals(whole)
    assert (many.tally.billed, many.tally.raw) == (one.tally.billed, one.tally.raw)
    assert (many.tally.dropped, many.tally.added) == (one.tally.dropped, one.tally.added)


NET = "line_item_net_unblended_cost"
USAGE, DISCOUNT = (
    next(line for line in LEDGER.lines if title in line.title) for title in ("as listed", "bundled")
)


def net_bill(*lines: tuple[Line, str, str, str]) -> pl.DataFrame:
    """Lines with their billing month, cost and net cost."""
    given = [
        line.given
        | {"bill_billing_period_start_date": f"{month}-01T00:00:00Z"}
        | {"line_item_unblended_cost": cost, NET: net}
        for line, month, cost, net in lines
    ]
    return LEDGER.frame([Line(str(n), one, ()) for n, one in enumerate(given)])


@pytest.mark.parametrize("empty", ["", "0", "0.0000000000"])
def test_discounts_count_where_the_bill_has_the_column_of_net_costs_but_none(empty: str) -> None:
    frame = net_bill((USAGE, "2026-11", "10", empty), (DISCOUNT, "2026-11", "-6", empty))
    result, converter = convert(frame)
    assert result["BilledCost"].to_list() == [Decimal(10), Decimal(-6)]
    assert converter.tally.conserved


def test_a_column_without_any_value_has_no_net_costs() -> None:
    frame = net_bill((USAGE, "2026-11", "10", ""), (DISCOUNT, "2026-11", "-6", ""))
    nothing = frame.with_columns(pl.lit(None).alias(NET))
    numbers = frame.with_columns(pl.lit(0.0).alias(NET))
    for each in (nothing, numbers):
        assert convert(each)[0]["BilledCost"].to_list() == [Decimal(10), Decimal(-6)]


def test_each_bill_has_net_costs_or_has_not() -> None:
    frame = net_bill(
        (DISCOUNT, "2026-10", "-6", ""), (USAGE, "2026-11", "10", "4"),
        (DISCOUNT, "2026-11", "-6", ""), (USAGE, "2026-10", "10", ""),
    )  # fmt: skip
    result, converter = convert(frame)
    assert result["BilledCost"].to_list() == [Decimal(-6), Decimal(4), Decimal(0), Decimal(10)]
    assert converter.tally.conserved


def test_what_is_told_of_a_bill_holds_in_every_batch() -> None:
    frame = net_bill((DISCOUNT, "2026-11", "-6", ""), (USAGE, "2026-11", "10", "4"))
    bills, source = Bills(), Source(AWS, frame.columns)
    for batch in frame.iter_slices(1):
        bills.add(source.bills(batch.select(source.tells)))
    converter = Converter(AWS, frame.schema, bills=bills)
    result = pl.concat(converter.convert(batch) for batch in frame.iter_slices(1))
    assert result["BilledCost"].to_list() == [Decimal(0), Decimal(4)]


def test_a_report_without_the_column_tells_nothing_of_its_bills() -> None:
    assert Source(AWS, FIRST.columns).tells == []


def without_tags() -> pl.DataFrame:
    return FIRST.select(c for c in FIRST.columns if not c.startswith("resourceTags/"))


def test_tags_of_a_repeated_column_are_read_like_columns_of_their_own() -> None:
    pairs = pl.Series([[{"key": "Team", "value": 'a"b'}, {"key": "env", "value": None}]])
    frame = without_tags().with_columns(resource_tags=pairs)
    assert convert(frame)[0]["Tags"].to_list() == ['{"Team":"a\\"b","env":""}']


def test_rows_that_say_the_same_have_the_same_tags_and_others_their_own() -> None:
    teams, stages = ["a", "b", None, "", "a"] * 4, ["1", "1", None, "1", "2"] * 4
    one = without_tags()
    frame = pl.concat([one] * len(teams)).with_columns(
        pl.Series("resourceTags/user:Team", teams), pl.Series("resourceTags/user:Stage", stages)
    )
    said = ['{"Team":"a","Stage":"1"}', '{"Team":"b","Stage":"1"}', None]
    assert convert(frame)[0]["Tags"].to_list() == [
        *said, '{"Stage":"1"}', '{"Team":"a","Stage":"2"}'
    ] * 4  # fmt: skip
    assert convert(pl.concat([one] * 3))[0]["Tags"].to_list() == [None] * 3


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ("resource_tags", '{"user_Team": "a\\"b", "aws_createdBy": "root"}'),
        ("resource_tags", '{"user:Team": "a\\"b", "aws:createdBy": "root"}'),
        ("resource_tags", '[{"key": "Team", "value": "a\\"b"}, {"key": "aws_createdBy", "value": "root"}]'),  # noqa: E501
        ("resource_tags", '{"user_Team": "a\\"b", "Team": "again", "aws_createdBy": "root"}'),
        ("tags", '{"resourceTags/user:Team": "a\\"b", "resourceTags/aws:createdBy": "root"}'),
        ("tags", '{"resourceTags/Team": "a\\"b", "resourceTags/aws:createdBy": "root"}'),
    ],
)  # fmt: skip
def test_tags_of_every_form_of_the_report_have_the_same_names(column: str, text: str) -> None:
    frame = without_tags().with_columns(pl.lit(text).alias(column))
    assert convert(frame)[0]["Tags"].to_list() == ['{"Team":"a\\"b","aws:createdBy":"root"}']


@pytest.mark.parametrize("type_", [pl.Null(), pl.List(pl.Null)], ids=str)
def test_labels_that_no_row_has_are_no_tags(type_: pl.DataType) -> None:
    bill = load_ledger("gcp_billing")
    frame = bill.frame(bill.lines)
    labels = [name for name in frame.columns if name.endswith(("labels", "tags"))]
    none = [pl.lit(None, dtype=type_).alias(name) for name in labels]
    found, converter = convert(frame.with_columns(none), load_mapping("gcp_billing"))
    assert found["Tags"].null_count() == found.height
    assert converter.tally.conserved


def test_numbers_in_a_map_keep_their_digits_and_null_is_no_map() -> None:
    texts = ["null", '{"a": 1.10, "b": 12345678901234567890123, "c": [1.0], "d": true}']
    frame = pl.concat([without_tags()] * 2).with_columns(resource_tags=pl.Series(texts))
    assert convert(frame)[0]["Tags"].to_list() == [
        None,
        '{"a":"1.10","b":"12345678901234567890123","c":"[1.0]","d":"true"}',
    ]


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000, "7"])
def test_what_no_json_object_is_is_refused(text: str) -> None:
    frame = without_tags().with_columns(resource_tags=pl.Series([text]))
    with pytest.raises(BadValueError, match="a JSON object"):
        convert(frame)


def test_what_a_report_has_in_a_map_is_found_there() -> None:
    known = ("product_product_name", "product_instance_type")
    frame = FIRST.drop(known).with_columns(
        product=pl.lit('{"product_name": "Amazon Neptune", "operating_system": "Linux"}'),
        line_item_product_code=pl.lit("NewerThanOurTable"),
    )
    row = convert(frame)[0].row(0, named=True)
    assert row["ServiceName"] == "Amazon Neptune"
    assert row["SkuPriceDetails"] == '{"OperatingSystem":"Linux","x_Operation":"RunInstances"}'


def test_a_map_that_is_no_json_is_refused_with_its_row() -> None:
    texts = ["", '{"user_a": "b"}', "{user_a=b}"]
    frame = LEDGER.frame(LEDGER.lines[:3]).with_columns(resource_tags=pl.Series(texts))
    with pytest.raises(BadValueError) as caught:
        convert(frame)
    found = caught.value
    expected = (2, "resource_tags", "{user_a=b}", "a JSON object")
    assert (found.row, found.column, found.value, found.expected) == expected


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPPINGS.glob("*.yml")))
def test_every_mapping_is_sound(name: str) -> None:
    mapping = load_mapping(name)
    needed = [column for column, rule in mapping.source.items() if rule.required]
    Converter(mapping, pl.Schema(dict.fromkeys(needed, pl.String())))


def test_an_unsound_mapping_says_where() -> None:
    wrong = AWS.model_copy(update={"columns": {**AWS.columns, "Tags": "no_such_column"}})
    with pytest.raises(MappingError, match=r"aws_cur.columns.Tags.*no_such_column"):
        Converter(wrong, FIRST.schema)
    with pytest.raises(MappingError, match=r"there are .*aws_cur"):
        load_mapping("no_such_provider")


@pytest.mark.parametrize(
    "told", [{"account": "UPPER(bill_payer_account_id)"}, {"billing_period": {"month_of": "day"}}]
)
def test_what_only_some_bills_have_needs_columns_that_tell_bills_apart(told: Any) -> None:
    with pytest.raises(ValidationError, match="line_item_net_unblended_cost is in some bills"):
        Mapping.model_validate(AWS.model_dump() | told)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 1, "b": "x"}, '{"a":1,"b":"x"}'),
        (["x", None], '["x",null]'),
        (Decimal("1.10"), "1.10"),
        (True, "true"),
    ],
)
def test_values_of_maps_keep_all_their_parts(value: object, text: str) -> None:
    pairs = pl.Series([[{"key": "k", "value": value}, {"key": "none", "value": None}]])
    tags = convert(without_tags().with_columns(resource_tags=pairs))[0]["Tags"]
    assert [orjson.loads(tag) for tag in tags] == [{"k": text, "none": ""}]
    ledger = load_ledger("focus_file")
    frame = ledger.frame(ledger.lines[:1]).with_columns(Tags=pairs)
    tags = convert(frame, load_mapping("focus_file"))[0]["Tags"]
    assert [orjson.loads(tag) for tag in tags] == [{"k": text, "none": ""}]


def test_objects_that_are_no_text_become_json() -> None:
    pair = pl.Struct({"key": pl.String, "value": pl.String})
    given = pl.DataFrame(
        {
            "Tags": [[{"key": "team", "value": 'a "b"'}], [], None],
            "SkuPriceDetails": [{"CoreCount": 4, "x_Name": None, "x_Disk": "ssd\\1"}, None, None],
            "AllocatedMethodDetails": [{"Elements": [{"AllocatedRatio": 0.5}]}, None, None],
            "ContractApplied": [["c-1"], None, None],
        },
        schema_overrides={"Tags": pl.List(pair)},
    )
    ledger = load_ledger("focus_file")
    frame = ledger.frame(ledger.lines[:3]).drop(given.columns, strict=False).hstack(given)
    found, _ = convert(frame, load_mapping("focus_file"))
    assert found.select(given.columns).rows() == [
        (
            '{"team":"a \\"b\\""}',
            '{"CoreCount":4,"x_Disk":"ssd\\\\1"}',
            '{"Elements":[{"AllocatedRatio":0.5}]}',
            '["c-1"]',
        ),
        (None, None, None, None),
        (None, None, None, None),
    ]


def test_a_record_in_a_map_of_products_is_its_json() -> None:
    entry = pl.Struct({"key": pl.String(), "value": pl.Struct({"name": pl.String()})})
    product = pl.Series("product", [[{"key": "operating_system", "value": {"name": "Linux"}}]])
    rows, _ = convert(FIRST.with_columns(product.cast(pl.List(entry)), product_sku=pl.lit("S")))
    details = orjson.loads(rows["SkuPriceDetails"][0])
    assert details["OperatingSystem"] == '{"name":"Linux"}'


def test_a_map_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(MappingError, match="aws_cur"):
        convert(FIRST.with_columns(product=pl.Series([["Linux"]])))


def test_the_senders_own_columns_of_a_focus_file_are_kept() -> None:
    ledger = load_ledger("focus_file")
    frame = ledger.frame(ledger.lines[:1]).with_columns(
        pl.lit("flex").alias("x_Cost-Model"),
        pl.Series("X_Discounts", [[{"key": "edp", "value": "0.1"}]]),
        pl.Series("x_Usage", [{"type": "box", "hours": 2}]),
        pl.lit("NULL").alias("x_Nothing"),
        pl.lit("theirs").alias("x_Load_Id"),
    )
    found, _ = convert(frame, load_mapping("focus_file"))
    assert found.select("x_cost_model", "x_discounts", "x_usage", "x_nothing").row(0) == (
        "flex",
        '{"edp":"0.1"}',
        '{"type":"box","hours":2}',
        None,
    )
    assert "x_load_id" not in found.columns


@pytest.mark.parametrize(
    ("own", "priced_in", "effective", "listed"),
    [
        ({}, "USD", "0.9", "0.6"),
        ({"PricingCurrency": "USD"}, "USD", "0.9", "0.6"),
        ({"PricingCurrency": "EUR"}, "USD", "0.9", "0.6"),
        ({"PricingCurrency": "EUR", "x_BillingExchangeRate": ""}, "USD", "0.9", "0.6"),
        ({"PricingCurrency": "EUR", "x_BillingExchangeRate": "1.2"}, "EUR", "0.75", "0.5"),
        ({"x_PricingCurrency": "EUR", "x_BillingExchangeRate": "1.2"}, "EUR", "0.75", "0.5"),
        # What is not said in the other currency is not made up.
        ({"PricingCurrency": "EUR", "PricingCurrencyListUnitPrice": "0.51"}, "EUR", None, "0.51"),
    ],
)
def test_amounts_are_of_the_currency_that_they_are_said_to_be(
    own: dict[str, str], priced_in: str, effective: str | None, listed: str
) -> None:
    bill = {"BilledCost": "0.9", "EffectiveCost": "0.9", "ListUnitPrice": "0.6"}
    header = ["BillingAccountId", "BillingCurrency", "ChargeCategory", "ServiceName"]
    dates = [f"{period}Period{end}" for period in ("Billing", "Charge") for end in ("Start", "End")]
    first = load_ledger("focus_file").lines[0].given
    frame = pl.DataFrame([{name: first[name] for name in header + dates} | bill | own])
    found, _ = convert(frame, load_mapping("focus_file"))
    assert found.select(
        "PricingCurrency", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice"
    ).row(0) == (priced_in, effective and Decimal(effective), Decimal(listed))


def test_the_senders_own_columns_of_like_names_are_all_kept() -> None:
    ledger = load_ledger("focus_file")
    own = {"x_a_b": "1", "x_ab": "2", "x_AB_": "3", "x_a-b": "4", "x_provider_name": "mine"}
    frame = ledger.frame(ledger.lines[:1]).with_columns(ProviderName=pl.lit("AWS"))
    found, _ = convert(
        frame.with_columns(pl.lit(v).alias(k) for k, v in own.items()), load_mapping("focus_file")
    )
    names = ["x_a_b", "x_ab", "x_ab_", "x_a_b_", "x_provider_name_", "x_provider_name"]
    assert found.select(names).row(0) == ("1", "2", "3", "4", "mine", "AWS")


def _first_with(own: dict[str, str]) -> pl.DataFrame:
    return FIRST.with_columns(pl.lit(value).alias(name) for name, value in own.items())


def test_columns_of_a_bill_are_kept_under_one_name_however_they_are_written() -> None:
    kept = AWS.model_copy(
        update={"kept": ("lineItem/LineItemId", "cost_category*", "bill_bill_type", "no_such")}
    )
    own = {
        "identity/TimeInterval": "t",
        "lineItem/LineItemId": "l-1",
        "costCategory/Cost Center": "c",
        "costCategory/Team": "",
    }
    frame = _first_with(own)
    found, converter = convert(frame, kept)
    more = set(found.columns) - set(convert(FIRST)[0].columns)
    assert more == {
        "x_line_item_line_item_id",
        "x_cost_category_cost_center",
        "x_cost_category_team",
        "x_bill_bill_type",
    }
    assert found.row(0, named=True) | {
        "x_line_item_line_item_id": "l-1",
        "x_cost_category_cost_center": "c",
        "x_cost_category_team": None,
        "x_bill_bill_type": FIRST["bill_bill_type"][0],
    } == found.row(0, named=True)
    assert converter.tally.absent == frozenset({"no_such"})


def test_columns_of_a_bill_of_like_names_are_all_kept() -> None:
    own = {"costCategory/a_b": "1", "costCategory/ab": "2", "costCategory/a-b": "3"}
    found, _ = convert(_first_with(own), AWS.model_copy(update={"kept": ("costCategory/*",)}))
    names = ["x_cost_category_a_b", "x_cost_category_ab", "x_cost_category_a_b_"]
    assert found.select(names).row(0) == ("1", "2", "3")


def test_all_columns_are_kept_but_tags_and_what_the_platform_says() -> None:
    every = AWS.model_copy(update={"kept": ("*",)})
    own = {
        "x_file": "f",
        "x_role": "actual",
        "provider": "sender's",
        "product/someThing": "s",
        "resourceTags/user:a": "b",
    }
    frame = _first_with(own)
    found, _ = convert(frame, every)
    row = found.row(0, named=True)
    assert row["x_product_some_thing"] == "s"
    assert row["x_line_item_unblended_cost"] == FIRST["line_item_unblended_cost"][0]
    assert not {"x_file", "x_role", "x_provider", "x_resource_tags_user_a"} & set(found.columns)
    assert found.drop(c for c in found.columns if c.startswith("x_")).equals(
        convert(frame)[0].drop(c for c in convert(frame)[0].columns if c.startswith("x_"))
    )


def test_fields_of_records_are_kept_by_themselves_and_lists_as_json() -> None:
    bill = load_ledger("gcp_billing")
    lines = [line for line in bill.lines if line.given.get("credits")]
    frame = bill.frame(lines[:1])
    project = pl.struct(pl.col("project_id").alias("id"), pl.lit("7").alias("number"))
    frame = frame.with_columns(project.alias("project")).drop("project_id")
    every = load_mapping("gcp_billing").model_copy(update={"kept": ("*",)})
    row = convert(frame, every)[0].row(0, named=True)
    assert (row["x_project_id"], row["x_project_number"]) == (frame["project"][0]["id"], "7")
    assert orjson.loads(row["x_credits"])[0]["type"] == frame["credits"][0][0]["type"]
