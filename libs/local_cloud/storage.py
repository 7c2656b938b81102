"""Cloud Storage's JSON API on a loopback port, for Google's own client.

    python -m libs.local_cloud.storage --port 9199 --state-dir .local/storage

What the product needs of it, exactly: preconditions on generations, so that of
many creators of one object one wins; listing in order; uploads that resume;
durable before answered. Bodies of any size pass through in pieces.
"""

import sqlite3
from collections.abc import Callable
from typing import Any

from aiohttp import web

from libs.local_cloud.faults import Faults
from libs.local_cloud.process import HOST, Options, Running, run
from libs.local_cloud.storage_buckets import Buckets
from libs.local_cloud.storage_database import Database
from libs.local_cloud.storage_objects import Objects
from libs.local_cloud.storage_requests import RefusedError, UnreadableRangeError
from libs.local_cloud.storage_resources import NotModifiedError, PreconditionError
from libs.local_cloud.storage_sessions import Sessions
from libs.local_cloud.storage_store import Store
from libs.local_cloud.storage_uploads import Uploads

MAX_MULTIPART = 64 << 20
Handler = Callable[[web.Request], Any]


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except RefusedError as refused:
        return refused.response()
    except NotModifiedError:
        return web.Response(status=304)
    except UnreadableRangeError as error:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{error.size}"})
    except PreconditionError:
        message = "At least one of the pre-conditions you specified did not hold."
        return RefusedError(412, "conditionNotMet", message).response()
    return response


def _with_durable_answers(database: Database) -> Any:
    """Answer nobody, also not who was refused, before what they saw is durable."""

    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await _answer(request, handler)
            await database.committed()
        except sqlite3.Error as error:
            return RefusedError(503, "backendError", f"cannot keep it: {error}").response()
        return response

    return serve


def _with_faults(faults: Faults) -> Any:
    @web.middleware
    async def serve(request: web.Request, handler: Handler) -> web.StreamResponse:
        await faults.delay()
        fails = faults.hits(faults.plan.error_rate)
        if fails and not faults.hits(0.5):
            return web.Response(status=503, text="a fault that was asked for")
        response: web.StreamResponse = await handler(request)
        if fails:
            return web.Response(status=503, text="done, but its reply is lost, as was asked for")
        return response

    return serve


async def start(options: Options, faults: Faults) -> Running:
    database = Database(options.state_dir)
    store = Store(database)
    sessions = Sessions(database, store.contents)
    store.contents.drop_drafts()
    sessions.drop_expired()
    app = web.Application(
        client_max_size=MAX_MULTIPART,
        middlewares=[_with_faults(faults), _with_durable_answers(database)],
    )
    for methods in (Buckets(store), Uploads(store, sessions), Objects(store)):
        app.add_routes(methods.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, HOST, options.port, backlog=512).start()

    async def stop() -> None:
        await runner.cleanup()
        database.close()

    return Running({"http": int(runner.addresses[0][1])}, stop)


if __name__ == "__main__":
    run("storage", start)
