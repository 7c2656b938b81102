"""The line of a row, told from parts of a delivery alone."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from services.executor.ingest.deliveries import Delivery
from services.executor.ingest.lines import LINES, Place, line_of
from services.executor.ingest.readers import ROWS

NAMES = ("part-0", "part-1", "part-2", "part-3")


@dataclass(slots=True)
class Folder:
    """Parts on disk, and which of them were asked for."""

    path: Path
    asked: list[str] = field(default_factory=list)

    async def download(self, name: str, path: Path) -> None:
        self.asked.append(name)
        shutil.copy(self.path / name, path)


@pytest.fixture
def kept(tmp_path: Path) -> Folder:
    """File b is in three parts, with two line breaks in each row; the last is never needed."""
    rows = {
        "part-0": ("a", 0, 3),
        "part-1": ("b", 0, 4),
        "part-2": ("b", 4, ROWS + 10),
        "part-3": ("b", ROWS + 10, ROWS + 12),
    }
    for name, (file, first, end) in rows.items():
        pl.DataFrame(
            {
                "note": ["x\r\ny\nz"] * (end - first),
                "amount": ["1"] * (end - first),
                "x_file": [file] * (end - first),
                "x_row": range(first, end),
            }
        ).write_parquet(tmp_path / name)
    return Folder(tmp_path)


def delivered(way: str = "csv") -> Delivery:
    return Delivery(load_id="l", parts=NAMES, facts={LINES: way} if way else {})


async def test_only_the_parts_from_the_files_beginning_to_the_row_are_read(kept: Folder) -> None:
    for part, row in (("part-1", 2), ("part-2", 5), ("part-2", ROWS + 8)):
        place = Place(part, "b", row)
        assert await line_of(kept, delivered(), place, kept.path / "s") == 2 + 3 * row
    assert kept.asked == ["part-1", "part-2", "part-1", "part-2", "part-1"]


async def test_a_line_is_not_told_when_a_part_has_gone(kept: Folder) -> None:
    (kept.path / "part-1").unlink()
    assert await line_of(kept, delivered(), Place("part-2", "b", 5), kept.path / "s") is None


@pytest.mark.parametrize(("way", "line"), [("ndjson", 6), ("", None)])
async def test_lines_of_json_need_no_part(kept: Folder, way: str, line: int | None) -> None:
    place = Place("part-2", "b", 5)
    assert await line_of(kept, delivered(way), place, kept.path / "s") == line
    assert not kept.asked
