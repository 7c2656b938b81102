"""Routes made of declared endpoints: key, path, query and body are read before the handler."""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any
from urllib.parse import unquote

from aiohttp import hdrs, web
from pydantic import BaseModel, ValidationError

from contracts.identifiers import Identifier, InvalidIdentifierError, TenantId
from libs.web.body import at_hand, parse_model, text_of
from libs.web.problem import Fault, Problem, invalid
from libs.web.reply import Reply
from services.gateway.api.codes import codes_of
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Endpoint, Query, Text, Who
from services.gateway.api.endpoint import endpoints_of as declared_in
from services.gateway.api.signature import signature_of
from services.gateway.errors import CODES
from services.gateway.misplaced import refuse_keys

LOG = logging.getLogger(__name__)
PARSED = 1_000


def routes_of(group: Any, edge: Edge) -> Iterator[web.RouteDef]:
    """The routes of one group, an object with decorated methods."""
    for declared, function in declared_in(type(group)):
        served = Served(declared, function, group, edge)
        for path in declared.paths:
            yield web.RouteDef(declared.method, path, served.answer, {})


class Served:
    """One endpoint as aiohttp calls it; what its calls have in common is worked out once."""

    def __init__(
        self, declared: Endpoint, function: Callable[..., Any], group: Any, edge: Edge
    ) -> None:
        self._who = declared.who
        self._status = declared.status
        self._handler = function.__get__(group)
        signature = signature_of(function)
        self._path = [(name, _parser_of(name, kind)) for name, kind in signature.path.items()]
        self._query = signature.query
        self._body = (signature.body[0], reader_of(signature.body[1])) if signature.body else None
        self._codes = codes_of(declared, signature)
        self._auth = edge.auth
        self._caller = self._auth.tenant if declared.who is Who.TENANT else self._admit

    async def answer(self, request: web.Request) -> web.StreamResponse:
        try:
            caller = await self._caller(request)
            found = self._from_url(request)
            if self._body:
                name, read = self._body
                found[name] = read(at_hand(request) or await request.read())
            return self._respond(await self._handler(Call(request, caller), **found))
        except Problem as problem:
            if problem.code not in self._codes:
                LOG.warning("undocumented answer %s %s", problem.status, problem.code)
            raise

    async def _admit(self, request: web.Request) -> TenantId | None:
        """Of endpoints that others than tenants may call, or anyone."""
        who, as_admin = self._who, "X-Admin-Key" in request.headers
        if who is Who.TENANT_OR_ADMIN and not as_admin:
            return await self._auth.tenant(request)
        if who in {Who.ADMIN, Who.TENANT_OR_ADMIN} or (who is Who.GUEST and as_admin):
            self._auth.admin(request)
        return None

    def _from_url(self, request: web.Request) -> dict[str, Any]:
        refuse_keys(request.path, "path")
        asked = request.rel_url.raw_query_string
        if asked:
            refuse_keys(unquote(request.query_string), "query string")
        found: dict[str, Any] = {}
        parts = request.match_info
        for name, parse in self._path:
            found[name] = parse(parts[name])
        if self._query:
            name, query = self._query
            found[name] = read_query(request, query)
        elif asked:
            raise _unknown_query(request)
        return found

    def _respond(self, given: Any) -> web.StreamResponse:
        if isinstance(given, Answer):
            answer = given
        elif isinstance(given, web.StreamResponse):
            return given
        else:
            answer = Answer(given)
        status = answer.status or self._status
        if answer.body is None:
            return web.Response(status=status, headers=answer.headers)
        headers = {hdrs.CONTENT_TYPE: "application/json", **answer.headers}
        return Reply(status=status, body=_json(answer.body), headers=headers)


def _json(body: BaseModel | bytes) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.__pydantic_serializer__.to_json(body, by_alias=True)


def _parser_of(name: str, kind: type) -> Callable[[str], Any]:
    """Callers name the same few again and again: those are checked once."""
    if not issubclass(kind, Identifier):
        return str
    return lru_cache(maxsize=PARSED)(partial(identifier, kind, f"/{name}"))


def identifier(kind: type[Identifier], pointer: str, text: str) -> Identifier:
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


def reader_of(kind: type[Body] | type[Text]) -> Callable[[bytes], Body | Text]:
    """What makes of a request's body what a handler takes; raises `Problem`."""
    return partial(_read_model, kind) if issubclass(kind, Body) else partial(_read_words, kind)


def _read_model(kind: type[Body], data: bytes) -> Body:
    return parse_model(_without_keys(kind, data), kind)


def _read_words(kind: type[Text], data: bytes) -> Text:
    text = _without_keys(kind, data)
    if not text.strip():
        detail = "The body is empty; send what this endpoint is to read."
        raise Problem(400, "invalid_request", detail, [Fault("", detail)])
    if len(data) > kind.max_bytes:
        meaning = CODES[kind.too_large]
        raise Problem(meaning.status, kind.too_large, meaning.text)
    return kind(text)


def _without_keys(kind: type[Body] | type[Text], data: bytes) -> str:
    text = text_of(data)
    if not kind.holds_secrets:
        refuse_keys(text, "body")
    return text
