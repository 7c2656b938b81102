"""Server-sent events read as a browser would, for tests."""

import asyncio
import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from services.gateway.journal import Position, parse_position
from tests.stack import Stack


@dataclass(frozen=True, slots=True)
class Told:
    """One event of a stream."""

    id: str
    type: str
    data: Any


class Refused(Exception):  # noqa: N818  an answer, not a failure of ours
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


async def positions_of_many(
    stack: Stack, tenant: str, run_ids: Sequence[str], count: int
) -> list[list[Position]]:
    """The places of all that is told by so many streams that are open at once."""
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{stack.port}",
        connector=aiohttp.TCPConnector(limit=0),
        headers={"X-API-Key": stack.keys[tenant]},
        timeout=aiohttp.ClientTimeout(total=120),
    ) as session:
        wanted = (run_ids[number % len(run_ids)] for number in range(count))
        return await asyncio.gather(*(_positions(session, run_id) for run_id in wanted))


async def _positions(session: aiohttp.ClientSession, run_id: str) -> list[Position]:
    async with session.get(f"/api/v1/pipelines/runs/{run_id}/events") as response:
        return [
            parse_position(line[4:].decode().strip())
            async for line in response.content
            if line.startswith(b"id: ")
        ]
