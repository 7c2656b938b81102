"""What every group of routes is given."""

from dataclasses import dataclass
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from contracts.identifiers import Identifier, InvalidIdentifierError, RunId
from libs.clock import Clock
from libs.settings import GatewaySettings
from libs.web.problem import Fault, Problem
from services.gateway.api.pages import Pages
from services.gateway.auth import Authenticator
from services.gateway.live import LiveRuns
from services.gateway.questions import Questions

RUNS = "/api/v1/pipelines/runs"
READING_SECONDS = 10.0
"""How long a question to the warehouse may take: a cold query is slower than a decision."""
T = TypeVar("T", bound=Identifier)


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Edge:
    """Built once by the composition root."""

    settings: GatewaySettings
    questions: Questions
    auth: Authenticator
    live: LiveRuns
    pages: Pages
    pepper: bytes
    clock: Clock


def identifier(kind: type[T], text: str, pointer: str) -> T:
    """Parse a part of a path or query; raises `Problem`."""
    try:
        return kind(text)
    except InvalidIdentifierError as error:
        raise Problem(400, "invalid_request", str(error), [Fault(pointer, str(error))]) from None


def who(request: web.Request, fallback: str) -> str:
    """Who did it, for the record: what the client says of itself, never trusted."""
    said = request.headers.get("X-User-ID", "")[:200]
    return f"{fallback}:{said}" if said else fallback


def run_id_of(request: web.Request) -> RunId:
    return identifier(RunId, request.match_info["run_id"], "/run_id")
