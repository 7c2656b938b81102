"""Recorded rows over HTTP: a gateway whose questions a recorder answers, and records."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from contracts.identifiers import TenantId
from contracts.keys import FindKeyV1
from contracts.message import Message
from libs.bus.message import Context
from libs.bus.router import Router
from libs.local_cloud.pubsub_rules import MAX_BYTES
from services.gateway import keys
from tests.audit_log.recorder import Recorder, delivery
from tests.gateway.edges import ADMIN_KEY, ScriptedRequester, edge_on, found_key, serving, silence

NDJSON = {"Accept": "application/x-ndjson"}


class RecordedRequester(ScriptedRequester):
    """As on the platform, each question and each answer is recorded in turn."""

    def __init__(self, recorder: Recorder, key: keys.ApiKey) -> None:
        super().__init__(silence)
        self._recorder = recorder
        self._key = key
        self._router = Router()
        recorder.handlers.register(self._router)

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        del wanted, id_
        if isinstance(question, FindKeyV1):
            return found_key(question, self._key)
        handler = self._router.handler_for(question)
        assert handler is not None
        context = Context(delivery(question).envelope)
        (reply,) = await handler(question, context) or ()
        assert isinstance(reply, Message)
        assert len(reply.encode()) < MAX_BYTES
        await self._recorder.record(question, reply)
        return reply


@dataclass(frozen=True, slots=True)
class Client:
    url: str
    key: keys.ApiKey

    async def get(self, path: str, *, admin: bool = False) -> Any:
        return json.loads(await self._ask(path, self._keyed(admin=admin)))

    async def export(self, path: str, *, admin: bool = False) -> list[str]:
        return (await self._ask(path, {**self._keyed(admin=admin), **NDJSON})).splitlines()

    async def status(self, path: str) -> int:
        asked = aiohttp.request("GET", self.url + path, headers=self._keyed())
        async with asked as response:
            return response.status

    def _keyed(self, *, admin: bool = False) -> dict[str, str]:
        return {"X-Admin-Key": ADMIN_KEY} if admin else {"X-API-Key": self.key.text}

    async def _ask(self, path: str, headers: dict[str, str]) -> str:
        async with aiohttp.request("GET", self.url + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.text()


@asynccontextmanager
async def reading(recorder: Recorder, tenant: str) -> AsyncIterator[Client]:
    key = keys.mint(TenantId(tenant))
    requester = RecordedRequester(recorder, key)
    async with serving(edge_on(requester=requester)) as url:
        yield Client(url, key)
