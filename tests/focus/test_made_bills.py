"""The bills that `make peers` converts are whole: any number of their lines adds up."""

from pathlib import Path

import pytest

from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.ingest import readers
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.readers import open_reader
from tests.bench.peers.conversion import PAIRS
from tests.bench.peers.converting import convert
from tests.bench.peers.made import CYCLE
from tests.bench.peers.packed import GCP_LINES

MADE = PAIRS | {"Google Cloud, NDJSON": GCP_LINES}


@pytest.mark.parametrize("name", MADE)
def test_a_made_bill_is_conserved(name: str, tmp_path: Path) -> None:
    pair = MADE[name]
    file = pair.bill.make(tmp_path, rows=3 * CYCLE - 1)
    batches = list(open_reader(file, file.name, None, CsvOptions()).batches())
    converter = Converter(load_mapping(pair.mapping), batches[0].schema)
    for batch in batches:
        converter.convert(batch)
    assert converter.tally.rows_in == 3 * CYCLE
    assert converter.tally.conserved
    assert converter.tally.rows_accounted


async def test_a_made_bill_may_say_less_in_some_of_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "JSON_BLOCK", 4096)
    file = GCP_LINES.bill.make(tmp_path, rows=3 * CYCLE)
    batches = open_reader(file, file.name, None, CsvOptions()).batches()
    assert len({str(batch.schema) for batch in batches}) > 1
    converter = await convert(GCP_LINES.mapping, file, tmp_path)
    assert converter.tally.rows_in == 3 * CYCLE
    assert converter.tally.conserved
