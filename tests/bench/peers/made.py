"""Bills of any size, from authored lines: in the shapes that we and focus-converter both read.

Forty lines follow one another with amounts that grow, at hours and of resources that
change; so a bill of any multiple of forty rows adds up as a small one does.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import yaml

BILLS = Path(__file__).parent / "bills"
CYCLE = 40
SIZES = 25
"""Different amounts of a line."""
BLOCK = CYCLE * SIZES * 50
RESOURCES, HOURS = 3000, 744
MONTH = datetime(2026, 10, 1, tzinfo=UTC)
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a provider's lines say, and how a file of them is written."""

    provider: str
    suffix: str
    write: Callable[["Bill", Path, int], None]

    def make(self, folder: Path, rows: int) -> Path:
        """A file of so many rows, or of up to 39 more."""
        path = folder / f"{self.provider}-{rows}{self.suffix}"
        self.write(self, path, -(-rows // CYCLE) * CYCLE)
        return path

    def lines(self) -> list[Line]:
        """Each line in each size, in the order of the file."""
        said = yaml.safe_load((BILLS / f"{self.provider}.yml").read_text())
        amounts, base = frozenset(said["amounts"]), said["base"]
        once = [
            base | {name: value for name, value in line.items() if name != "times"}
            for line in said["lines"]
            for _ in range(line["times"])
        ]
        if len(once) != CYCLE:
            msg = f"{self.provider}.yml has {len(once)} lines, not {CYCLE}"
            raise ValueError(msg)
        return [_times(line, amounts, size) for size in range(1, SIZES + 1) for line in once]


def _times(line: Line, amounts: frozenset[str], size: int, within: str = "") -> Line:
    """The line at another size. Of records in a list, too."""
    grown: Line = {}
    for name, value in line.items():
        if isinstance(value, list):
            grown[name] = [_times(one, amounts, size, f"{name}.") for one in value]
        elif within + name in amounts and value:
            grown[name] = f"{Decimal(value) * size:f}"
        else:
            grown[name] = value
    return grown


def _csv(bill: Bill, path: Path, rows: int) -> None:
    # Nothing between two commas, as AWS and Azure write what is absent.
    lines = pl.DataFrame(bill.lines()).with_columns(pl.all().replace("", None))
    with path.open("wb") as file:
        for number, block in enumerate(_blocks(lines, rows)):
            block.write_csv(file, include_header=number == 0)


def _records(bill: Bill, rows: int) -> Iterator[pl.DataFrame]:
    lines = pl.DataFrame([_nested(line) for line in bill.lines()], infer_schema_length=None)
    return _blocks(lines, rows)


def _ndjson(bill: Bill, path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for block in _records(bill, rows):
            block.write_ndjson(file)


def _parquet(bill: Bill, path: Path, rows: int) -> None:
    writer = None
    for block in _records(bill, rows):
        table = block.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


_FLOATS = frozenset({"cost", "cost_at_list", "currency_conversion_rate", "amount"}) | {
    "amount_in_pricing_units",
    "tier_start_amount",
    "pricing_unit_quantity",
}


def _nested(line: Line) -> Line:
    """`usage.unit` as a field of the record `usage`, amounts as binary numbers."""
    found: Line = {}
    for name, value in line.items():
        outer, _, inner = name.rpartition(".")
        read = [_nested(one) for one in value] if isinstance(value, list) else value
        if (inner or name) in _FLOATS and value is not None:
            read = float(value)
        (found.setdefault(outer, {}) if outer else found)[inner] = read
    return found


def _blocks(lines: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    for first in range(0, rows, BLOCK):
        numbers = pl.int_range(first, min(first + BLOCK, rows), eager=True)
        block = lines[numbers % lines.height]
        yield block.with_columns(_filled(block, numbers // CYCLE))


def _filled(block: pl.DataFrame, cycle: pl.Series) -> Iterator[pl.Expr]:
    hour = pl.lit(MONTH) + pl.duration(hours=pl.lit(cycle % HOURS))
    filling = {
        "{n}": pl.lit((cycle % RESOURCES).cast(pl.String).str.zfill(8)),
        "{hour}": hour.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "{next_hour}": (hour + pl.duration(hours=1)).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "{day}": hour.dt.strftime("%m/%d/%Y"),
    }
    if "usage" in block.columns:
        yield hour.alias("usage_start_time")
        yield (hour + pl.duration(hours=1)).alias("usage_end_time")
        yield pl.struct(
            _text(pl.col("resource").struct.field(name), filling).alias(name)
            for name in ("name", "global_name")
        ).alias("resource")
    for name, type_ in block.schema.items():
        if type_ == pl.String and block[:CYCLE][name].str.contains("{", literal=True).any():
            yield _text(pl.col(name), filling).alias(name)


def _text(value: pl.Expr, filling: dict[str, pl.Expr]) -> pl.Expr:
    for place, with_ in filling.items():
        found = value.str.contains(place, literal=True)
        value = (
            pl.when(found).then(value.str.replace_all(place, with_, literal=True)).otherwise(value)
        )
    return value


AWS = Bill("aws", ".csv", _csv)
AZURE = Bill("azure", ".csv", _csv)
GCP = Bill("gcp", ".parquet", _parquet)
GCP_LINES = Bill("gcp", ".ndjson", _ndjson)
