"""YAML from strangers: bounded in size and depth, no aliases, no key twice.

A node keeps its place in the text, so that whatever is wrong can be shown there.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from contracts.platform import ProblemPart

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MOST_PROBLEMS = 50


class DefinitionError(ValueError):
    """A definition that cannot be used, with every reason and its place."""

    def __init__(self, problems: tuple[ProblemPart, ...]) -> None:
        self.problems = problems[:MOST_PROBLEMS]
        first = problems[0]
        where = f"line {first.line}: " if first.line else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}{first.detail}{more}")


def compose(source: str) -> yaml.Node:
    """The text as a tree of nodes; raises `DefinitionError`."""
    if len(source.encode()) > MAX_BYTES:
        raise error("", f"the definition is larger than {MAX_BYTES // 1024} KiB")
    try:
        _refuse_aliases(source)
        node = yaml.compose(source, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as wrong:
        raise _not_yaml(wrong) from None
    except (yaml.YAMLError, RecursionError) as wrong:
        raise error("", f"this is not YAML: {wrong}") from None
    if node is None:
        raise error("", "the definition is empty")
    if twice := tuple(_doubled(node)):
        raise DefinitionError(twice)
    return node


def plain(node: yaml.Node) -> Any:
    """The node's value."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item) for item in node.value]
    try:
        return yaml.CSafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        detail = f"{str(node.value)[:80]!r} is not a value of the type {node.tag[:80]}"
        raise error("", f"{detail}; quote it if text is meant", node) from None


def at(node: yaml.Node, *path: Any) -> yaml.Node:
    """The node nearest to a path."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((v for k, v in node.value if k.value == str(part)), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else node
    return node


def key_at(node: yaml.Node, key: str) -> yaml.Node:
    """The node of a mapping's key itself."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((k for k, _ in pairs if k.value == key), node)


def problem(pointer: str, detail: str, node: yaml.Node) -> ProblemPart:
    mark = node.start_mark
    return ProblemPart(pointer=pointer, detail=detail, line=mark.line + 1, column=mark.column + 1)


def error(pointer: str, detail: str, node: yaml.Node | None = None) -> DefinitionError:
    if node is not None:
        return DefinitionError((problem(pointer, detail, node),))
    return DefinitionError((ProblemPart(pointer=pointer, detail=detail),))


def strings(node: yaml.Node, pointer: str = "") -> Iterator[tuple[str, str, yaml.Node]]:
    """Every text below a node, with its pointer and place."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from strings(value, f"{pointer}/{escape(str(key.value))}")
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from strings(item, f"{pointer}/{index}")
    elif isinstance(node.value, str):
        yield pointer, node.value, node


def escape(part: object) -> str:
    """One part of a JSON pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def _not_yaml(wrong: yaml.MarkedYAMLError) -> DefinitionError:
    mark = wrong.problem_mark or wrong.context_mark
    detail = f"this is not YAML: {wrong.problem}"
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return DefinitionError((ProblemPart(pointer="", detail=detail, line=line, column=column),))


def _refuse_aliases(source: str) -> None:
    depth = 0
    for event in yaml.parse(source, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise _at_event(event, "aliases (*name) are not allowed; write the value out")
        if depth > MAX_DEPTH:
            raise _at_event(event, f"nested more than {MAX_DEPTH} levels deep")


def _at_event(event: yaml.Event, detail: str) -> DefinitionError:
    mark = event.start_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return DefinitionError((ProblemPart(pointer="", detail=detail, line=line, column=column),))


def _doubled(node: yaml.Node, pointer: str = "") -> Iterator[ProblemPart]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield problem(pointer, "a key is one word, not a list or a mapping", key)
                continue
            where = f"{pointer}/{escape(key.value)}"
            if key.value in seen:
                yield problem(where, f"the key {key.value!r} is there twice", key)
            seen.add(key.value)
            yield from _doubled(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _doubled(item, f"{pointer}/{index}")
