"""Pipelines kept as files: what they name is sent with them, and nothing else is."""

from pathlib import Path

import pytest
import yaml

from convergence.folder import FolderError, read_folder

PIPELINE = """\
pipeline_id: openai_daily
steps:
  - name: load
    type: ingest
    source_config: {name}
"""


def folder(root: Path, name: str) -> Path:
    for part in ("pipelines", "sources", "secrets"):
        (root / part).mkdir()
    (root / "pipelines" / "daily.yml").write_text(PIPELINE.replace("{name}", name))
    (root / "sources" / "openai.yml").write_text("url: https://api.openai.com\n")
    (root / "secrets" / "key.yml").write_text("key: secret\n")
    return root


def test_what_a_file_names_is_sent_with_it(tmp_path: Path) -> None:
    (found,) = read_folder(folder(tmp_path, "sources/openai.yml"))
    assert found.config_id == "openai_daily"
    (step,) = yaml.safe_load(found.source)["steps"]
    assert step == {
        "name": "load",
        "type": "ingest",
        "source": {"url": "https://api.openai.com"},
    }


def test_what_names_nothing_is_sent_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    text = "steps:  # a comment stays\n  - {id: a, ps_type: x}\n"
    (tmp_path / "pipelines" / "plain.yaml").write_text(text)
    (tmp_path / "pipelines" / "broken.yml").write_text("a: [")
    found = {one.config_id: one.source for one in read_folder(tmp_path)}
    assert found == {"broken": "a: [", "plain": text}


@pytest.mark.parametrize(
    "name", ["secrets/key.yml", "../outside.yml", "/etc/passwd", "sources/missing.yml"]
)
def test_only_files_of_the_folder_are_sent_and_no_secret(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.yml").write_text("a: 1\n")
    (tmp_path / "in").mkdir()
    with pytest.raises(FolderError, match=r"daily\.yml"):
        list(read_folder(folder(tmp_path / "in", name)))


def test_a_folder_without_pipelines_is_named(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="pipelines/"):
        list(read_folder(tmp_path))
