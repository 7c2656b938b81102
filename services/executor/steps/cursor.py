"""Reading on from where the last load ended, and some days before: late records are found again."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from libs.clock import earlier
from libs.objects import Objects
from services.executor.ingest.api_pages import PageFiles
from services.executor.ingest.api_source import Incremental
from services.executor.ingest.contract import Contract, Rows
from services.executor.ingest.deliveries import Delivery
from services.executor.ingest.errors import IngestError
from services.executor.ingest.parts import each
from services.executor.ingest.readers import ParquetFile
from services.executor.ingest.values import INSTANT, read

FACT = "cursor"
_AT, _NUMBER = "\0at", "\0number"


class NoCursorError(IngestError):
    code = "unexpected_answer"

    def __init__(self, field: str, value: object, expected: str = "a time") -> None:
        said = f"{str(value)[:80]!r}: {expected} was expected there"
        super().__init__(f"a record's {field} is {said}")


class Cursor:
    """Of one load. What is as new as `start` is read anew; what is older stays as it was."""

    def __init__(self, said: Incremental, contract: Contract, start: datetime) -> None:
        self._said, self._contract, self.start = said, contract, start
        self._newest: datetime | None = None
        names = dict.fromkeys(said.key, pl.String())
        self._newest_of_key = pl.DataFrame(schema={**names, _AT: INSTANT, _NUMBER: pl.Int64()})

    @classmethod
    async def of(
        cls,
        said: Incremental,
        contract: Contract,
        current: Delivery | None,
        files: PageFiles,
        folder: str,
    ) -> "Cursor":
        """Begins where the step began the first time it was tried, whatever happened since."""
        name = f"{folder}/cursor"
        reached = current.facts.get(FACT) if current is not None else None
        start = said.first
        if reached is not None:
            start = earlier(datetime.fromisoformat(reached), timedelta(days=said.look_back_days))
        await files.create(name, start.isoformat().encode())
        kept = await files.fetch(name)
        return cls(said, contract, datetime.fromisoformat(kept.decode()) if kept else start)

    @property
    def words(self) -> Mapping[str, str]:
        start = self.start.astimezone(UTC)
        return {
            "{cursor.iso}": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "{cursor.date}": f"{start:%Y-%m-%d}",
            "{cursor.unix}": str(int(start.timestamp())),
        }

    @property
    def facts(self) -> dict[str, str]:
        return {FACT: self._newest.isoformat()} if self._newest else {}

    @property
    def has_key(self) -> bool:
        """Whether records have names: then all are to be heeded first."""
        return bool(self._said.key)

    def heed(self, frame: pl.DataFrame, which: pl.Series) -> None:
        """Of records that this load is about, by their numbers: each key's newest counts alone.

        Raises `NoCursorError`.
        """
        at, number = self._times(frame).alias(_AT), which.alias(_NUMBER)
        named = self._keys(frame).with_columns(at, number).filter(pl.col(_AT) >= self.start)
        newest = pl.concat([self._newest_of_key, named]).sort(_AT, maintain_order=True)
        self._newest_of_key = newest.unique(self._said.key, keep="last")

    def newer(self, frame: pl.DataFrame, which: pl.Series) -> pl.DataFrame:
        """The records that this load is about. Raises `NoCursorError`."""
        chosen = self._times(frame) >= self.start
        if self.has_key:
            chosen &= which.is_in(self._newest_of_key[_NUMBER].implode())
        return frame.filter(chosen)

    async def older(
        self, data: Objects, current: Delivery | None, load_id: str, spool: Path
    ) -> AsyncIterator[Rows]:
        """The rows of the load before that stay."""
        for name in current.parts if current is not None else ():
            await data.download(name, spool)
            async for batch in each(ParquetFile(spool, name).batches()):
                left = batch.filter(self._times(batch) < self.start)
                if self.has_key:
                    number = pl.int_range(left.height, dtype=pl.Int64, eager=True).alias(_NUMBER)
                    names = self._keys(left).with_columns(number)
                    stay = names.join(self._newest_of_key, on=self._said.key, how="anti")
                    left = left.filter(number.is_in(stay[_NUMBER].implode()))
                yield Rows(left.with_columns(pl.lit(load_id).alias("x_load_id")))

    def _keys(self, frame: pl.DataFrame) -> pl.DataFrame:
        """As text: kept ones may have a declared type, and those of answers have none yet."""
        for name in self._said.key:
            if name not in frame.columns or frame[name].has_nulls():
                raise NoCursorError(name, None, "something that names it")
        return pl.DataFrame([self._contract.as_text(frame[name]) for name in self._said.key])

    def _times(self, frame: pl.DataFrame) -> pl.Series:
        if self._said.field not in frame.columns:
            raise NoCursorError(self._said.field, None)
        values = frame[self._said.field]
        times = read(values, "epoch" if self._said.unix else "time")
        if times.null_count():
            raise NoCursorError(self._said.field, values[int(times.is_null().arg_max() or 0)])
        newest = times.max()
        if isinstance(newest, datetime):
            self._newest = max(newest, self._newest or newest)
        return times
