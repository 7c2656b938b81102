"""Faults that a test may ask an emulator for, over a loopback control port."""

import asyncio
import os
import random
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError


class FaultPlan(BaseModel):
    """What share of calls goes wrong, and how; all zero means a faithful emulator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    duplicate: float = Field(default=0, ge=0, le=1)
    drop: float = Field(default=0, ge=0, le=1)
    error_rate: float = Field(default=0, ge=0, le=1)
    lose_answers: float = Field(default=0, ge=0, le=1)
    """A call is done, and answered as if the service had failed; BigQuery's REST only."""
    delay_seconds: float = Field(default=0, ge=0, le=60)


class Faults:
    """The plan in force. Emulators ask it at each call; the control port replaces it."""

    def __init__(self) -> None:
        self.plan = FaultPlan()
        self._random = random.Random(0)  # noqa: S311  a repeatable stream, not a secret

    def hits(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability

    async def delay(self) -> None:
        if self.plan.delay_seconds:
            await asyncio.sleep(self.plan.delay_seconds)


def control_app(faults: Faults, restart: Callable[[], Awaitable[None]]) -> web.Application:
    """`PUT /faults` sets the plan, `GET /faults` shows it, `POST /restart` restarts."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(faults.plan.model_dump())

    async def replace(request: web.Request) -> web.Response:
        try:
            faults.plan = FaultPlan.model_validate_json(await request.read())
        except ValidationError as error:
            return web.Response(status=400, text=str(error))
        return await show(request)

    async def restart_now(_: web.Request) -> web.Response:
        asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(restart()))
        return web.Response(status=202)

    app = web.Application()
    app.add_routes(
        [
            web.get("/faults", show),
            web.put("/faults", replace),
            web.post("/restart", restart_now),
        ]
    )
    return app


def replace_process(port: int) -> None:
    """Become a fresh process of the same emulator on the same port and state."""
    argv = [*sys.orig_argv]
    if "--port" in argv:
        argv[argv.index("--port") + 1] = str(port)
    else:
        argv += ["--port", str(port)]
    os.execv(sys.executable, argv)  # noqa: S606  our own command line
