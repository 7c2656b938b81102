"""Fuzz one target, guided by coverage, for a while: `python -m tests.fuzz.run sql 60`.

What it finds is written as crash-… beside its corpus; the corpus itself grows
under .local/fuzz, where nothing is committed by accident.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["contracts", "libs.web", "services", "sqlglot"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS

HERE = Path(__file__).parent


def main() -> None:
    name, seconds = sys.argv[1], sys.argv[2]
    grown = HERE.parents[1] / ".local" / "fuzz" / name
    grown.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=2048",
        f"-artifact_prefix={HERE / 'corpus' / name}/",
    ]
    atheris.Setup([sys.argv[0], *options, str(grown), str(HERE / "corpus" / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
