"""A bill into FOCUS as the executor makes it, on this disk alone.

python -m tests.bench.peers.converting MAPPING FILE FOLDER

The same reader, converter and writer as in a run; only what is uploaded there stays here.
"""

import argparse
import asyncio
import sys
from pathlib import Path

import polars as pl

from services.executor.focus.engine import Converter
from services.executor.focus.errors import FocusError
from services.executor.focus.mapping import load_mapping
from services.executor.focus.tally import Tally
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.errors import IngestError
from services.executor.ingest.parts import PartWriter, each
from services.executor.ingest.readers import ParquetFile, Reader, open_reader
from tests.bench.peers.folder import KeptHere


async def convert(mapping: str, file: Path, folder: Path, tally: Tally | None = None) -> Converter:
    reader = open_reader(file, file.name, None, CsvOptions())
    converter = Converter(load_mapping(mapping), schema_of(reader), tally)
    async with PartWriter(KeptHere(folder), "focus", folder) as parts:
        read: pl.Schema | None = None
        async for batch in each(reader.batches(converter.reads)):
            if read is not None and batch.schema != read:
                # Lines of JSON with fewer values: in a run they are a part of their own.
                converter = Converter(load_mapping(mapping), batch.schema, converter.tally)
            read = batch.schema
            await parts.add(await asyncio.to_thread(converter.convert, batch))
        await parts.finish()
    if not converter.tally.conserved or not converter.tally.rows_accounted:
        sys.exit("the sum of the result is not that of the bill")
    return converter


def schema_of(reader: Reader) -> pl.Schema:
    if isinstance(reader, ParquetFile):
        return reader.schema
    return next(reader.batches()).schema


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.peers.converting")
    parser.add_argument("mapping")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    said = parser.parse_args()
    if not said.file.exists():
        sys.exit(f"there is no file {said.file}")
    try:
        converter = asyncio.run(convert(said.mapping, said.file, said.folder))
    except (FocusError, IngestError) as error:
        sys.exit(str(error))
    print(f"{converter.tally.rows_in} lines became {converter.tally.rows_out} rows")


if __name__ == "__main__":
    main()
