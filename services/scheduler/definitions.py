"""Pipeline definitions as people write them: two YAML shapes, one model.

YAML is hostile: it is bounded in size and depth, and may have no aliases and no
key twice. Everything wrong is reported at once, with line and column.
"""

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from contracts.identifiers import ConfigId
from contracts.pipelines import DefinitionPart
from contracts.platform import ProblemPart

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
_STEP_FIELDS = {"needs", "on_failure", "timeout", "when", "retry"}
_RETRY_NAMES = {"backoff": "backoff_seconds"}
_ABOUT_STEP = {"id", "name", "step_id", "type", "ps_type", "config", *_STEP_FIELDS}


class DefinitionError(ValueError):
    """A definition that cannot be used, with every reason and its place."""

    def __init__(self, problems: tuple[ProblemPart, ...]) -> None:
        self.problems = problems
        first = problems[0]
        where = f"line {first.line}: " if first.line else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}{first.detail}{more}")


def parse_definition(source: str, config_id: ConfigId) -> DefinitionPart:
    """Read either shape; raises `DefinitionError`."""
    if len(source.encode()) > MAX_BYTES:
        raise _error("", f"the definition is larger than {MAX_BYTES // 1024} KiB")
    node = _compose(source)
    raw = _plain(node, 0)
    if not isinstance(raw, dict):
        raise _error("", "a definition is a mapping with `steps`", node)
    try:
        found = DefinitionPart.model_validate(_normalise(raw, config_id, node))
    except ValidationError as error:
        raise DefinitionError(_problems(error, node)) from None
    _check_graph(found, node)
    return found


