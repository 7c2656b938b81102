"""The official FOCUS validator's verdict on what becomes of every provider's bill.

`make conformance MODEL=model-1.4.json[.gz]`: the requirements model that the FOCUS project
publishes with its releases. The validator wants another Python than ours, so it has an
environment of its own. Of each provider: its golden ledger, and a made bill where there is one;
of FOCUS files those that older versions of FOCUS allow, with the gaps that they have.
"""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from services.executor.focus.engine import Converter
from services.executor.focus.mapping import load_mapping
from services.executor.focus.specification import focus
from services.executor.ingest.csv_reader import CsvOptions
from services.executor.ingest.readers import open_reader
from tests.bench.peers.conversion import PAIRS
from tests.focus.ledger import LEDGERS, exports_of, load_ledger

MOST_ROWS = 50_000
CYCLE = "CAU-CommitmentDiscountUnit-C-004-C"
"""Stands in a circle of dependencies in the published model, which the validator refuses."""
KNOWN = frozenset(
    {
        "CAU-CostAndUsage-D-021",
        "CAU-CostAndUsage-D-038",
        "CAU-PricingCurrencyContractedUnitPrice-C-012",
    }
)
"""Rules in which the model contradicts the specification: two ask for columns that 1.4 removed,
one has its condition the wrong way round. Without the letter for how binding they are."""
NOT_ASCII = r"[^\x00-\x7F]"
"""The validator refuses such letters as no strings; the specification asks for Unicode."""
JOINING = frozenset({"AND", "OR", "CheckModelRule"})
_FAILED = re.compile(r"❌\s*(CAU-[A-Za-z]+-[A-Z]-\d+-[A-Z])")
_TOTAL = re.compile(r"Total:.*")


def main() -> int:
    model, validator = Path(os.environ.get("MODEL", "")), Path(os.environ.get("VALIDATOR", ""))
    if not model.is_file() or not validator.is_file():
        sys.stderr.write(f"{__doc__}\nMODEL={model} or VALIDATOR={validator} is no file\n")
        return 2
    with TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        rules = read_model(model)
        (folder / "model-1.4.json").write_text(json.dumps(rules))
        verdicts = []
        known = sorted(path.stem for path in LEDGERS.glob("*.yml"))
        for mapping in os.environ.get("ONLY", "").split() or known:
            data = folder / f"{mapping}.parquet"
            rows = written(mapping, data)
            verdict = judged(asked(validator.absolute(), folder, data), rules)
            sys.stdout.write(f"{mapping}, {rows:,} rows: {verdict}\n")
            sys.stdout.flush()
            verdicts.append(verdict.good)
    return 0 if all(verdicts) else 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the validator said of one provider's rows."""

    total: str
    known: frozenset[str]
    others: tuple[str, ...]
    """With what they ask for."""
    said: str

    @property
    def good(self) -> bool:
        return bool(self.total) and not self.others

    def __str__(self) -> str:
        if not self.total:
            return f"no verdict\n{self.said[-3000:]}"
        model = f"{len(self.known)} of them leaves that the model has wrong"
        return "\n  ".join([f"{self.total} ({model})", *self.others])


def read_model(path: Path) -> Any:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    model = json.loads(raw)
    for name, rule in model["ModelRules"].items():
        if name.startswith("CAU-CommitmentDiscountQuantity-"):
            needs = rule["ValidationCriteria"]["Dependencies"]
            rule["ValidationCriteria"]["Dependencies"] = [n for n in needs if n != CYCLE]
    return model


def written(mapping: str, path: Path) -> int:
    """How many rows of FOCUS are there to be judged."""
    rows = rows_of(mapping, path)
    rows.with_columns(pl.col(pl.String).str.replace_all(NOT_ASCII, "?")).write_parquet(path)
    return rows.height


def rows_of(mapping: str, path: Path) -> pl.DataFrame:
    ledger = load_ledger(mapping)
    found = [ledger.convert(ledger.lines)[0].select(list(focus().columns))]
    for pair in PAIRS.values():
        if pair.mapping == mapping:
            found += made(mapping, pair.bill.make(path.parent, MOST_ROWS))
    for file in exports_of(mapping):
        found += made(mapping, file)
    return pl.concat(found).head(MOST_ROWS)


def made(mapping: str, file: Path) -> Iterator[pl.DataFrame]:
    converter = None
    for batch in open_reader(file, file.name, None, CsvOptions()).batches():
        converter = converter or Converter(load_mapping(mapping), batch.schema)
        yield converter.convert(batch).select(list(focus().columns))


def asked(validator: Path, folder: Path, data: Path) -> str:
    # It looks for a file of its own below the working directory.
    (site,) = validator.parent.parent.glob("lib/python*/site-packages")
    command = [
        str(validator),
        *("--data-file", str(data), "--validate-version", "1.4", "--block-download"),
        *("--rule-set-path", str(folder), "--applicability-criteria", "ALL"),
    ]
    done = subprocess.run(command, cwd=site, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def judged(said: str, model: Any) -> Verdict:
    """It ends with 0 even when rules fail: what it says is read."""
    failed, rules = set(_FAILED.findall(said)), model["ModelRules"]
    leaves = {name for name in failed if not joins(rules[name])}
    known = frozenset(name for name in leaves if name[:-2] in KNOWN)
    others = tuple(f"{name}: {asks(rules[name])}" for name in sorted(leaves - known))
    total = _TOTAL.search(said)
    return Verdict(total.group().strip() if total else "", known, others, said)


def joins(rule: Any) -> bool:
    """Rules that only join others fail with them."""
    return rule["ValidationCriteria"]["Requirement"].get("CheckFunction") in JOINING


def asks(rule: Any) -> str:
    return str(rule["ValidationCriteria"]["MustSatisfy"])


if __name__ == "__main__":
    sys.exit(main())
