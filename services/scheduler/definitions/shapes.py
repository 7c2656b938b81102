"""Pipeline definitions as people write them: two YAML shapes, one model.

    steps: [...]                        shape A, what is said of the pipeline beside it
    pipeline: {...}, steps: [...]       shape B, with levels under `dependencies`

Everything wrong is reported at once, with line and column.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.identifiers import ConfigId
from contracts.loading import unfit
from contracts.pipelines import STEP_TYPES, DefinitionPart, StepPart
from contracts.platform import ProblemPart
from services.scheduler.definitions.graph import graph_problems
from services.scheduler.definitions.hints import Hints
from services.scheduler.definitions.nodes import (
    at,
    escape,
    keys_of,
    problem,
    strings,
)
from services.scheduler.definitions.tree import Tree, compose

_ABOUT_PIPELINE = {"id", "pipeline_id", "name", "description", "version"}
_TOP = {*_ABOUT_PIPELINE, "pipeline", "dependencies", "steps"}
_NAMES = ("id", "step_id", "name")
_TYPES = ("ps_type", "type")
_PASSED_ON = set(StepPart.model_fields) - {"step_id", "type", "config", "needs", "timeout_seconds"}
_WRITTEN_FLAT = {"source_config", "source", "sql", "sql_file", "source_query", "target_table"}
"""Config that shape A lets stand beside the step's type."""
_STEP = {*_NAMES, *_TYPES, *_PASSED_ON, *_WRITTEN_FLAT, "config", "needs", "timeout"}
_SHOWN = {
    "step_id": "id",
    "type": "ps_type",
    "timeout_seconds": "timeout",
    "backoff_seconds": "backoff",
}
_RETRY = {"backoff": "backoff_seconds"}
MOST_STEPS = 500
MOST_LINKS = 10_000
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_KNOWN_VARIABLE = re.compile(r"tenant_id|date|run_id|parameters\.[A-Za-z_][A-Za-z0-9_]*")


def parse_definition(source: str, config_id: ConfigId) -> DefinitionPart:
    """Read either shape; raises `DefinitionError`."""
    return read_definition(compose(source), config_id)


def read_definition(tree: Tree, config_id: ConfigId) -> DefinitionPart:
    """The same, of a part of a larger text."""
    raw, node = tree.value, tree.node
    if not isinstance(raw, dict):
        tree.check([problem("", "a definition is a mapping with `steps`", node)])
    problems = [*_shape_problems(raw, node), *_variable_problems(node)]
    if wrong := _wrong_size(raw, node):
        tree.check([*problems, wrong])
    made = _normalise(raw, config_id)
    links = [(s["step_id"], s["needs"]) if isinstance(s, dict) else ("", ()) for s in made["steps"]]
    problems += graph_problems(links, at(node, "steps"), tree.unread)
    try:
        found = DefinitionPart.model_validate(made)
    except ValidationError as error:
        tree.check([*problems, *_model_problems(error, raw, node)])
        raise
    tree.check(problems)
    return found


def _wrong_size(raw: Mapping[str, Any], node: yaml.Node) -> ProblemPart | None:
    """What keeps the steps from being looked at together."""
    steps, place = _steps(raw), at(node, "steps")
    if not steps:
        return problem("/steps", "a definition needs a list of at least one step", place)
    if len(steps) > MOST_STEPS:
        detail = f"{len(steps):,} steps: expected at most {MOST_STEPS}; split the pipeline"
        return problem(f"/steps/{MOST_STEPS}", detail, at(place, MOST_STEPS))
    levels = _levels(raw.get("dependencies"), _step_names(steps))
    links = sum(map(len, levels.values()))
    if links > MOST_LINKS:
        detail = f"each step needs all of the level before: {links:,} in all, of {MOST_LINKS:,}"
        where = at(node, "dependencies")
        return problem("/dependencies", f"{detail} at most; put one step between them", where)
    return None


def _steps(raw: Mapping[str, Any]) -> list[Any]:
    steps = raw.get("steps")
    return steps if isinstance(steps, list) else []