def _compose(source: str) -> yaml.Node:
    try:
        _refuse_aliases(source)
        node = yaml.compose(source, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _error(
            "",
            f"this is not YAML: {error.problem}",
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise _error("", f"this is not YAML: {error}") from None
    if node is None:
        raise _error("", "the definition is empty")
    return node


def _refuse_aliases(source: str) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _error(
                "", "aliases (*name) are not allowed; write the value out", line=_line(event)
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _error("", f"nested more than {MAX_DEPTH} levels deep", line=_line(event))


def _line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None


def _plain(node: yaml.Node, depth: int) -> Any:
    """The node's value, with every key of every mapping seen once."""
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error("", "a key is one word, not a list or a mapping", key_node)
            key = str(key_node.value)
            if key in found:
                raise _error(f"/{key}", f"the key {key!r} is there twice", key_node)
            found[key] = _plain(value, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, depth + 1) for item in node.value]
    try:
        return yaml.CSafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        detail = f"{str(node.value)[:80]!r} is not a value of the type {node.tag[:80]}"
        raise _error("", f"{detail}; quote it if text is meant", node) from None


def _normalise(raw: Mapping[str, Any], config_id: ConfigId, node: yaml.Node) -> dict[str, Any]:
    about = raw.get("pipeline")
    about = about if isinstance(about, dict) else raw
    steps = raw.get("steps")
    if not isinstance(steps, list) or not steps:
        raise _error("/steps", "a definition needs a list of at least one step", node)
    levels = _levels(raw.get("dependencies"), _at(node, "dependencies"))
    return {
        "pipeline_id": config_id,
        "name": str(about.get("name") or ""),
        "description": str(about.get("description") or ""),
        "version": str(about.get("version") or ""),
        "steps": [_step(step, index, levels, node) for index, step in enumerate(steps)],
    }


def _step(
    step: Any, index: int, levels: Mapping[str, list[str]], node: yaml.Node
) -> dict[str, Any]:
    place = _at(node, "steps", index)
    if not isinstance(step, dict):
        raise _error(f"/steps/{index}", "a step is a mapping", place)
    unknown = sorted(set(step) - _ABOUT_STEP)
    if unknown:
        fields = ", ".join(sorted(_ABOUT_STEP))
        detail = f"unknown field {unknown[0]!r} of a step; known are {fields}"
        raise _error(f"/steps/{index}/{unknown[0]}", detail, place)
    needs = step.get("needs") or []
    if not isinstance(needs, list) or not all(isinstance(need, str) for need in needs):
        raise _error(f"/steps/{index}/needs", "needs is a list of names of steps", place)
    name = step.get("id") or step.get("step_id") or step.get("name") or ""
    found = {
        "step_id": str(name),
        "type": step.get("ps_type") or step.get("type") or "",
        "config": step.get("config") or {},
        "needs": tuple(dict.fromkeys([*levels.get(str(name), []), *needs])),
        "on_failure": step.get("on_failure", "stop"),
    }
    if "timeout" in step:
        found["timeout_seconds"] = step["timeout"]
    if "when" in step:
        found["when"] = _condition(step["when"])
    if "retry" in step:
        found["retry"] = _renamed(step["retry"], _RETRY_NAMES)
    return found


def _condition(written: Any) -> Any:
    """YAML reads a bare `true` as a value, which as a condition is a constant."""
    return str(written).lower() if isinstance(written, bool) else written


def _renamed(given: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(given, dict):
        return given
    return {names.get(key, key): value for key, value in given.items()}


def _levels(dependencies: Any, place: yaml.Node) -> dict[str, list[str]]:
    """Shape B's levels: each step needs every step of the level before."""
    if dependencies is None:
        return {}
    if not isinstance(dependencies, dict):
        raise _error("/dependencies", "dependencies is a mapping of levels", place)
    before: list[str] = []
    needs: dict[str, list[str]] = {}
    for level, steps in sorted(dependencies.items(), key=_level_number):
        names = _names_in(level, steps, _at(place, level))
        needs.update(dict.fromkeys(names, before))
        before = names
    return needs


def _names_in(level: str, steps: Any, place: yaml.Node) -> list[str]:
    found = steps if isinstance(steps, list) else [steps] if steps else []
    names = [s.get("step") if isinstance(s, dict) else s for s in found]
    if all(isinstance(name, str) for name in names):
        return [str(name) for name in names]
    detail = "a level is a list of names of steps, or of {step: name}"
    raise _error(f"/dependencies/{level}", detail, place)


def _level_number(item: tuple[str, Any]) -> int:
    digits = "".join(c for c in item[0] if c.isdecimal())
    return int(digits or 0)


def _check_graph(found: DefinitionPart, node: yaml.Node) -> None:
    names = [step.step_id for step in found.steps]
    problems = []
    for index, step in enumerate(found.steps):
        place = _at(node, "steps", index)
        if names.index(step.step_id) != index:
            problems.append(
                _problem(f"/steps/{index}", f"step {step.step_id} is there twice", place)
            )
        problems += [
            _problem(f"/steps/{index}/needs", f"it needs {need}, which is no step", place)
            for need in step.needs
            if need not in names
        ]
    if not problems and (cycle := _cycle(found)):
        problems.append(_problem("/steps", f"steps wait for each other: {' → '.join(cycle)}", node))
    if problems:
        raise DefinitionError(tuple(problems))


def _cycle(found: DefinitionPart) -> list[str]:
    """The steps that can never start, if there are any."""
    waiting = {step.step_id: set(step.needs) for step in found.steps}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return [str(name) for name in waiting]


def _problems(error: ValidationError, node: yaml.Node) -> tuple[ProblemPart, ...]:
    return tuple(
        _problem(
            "/" + "/".join(map(str, e["loc"])),
            f"{'.'.join(map(str, e['loc']))}: {e['msg']}",
            _at(node, *e["loc"]),
        )
        for e in error.errors(include_url=False, include_input=False)
    )


def _at(node: yaml.Node, *path: Any) -> yaml.Node:
    """The node nearest to a path."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if k.value == str(part)), node)
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
    return node


def _problem(pointer: str, detail: str, node: yaml.Node) -> ProblemPart:
    mark = node.start_mark
    return ProblemPart(pointer=pointer, detail=detail, line=mark.line + 1, column=mark.column + 1)


def _error(
    pointer: str,
    detail: str,
    node: yaml.Node | None = None,
    *,
    line: int | None = None,
    column: int | None = None,
) -> DefinitionError:
    if node is not None:
        return DefinitionError((_problem(pointer, detail, node),))
    return DefinitionError((ProblemPart(pointer=pointer, detail=detail, line=line, column=column),))
