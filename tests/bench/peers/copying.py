"""What is left when nothing is converted: columns of a bill into Parquet, by Polars alone.

python -m tests.bench.peers.copying FILE FOLDER COLUMN...
"""

import sys
from pathlib import Path

import polars as pl


def main() -> None:
    file, folder, columns = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
    scan = pl.scan_parquet if file.suffix == ".parquet" else _text
    to = folder / "copied.parquet"
    scan(file).select(columns).sink_parquet(to, compression="zstd", statistics=False)


def _text(file: Path) -> pl.LazyFrame:
    return pl.scan_csv(file, infer_schema=False)


if __name__ == "__main__":
    main()
