"""Where a step keeps what is on its way, on this disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def spooled(kind: str) -> Iterator[Path]:
    """A folder that is gone at the end, whoever still writes there.

    A thread cannot be stopped: when a step is cancelled, what it was fetching or
    writing goes on for a moment. In a folder that has lost its name it makes no
    further files, so the folder can be removed.
    """
    with TemporaryDirectory(prefix=f"{kind}-") as around:
        folder = Path(around) / "spool"
        folder.mkdir()
        try:
            yield folder
        finally:
            folder.rename(Path(around) / "gone")
