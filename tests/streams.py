"""Server-sent events read as a browser would, for tests."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
