"""How an endpoint is declared: once, beside its handler.

A method of a group of routes is decorated with what its signature cannot say.
What it takes and gives is read from its types, by `signature.py`. The routes
(`serving.py`) and the OpenAPI document (`openapi.py`) are made of the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from contracts.identifiers import TenantId
from libs.web.problem import Problem
from services.gateway.trail import WHOM, user_of

MARK = "__endpoints__"
ADMIN_PREFIX, ADMIN_ALIAS = "/api/v1/admin/", "/admin/"
Function = TypeVar("Function", bound=Callable[..., Any])
T = TypeVar("T")


class Who(StrEnum):
    """Whose key opens an endpoint; checked before the handler is called."""

    ANYONE = "anyone"
    GUEST = "guest"
    """The handler decides: a guest, or an operator with a key."""
    TENANT = "tenant"
    ADMIN = "admin"
    TENANT_OR_ADMIN = "tenant_or_admin"


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    holds_secrets: ClassVar[bool] = False
    """Whether a key of ours may be in it, since it is sealed before it goes anywhere."""


class Query(BaseModel):
    """Base of query strings: unknown parameters are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Text(str):
    """Base of bodies that are taken as they are written, such as YAML."""

    __slots__ = ()
    media: ClassVar[tuple[str, ...]] = ("application/yaml", "application/json")
    max_bytes: ClassVar[int] = 256 * 1024
    too_large: ClassVar[str] = "body_too_large"
    holds_secrets: ClassVar[bool] = False
    example: ClassVar[str] = ""


@dataclass(slots=True)
class Call:
    """A request whose key has been checked."""

    request: web.Request
    caller: TenantId | None = None

    @property
    def tenant(self) -> TenantId:
        """The tenant whose key it is; only where `who` asks for one."""
        if self.caller is None:
            message = f"{self.request.path} is not a tenant's endpoint"
            raise LookupError(message)
        return self.caller

    def own(self, tenant_id: TenantId) -> TenantId:
        """The tenant in the path, which has to be the key's; of another nothing is said."""
        if tenant_id != self.tenant:
            raise Problem(404, "tenant_not_found", f"There is no tenant {tenant_id} for this key.")
        return self.tenant

    def concerns(self, tenant_id: TenantId) -> None:
        """For the audit trail: whom the call is about, where the path does not say it."""
        self.request[WHOM] = tenant_id

    def who(self, fallback: str = "tenant") -> str:
        """Who did it, for the record: what the client says of itself, never trusted."""
        return f"{fallback}:{self.user_id}" if self.user_id else fallback

    @property
    def user_id(self) -> str:
        """What the client says of itself."""
        return user_of(self.request)


class Answer(NamedTuple, Generic[T]):
    """A body with headers or a status of its own."""

    body: T | bytes
    """Bytes are the JSON of one, where a model would only be made to be written."""
    headers: Mapping[str, str] = MappingProxyType({})
    status: int = 0
    """0 for the declared one."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is declared; everything else is in the handler's signature."""

    method: str
    path: str
    who: Who
    errors: tuple[str, ...] = ()
    """Codes of `errors.py` that this endpoint may answer beyond those that all like it may."""
    status: int = 200
    example: Any = None
    """A request body that works; needed where there is one."""
    reads: tuple[str, ...] = ()
    """Request headers it understands, from `openapi_parts.py`."""
    sends: tuple[str, ...] = ()
    """Response headers, from the same place."""
    answers: type[BaseModel] | None = None
    """The body of a response that the handler makes itself."""
    streams: str = ""
    """The media type of what it streams, always or to who accepts it."""
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)
    """Further answers that are not errors, by status."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it answers: admin endpoints have a short path too."""
        if self.path.startswith(ADMIN_PREFIX):
            return self.path, self.path.replace(ADMIN_PREFIX, ADMIN_ALIAS, 1)
        return (self.path,)


def endpoint(method: str, path: str, who: Who, **more: Any) -> Callable[[Function], Function]:
    """Declare that a method answers here; its docstring is the summary.

    Decorate it again for another path.
    """
    declared = Endpoint(method, path, who, **more)

    def mark(function: Function) -> Function:
        vars(function).setdefault(MARK, []).insert(0, declared)
        return function

    return mark


def endpoints_of(group: type) -> Iterator[tuple[Endpoint, Callable[..., Any]]]:
    """The endpoints of a group of routes, in the order in which they are written."""
    for function in vars(group).values():
        for declared in getattr(function, MARK, ()):
            yield declared, function
