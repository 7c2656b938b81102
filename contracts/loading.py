"""Who loads the files of an `ingest.file` step, and what goes with it.

Asked by whoever takes a definition, before it is saved, and by the step itself.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

Loader = Literal["executor", "bigquery"]
LOADERS: tuple[Loader, ...] = get_args(Loader)
WAY_OUT = "leave out `load_by: bigquery`, so that the executor reads the files"
_ELSEWHERE = "://"
_NOTHING: Mapping[str, object] = {
    "credential": "",
    "region": "",
    "endpoint": "",
    "manifest": "",
    "contract": "evolve",
    "columns": {},
    "decimal_comma": False,
    "day_first": False,
    "delimiter": ",",
    "encoding": "",
}
"""What these fields say where they say nothing."""


def unfit(config: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The fields that do not go with who is to load, each with what was expected."""
    by = config.get("load_by", LOADERS[0])
    if by not in LOADERS:
        yield "load_by", f"{_shown(by)} loads no files; expected {' or '.join(LOADERS)}"
    if by != "bigquery":
        return
    files = config.get("files", "")
    if isinstance(files, Mapping):
        yield "files", _wrong(files, "paths without roles")
    for written in files if isinstance(files, list | tuple) else (files,):
        if _ELSEWHERE in str(written):
            yield "files", _wrong(written, "a path below your landing folder")
    if (format_ := config.get("format")) not in (None, "parquet"):
        yield "format", _wrong(format_, "parquet")
    for field, nothing in _NOTHING.items():
        if (said := config.get(field, nothing)) != nothing:
            yield field, _wrong(said, "evolve" if field == "contract" else "nothing")


def _wrong(said: object, expected: str) -> str:
    return (
        f"{_shown(said)} does not go with `load_by: bigquery`, which takes Parquet files of your"
        f" landing folder as they are: expected {expected}; or {WAY_OUT}"
    )


def _shown(said: object) -> str:
    return repr(said)[:80]
