"""Endpoint for what the services gave up."""

from collections.abc import Sequence

from aiohttp import web
from pydantic import Field

from contracts.audit import PLATFORM, DeadLetterListV1, DeadLetterRowPart, ListDeadLettersV1
from contracts.message import Part, Service
from services.gateway.api.edge import READING_SECONDS, Edge
from services.gateway.api.endpoint import Call, Who, endpoint
from services.gateway.api.pages import LISTING, Item, MomentsQuery


class DeadLetterFilters(MomentsQuery):
    service: Service | None = None
    """Which service gave it up."""
    message_type: str = Field(default="", alias="type", max_length=200)


class DeadLettersShown(Part):
    letters: tuple[DeadLetterRowPart, ...]
    next_cursor: str | None = None


class DeadLetterRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint("GET", "/api/v1/admin/dead-letters", Who.ADMIN, answers=DeadLettersShown, **LISTING)
    async def letters(self, call: Call, query: DeadLetterFilters) -> web.StreamResponse:
        """List the messages that services gave up, of all tenants, the newest first.

        Of the last 30 days unless `from` says otherwise; NDJSON gives every page of the same.
        """

        async def fetch(after: str, limit: int) -> tuple[Sequence[Item], str]:
            wanted = ListDeadLettersV1(
                after=after, limit=limit, **query.model_dump(exclude={"cursor", "limit"})
            )
            found = await self._edge.questions.ask(wanted, DeadLetterListV1, within=READING_SECONDS)
            return [one.model_dump(mode="json") for one in found.letters], found.next_after

        return await self._edge.pages.respond(call.request, PLATFORM, "letters", query, fetch)
