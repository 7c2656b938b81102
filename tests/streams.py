"""Server-sent events read as a browser would, for tests."""

import asyncio
import http.client
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from services.gateway.journal import QUIET
from tests.stack import Stack, eventually


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream."""

    id: str
    type: str
    data: Any


class Refused(AssertionError):  # noqa: N818  an answer; a gateway that starts may give another
    def __init__(self, status: int, body: Any) -> None:
        self.status, self.body = status, body
        super().__init__(f"{status}: {body}")


def follow(stack: Stack, tenant: str, run_id: str, *, after: str = "") -> Iterator[Told]:
    """What a stream tells until it ends or breaks off."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=40)
    headers = {"X-API-Key": stack.keys[tenant], **({"Last-Event-ID": after} if after else {})}
    try:
        connection.request("GET", f"/api/v1/pipelines/runs/{run_id}/events", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise Refused(response.status, json.loads(response.read()))
        yield from _events(response)
    finally:
        connection.close()


def _events(lines: Iterator[bytes]) -> Iterator[Told]:
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield Told(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


async def told_while_held(
    stack: Stack, tenant: str, run_ids: Sequence[str], count: int, opened: Callable[[], None]
) -> list[tuple[str, list[Told]]]:
    """What so many streams tell, each with its run; `opened` is called when all are open.

    None may end before: the runs have to be held until then.
    """
    tally = _Tally(count)
    async with (
        aiohttp.ClientSession(
            f"http://127.0.0.1:{stack.port}",
            connector=aiohttp.TCPConnector(limit=0),
            headers={"X-API-Key": stack.keys[tenant]},
            timeout=aiohttp.ClientTimeout(total=300),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        wanted = [run_ids[number % len(run_ids)] for number in range(count)]
        streams = [group.create_task(_told(session, run_id, tally)) for run_id in wanted]
        await tally.all_open.wait()
        await asyncio.to_thread(opened)
    return [(run_id, stream.result()) for run_id, stream in zip(wanted, streams, strict=True)]


@dataclass(slots=True)
class _Tally:
    """Counts streams that have told something and go on."""

    count: int
    open: int = 0
    all_open: asyncio.Event = field(default_factory=asyncio.Event)

    def began(self) -> None:
        self.open += 1
        if self.open == self.count:
            self.all_open.set()


async def _told(session: aiohttp.ClientSession, run_id: str, tally: _Tally) -> list[Told]:
    found: list[Told] = []
    async with session.get(f"/api/v1/pipelines/runs/{run_id}/events") as response:
        if response.status != 200:
            raise Refused(response.status, await response.json())
        lines: list[bytes] = []
        async for line in response.content:
            lines.append(line)
            if line == b"\n":
                found += _events(iter(lines))
                lines = []
                if len(found) == 1:
                    tally.began()
    if not tally.all_open.is_set():
        raise AssertionError(f"a stream of run {run_id} ended before all were open: {found}")
    return found


def recorded(stack: Stack, tenant: str, run_id: str) -> list[tuple[str, Any]]:
    """Types and times of what a stream of a run must tell, in the order in which it was said."""
    path = f"/api/v1/audit/events?run_id={run_id}&limit=200"

    def whole() -> list[tuple[str, Any]]:
        answer = stack.call("GET", path, tenant=tenant)
        assert answer.status == 200, answer.body
        found = [one for one in answer.body["events"] if one["kind"] == "event"]
        said = [(one["event_type"], parsed(one["event_time"])) for one in found]
        assert "run.finished.v1" in {type_ for type_, _ in said}
        assert "attempt.finished.v1" in {type_ for type_, _ in said}
        return sorted((one for one in said if one[0] not in QUIET), key=lambda one: one[1])

    return eventually(whole)


def parsed(time: str) -> datetime:
    return datetime.fromisoformat(time)


@contextmanager
def held(pid: int) -> Iterator[Callable[[], None]]:
    """A process that stands still until what is given is called."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)
