"""Checks an export of the audit log offline, with nothing but this file's directory and Python.

    python -m services.audit_log.verify export.ndjson [--heads FILE] [--expect FILE]

The export is what `GET /api/v1/audit/events?order=chain` gives as NDJSON; `-` reads
standard input. `--expect` takes a note of where each chain ended earlier and so finds
what was cut off an end; `--heads` makes such a note, of what is whole and of nothing
else. Both may be the same file. Exit codes: 0 whole, 1 broken, 2 not an export.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from services.audit_log.chain import Head, hash_of

TIMES = ("event_time", "recorded_at")
BROKEN, NOT_AN_EXPORT = 1, 2


class BrokenLinkError(Exception):
    """Names the first row that is not what its chain says."""

    def __init__(self, line: int, row: dict[str, Any], reason: str) -> None:
        super().__init__(
            f"line {line}: chain {row['chain_id']}, position {row['chain_position']},"
            f" event {row.get('event_id')}: {reason}"
        )


class NotAnExportError(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(
            f"line {line}: {reason}; export with order=chain and Accept: application/x-ndjson"
        )


class NotANoteError(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is not a note of heads ({reason}): give one that --heads wrote")


@dataclass(slots=True)
class Verdict:
    """What was walked, chain by chain."""

    rows: int
    heads: dict[str, Head]
    missing: list[str] = field(default_factory=list)
    """Which chains no longer reach as far as was noted."""


def check(lines: Iterable[str], *, heads: Path | None, expect: Path | None) -> Verdict:
    """Walk every chain; a new note is made only when nothing is missing of the earlier one.

    Raises `BrokenLinkError`, `NotAnExportError` and `NotANoteError`.
    """
    verdict = verify(lines, read_note(expect) if expect else {})
    if heads and not verdict.missing:
        write_note(heads, verdict)
    return verdict


def verify(lines: Iterable[str], noted: Mapping[str, Head] | None = None) -> Verdict:
    """Walk every chain; raises `BrokenLinkError` for the first broken link.

    What was noted of earlier heads must still be as it was.
    """
    noted = noted or {}
    heads: dict[str, Head] = {}
    rows = 0
    for number, row in _rows(lines):
        head = heads.get(row["chain_id"])
        if head is not None and (row["chain_position"], row["row_hash"]) == (
            head.position,
            head.hash,
        ):
            _check_content(number, row)
            continue  # an append that was sent again: the very same row
        head = heads[row["chain_id"]] = _next(number, row, head or Head(row["chain_id"]))
        _check_noted(number, row, noted.get(head.chain_id))
        rows += 1
    return Verdict(rows, heads, _lost(heads, noted))


def _check_noted(number: int, row: dict[str, Any], noted: Head | None) -> None:
    if noted and noted.position == row["chain_position"] and noted.hash != row["row_hash"]:
        raise BrokenLinkError(number, row, "it is not the row that was noted earlier")


def _next(number: int, row: dict[str, Any], head: Head) -> Head:
    _check_content(number, row)
    if row["chain_position"] != head.position + 1:
        reason = f"a row is missing or out of place: position {head.position + 1} was expected"
        raise BrokenLinkError(number, row, reason)
    if (row.get("previous_hash") or "") != head.hash:
        raise BrokenLinkError(number, row, "it does not follow from the row before it")
    return Head(head.chain_id, row["chain_position"], row["row_hash"])


def _check_content(number: int, row: dict[str, Any]) -> None:
    if hash_of(row) != row["row_hash"]:
        raise BrokenLinkError(number, row, "its content is not what was recorded")


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            for name in TIMES:
                row[name] = datetime.fromisoformat(row[name])
            missing = [n for n in ("chain_id", "chain_position", "row_hash") if not row.get(n)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise NotAnExportError(number, f"not a row of an export ({error})") from None
        if missing:
            raise NotAnExportError(number, f"{', '.join(missing)} is missing")
        yield number, row


def _lost(heads: Mapping[str, Head], noted: Mapping[str, Head]) -> list[str]:
    return [
        f"chain {was.chain_id} ends at {now.position}; it had come to {was.position}"
        for was in noted.values()
        if (now := heads.get(was.chain_id, Head(was.chain_id))).position < was.position
    ]


def read_note(path: Path) -> dict[str, Head]:
    """Raises `NotANoteError`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: Head(name, int(position), hash_) for name, (position, hash_) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise NotANoteError(path, str(error)) from None


def write_note(path: Path, verdict: Verdict) -> None:
    """Whole or not at all; raises `OSError`."""
    heads = {name: [head.position, head.hash] for name, head in verdict.heads.items()}
    made = path.with_name(f"{path.name}.new")
    made.write_text(json.dumps(heads, indent=2) + "\n", encoding="utf-8")
    made.replace(path)


def _open(name: str) -> AbstractContextManager[TextIO]:
    return nullcontext(sys.stdin) if name == "-" else Path(name).open(encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.audit_log.verify")
    parser.add_argument("export")
    parser.add_argument("--heads", type=Path, help="note here where each chain ends, if whole")
    parser.add_argument("--expect", type=Path, help="heads that were noted earlier")
    given = parser.parse_args(argv)
    try:
        with _open(given.export) as lines:
            verdict = check(lines, heads=given.heads, expect=given.expect)
    except BrokenLinkError as error:
        sys.stdout.write(f"BROKEN {error}\n")
        return BROKEN
    except (NotAnExportError, NotANoteError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return NOT_AN_EXPORT
    sys.stdout.write("".join(f"BROKEN {one}\n" for one in verdict.missing))
    if not verdict.missing:
        sys.stdout.write(f"whole: {verdict.rows} rows in {len(verdict.heads)} chains\n")
    return BROKEN if verdict.missing else 0


if __name__ == "__main__":
    sys.exit(main())