def _shape_problems(raw: Mapping[str, Any], node: yaml.Node) -> Iterator[ProblemPart]:
    hints = Hints()
    yield from _unknown(raw, _TOP, "", "a definition", node, hints)
    about = raw.get("pipeline")
    if isinstance(about, dict):
        place = at(node, "pipeline")
        yield from _unknown(about, _ABOUT_PIPELINE, "/pipeline", "pipeline", place, hints)
    elif about is not None:
        yield problem("/pipeline", "pipeline is a mapping with id and name", at(node, "pipeline"))
    for index, step in enumerate(_steps(raw)):
        yield from _step_problems(step, at(node, "steps", index), f"/steps/{index}", hints)
    place, known = at(node, "dependencies"), _step_names(_steps(raw))
    yield from _level_problems(raw.get("dependencies"), place, known, hints)


def _step_problems(
    step: Any, place: yaml.Node, pointer: str, hints: Hints
) -> Iterator[ProblemPart]:
    if not isinstance(step, dict):
        yield problem(pointer, "a step is a mapping with id, ps_type and config", place)
        return
    yield from _unknown(step, _STEP, pointer, "a step", place, hints)
    for shown, names in (("id", _NAMES), ("ps_type", _TYPES)):
        if not _first(step, names):
            yield problem(f"{pointer}/{shown}", f"a step needs {' or '.join(names)}", place)
    for name in ("needs", "config"):
        wanted = list if name == "needs" else dict
        if not isinstance(step.get(name, wanted()), wanted):
            kind = "list of step ids" if name == "needs" else "mapping"
            yield problem(f"{pointer}/{name}", f"{name} is a {kind}", at(place, name))
    if (kind := _first(step, _TYPES)) and kind not in STEP_TYPES:
        detail = f"{kind[:80]!r} is not a step type; {hints.on(kind, STEP_TYPES)}"
        written = next(name for name in _TYPES if step.get(name))
        yield problem(f"{pointer}/{written}", detail, at(place, written))
    if kind == "ingest.file" and isinstance(config := step.get("config"), dict):
        for name, detail in unfit(config):
            where = at(place, "config", name)
            yield problem(f"{pointer}/config/{name}", f"{name}: {detail}", where)


def _level_problems(
    levels: Any, node: yaml.Node, known: set[str], hints: Hints
) -> Iterator[ProblemPart]:
    if levels is None:
        return
    if not isinstance(levels, dict):
        yield problem("/dependencies", "dependencies is a mapping of level_1, level_2 …", node)
        return
    written = keys_of(node)
    for name, steps in levels.items():
        listed = steps if isinstance(steps, list) else [steps]
        good = all(
            isinstance(s, str) or (isinstance(s, dict) and set(s) == {"step"}) for s in listed
        )
        if not good or not re.fullmatch(r"level_\d{1,4}", name):
            detail = f"{name}: expected level_N with a list such as [{{step: extract}}]"
            yield problem(f"/dependencies/{escape(name)}", detail, written[name])
            continue
        for index, step in enumerate(_level_names(steps)):
            if step not in known:
                detail = f"{name}: {step[:80]!r} is no step; {hints.on(step, known)}"
                place = at(node, name, index, "step")
                yield problem(f"/dependencies/{escape(name)}/{index}", detail, place)


def _unknown(  # noqa: PLR0913, PLR0917  all that is said of an unknown field
    raw: Mapping[str, Any],
    known: set[str],
    pointer: str,
    what: str,
    node: yaml.Node,
    hints: Hints,
) -> Iterator[ProblemPart]:
    written = keys_of(node)
    for key in raw:
        if key not in known:
            detail = f"unknown field {key[:80]!r} of {what}; {hints.on(key, known)}"
            yield problem(f"{pointer}/{escape(key)}", detail, written[key])


def _variable_problems(node: yaml.Node) -> Iterator[ProblemPart]:
    for pointer, text, place in strings(at(node, "steps"), "/steps"):
        for name in _VARIABLE.findall(text):
            if not _KNOWN_VARIABLE.fullmatch(name):
                known = "tenant_id, date, run_id and parameters.NAME"
                detail = f"${{{name[:80]}}} is no variable; there are {known}"
                yield problem(pointer, detail, place)


