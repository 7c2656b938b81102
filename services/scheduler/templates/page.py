"""Writes docs/templates.md from the templates, or says that it is stale.

python -m services.scheduler.templates.page [--check]
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from contracts.templates import TemplatePart
from services.scheduler.templates.library import Library, Template

PAGE = Path(__file__).parents[3] / "docs" / "templates.md"
HEAD = """\
# Templates

Pipelines that are ready to run: from the console, by `convergence templates run`, or over HTTP by
`POST /api/v1/pipelines/run/{tenant_id}/{name}`. What is loaded replaces its slice, so running again
never doubles anything. Made from the files in `services/scheduler/templates/`.
"""


def text() -> str:
    found = list(Library.packaged())
    lines = [HEAD]
    lines += [f"- [{one.about.ref}](#{_anchor(one)}): {one.about.title}" for one in found]
    for one in found:
        lines += ["", *_told(one)]
    return "\n".join(lines) + "\n"


def _anchor(one: Template) -> str:
    return str(one.about.ref).replace("/", "")


def _told(one: Template) -> Iterator[str]:
    schema: Any = one.about.parameters
    needed = schema.get("required", [])
    yield f"## {one.about.ref}"
    yield f"**{one.about.title}.** {' '.join(one.about.description.split())}"
    yield ""
    yield "| parameter | | means |"
    yield "|---|---|---|"
    for name, part in schema.get("properties", {}).items():
        default = f"`{part['default']}`" if part.get("default") not in {None, ""} else "optional"
        about = " ".join(str(part.get("description", "")).split()).replace("|", "\\|")
        yield f"| `{name}` | {'needed' if name in needed else default} | {about} |"
    yield ""
    for line in _means(one.about):
        yield from (line, "")
    steps = [f"`{step.step_id}` ({step.type})" for step in one.definition.steps]
    yield f"Steps: {', '.join(steps)}."


def _means(about: TemplatePart) -> Iterator[str]:
    for need in about.credentials:
        ways = [f"{_named(way.fields)} ({way.provider}; `{way.to}`)" for way in need.any_of]
        needed = "needed" if need.required else "for files outside your landing folder"
        yield f"`{need.parameter}`, {needed}: a credential with {'; or '.join(ways)}."
    yield f"Makes {_named(about.tables)}."
    if about.checks:
        yield f"Checks: {_named(about.checks)}."


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m services.scheduler.templates.page")
    parser.add_argument("--check", action="store_true", help="change nothing")
    made = text()
    if not parser.parse_args(argv).check:
        PAGE.write_text(made, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        sys.stderr.write("docs/templates.md is stale: run `make contracts`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
