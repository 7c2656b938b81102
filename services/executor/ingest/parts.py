"""Rows on their way to BigQuery: Parquet parts of bounded size in the data bucket."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from libs.warehouse.schema import Column
from services.executor.ingest.fitting import DECIMALS, DIGITS, decimals, type_of
from services.executor.ingest.values import INSTANT, MONEY

PART_ROWS = 500_000
ROLE = "x_role"
"""What a row's file is in its delivery: a column only where that is said."""
LONGEST_NAME = 300
_LARGE = pa.decimal256(DIGITS + DECIMALS, DECIMALS)
"""All digits before the point that BIGNUMERIC has room for."""
_NAME = re.compile(r"[^A-Za-z0-9_]")


class Keeping(Protocol):
    """Where parts are brought to."""

    def uri(self, name: str) -> str: ...

    async def upload(self, name: str, path: Path) -> None: ...

    async def download(self, name: str, path: Path) -> None: ...


@dataclass(slots=True)
class PartWriter:
    """Writes frames as numbered parts below a prefix; a new schema begins a new part."""

    objects: Keeping
    prefix: str
    folder: Path
    names: list[str] = field(default_factory=list)
    amounts: frozenset[str] = frozenset()
    """Columns of amounts that may come as text, where one is too large for Polars."""
    rows: int = 0
    schemas: list[pl.Schema] = field(default_factory=list)
    """Of each part that is finished."""
    columns: dict[str, Column] = field(default_factory=dict)
    """Of all parts together, in the order of their first appearance."""
    _file: pq.ParquetWriter | None = None
    _schema: pl.Schema | None = None
    _in_part: int = 0
    _writing: asyncio.Task[None] | None = None
    """Goes on while the next frame is made."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """A frame that is being written ends first, whatever became of the others."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def add(self, frame: pl.DataFrame) -> None:
        if frame.schema != self._schema or self._in_part >= PART_ROWS:
            await self._finish_part()
            for column in columns_of(frame.schema):
                self.columns.setdefault(column.name, column)
        await self._written()
        self._schema = frame.schema
        self._writing = asyncio.create_task(asyncio.to_thread(self._write, frame))
        self.rows += frame.height
        self._in_part += frame.height

    async def finish(self) -> None:
        await self._finish_part()

    @property
    def uris(self) -> tuple[str, ...]:
        return tuple(self.objects.uri(name) for name in self.names)

    def _write(self, frame: pl.DataFrame) -> None:
        nested = any(type_.is_nested() for type_ in frame.schema.values())
        # As it is in memory, where Arrow can write that.
        as_it_is = pl.CompatLevel.oldest() if nested else pl.CompatLevel.newest()
        table = frame.to_arrow(compat_level=as_it_is)
        for name in self.amounts.intersection(_texts(frame.schema)):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table[name].cast(_LARGE))
        if self._file is None:
            # Whoever reads a part reads all of it: bounds of its columns serve nobody.
            # Texts repeat; amounts and times do not often enough to pay for looking.
            self._file = pq.ParquetWriter(
                self._path,
                table.schema,
                compression="zstd",
                write_statistics=False,
                use_dictionary=nested or _texts(frame.schema),
            )
        self._file.write_table(table)

    @property
    def _path(self) -> Path:
        return self.folder / f"part-{len(self.names):05d}.parquet"

    async def _written(self) -> None:
        if self._writing is not None:
            await asyncio.shield(self._writing)
            self._writing = None

    async def _finish_part(self) -> None:
        await self._written()
        if self._file is None or self._schema is None:
            return
        name = f"{self.prefix}/{self._path.name}"
        await self._upload(name)
        self._in_part = 0
        self.names.append(name)
        self.schemas.append(self._schema)

    async def _upload(self, name: str) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)
            self._file = None
            await self.objects.upload(name, self._path)
            await asyncio.to_thread(self._path.unlink)


async def each(batches: Iterator[pl.DataFrame]) -> AsyncGenerator[pl.DataFrame]:
    """Batches that are read in a thread, one ahead: memory holds two of them."""
    ahead = asyncio.create_task(asyncio.to_thread(next, batches, None))
    try:
        while (batch := await ahead) is not None:
            ahead = asyncio.create_task(asyncio.to_thread(next, batches, None))
            yield batch
    finally:
        await asyncio.gather(ahead, return_exceptions=True)


def column_name(header: str) -> str:
    """A header as BigQuery can name it."""
    name = _NAME.sub("_", header.removeprefix("\ufeff"))
    return (f"_{name}" if name[:1].isdecimal() or not name else name)[:LONGEST_NAME]


def tabular(
    frame: pl.DataFrame, names: Mapping[str, str], *, written: bool = False
) -> pl.DataFrame:
    """Fit for a flat table: its names for all headers, nested values as JSON text.

    Its floats may stand for decimals that were written.
    """
    flat = frame.select(
        _scalar(pl.col(header), type_).alias(names[header])
        for header, type_ in frame.schema.items()
    )
    headers = dict(zip(names.values(), frame.columns, strict=True))
    lost = [name for name, header in headers.items() if _lacks(flat[name], frame[header])]
    flat = flat.with_columns(frame[headers[name]].alias(name) for name in lost)
    floats = [flat[name] for name, type_ in flat.schema.items() if written and type_.is_float()]
    return flat.with_columns(map(decimals, floats))


def _scalar(value: pl.Expr, type_: pl.DataType) -> pl.Expr:
    if isinstance(type_, pl.Struct):
        return value.struct.json_encode()
    if isinstance(type_, pl.List):
        wrapped = pl.struct(value.alias("v")).struct.json_encode()
        return pl.when(value.is_not_null()).then(wrapped.str.slice(5).str.head(-1))
    if isinstance(type_, pl.Decimal) and type_.scale <= DECIMALS:
        return value.cast(MONEY, strict=False)
    if isinstance(type_, pl.Datetime):
        return _instant(value, type_)
    return value


def _lacks(made: pl.Series, values: pl.Series) -> bool:
    """Whether some amounts are too large for as many decimals as they were given."""
    return isinstance(values.dtype, pl.Decimal) and made.null_count() > values.null_count()


def _instant(value: pl.Expr, type_: pl.Datetime) -> pl.Expr:
    if type_.time_zone is None:
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return value.dt.convert_time_zone("UTC").cast(INSTANT)


def _texts(schema: pl.Schema) -> list[str]:
    return [name for name, type_ in schema.items() if type_ == pl.String]


def columns_of(schema: pl.Schema) -> list[Column]:
    return [Column(name, type_of(type_)) for name, type_ in schema.items()]
