"""What is on its way on this disk is gone when its step is, whatever threads still do."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.executor.ingest.parts import PartWriter
from services.executor.ingest.spool import spooled

FRAME = pl.DataFrame({"cost": [1, 2, 3]})


class RefusedError(Exception):
    """Stands for a file's refusal, half-way."""


class Nowhere:
    def uri(self, name: str) -> str:
        return name

    async def upload(self, name: str, path: Path) -> None:
        raise AssertionError(name, path)

    async def download(self, name: str, path: Path) -> None:
        raise AssertionError(name, path)


class Held:
    """A write that goes on until the loop has had a turn while it is waited for."""

    def __init__(self, write: Callable[..., None]) -> None:
        self._write = write
        self._may, self.ended = Event(), False

    def let_go_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._may.set)

    def __call__(self, *given: Any) -> None:
        assert self._may.wait(20)
        self._write(*given)
        self.ended = True


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    held = Held(pq.ParquetWriter.write_table)

    def write_table(writer: pq.ParquetWriter, table: pa.Table) -> None:
        held(writer, table)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", write_table)
    return held


def test_a_folder_goes_while_a_thread_still_writes_there() -> None:
    """A fetch goes on in its thread when its step has been cancelled."""
    begun, shut_out = Event(), Event()

    def fetch() -> None:
        number = 0
        with suppress(FileNotFoundError):
            while True:
                (folder / str(number)).touch()
                number += 1
                if number == 1_000:
                    begun.set()
        shut_out.set()

    writer = Thread(target=fetch, daemon=True)
    with spooled("fetch") as folder:
        writer.start()
        assert begun.wait(20)
    assert shut_out.wait(20)
    assert not folder.parent.exists()


async def test_a_frame_is_written_to_its_end_when_the_next_one_is_refused(
    held: Held, tmp_path: Path
) -> None:
    async def write() -> None:
        async with PartWriter(Nowhere(), "raw", tmp_path) as parts:
            await parts.add(FRAME)
            held.let_go_soon()
            raise RefusedError

    with pytest.raises(RefusedError):
        await write()
    assert held.ended


async def test_a_frame_is_written_to_its_end_when_its_step_is_cancelled(
    held: Held, tmp_path: Path
) -> None:
    second = asyncio.Event()

    async def write() -> None:
        async with PartWriter(Nowhere(), "raw", tmp_path) as parts:
            await parts.add(FRAME)
            second.set()
            await parts.add(FRAME)

    writing = asyncio.create_task(write())
    await second.wait()
    writing.cancel()
    held.let_go_soon()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert held.ended


class Somewhere(Nowhere):
    def __init__(self) -> None:
        self.tables: list[pa.Table] = []

    async def upload(self, name: str, path: Path) -> None:  # noqa: ARG002  in their order
        self.tables.append(pq.read_table(path))


async def test_amounts_that_come_as_text_are_written_as_numbers(tmp_path: Path) -> None:
    """BigQuery loads no text into a column of numbers."""
    written = [f"{'9' * 38}.{'9' * 18}", "-1.5", None, "0.000000000000000001"]
    exact = pl.Series([Decimal("1.5")], dtype=pl.Decimal(38, 18))
    there = Somewhere()
    async with PartWriter(there, "p", tmp_path, amounts=frozenset({"n"})) as parts:
        await parts.add(pl.DataFrame({"t": ["1"], "n": exact}))
        await parts.add(pl.DataFrame({"t": ["1"] * 4, "n": written}))
        await parts.finish()
    narrow, wide = there.tables
    assert narrow.schema.field("n").type == pa.decimal128(38, 18)
    assert wide.schema.field("n").type == pa.decimal256(56, 18)
    assert wide["t"].to_pylist() == ["1"] * 4
    assert wide["n"].to_pylist() == [None if n is None else Decimal(n) for n in written]
