"""YAML from strangers: bounded in size and depth, no aliases, no key twice.

What is wrong with the text does not hide what is wrong with its meaning: an alias,
what is nested too deep and a value that is none are told and then read as nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from contracts.platform import ProblemPart
from services.scheduler.definitions.nodes import (
    DefinitionError,
    at,
    escape,
    problem,
    problem_at,
)

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
FAR_TOO_DEEP = 200
"""Nobody looks further: the parser's time grows with depth."""
NO_ALIASES = "aliases (*name) are not allowed; write the value out"
Place = tuple[int | None, int | None]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tree:
    """A text as nodes, what they mean, and what is wrong with the text itself."""

    node: yaml.Node
    value: Any
    problems: tuple[ProblemPart, ...] = ()
    unread: frozenset[Place] = frozenset()
    """Where something stands that could not be read: no more can be said of it."""

    def below(self, key: str) -> "Tree":
        return replace(self, node=at(self.node, key), value=self.value[key])

    def check(self, found: Sequence[ProblemPart] = ()) -> None:
        """Raise `DefinitionError` unless neither the text nor its meaning has problems."""
        meant = [one for one in found if (one.line, one.column) not in self.unread]
        every = dict.fromkeys([*self.problems, *meant])
        if every:
            raise DefinitionError(sorted(every, key=lambda p: (p.line or 0, p.column or 0)))


def compose(source: str) -> Tree:
    """The text as a tree; raises `DefinitionError` when there is none to be had of it."""
    if len(source.encode()) > MAX_BYTES:
        raise _unreadable(f"the definition is larger than {MAX_BYTES // 1024} KiB")
    source = source.removeprefix("\ufeff")  # the parser leaves it out of its marks
    masks = _Masks()
    try:
        if not masks.look(source):
            raise DefinitionError(masks.problems)
        node = yaml.compose(masks.on(source), Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        told = problem_at("", f"this is not YAML: {wrong.problem}", mark)
        raise DefinitionError([*masks.problems, told]) from None
    except (yaml.YAMLError, RecursionError) as wrong:
        raise _unreadable(f"this is not YAML: {wrong}") from None
    if node is None:
        raise _unreadable("the definition is empty")
    values = _Values()
    value = values.of(node)
    hidden = [*masks.problems, *values.problems]
    unread = frozenset((one.line, one.column) for one in hidden)
    keys = (one for one in _keys(node) if (one.line, one.column) not in unread)
    return Tree(node, value, (*hidden, *keys), unread)


def _unreadable(detail: str) -> DefinitionError:
    return DefinitionError([ProblemPart(pointer="", detail=detail)])


class _Masks:
    """Parts of a text that must not become nodes: aliases, and what is nested too deep."""

    def __init__(self) -> None:
        self.problems: list[ProblemPart] = []
        self._spans: list[Span] = []

    def look(self, source: str) -> bool:
        """Whether it could be looked at to its end."""
        depth, begun = 0, 0
        for event in yaml.parse(source, Loader=yaml.CSafeLoader):
            if depth > FAR_TOO_DEEP:
                return False
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth == MAX_DEPTH + 1:
                    begun = _index(event.start_mark)
                    self._tell(event, f"nested more than {MAX_DEPTH} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                if depth == MAX_DEPTH + 1:
                    self._spans.append((begun, _index(event.end_mark)))
                depth -= 1
            elif isinstance(event, yaml.AliasEvent) and depth <= MAX_DEPTH:
                self._spans.append((_index(event.start_mark), _index(event.end_mark)))
                self._tell(event, NO_ALIASES)
        return True

    def on(self, source: str) -> str:
        """The text with nothing where they were, all else in its place."""
        parts, end = [], 0
        for start, stop in self._spans:
            blank = (c if c in "\r\n" else " " for c in source[start + 1 : stop])
            parts += [source[end:start], "~", *blank]
            end = stop
        return "".join([*parts, source[end:]])

    def _tell(self, event: yaml.Event, detail: str) -> None:
        self.problems.append(problem_at("", detail, event.start_mark))


def _index(mark: Any) -> int:
    """Marks of a text have one each; their types allow for less."""
    return int(mark.index)


class _Values:
    """What nodes mean; a value that cannot be read is taken for its text."""

    def __init__(self) -> None:
        self.problems: list[ProblemPart] = []
        self._loader = yaml.CSafeLoader("")

    def of(self, node: yaml.Node, pointer: str = "") -> Any:
        if isinstance(node, yaml.MappingNode):
            return {
                key.value: self.of(value, f"{pointer}/{escape(key.value)}")
                for key, value in node.value
                if isinstance(key, yaml.ScalarNode)
            }
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, f"{pointer}/{index}") for index, item in enumerate(node.value)]
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            detail = f"{str(node.value)[:80]!r} is not a value of the type {node.tag[:80]}"
            self.problems.append(problem(pointer, f"{detail}; quote it if text is meant", node))
            return str(node.value)


def _keys(node: yaml.Node, pointer: str = "") -> Iterator[ProblemPart]:
    """Keys that are there twice, or are no word."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield problem(pointer, "a key is one word, not a list or a mapping", key)
                continue
            where = f"{pointer}/{escape(key.value)}"
            if key.value in seen:
                yield problem(where, f"the key {key.value[:80]!r} is there twice", key)
            seen.add(key.value)
            yield from _keys(value, where)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _keys(item, f"{pointer}/{index}")
