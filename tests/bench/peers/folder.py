"""A folder where the executor has a bucket."""

import asyncio
import shutil
from pathlib import Path


class KeptHere:
    """Takes what is uploaded, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def uri(self, name: str) -> str:
        return (self._folder / "kept" / name).as_uri()

    async def upload(self, name: str, path: Path) -> None:
        target = self._folder / "kept" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        # The writer removes what it has uploaded.
        await asyncio.to_thread(target.hardlink_to, path)

    async def download(self, name: str, path: Path) -> None:
        await asyncio.to_thread(shutil.copy, self._folder / "kept" / name, path)
