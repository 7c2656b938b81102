"""Reading on from where the last load ended, and some days before: late records are found again."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from contracts.quality import CheckPart, CheckStatus, Severity
from libs.clock import earlier, later
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
SLACK = timedelta(days=1)
"""Times of zones that are not said, and ends of today, are no times of the future."""
_AT, _NUMBER = "\0at", "\0number"


class NoCursorError(IngestError):
    code = "unexpected_answer"

    def __init__(self, field: str, value: object, expected: str = "a time") -> None:
        said = f"{str(value)[:80]!r}: {expected} was expected there"
        super().__init__(f"a record's {field} is {said}")


@dataclass(frozen=True, slots=True)
class Before:
    """The load before, if there is one, and its rows."""

    data: Objects
    delivery: Delivery | None
    spool: Path

    async def batches(self) -> AsyncIterator[pl.DataFrame]:
        for name in self.delivery.parts if self.delivery is not None else ():
            await self.data.download(name, self.spool)
            async for batch in each(ParquetFile(self.spool, name).batches()):
                yield batch

    async def reached(self, said: Incremental, now: datetime) -> datetime | None:
        """What it came to; a time of the future, which older releases noted too, is none."""
        noted = self.delivery.facts.get(FACT) if self.delivery is not None else None
        found = datetime.fromisoformat(noted) if noted is not None else None
        if found is None or found <= now:
            return found
        found = None
        async for batch in self.batches():
            found = _newest(_times(said, batch), now, found)
        return found


class Cursor:
    """Of one load. What is as new as `start` is read anew; what is older stays as it was."""

    def __init__(
        self, said: Incremental, contract: Contract, start: datetime, now: datetime
    ) -> None:
        self._said, self._contract, self.start, self._now = said, contract, start, now
        self._newest: datetime | None = None
        self._read = self._of_the_future = 0
        names = dict.fromkeys(said.key, pl.String())
        self._newest_of_key = pl.DataFrame(schema={**names, _AT: INSTANT, _NUMBER: pl.Int64()})

    @classmethod
    async def of(  # noqa: PLR0913  what it needs, once
        cls,
        said: Incremental,
        contract: Contract,
        before: Before,
        now: datetime,
        *,
        files: PageFiles,
        folder: str,
    ) -> "Cursor":
        """Begins where the step began the first time it was tried, whatever happened since."""
        name = f"{folder}/cursor"
        if (kept := await files.fetch(name)) is None:
            reached = await before.reached(said, now)
            start = earlier(reached, timedelta(days=said.look_back_days)) if reached else said.first
            await files.create(name, start.isoformat().encode())
            kept = await files.fetch(name) or start.isoformat().encode()
        return cls(said, contract, datetime.fromisoformat(kept.decode()), now)

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
    def check(self) -> CheckPart:
        """Asked when all rows have been seen: records of the future are asked for each time."""
        late = self._of_the_future
        return CheckPart(
            name="records_are_dated_up_to_now",
            kind="expect_column_values_to_be_between",
            column=self._said.field,
            severity=Severity.WARN,
            status=CheckStatus.FAILED if late else CheckStatus.PASSED,
            observed=f"{late} of {self._read} records are of more than a day after this load",
            expected="0",
            row_count=self._read,
            failing_rows=late,
        )

    @property
    def has_key(self) -> bool:
        """Whether records have names: then all are to be heeded first."""
        return bool(self._said.key)

    def heed(self, frame: pl.DataFrame, which: pl.Series) -> None:
        """Of records that this load is about, by their numbers: each key's newest counts alone.

        Raises `NoCursorError`.
        """
        at, number = _times(self._said, frame).alias(_AT), which.alias(_NUMBER)
        named = self._keys(frame).with_columns(at, number).filter(pl.col(_AT) >= self.start)
        newest = pl.concat([self._newest_of_key, named]).sort(_AT, maintain_order=True)
        self._newest_of_key = newest.unique(self._said.key, keep="last")

    def newer(self, frame: pl.DataFrame, which: pl.Series) -> pl.DataFrame:
        """The records that this load is about. Raises `NoCursorError`."""
        times = _times(self._said, frame)
        chosen = times >= self.start
        if self.has_key:
            chosen &= which.is_in(self._newest_of_key[_NUMBER].implode())
        self._newest = _newest(times, self._now, self._newest)
        self._read += int(chosen.sum())
        self._of_the_future += int((chosen & (times > later(self._now, SLACK))).sum())
        return frame.filter(chosen)

    async def older(self, before: Before, load_id: str) -> AsyncIterator[Rows]:
        """The rows of the load before that stay."""
        async for batch in before.batches():
            times = _times(self._said, batch)
            self._newest = _newest(times, self._now, self._newest)
            left = batch.filter(times < self.start)
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


def _times(said: Incremental, frame: pl.DataFrame) -> pl.Series:
    if said.field not in frame.columns:
        raise NoCursorError(said.field, None)
    values = frame[said.field]
    times = read(values, "epoch" if said.unix else "time")
    if times.null_count():
        raise NoCursorError(said.field, values[int(times.is_null().arg_max() or 0)])
    return times


def _newest(times: pl.Series, now: datetime, before: datetime | None) -> datetime | None:
    """A record of the future is no sign that everything up to it has been read."""
    newest = times.filter(times <= now).max()
    return max(newest, before or newest) if isinstance(newest, datetime) else before
