"""Nodes of YAML and what is wrong with them: each keeps its place in the text."""

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from contracts.platform import ProblemPart

MOST_PROBLEMS = 100


class DefinitionError(ValueError):
    """A definition that cannot be used, with every reason and its place."""

    def __init__(self, problems: Sequence[ProblemPart]) -> None:
        self.problems = shown(problems)
        first = problems[0]
        where = f"line {first.line}: " if first.line else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}{first.detail}{more}")


def shown(problems: Sequence[ProblemPart]) -> tuple[ProblemPart, ...]:
    """As many as one answer holds, saying how many there are beside them."""
    first, rest = problems[:MOST_PROBLEMS], len(problems) - MOST_PROBLEMS
    if rest <= 0:
        return tuple(first)
    detail = f"and {rest:,} more; mend these first, then ask again"
    return (*first, ProblemPart(pointer="", detail=detail))


def at(node: yaml.Node, *path: Any) -> yaml.Node:
    """The node nearest to a path; of a key that is there twice, the last."""
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((v for k, v in reversed(node.value) if k.value == str(part)), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else node
    return node


def keys_of(node: yaml.Node) -> dict[str, yaml.Node]:
    """The nodes of a mapping's keys themselves, the first of those that are there twice."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return {key.value: key for key, _ in reversed(pairs) if isinstance(key, yaml.ScalarNode)}


def problem(pointer: str, detail: str, node: yaml.Node) -> ProblemPart:
    return problem_at(pointer, detail, node.start_mark)


def problem_at(pointer: str, detail: str, mark: Any) -> ProblemPart:
    """`mark`: a place in the text; None when it is not known."""
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return ProblemPart(pointer=pointer, detail=detail, line=line, column=column)


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
