"""What a handler takes and gives, read from its signature.

    async def show(self, call: Call, run_id: RunId, query: Wait) -> Answer[RunShown]

`call` is always there. A `Body` or `Text` is the request's body, a `Query` its
query string, and every other parameter the part of the path with its name. It
returns a model, an `Answer` of one, nothing (204), or a response of its own.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from aiohttp import web
from pydantic import BaseModel

from services.gateway.api.endpoint import Answer, Body, Query, Text


class SignatureError(TypeError):
    """A handler that cannot be an endpoint; says which and why."""

    def __init__(self, function: Callable[..., Any], reason: str) -> None:
        super().__init__(f"{function.__qualname__}: {reason}")


@dataclass(frozen=True, slots=True)
class Signature:
    """Names are those of the handler's parameters."""

    path: Mapping[str, type]
    body: tuple[str, type[Body] | type[Text]] | None
    query: tuple[str, type[Query]] | None
    answer: type[BaseModel] | None
    """Absent for no body, and for a response that the handler makes itself."""


@cache
def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a handler; raises `SignatureError`."""
    hints = get_type_hints(function)
    given = hints.pop("return", None)
    hints.pop("call", None)
    path: dict[str, type] = {}
    body: tuple[str, type[Body | Text]] | None = None
    query: tuple[str, type[Query]] | None = None
    for name, kind in hints.items():
        if not inspect.isclass(kind):
            raise SignatureError(function, f"parameter {name} needs a plain class as its type")
        if issubclass(kind, Body | Text):
            body = name, kind
        elif issubclass(kind, Query):
            query = name, kind
        else:
            path[name] = kind
    return Signature(path, body, query, _answer(function, given))


def _answer(function: Callable[..., Any], given: Any) -> type[BaseModel] | None:
    if get_origin(given) is Answer:
        (given,) = get_args(given)
    if given in (None, NoneType):
        return None
    if inspect.isclass(given) and issubclass(given, web.StreamResponse):
        return None
    if inspect.isclass(given) and issubclass(given, BaseModel):
        return given
    raise SignatureError(function, "it has to return a model, an Answer of one, None or a response")
