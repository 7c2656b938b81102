"""Running a service process: event loop, signals, port, and an orderly end."""

import asyncio
import errno
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

LOG = logging.getLogger(__name__)
EXIT_BUSY_PORT = 2
KEEPALIVE_SECONDS = 75.0

Main = Callable[[asyncio.Event], Awaitable[None]]


def run(main: Main) -> None:
    """Run `main` until SIGTERM or SIGINT sets the event it was given."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(main))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415  absent on some platforms
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _until_stopped(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await main(stop)


async def serve(
    app: web.Application, *, host: str, port: int, grace: float = 2.0
) -> tuple[web.AppRunner, int]:
    """Listen; returns the runner to clean up and the port that was taken.

    The cleanup takes no new calls, waits `grace` seconds for those in flight and cuts off the rest.
    """
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, shutdown_timeout=grace
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        await runner.cleanup()
        if error.errno != errno.EADDRINUSE:
            raise
        sys.stderr.write(f"port {port} on {host} is in use: set PORT to another one\n")
        sys.exit(EXIT_BUSY_PORT)
    actual = int(runner.addresses[0][1])
    LOG.info("listening on http://%s:%d", host, actual)
    return runner, actual
