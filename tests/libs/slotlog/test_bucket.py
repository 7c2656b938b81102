"""What the bucket says to Cloud Storage, and what it makes of bad answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from google.auth.credentials import Credentials
from google.auth.exceptions import RefreshError

from libs.slotlog.bucket import Bucket, BucketSettings, StorageUnavailableError


class Account(Credentials):
    """Gives a token for an hour, and counts."""

    def __init__(self, lasts: timedelta = timedelta(hours=1)) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # its base has no types
        self.lasts, self.renewed = lasts, 0
        self.fails = False

    def refresh(self, _: Any) -> None:
        if self.fails:
            raise RefreshError("no metadata server")
        self.renewed += 1
        self.token = f"token-{self.renewed}"
        self.expiry = datetime.now(UTC).replace(tzinfo=None) + self.lasts


class Google:
    """Answers everything alike, and keeps what it was asked."""

    def __init__(self, status: int = 200, body: bytes = b"{}", **headers: str) -> None:
        self.answer = (status, body, headers)
        self.heard: list[web.BaseRequest] = []

    async def serve(self, request: web.BaseRequest) -> web.Response:
        self.heard.append(request)
        await request.read()
        status, body, headers = self.answer
        return web.Response(status=status, body=body, headers=headers)


@asynccontextmanager
async def serving(google: Google, account: Credentials | None = None) -> AsyncIterator[Bucket]:
    runner = web.ServerRunner(web.Server(google.serve))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    settings = BucketSettings("project-one", "ledger", f"http://127.0.0.1:{runner.addresses[0][1]}")
    bucket = Bucket(settings, account)
    yield bucket
    await bucket.close()
    await runner.cleanup()


def tokens(google: Google) -> set[str]:
    return {request.headers["Authorization"] for request in google.heard}


async def test_one_token_serves_many_calls() -> None:
    google, account = Google(), Account()
    async with serving(google, account) as bucket:
        await asyncio.gather(*(bucket.replace(f"a/{n}", b"{}") for n in range(20)))
    assert (account.renewed, tokens(google)) == (1, {"Bearer token-1"})


async def test_a_token_is_renewed_before_it_ends_and_serves_while_it_can() -> None:
    google, account = Google(), Account(lasts=timedelta(minutes=2))
    async with serving(google, account) as bucket:
        await bucket.replace("a", b"{}")
        await bucket.replace("b", b"{}")
        account.fails = True
        await bucket.replace("c", b"{}")
    assert [r.headers["Authorization"] for r in google.heard] == [
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-2",
    ]


async def test_without_a_token_nothing_is_asked() -> None:
    google, account = Google(), Account()
    account.fails = True
    async with serving(google, account) as bucket:
        with pytest.raises(StorageUnavailableError, match="no metadata server"):
            await bucket.create("a", b"{}")
    assert google.heard == []


async def test_an_object_that_comes_damaged_is_not_used() -> None:
    async with serving(Google(200, b"{}", **{"X-Goog-Hash": "crc32c=AAAAAA=="})) as bucket:
        with pytest.raises(StorageUnavailableError, match="a/1 came damaged"):
            await bucket.fetch("a/1")


@pytest.mark.parametrize("status", [403, 404, 429, 503])
async def test_a_create_that_is_refused_is_neither_made_nor_taken(status: int) -> None:
    google = Google(status, b"no such bucket")
    async with serving(google) as bucket:
        with pytest.raises(StorageUnavailableError, match=f"{status}: no such bucket"):
            await bucket.create("a", b"{}")
    assert len(google.heard) == 1  # tried again, it might find its own object


async def test_names_with_any_sign_come_back_as_they_were() -> None:
    google = Google()
    async with serving(google) as bucket:
        await bucket.delete("a/b?c#d%2F ü.json")
    assert google.heard[0].raw_path == "/storage/v1/b/ledger/o/a%2Fb%3Fc%23d%252F%20%C3%BC.json"