def _normalise(raw: Mapping[str, Any], config_id: ConfigId) -> dict[str, Any]:
    about = raw.get("pipeline")
    about = about if isinstance(about, dict) else raw
    levels = _levels(raw.get("dependencies"), _step_names(raw["steps"]))
    return {
        "pipeline_id": config_id,
        "name": str(about.get("name") or ""),
        "description": str(about.get("description") or ""),
        "version": str(about.get("version") or ""),
        "steps": [_step(step, levels) if isinstance(step, dict) else step for step in raw["steps"]],
    }


def _step(step: Mapping[str, Any], levels: Mapping[str, list[str]]) -> dict[str, Any]:
    name = _first(step, _NAMES)
    config, needs = step.get("config") or {}, step.get("needs")
    needs = needs if isinstance(needs, list) else []
    flat = {key: step[key] for key in _WRITTEN_FLAT if key in step}
    found = {key: step[key] for key in _PASSED_ON if key in step}
    before = levels.get(name, [])
    found |= {
        "step_id": name,
        "type": _first(step, _TYPES),
        "config": {**flat, **config} if isinstance(config, dict) else {},
        "needs": tuple(dict.fromkeys([*before, *map(str, needs)])),
    }
    if isinstance(found.get("when"), bool):  # YAML reads a bare `true` as a value
        found["when"] = str(found["when"]).lower()
    if isinstance(found.get("retry"), dict):
        found["retry"] = {_RETRY.get(k, k): v for k, v in found["retry"].items()}
    if "timeout" in step:
        found["timeout_seconds"] = step["timeout"]
    return found


def _first(step: Mapping[str, Any], names: Iterable[str]) -> str:
    return next((str(step[name]) for name in names if step.get(name)), "")


def _step_names(steps: Iterable[Any]) -> set[str]:
    return {_first(step, _NAMES) for step in steps if isinstance(step, dict)}


def _level_names(steps: Any) -> list[str]:
    listed = steps if isinstance(steps, list) else [steps]
    return [str(s.get("step") if isinstance(s, dict) else s) for s in listed]


def _levels(dependencies: Any, known: set[str]) -> dict[str, list[str]]:
    """Shape B's levels: each step needs every step of the level before."""
    if not isinstance(dependencies, dict):
        return {}
    before: list[str] = []
    needs: dict[str, list[str]] = {}
    for _, steps in sorted(dependencies.items(), key=_level_number):
        names = [name for name in _level_names(steps) if name in known]
        needs.update(dict.fromkeys(names, before))
        before = names
    return needs


def _level_number(item: tuple[str, Any]) -> int:
    digits = "".join(c for c in item[0] if c.isascii() and c.isdecimal())
    return int(digits[:4] or 0)


def _model_problems(
    wrong: ValidationError, raw: Mapping[str, Any], node: yaml.Node
) -> Iterator[ProblemPart]:
    for one in wrong.errors(include_url=False, include_input=False):
        if one["loc"] == ("steps",):
            continue  # only says again that a step below could not be read
        path = [_SHOWN.get(part, part) if isinstance(part, str) else part for part in one["loc"]]
        pointer = "/" + "/".join(map(escape, path))
        if path[0] == "steps" and _said(raw["steps"][path[1]], path[2:]):
            continue
        detail = f"{'.'.join(map(str, path))}: {one['msg'].removeprefix('Value error, ')}"
        yield problem(pointer, detail, _nearest(node, path))


def _said(step: Any, path: list[Any]) -> bool:
    """What the shape has told: that it is no step, or has no name."""
    return not isinstance(step, dict) or (path == ["id"] and not _first(step, _NAMES))


def _nearest(node: yaml.Node, path: list[Any]) -> yaml.Node:
    step = at(node, *path[:2])
    for name in {"id": _NAMES, "ps_type": _TYPES}.get(str(path[-1]), ()):
        found = at(step, name)
        if found is not step:
            return found
    return at(node, *path)
