"""What was packed with gzip, known by its first bytes, whatever it is called or said to be."""

import gzip
from pathlib import Path
from typing import IO

from services.executor.ingest.errors import DAMAGED, RefusedFileError

MOST_UNPACKED = 4 << 30
"""So much of this disk what is in one file may take."""
MOST_LAYERS = 2
"""What is called `.gz` may be packed once more where it lies, or on its way."""
_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 20


def is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def opened(path: Path) -> IO[bytes]:
    """To be read as what is in it. Reading raises `DAMAGED` where it is not whole."""
    return gzip.open(path, "rb") if is_packed(path) else path.open("rb")  # type: ignore[return-value]


def content(path: Path, name: str, most: int) -> bytes:
    """All that is in a small file. Raises `RefusedFileError`."""
    try:
        with opened(path) as file:
            found = file.read(most + 1)
    except DAMAGED as error:
        raise damaged(name, error) from None
    if len(found) > most:
        raise RefusedFileError(name, f"it is larger than {most} bytes")
    return found


def unpacked(path: Path, name: str, folder: Path, *, streamed: bool) -> Path:
    """The file, or what is in it, in this folder, whoever reads it; one layer is streamed.

    Raises `RefusedFileError`.
    """
    for layer in range(MOST_LAYERS):
        if not is_packed(path) or (streamed and not _holds_packed(path, name)):
            return path
        inner = folder / f"unpacked-{layer}"
        _unpack(path, name, inner)
        path = inner
    return path


def damaged(name: str, error: BaseException) -> RefusedFileError:
    return RefusedFileError(name, f"it ends too early or is damaged ({error}); send it again")


def _holds_packed(path: Path, name: str) -> bool:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except DAMAGED as error:
        raise damaged(name, error) from None


def _unpack(path: Path, name: str, to: Path) -> None:
    got = 0
    with gzip.open(path, "rb") as source, to.open("wb") as target:
        while piece := _read(source, name):
            got += len(piece)
            if got > MOST_UNPACKED:
                problem = f"more than {MOST_UNPACKED >> 30} GB are packed in it; send it unpacked"
                raise RefusedFileError(name, problem)
            target.write(piece)


def _read(source: gzip.GzipFile, name: str) -> bytes:
    """What goes wrong in writing is nothing of the file's."""
    try:
        return source.read(_PIECE)
    except DAMAGED as error:
        raise damaged(name, error) from None
