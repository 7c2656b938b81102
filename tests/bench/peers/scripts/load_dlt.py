"""A CSV into typed Parquet by dlt, in its quickest way: `python load_dlt.py FILE FOLDER TYPES`."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
import pyarrow.csv as pa_csv

TYPES = {"decimal": pa.decimal128(38, 18), "time": pa.timestamp("us", "UTC")}


def main() -> None:
    file, folder, said = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    with Path(file).open() as text:
        header = text.readline().rstrip("\n").split(",")
    types = {name: TYPES[said[name]] if name in said else pa.string() for name in header}
    convert = pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True)

    @dlt.resource(name="loaded", write_disposition="replace")
    def lines() -> Iterator[Any]:
        read = pa_csv.ReadOptions(block_size=16 << 20)
        for batch in pa_csv.open_csv(file, read_options=read, convert_options=convert):
            yield pa.Table.from_batches([batch])

    pipeline = dlt.pipeline(
        "load",
        destination=dlt.destinations.filesystem(f"file://{folder}"),
        dataset_name="out",
        pipelines_dir=f"{folder}/state",
    )
    pipeline.run(lines(), loader_file_format="parquet").raise_on_failed_jobs()


if __name__ == "__main__":
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    main()
