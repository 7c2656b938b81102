"""The outermost layer of the REST interface: faults on request, and turns of writers."""

import re
from typing import Any

from fastapi.responses import JSONResponse

from libs.local_cloud.bigquery_gate import GATE
from libs.local_cloud.faults import Faults

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
UNGATED = re.compile(r"/projects/[^/]+/(jobs|queries)\b|/insertAll$")
"""Jobs take their turn by themselves, when they write; rows are added beside anything."""


def wrap(inner: Any, faults: Faults) -> Any:
    """Put this layer around an ASGI application."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return
        await faults.delay()
        if faults.hits(faults.plan.error_rate):
            await _fail(scope, receive, send)
            return
        lost = scope["method"] in CHANGING and faults.hits(faults.plan.lose_answers)
        await take_turn(scope, receive, _into_nothing if lost else send)
        if lost:
            await _fail(scope, receive, send)

    async def take_turn(scope: Any, receive: Any, send: Any) -> None:
        if scope["method"] in CHANGING and not UNGATED.search(scope["path"]):
            async with GATE.hold_in_loop():
                await inner(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return app


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    error = {"code": 503, "message": "a fault on request", "errors": [{"reason": "backendError"}]}
    await JSONResponse({"error": error}, 503)(scope, receive, send)


async def _into_nothing(_: Any) -> None:
    """An answer that nobody gets."""
