"""CSV or lines of JSON into typed Parquet by DuckDB: `python load_duckdb.py FILE FOLDER TYPES`."""

import json
import sys

import duckdb

SQL = {"decimal": "DECIMAL(38, 18)", "time": "TIMESTAMPTZ"}


def main() -> None:
    file, folder, types = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    read = (
        f"read_json_auto('{file}')"
        if ".ndjson" in file
        else f"read_csv('{file}', all_varchar = true)"
    )
    casts = ", ".join(f'CAST("{name}" AS {SQL[kind]}) AS "{name}"' for name, kind in types.items())
    duckdb.execute("SET memory_limit = '800MB'")
    duckdb.execute("SET preserve_insertion_order = false")
    duckdb.execute(
        f"COPY (SELECT * {f'REPLACE ({casts})' if casts else ''} FROM {read})"
        f" TO '{folder}/loaded.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )


if __name__ == "__main__":
    main()
