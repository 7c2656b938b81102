"""Files that are packed, once or more, in bounded room."""

import gzip
from pathlib import Path

import pytest

from services.executor.ingest import packed
from services.executor.ingest.errors import RefusedFileError
from services.executor.ingest.packed import content, unpacked

BILL = b"account,cost\n" + b"007,1.5\n" * 300_000


@pytest.mark.parametrize(("layers", "streamed"), [(0, False), (0, True), (1, True)])
def test_what_its_reader_can_read_stays_where_it_is(
    tmp_path: Path, layers: int, *, streamed: bool
) -> None:
    path = packed_file(tmp_path, layers)
    assert unpacked(path, "a", tmp_path, streamed=streamed) == path
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("layers", "streamed"), [(1, False), (2, False), (2, True), (3, True)])
def test_what_its_reader_cannot_read_is_unpacked(
    tmp_path: Path, layers: int, *, streamed: bool
) -> None:
    found = unpacked(packed_file(tmp_path, layers), "a", tmp_path, streamed=streamed)
    with packed.opened(found) if streamed else found.open("rb") as file:
        assert file.read() == BILL


def test_not_for_ever(tmp_path: Path) -> None:
    found = unpacked(packed_file(tmp_path, 4), "a", tmp_path, streamed=False)
    assert packed.is_packed(found)


def test_in_bounded_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed_file(tmp_path, 1)
    monkeypatch.setattr(packed, "MOST_UNPACKED", len(BILL) - 1)
    with pytest.raises(RefusedFileError, match="a: more than 0 GB are packed in it"):
        unpacked(path, "a", tmp_path, streamed=False)
    assert path.with_name("unpacked-0").stat().st_size < len(BILL)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_small_file_is_bounded_as_what_is_in_it(tmp_path: Path, layers: int) -> None:
    path = packed_file(tmp_path, layers)
    assert content(path, "a", len(BILL)) == BILL
    with pytest.raises(RefusedFileError, match=f"it is larger than {len(BILL) - 1} bytes"):
        content(path, "a", len(BILL) - 1)


@pytest.mark.parametrize("left", [3, 100, -9, -1])
@pytest.mark.parametrize("streamed", [True, False])
def test_what_was_cut_is_refused(tmp_path: Path, left: int, *, streamed: bool) -> None:
    path = packed_file(tmp_path, 2 if streamed else 1)
    path.write_bytes(path.read_bytes()[:left])
    for read in (
        lambda: unpacked(path, "a", tmp_path, streamed=streamed),
        lambda: content(path, "a", 1 << 30),
    ):
        with pytest.raises(RefusedFileError, match="a: it ends too early or is damaged"):
            read()


def packed_file(folder: Path, layers: int) -> Path:
    found = BILL
    for _ in range(layers):
        found = gzip.compress(found, mtime=0)
    (path := folder / "file").write_bytes(found)
    return path
