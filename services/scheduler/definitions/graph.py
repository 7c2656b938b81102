"""What must hold between the steps of one definition."""

from collections.abc import Iterator, Sequence

import yaml

from contracts.platform import ProblemPart
from services.scheduler.definitions.nodes import at, problem

Links = tuple[str, Sequence[str]]
"""A step's id and what it needs."""


def graph_problems(steps: Sequence[Links], node: yaml.Node) -> tuple[ProblemPart, ...]:
    """Steps there twice, needs that are no step, and steps that wait for each other."""
    problems = tuple(_naming_problems(steps, node))
    if not problems and (cycle := _cycle(steps)):
        text = f"steps wait for each other: {' → '.join(cycle)}"
        problems = (problem("/steps", text, node),)
    return problems


def _naming_problems(steps: Sequence[Links], node: yaml.Node) -> Iterator[ProblemPart]:
    seen: set[str] = set()
    names = {name for name, _ in steps}
    for index, (name, needs) in enumerate(steps):
        place = at(node, "steps", index)
        if name and name in seen:
            yield problem(f"/steps/{index}", f"step {name} is there twice", place)
        seen.add(name)
        for need in needs:
            if need not in names:
                detail = f"step {name}: it needs {need}, which is no step"
                yield problem(f"/steps/{index}/needs", detail, at(place, "needs"))


def _cycle(steps: Sequence[Links]) -> list[str]:
    """The steps that can never start, if there are any."""
    waiting = {name: set(needs) for name, needs in steps}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return list(waiting)
