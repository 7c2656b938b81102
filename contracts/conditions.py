"""Conditions of steps: `when: steps.load.rows > 0 and not parameters.dry`.

Python's own grammar, cut down to comparisons of values: nothing can be called but
`always()` and `failed()`, which let a step run after another has failed.
Variables may also be written `${parameters.x}`.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

MOST_NODES = 200
_WRAPPED = re.compile(r"\$\{([^{}]*)\}")
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_AFTER_FAILURE = frozenset({"always", "failed"})
_ROOTS = frozenset({"parameters", "steps", "date"})
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, group: item in group,
    ast.NotIn: lambda item, group: item not in group,
}


class ConditionError(ValueError):
    """A condition that cannot be read, or cannot be decided with the values at hand."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition may ask about."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By step id: `status`, `rows` and `bytes` of what has ended."""
    date: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was read and may be decided any number of times."""

    text: str
    tree: ast.expr

    @staticmethod
    def parse(text: str) -> "Condition":
        """Raises `ConditionError` that says what is wrong and where."""
        return _parse(text)

    @property
    def survives_failure(self) -> bool:
        """Whether it is to be decided also after a step has failed that may not."""
        return any(isinstance(node, ast.Call) for node in ast.walk(self.tree))

    def holds(self, facts: Facts) -> bool:
        """Raises `ConditionError` when values cannot be compared."""
        try:
            return bool(_value(self.tree, facts))
        except TypeError as error:
            msg = f"when: {self.text!r} cannot be decided: {error}"
            raise ConditionError(msg) from None


@lru_cache(maxsize=1000)
def _parse(text: str) -> Condition:
    source = _WRAPPED.sub(r"\1", text).strip()
    try:
        tree = ast.parse(source, mode="eval").body
    except (SyntaxError, RecursionError, MemoryError, ValueError) as error:
        where = f" at column {error.offset}" if isinstance(error, SyntaxError) else ""
        msg = f"when: {text!r} cannot be read{where}"
        raise ConditionError(msg) from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES:
        msg = f"when: a condition has {MOST_NODES} parts at most"
        raise ConditionError(msg)
    _check(tree)
    return Condition(text, tree)


def _check(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=str() | int() | float() | bool() | None):
            return
        case ast.BoolOp(values=parts) | ast.List(elts=parts) | ast.Tuple(elts=parts):
            pass
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=part):
            parts = [part]
        case ast.Compare(left=left, ops=ops, comparators=others) if _known(ops):
            parts = [left, *others]
        case ast.Call(func=ast.Name(id=name), args=[], keywords=[]) if name in _AFTER_FAILURE:
            return
        case _:
            _check_path(node)
            return
    for part in parts:
        _check(part)


def _known(ops: list[ast.cmpop]) -> bool:
    return all(type(op) in _COMPARE for op in ops)


def _check_path(node: ast.expr) -> None:
    path = _path(node)
    if len(path) == 1 and path[0] in _CONSTANTS:
        return
    lengths = {"date": 1, "parameters": 2, "steps": 3}
    if path and path[0] in _ROOTS and len(path) == lengths[path[0]]:
        return
    msg = (
        f"when: {ast.unparse(node)[:80]!r} at column {node.col_offset + 1} is not known; there are "
        "parameters.NAME, steps.ID.status, steps.ID.rows, steps.ID.bytes, date, always(), failed()"
    )
    raise ConditionError(msg)


def _path(node: ast.expr) -> list[str]:
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Attribute(value=value, attr=name):
            return [*before, name] if (before := _path(value)) else []
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            return [*before, name] if (before := _path(value)) else []
        case _:
            return []


def _value(node: ast.expr, facts: Facts) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return [_value(part, facts) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=part):
            return -_value(part, facts)
        case ast.BoolOp() | ast.UnaryOp() | ast.Compare() | ast.Call():
            return _decided(node, facts)
        case _:
            return _looked_up(_path(node), facts)


def _decided(node: ast.BoolOp | ast.UnaryOp | ast.Compare | ast.Call, facts: Facts) -> bool:
    match node:
        case ast.BoolOp(op=op, values=parts):
            decide = all if isinstance(op, ast.And) else any
            return decide(_value(part, facts) for part in parts)
        case ast.UnaryOp(operand=part):
            return not _value(part, facts)
        case ast.Compare():
            return _compared(node, facts)
        case _:
            return isinstance(node.func, ast.Name) and (node.func.id == "always" or facts.failed)


def _compared(node: ast.Compare, facts: Facts) -> bool:
    left = _value(node.left, facts)
    for op, other in zip(node.ops, node.comparators, strict=True):
        right = _value(other, facts)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True


def _looked_up(path: list[str], facts: Facts) -> Any:
    """What is not there is null."""
    match path:
        case ["date"]:
            return facts.date
        case ["parameters", name]:
            return facts.parameters.get(name)
        case ["steps", step, name]:
            return facts.steps.get(step, {}).get(name)
        case [name]:
            return _CONSTANTS[name]
    raise AssertionError(path)  # _check has let nothing else through
