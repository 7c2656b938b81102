"""A CSV into typed Parquet by pandas in chunks: `python load_pandas.py FILE FOLDER TYPES`."""

import json
import sys

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {"decimal": pa.decimal128(38, 18), "time": pa.timestamp("us", "UTC")}
CHUNK_ROWS = 50_000


def main() -> None:
    file, folder, said = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    read = {"dtype": "string[pyarrow]", "keep_default_na": False, "na_values": [""]}
    header = pd.read_csv(file, nrows=0).columns
    schema = pa.schema([(name, TYPES.get(said.get(name), pa.large_string())) for name in header])
    with pq.ParquetWriter(f"{folder}/loaded.parquet", schema, compression="zstd") as parts:
        for chunk in pd.read_csv(file, chunksize=CHUNK_ROWS, **read):
            parts.write_table(pa.Table.from_pandas(chunk, preserve_index=False).cast(schema))


if __name__ == "__main__":
    main()
