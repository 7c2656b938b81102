"""The parsers of what tenants deliver: read, held against a contract, and written as parts.

As steps do it, but that nothing is uploaded or loaded.
"""

import asyncio
import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from services.executor.focus.engine import Converter
from services.executor.focus.errors import FocusError
from services.executor.focus.mapping import load_mapping
from services.executor.ingest.contract import Contract, Declared
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.errors import IngestError
from services.executor.ingest.flat_parts import FlatParts
from services.executor.ingest.manifests import Kind, delivered
from services.executor.ingest.parts import tabular
from services.executor.ingest.places import FoundFile, LocalFolder
from services.executor.ingest.readers import Format, Reader, open_reader
from services.executor.steps.raw_load import Target, numbers, with_own
from tests.bench.peers.folder import KeptHere

TYPES: dict[str, Declared] = {
    "amount": "decimal",
    "at": "time",
    "day": "date",
    "number": "int",
    "flag": "bool",
}
TARGET = Target("raw.fuzzed", "2026-11", "load", ("file",))
BILLS = ("aws_cur", "azure_export", "focus_file")
MANIFESTS: tuple[Kind, ...] = ("aws", "azure", "openai")


def csv_file(data: bytes) -> None:
    """CSV, gzipped or not; what Python's reader makes of it is what ours makes of it."""
    with refused(), on_disk(data) as path:
        reader = opened(path, "csv")
        rows = loaded(reader, path.parent)
        if reader.lines and data.isascii() and b"\0" not in data:
            text = io.StringIO(data.decode(), newline="")
            assert rows == sum(1 for row in csv.reader(text) if row) - 1


def ndjson_file(data: bytes) -> None:
    """JSON objects, one to a line, gzipped or not."""
    with refused(), on_disk(data) as path:
        loaded(opened(path, "ndjson"), path.parent)


def openai_file(data: bytes) -> None:
    """A saved page of OpenAI's costs or usage."""
    with refused(), on_disk(data) as path:
        loaded(opened(path, "openai"), path.parent)


def parquet_file(data: bytes) -> None:
    """Parquet, whole or not."""
    with refused(), on_disk(data) as path:
        loaded(opened(path, "parquet"), path.parent)


def manifest(data: bytes) -> None:
    """What a provider says it has delivered: the same bytes taken for one of each."""
    for kind in MANIFESTS:
        with refused(), on_disk(data) as path:
            place = LocalFolder(path.parent.parent, path.parent.name)
            file = FoundFile(path.name, len(data), "checksum")
            asyncio.run(delivered(place, kind, [file], path.parent / "spool"))


def bill(data: bytes) -> None:
    """A bill as CSV below the name of its mapping: no row gets lost on the way to FOCUS."""
    name, _, text = data.partition(b"\n")
    said = name.decode(errors="replace")
    if said not in BILLS:
        return
    with refused(), on_disk(text) as path:
        batches = list(opened(path, "csv").batches())
        converter = Converter(load_mapping(said), batches[0].schema)
        for batch in batches:
            converter.convert(batch)
        assert converter.tally.rows_accounted


def opened(path: Path, format_: Format) -> Reader:
    return open_reader(path, path.name, format_, CsvOptions())


def loaded(reader: Reader, folder: Path) -> int:
    """How many rows were read, each of which is in a part."""
    read = asyncio.run(_load(reader, folder))
    assert read == sum(pl.read_parquet(part).height for part in folder.glob("kept/parts/*"))
    return read


async def _load(reader: Reader, folder: Path) -> int:
    row, contract = 0, Contract("discard_value", TYPES)
    async with FlatParts(KeptHere(folder), "parts", folder) as parts:
        for batch in reader.batches():
            rows = contract.sort(batch, "file", numbers(row, batch.height), reader.line_of)
            frame = with_own(rows, TARGET, "file").kept
            names = contract.names.of(frame.columns, "file")
            await parts.add(tabular(frame, names, written=reader.written))
            row += batch.height
        await parts.finish()
    return row


@contextmanager
def refused() -> Iterator[None]:
    """What tenants are told of in words."""
    with suppress(IngestError, FocusError):
        yield


@contextmanager
def on_disk(data: bytes) -> Iterator[Path]:
    with TemporaryDirectory(prefix="fuzzed-") as folder:
        path = Path(folder, "file")
        path.write_bytes(data)
        yield path


FILES: tuple[Callable[[bytes], None], ...] = (
    csv_file,
    ndjson_file,
    openai_file,
    parquet_file,
    manifest,
    bill,
)
