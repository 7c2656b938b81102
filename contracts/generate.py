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
from contracts.catalogue import CATALOGUE, CONSUMING_SERVICES
from contracts.examples import example_of
from contracts.message import Kind, Service
from contracts.topology import topology

HERE = Path(__file__).parent
GENERATED = HERE / "generated"
EXAMPLES = HERE / "examples"
RELEASED = HERE / "released"


def generated_files() -> Iterator[tuple[Path, str]]:
    """Each file with the text that it should have."""
    for entry in CATALOGUE:
        schema = entry.model.model_json_schema(mode="serialization")
        yield GENERATED / "schemas" / f"{entry.model.wire_type}.json", _json(schema)
    yield GENERATED / "asyncapi.json", _json(asyncapi())
    yield GENERATED / "topology.json", _json(topology().as_data())
    yield GENERATED / "flow.md", _flow()


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
        yield RELEASED / name, _json(entry.model.model_json_schema(mode="serialization"))


def stale() -> list[str]:
    """What differs from what it should be, or is missing, or belongs to nothing."""
    wanted = dict(generated_files())
    wrong = [str(p.relative_to(HERE)) for p, text in wanted.items() if _read(p) != text]
    wrong += [str(p.relative_to(HERE)) for p, _ in frozen_files() if not p.exists()]
    present = set(GENERATED.rglob("*.*"))
    return wrong + [str(p.relative_to(HERE)) for p in sorted(present - wanted.keys())]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m contracts.generate")
    parser.add_argument("--check", action="store_true", help="change nothing")
    if parser.parse_args(argv).check:
        wrong = stale()
        for name in wrong:
            print(f"contracts/{name} is stale: run `make contracts`")
        return 1 if wrong else 0
    for path, text in generated_files():
        _write(path, text)
    for path, text in frozen_files():
        if not path.exists():
            _write(path, text)
    return 0


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _flow() -> str:
    lines = [
        "# Who tells whom what",
        "",
        "Made from `contracts/catalogue.py` by `make contracts`. Replies go back to the gateway",
        "instance that asked; audit_log records everything.",
        "",
        "```mermaid",
        "flowchart LR",
    ]
    for producer in Service:
        for consumer in CONSUMING_SERVICES:
            names = [
                entry.model.wire_type
                for entry in CATALOGUE
                if producer in entry.producers
                and consumer in entry.consumers
                and entry.model.kind is not Kind.REPLY
            ]
            if names:
                label = "<br/>".join(names)
                lines.append(f'  {producer} -- "{label}" --> {consumer}')
    return "\n".join([*lines, "```", ""])


if __name__ == "__main__":
    sys.exit(main())
