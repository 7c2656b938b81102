"""`ingest.file`: a delivery of files becomes a slice of a table of the tenant.

The slice is replaced whole: staged, checked, swapped in one transaction. The
same files read in the same way are not loaded again.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.deliveries import load_id_of
from services.executor.ingest.parts import each
from services.executor.ingest.places import Anywhere, FoundFile, LandingBucket, LocalFolder
from services.executor.ingest.readers import Format, open_reader
from services.executor.steps.phrasing import phrased
from services.executor.steps.raw_load import RawLoader, Target, slice_of, with_own
from services.executor.steps.step import StepResult, StepRun, StepType
from services.executor.steps.targets import target_of
from services.executor.steps.tools import Tools
from services.executor.steps.variables import fill_name

READER_VERSION = 1


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    files: str = Field(min_length=1, max_length=1000)
    """Below the tenant's landing folder, with wild cards: `aws/cur/2026-11/*.csv.gz`."""
    target_table: str = Field(min_length=3, max_length=1400)
    slice: str = Field(min_length=1, max_length=300)
    """What the delivery is the whole of, e.g. `2026-11`; its rows replace those before."""
    format: Format | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = Field(default="", max_length=40, pattern=r"^[A-Za-z0-9_-]*$")


class IngestFile(StepType):
    def __init__(self, tools: Tools) -> None:
        local = [LocalFolder(tools.landing_folder)] if tools.landing_folder else []
        self._place = Anywhere([*local, LandingBucket(tools.data)])
        self._loader = RawLoader(tools)

    async def run(self, given: StepRun) -> StepResult:
        request, config = given.request, given.config(Config)
        table = target_of(config.target_table, request)
        slice_ = slice_of(config.slice, request)
        with phrased():
            pattern = fill_name(config.files, request)
            files = await self._place.find(str(request.tenant_id), pattern)
            load_id = load_id_of(files, {**config.model_dump(), "reader": READER_VERSION})
            target = Target(table, slice_, load_id, tuple(file.name for file in files))
            if (done := await self._loader.unchanged(given, target)) is not None:
                return done
            with TemporaryDirectory(prefix="fetch-") as spool:
                frames = self._frames(given, config, target, files, Path(spool))
                return await self._loader.replace(given, target, frames)

    async def cancel(self, given: StepRun) -> None:
        await self._loader.cancel(given)

    async def _frames(
        self,
        given: StepRun,
        config: Config,
        target: Target,
        files: Sequence[FoundFile],
        spool: Path,
    ) -> AsyncIterator[pl.DataFrame]:
        for file in files:
            path = await self._place.fetch(str(given.request.tenant_id), file, spool / "file")
            options = CsvOptions(config.delimiter, config.encoding)
            row = 0
            async for batch in each(open_reader(path, file.name, config.format, options).batches()):
                yield with_own(batch, target, file.name, row)
                row += batch.height
            (spool / "file").unlink(missing_ok=True)
