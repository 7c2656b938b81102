"""Pipelines kept as files, in the layout `configs/<tenant>/{pipelines,sources,schemas,secrets}`.

A definition may name files beside it (`source_config: sources/openai.yml`,
`sql_file: models/daily.sql`); what is in them is sent with it. A file that names
none is sent as it is written. Secrets are never read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PIPELINES, SECRETS = "pipelines", "secrets"
SUFFIXES = {".yml", ".yaml", ".json"}
NAMED = {"source_config": "source", "sql_file": "sql"}
"""Fields that name a file, and the fields that its content becomes."""


class FolderError(ValueError):
    """A folder or file that cannot be imported; names it and says why."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path}: {reason}")


@dataclass(frozen=True, slots=True)
class PipelineFile:
    path: Path
    config_id: str
    source: str


def read_folder(folder: Path) -> Iterator[PipelineFile]:
    """Every pipeline below `pipelines/`, by name; raises `FolderError`."""
    root = folder.resolve()
    pipelines = root / PIPELINES
    if not pipelines.is_dir():
        raise FolderError(folder, f"expected a folder {PIPELINES}/ in it")
    for path in sorted(p for p in pipelines.iterdir() if p.suffix in SUFFIXES):
        yield _read(path, root)


def _read(path: Path, root: Path) -> PipelineFile:
    text = path.read_text(encoding="utf-8")
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return PipelineFile(path, path.stem, text)  # the platform says what is wrong, and where
    if not isinstance(found, dict):
        return PipelineFile(path, path.stem, text)
    about = found.get("pipeline")
    given = about.get("id") if isinstance(about, dict) else found.get("pipeline_id")
    steps = found.get("steps")
    named = [_with_files(step, root, path) for step in steps] if isinstance(steps, list) else steps
    if named != steps:
        text = yaml.safe_dump({**found, "steps": named}, sort_keys=False, allow_unicode=True)
    return PipelineFile(path, str(given or path.stem), text)


def _with_files(step: Any, root: Path, path: Path) -> Any:
    if not isinstance(step, dict):
        return step
    config = step.get("config")
    changed = {**step, "config": _filled(config, root, path)} if isinstance(config, dict) else step
    return _filled(changed, root, path)


def _filled(given: Mapping[str, Any], root: Path, path: Path) -> dict[str, Any]:
    found = dict(given)
    for field, content in NAMED.items():
        if isinstance(name := found.get(field), str):
            del found[field]
            found[content] = _content(root, name, path)
    return found


def _content(root: Path, name: str, path: Path) -> Any:
    file = (root / name).resolve()
    if not file.is_relative_to(root) or file.is_relative_to(root / SECRETS):
        raise FolderError(path, f"{name!r} is not a file that may be sent")
    if not file.is_file():
        raise FolderError(path, f"there is no file {name!r} in {root}")
    text = file.read_text(encoding="utf-8")
    if file.suffix not in SUFFIXES:
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise FolderError(file, f"this is not YAML: {error}") from None
