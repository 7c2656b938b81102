"""A CSV into typed Parquet by DuckDB: `python load_duckdb.py FILE FOLDER TYPES`."""

import json
import sys

import duckdb

SQL = {"decimal": "DECIMAL(38, 18)", "time": "TIMESTAMPTZ"}


def main() -> None:
    file, folder, types = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    casts = ", ".join(f'CAST("{name}" AS {SQL[kind]}) AS "{name}"' for name, kind in types.items())
    duckdb.execute("SET memory_limit = '800MB'")
    duckdb.execute("SET preserve_insertion_order = false")
    duckdb.execute(
        f"COPY (SELECT * REPLACE ({casts}) FROM read_csv('{file}', all_varchar = true))"
        f" TO '{folder}/loaded.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )


if __name__ == "__main__":
    main()
