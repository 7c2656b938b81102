"""Writes what follows from the catalogue; `--check` says what is stale.

    python -m contracts.generate [--check]

Schemas, the AsyncAPI document, the topology and the diagram are made anew each
time. Examples and released schemas are written once for a new message and then
stay as they are.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.asyncapi import asyncapi
from contracts.catalogue import CATALOGUE
from contracts.diagram import flow
from contracts.examples import example_of
from contracts.schemas import schema_of
from contracts.topology import topology

HERE = Path(__file__).parent
GENERATED = HERE / "generated"
EXAMPLES = HERE / "examples"
RELEASED = HERE / "released"


def generated_files() -> Iterator[tuple[Path, str]]:
    """Each file with the text that it should have."""
    for entry in CATALOGUE:
        name = f"{entry.model.wire_type}.json"
        yield GENERATED / "schemas" / name, _json(schema_of(entry.model))
    yield GENERATED / "asyncapi.json", _json(asyncapi())
    yield GENERATED / "topology.json", _json(topology().as_data())
    yield GENERATED / "flow.md", flow()


def frozen_files() -> Iterator[tuple[Path, str]]:
    """What a message has from its first release on, as it would be written today."""
    for entry in CATALOGUE:
        name = f"{entry.model.wire_type}.json"
        wire = example_of(entry)
        example = {
            "attributes": dict(wire.attributes),
            "data": json.loads(wire.data),
            "ordering_key": wire.ordering_key,
        }
        yield EXAMPLES / name, _json(example)
        yield RELEASED / name, _json(schema_of(entry.model))


def stale() -> list[str]:
    """What differs from what it should be, or is missing, or belongs to nothing."""
    wanted = dict(generated_files())
    wrong = [str(p.relative_to(HERE)) for p, text in wanted.items() if _read(p) != text]
    wrong += [str(p.relative_to(HERE)) for p, _ in frozen_files() if not p.exists()]
    return wrong + [str(p.relative_to(HERE)) for p in _obsolete()]


def write() -> None:
    """Bring everything up to date, except what is frozen and there already."""
    for path, text in generated_files():
        _write(path, text)
    for path, text in frozen_files():
        if not path.exists():
            _write(path, text)
    for path in _obsolete():
        path.unlink()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m contracts.generate")
    parser.add_argument("--check", action="store_true", help="change nothing")
    if parser.parse_args(argv).check:
        wrong = stale()
        for name in wrong:
            print(f"contracts/{name} is stale: run `make contracts`")
        return 1 if wrong else 0
    write()
    return 0


def _obsolete() -> list[Path]:
    """What belongs to no message any more. Frozen files stay: old messages may still arrive."""
    wanted = {path for path, _ in generated_files()}
    return sorted(path for path in GENERATED.rglob("*.*") if path not in wanted)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
