"""A long export goes no faster than it is read: what is not read yet is not asked for either."""

import asyncio
import os

import aiohttp
import pytest

from contracts.audit import EventListV1, EventRowPart, ListEventsV1
from contracts.keys import FindKeyV1
from contracts.message import Message
from services.gateway.api.pages import EXPORT_PAGE, NDJSON
from tests.bench.processes import resident
from tests.gateway.edges import KEY, NOW, TENANT, ScriptedRequester, edge_on, found_key, serving

ROW = EventRowPart(
    event_id="e",
    event_type="run.queued.v1",
    source="scheduler",
    event_time=NOW,
    data="x" * 1000,
)
AHEAD = 16
"""Pages on their way to the reader: in buffers of sockets, of the client and of the gateway."""
STILL = 2000
"""Turns of the loop in which nothing is asked for: then nothing will be."""
MOST_GROWTH = 96 << 20


class ManyEvents(ScriptedRequester):
    def __init__(self, pages: int) -> None:
        super().__init__(self._page)
        self._pages = pages
        self._rows = (ROW,) * EXPORT_PAGE
        self.told = 0

    def _page(self, question: Message) -> Message | None:
        if isinstance(question, FindKeyV1):
            return found_key(question)
        assert isinstance(question, ListEventsV1)
        self.told += 1
        after = str(self.told) if self.told < self._pages else ""
        return EventListV1(tenant_id=TENANT, events=self._rows, next_after=after)


@pytest.mark.parametrize("pages", [40, pytest.param(300, marks=pytest.mark.soak)])
async def test_an_export_waits_for_its_reader(pages: int) -> None:
    events = ManyEvents(pages)
    async with (
        serving(edge_on(requester=events)) as url,
        aiohttp.ClientSession(headers={"X-API-Key": KEY.text, "Accept": NDJSON}) as client,
        client.get(f"{url}/api/v1/audit/events") as response,
    ):
        assert response.status == 200
        await stillness(events)
        assert events.told <= AHEAD
        before, read = resident(os.getpid()), 0
        async for chunk in response.content.iter_any():
            read += chunk.count(b"\n")
            assert events.told <= read // EXPORT_PAGE + AHEAD
        assert read == pages * EXPORT_PAGE
        assert resident(os.getpid()) - before < MOST_GROWTH


async def stillness(events: ManyEvents) -> None:
    """Until nothing more is asked for, though nobody reads."""
    known, turns = 0, 0
    while turns < STILL:
        await asyncio.sleep(0)
        turns = turns + 1 if events.told == known else 0
        known = events.told
