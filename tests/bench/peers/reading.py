"""A CSV, or lines of JSON, into typed Parquet as `ingest.file` reads it, on this disk alone.

python -m tests.bench.peers.reading FILE FOLDER TYPES
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import polars as pl

from services.executor.ingest.contract import Contract, Declared
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.flat_parts import FlatParts
from services.executor.ingest.parts import column_name, each, tabular
from services.executor.ingest.readers import open_reader
from services.executor.steps.raw_load import numbers
from tests.bench.peers.folder import KeptHere


async def load(
    file: Path, folder: Path, types: dict[str, Declared], floats: Sequence[str] = ()
) -> int:
    """Floats are Polars' own: who loads a text is offered none."""
    contract = Contract("evolve", {column_name(name): kind for name, kind in types.items()})
    reader = open_reader(file, file.name, None, CsvOptions())
    async with FlatParts(KeptHere(folder), "flat", folder) as parts:
        async for batch in each(reader.batches()):
            which = numbers(parts.rows, batch.height)
            rows = await asyncio.to_thread(contract.sort, batch, file.name, which, reader.line_of)
            kept = rows.kept.with_columns(pl.col(floats).cast(pl.Float64, strict=False))
            names = contract.names.of(kept.columns, file.name)
            await parts.add(tabular(kept, names, written=reader.written))
        await parts.finish()
    return parts.rows


def main() -> None:
    types = json.loads(sys.argv[3])
    if unknown := set(types.values()) - set(get_args(Declared)):
        sys.exit(f"no types of columns: {unknown}")
    print(f"{asyncio.run(load(Path(sys.argv[1]), Path(sys.argv[2]), types))} rows")


if __name__ == "__main__":
    main()
