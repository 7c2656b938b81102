"""Stands in for Cloud Scheduler: publishes the same ticks, by the clock.

PUBSUB_EMULATOR_HOST=127.0.0.1:8085 python -m libs.local_cloud.ticks --every 60
"""

import argparse
import asyncio
import logging
import signal
import time

from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.cloud.pubsub_v1 import PublisherClient

from contracts.catalogue import topic_of
from contracts.message import Service
from contracts.ticks import TickJob, TickV1, fixed_attributes

LOG = logging.getLogger(__name__)
DAY_SECONDS = 86_400


class Ticker:
    """Publishes at each full interval; a failed tick is as harmless as a missing one."""

    def __init__(self, project: str, every: float) -> None:
        self._every = every
        self._publisher = PublisherClient()
        self._topic = self._publisher.topic_path(project, topic_of(Service.TICKS))

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            now = time.time()
            try:
                await asyncio.wait_for(stop.wait(), self._every - now % self._every)
            except TimeoutError:
                await asyncio.to_thread(self._tick, round(time.time()))

    def _tick(self, now: int) -> None:
        due = [TickJob.TRIGGER]
        if now % DAY_SECONDS < self._every:
            due.append(TickJob.DAILY)
        for job in due:
            try:
                self._publisher.publish(
                    self._topic, TickV1(job=job).encode(), **fixed_attributes()
                ).result(timeout=10)
            except (GoogleAPICallError, RetryError, TimeoutError) as error:
                LOG.warning("a tick was not published: %s", error)


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m libs.local_cloud.ticks")
    parser.add_argument("--project", default="convergence-local")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between ticks")
    chosen = parser.parse_args()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await Ticker(chosen.project, chosen.every).run(stop)


if __name__ == "__main__":
    asyncio.run(_main())
