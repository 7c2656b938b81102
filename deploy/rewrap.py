"""Has every tenant's credentials wrapped by the newest version of the KMS key.

    ADMIN_API_KEY=… python -m deploy.rewrap --url https://api.example.com

For after a rotation, before an old version of the key is destroyed. Says for each
tenant how many were wrapped and are kept; may be repeated. Exit codes: 0 when all
were, 1 when some were not (it says which and why), 2 without a key.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from deploy.given_key import given_key
from deploy.local.api import Api, ApiError

FAILED, NO_KEY = 1, 2
GONE = "OFFBOARDED"


async def rewrap(api: Api) -> int:
    """Tenant by tenant; returns how many are left. Raises `ApiError`."""
    failed = wrapped = 0
    async for tenant in _tenants(api):
        try:
            done = await api.post(f"/api/v1/admin/tenants/{tenant}/credentials/rewrap", None)
        except (ApiError, aiohttp.ClientError, TimeoutError) as error:
            failed += 1
            print(f"{tenant}: not wrapped: {error}", file=sys.stderr)
        else:
            wrapped += len(done["done"])
            failed += bool(done["failed"])
            print(f"{tenant}: {len(done['done'])} wrapped")
            for one in done["failed"]:
                why = f"{one['credential_id']} not wrapped: {one['detail']}"
                print(f"{tenant}: {why}", file=sys.stderr)
    print(f"{wrapped} wrapped in all, {failed} tenants left")
    return failed


async def _tenants(api: Api) -> AsyncIterator[str]:
    """All that may have credentials, page by page."""
    cursor: dict[str, str] = {}
    while True:
        page: Any = await api.get("/api/v1/admin/tenants", **cursor)
        for one in page["tenants"]:
            if one["status"] != GONE:
                yield one["tenant_id"]
        if not page["next_cursor"]:
            return
        cursor = {"cursor": page["next_cursor"]}


async def _run(url: str, key: str) -> int:
    async with aiohttp.ClientSession() as session:
        return await rewrap(Api(session, url, key))


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    if not (key := given_key()):
        return NO_KEY
    try:
        return FAILED if asyncio.run(_run(chosen.url.rstrip("/"), key)) else 0
    except (ApiError, aiohttp.ClientError, TimeoutError) as error:
        print(f"failed: {error or type(error).__name__}", file=sys.stderr)
        return FAILED


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.rewrap")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the gateway")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
