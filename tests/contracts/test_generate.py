"""The generator: current, repeatable, and it never touches what is frozen."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import generate
from contracts.asyncapi import asyncapi
from contracts.catalogue import CATALOGUE, topic_of
from contracts.diagram import flow
from contracts.message import Kind, Service

ROOT = Path(__file__).parents[2]


def test_generated_files_are_current_whatever_the_hash_seed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "contracts.generate", "--check"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert generate.stale() == []


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(generate, "HERE", tmp_path)
    for name in ("generated", "examples", "released"):
        monkeypatch.setattr(generate, name.upper(), tmp_path / name)
    return tmp_path


def test_an_empty_tree_is_filled(elsewhere: Path) -> None:
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert len(list(elsewhere.rglob("*.json"))) == 3 * len(CATALOGUE) + 2


def test_what_is_stale_is_named_and_mended(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    generate.write()
    (elsewhere / "generated/topology.json").write_text("{}")
    (elsewhere / "generated/schemas/gone.v1.json").write_text("{}")
    (elsewhere / "examples/tick.v1.json").unlink()
    assert generate.main(["--check"]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "contracts/generated/topology.json",
        "contracts/examples/tick.v1.json",
        "contracts/generated/schemas/gone.v1.json",
    ]
    assert generate.main([]) == generate.main(["--check"]) == 0


def test_what_is_frozen_is_never_written_again(elsewhere: Path) -> None:
    generate.write()
    frozen = elsewhere / "released/tick.v1.json"
    frozen.write_text("as released")
    generate.write()
    assert frozen.read_text() == "as released"


def references(value: Any) -> Iterator[str]:
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from references(inner)
    if isinstance(value, dict) and "$ref" in value:
        yield value["$ref"]


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    found = set(references(document))
    assert len(found) > len(CATALOGUE)
    for reference in found:
        if not reference.startswith("#/"):
            assert (generate.GENERATED / reference).is_file()
            continue
        place: Any = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_everything_published_is_received_by_somebody() -> None:
    operations = asyncapi()["operations"]
    for entry in CATALOGUE:
        name = entry.model.wire_type
        for producer in entry.producers:
            assert f"{producer} sends {name}" in operations
        who = {op.split()[0] for op in operations if f"receives {name} from" in op}
        assert who >= {consumer.value for consumer in entry.consumers}
        assert ("gateway" in who) or entry.model.kind is not Kind.REPLY
        assert ("audit-log" in who) >= entry.recorded


def test_the_diagram_shows_every_service_topic_and_message() -> None:
    text = flow()
    for service in Service:
        assert f"  {service} ==> {service}-topic([{topic_of(service)}])" in text
    for entry in CATALOGUE:
        assert f"| `{entry.model.wire_type}` | {entry.model.kind} |" in text
