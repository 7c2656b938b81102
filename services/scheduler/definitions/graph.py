"""What must hold between the steps of one definition."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import yaml

from contracts.platform import ProblemPart
from services.scheduler.definitions.nodes import at, problem

Links = tuple[str, Sequence[str]]
"""A step's id, empty when it has none, and what it needs."""
Needs = Mapping[str, Collection[str]]
SHOWN_STEPS = 20


def graph_problems(
    steps: Sequence[Links], node: yaml.Node, unread: Collection[tuple[int | None, int | None]]
) -> Iterator[ProblemPart]:
    """Steps there twice, needs that are no step, and steps that wait for each other.

    `node`: of the steps. Where one of them could not be read, any name may be a step's.
    """
    marks = [item.start_mark for item in node.value]
    whole = not any((mark.line + 1, mark.column + 1) in unread for mark in marks)
    yield from _naming_problems(steps, node, whole=whole)
    yield from _knots(steps, node)


def _naming_problems(
    steps: Sequence[Links], node: yaml.Node, *, whole: bool
) -> Iterator[ProblemPart]:
    seen: set[str] = set()
    names = {name for name, _ in steps}
    for index, (name, needs) in enumerate(steps):
        place = at(node, index)
        if name and name in seen:
            yield problem(f"/steps/{index}", f"step {name[:80]} is there twice", place)
        seen.add(name)
        for need in needs:
            if whole and need not in names:
                detail = f"step {name[:80]}: it needs {need[:80]}, which is no step"
                yield problem(f"/steps/{index}/needs", detail, at(place, "needs"))


def _knots(steps: Sequence[Links], node: yaml.Node) -> Iterator[ProblemPart]:
    """Each set of steps that wait for each other, told at its first."""
    needs: dict[str, set[str]] = {}
    first: dict[str, int] = {}
    for index, (name, needed) in enumerate(steps):
        if name:
            needs.setdefault(name, set()).update(needed)
            first.setdefault(name, index)
    for knot in _tied(needs):
        names = sorted(knot, key=first.__getitem__)
        shown = " → ".join(name[:80] for name in names[:SHOWN_STEPS])
        more = f" and {len(names) - SHOWN_STEPS} more" if len(names) > SHOWN_STEPS else ""
        place = first[names[0]]
        text = f"steps wait for each other: {shown}{more}"
        yield problem(f"/steps/{place}/needs", text, at(node, place, "needs"))


def _tied(needs: Needs) -> Iterator[set[str]]:
    """The sets of names that can be reached from each other (Kosaraju's algorithm)."""
    needed_by: dict[str, list[str]] = {name: [] for name in needs}
    for name, needed in needs.items():
        for one in needed:
            if one in needed_by:
                needed_by[one].append(name)
    left = set(needs)
    order = [found for name in needs for found in _reached(name, needs, left)]
    left = set(needs)
    for name in reversed(order):
        knot = set(_reached(name, needed_by, left))
        if len(knot) > 1 or (knot and name in needs[name]):
            yield knot


def _reached(name: str, links: Needs, left: set[str]) -> Iterator[str]:
    """Names that are left and can be reached, those behind others first; they are left no more."""
    if name not in left:
        return
    left.remove(name)
    path = [(name, iter(links[name]))]
    while path:
        at_name, onward = path[-1]
        following = next((one for one in onward if one in left), None)
        if following is None:
            path.pop()
            yield at_name
        else:
            left.remove(following)
            path.append((following, iter(links[following])))
