"""Routes made of declared endpoints: key, path, query and body are read before the handler."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from pydantic import BaseModel, ValidationError

from contracts.identifiers import Identifier, InvalidIdentifierError
from libs.web.body import parse_model, read_text
from libs.web.problem import Fault, Problem, invalid
from services.gateway.api.codes import codes_of
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Endpoint, Query, Text, Who
from services.gateway.api.endpoint import endpoints_of as declared_in
from services.gateway.api.signature import Signature, signature_of
from services.gateway.errors import CODES
from services.gateway.misplaced import refuse_keys

LOG = logging.getLogger(__name__)


def routes_of(group: Any, edge: Edge) -> Iterator[web.RouteDef]:
    """The routes of one group, an object with decorated methods."""
    for declared, function in declared_in(type(group)):
        served = Served(declared, function, group, edge)
        for path in declared.paths:
            yield web.RouteDef(declared.method, path, served.answer, {})


class Served:
    """One endpoint as aiohttp calls it."""

    def __init__(
        self, declared: Endpoint, function: Callable[..., Any], group: Any, edge: Edge
    ) -> None:
        self._declared = declared
        self._handler = function.__get__(group)
        self._signature = signature_of(function)
        self._codes = codes_of(declared, self._signature)
        self._edge = edge

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            call = await self._admit(request)
            return self._respond(await self._handler(call, **await self._arguments(request)))
        except Problem as problem:
            if problem.code not in self._codes:
                LOG.warning("undocumented answer %s %s", problem.status, problem.code)
            raise

    async def _admit(self, request: web.Request) -> Call:
        who, auth = self._declared.who, self._edge.auth
        if who is Who.TENANT_OR_ADMIN:
            who = Who.ADMIN if "X-Admin-Key" in request.headers else Who.TENANT
        if who is Who.TENANT:
            return Call(request, await auth.tenant(request))
        if who is Who.ADMIN or (who is Who.GUEST and "X-Admin-Key" in request.headers):
            auth.admin(request)
        return Call(request)

    async def _arguments(self, request: web.Request) -> dict[str, Any]:
        signature = self._signature
        refuse_keys(request.path, "path")
        asked = request.query_string
        if asked:
            refuse_keys(unquote(asked), "query string")
        found = _path_parts(request, signature)
        if signature.query:
            name, query = signature.query
            found[name] = read_query(request, query)
        elif asked:
            raise _unknown_query(request)
        if signature.body:
            name, body = signature.body
            found[name] = await _read_body(request, body)
        return found

    def _respond(self, given: Any) -> web.StreamResponse:
        if isinstance(given, web.StreamResponse):
            return given
        answer = given if isinstance(given, Answer) else Answer(given)
        status = answer.status or self._declared.status
        if answer.body is None:
            return web.Response(status=status, headers=answer.headers)
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=status, body=_json(answer.body), headers=headers)


def _json(body: BaseModel) -> bytes:
    return body.__pydantic_serializer__.to_json(body, by_alias=True)


def _path_parts(request: web.Request, signature: Signature) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, kind in signature.path.items():
        text = request.match_info[name]
        found[name] = identifier(kind, text, f"/{name}") if issubclass(kind, Identifier) else text
    return found


def identifier(kind: type[Identifier], text: str, pointer: str) -> Identifier:
    """Parse a part of a path; raises `Problem`."""
    try:
        return kind(text)
    except InvalidIdentifierError as error:
        raise Problem(400, "invalid_request", str(error), [Fault(pointer, str(error))]) from None


def read_query(request: web.Request, model: type[Query]) -> Query:
    """Parse a query string; raises `Problem`. A parameter may be given once."""
    values: Mapping[str, str] = dict(request.query)
    if len(values) != len(request.query):
        detail = "Each parameter may be given once."
        raise Problem(400, "invalid_request", detail, [Fault("", detail)])
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from None


def _unknown_query(request: web.Request) -> Problem:
    detail = "This endpoint takes no query parameters."
    return Problem(
        400, "invalid_request", detail, [Fault(f"/{name}"[:100], detail) for name in request.query]
    )


async def _read_body(request: web.Request, kind: type[Body] | type[Text]) -> Body | Text:
    text = await read_text(request)
    if not kind.holds_secrets:
        refuse_keys(text, "body")
    if issubclass(kind, Body):
        return parse_model(text, kind)
    if not text.strip():
        detail = "The body is empty; send what this endpoint is to read."
        raise Problem(400, "invalid_request", detail, [Fault("", detail)])
    if len(text.encode()) > kind.max_bytes:
        meaning = CODES[kind.too_large]
        raise Problem(meaning.status, kind.too_large, meaning.text)
    return kind(text)
