"""How a service ends: what it was asked is answered and told before its bus goes."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from contracts.calls import ActorKind
from contracts.message import Service
from libs import service
from libs.service import Parts, Process
from libs.settings import GatewaySettings
from libs.web.server import serve
from services.gateway.auth import ACTOR
from services.gateway.known_keys import Actor
from services.gateway.trail import Trail
from tests.gateway.door import Recorder


class Ending(Recorder):
    """Keeps what is published, and sends nothing once it is closed."""

    closed = False

    async def publish(self, topic: str, wires: Any) -> None:
        assert not self.closed, "told after the bus had gone"
        await super().publish(topic, wires)

    async def close(self) -> None:
        self.closed = True
        await super().close()


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, ""), (504, "no_answer_yet")],
    ids=["in time", "cut off"],
)
async def test_a_change_in_flight_is_told_when_the_service_ends(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    finishes = status == 200
    transport, stop, begun, may_end = Ending(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    ports: asyncio.Queue[int] = asyncio.Queue()

    async def noting_the_port(*given: Any, **named: Any) -> tuple[web.AppRunner, int]:
        runner, port = await serve(*given, **named)
        ports.put_nowait(port)
        return runner, port

    monkeypatch.setattr(service, "serve", noting_the_port)

    async def change(request: web.Request) -> web.Response:
        request[ACTOR] = Actor(ActorKind.ADMIN, "key")
        begun.set()
        await may_end.wait()
        return web.json_response({})

    async def stopping() -> None:
        if finishes:
            may_end.set()

    async def build(process: Process) -> Parts:
        trail = Trail(process.bus.publisher, lambda _: None)
        return Parts(
            router=process.router,
            when_stopping=(stopping,),
            before_drain=(trail.finish,),
            routes=[web.post("/changes", change)],
            layers=(trail.layer,),
        )

    grace = 60.0 if finishes else 0.5
    settings = GatewaySettings(api_host="127.0.0.1", port=0, shutdown_grace_seconds=grace)
    process = Process(Service.GATEWAY, settings, subscriptions=(), transport=transport)
    living = asyncio.create_task(service._live(process, build, stop))
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{await ports.get()}/changes"
        call = asyncio.create_task(session.post(url))
        await begun.wait()
        stop.set()
        await living
        (answer,) = await asyncio.gather(call, return_exceptions=True)
    if finishes:
        assert isinstance(answer, aiohttp.ClientResponse)
        assert answer.status == status
    (wire,) = transport.published
    told = wire.data.decode()
    assert f'"status":{status}' in told.replace(" ", "")
    assert code in told
    assert transport.closed
