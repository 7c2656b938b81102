"""Ten tenants against any gateway: onboarded, a credential each, a run each, kept apart.

    ADMIN_API_KEY=… python -m deploy.smoke --url https://api.example.com [--tenants 10] [--keep]

Leaves nothing behind unless told to, also when a step fails or it is interrupted:
the tenants are offboarded and their datasets dropped, and those that could not be
are named. Exit codes: 0 when all went well, 1 when something did not, 2 without a
key, 130 when interrupted.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from deploy.given_key import given_key
from deploy.local.api import Api, ApiError

FAILED, NO_KEY, INTERRUPTED = 1, 2, 130
RUN_SECONDS = 120.0
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "REJECTED"})
NOT_FOUND, SERVERS_FAULT = 404, 500
LEAVING_PAUSES = (1.0, 3.0, 0.0)
PIPELINE = """\
pipeline_id: smoke
steps:
  - id: one
    ps_type: bq_etl.query
    config: {source_query: "SELECT 1 AS one", target_table: "${tenant_id}.smoke"}
"""


class SmokeError(RuntimeError):
    """A check that did not hold."""


@dataclass(slots=True)
class Visitor:
    """One tenant's way through the platform."""

    name: str
    admin: Api
    own: Api
    there: set[str]
    """Who may have come in and is not gone yet."""
    run_id: str = ""

    async def come_in(self) -> None:
        body = {
            "tenant_id": self.name,
            "company_name": f"Smoke test {self.name}",
            "admin_email": f"smoke@{self.name.replace('_', '-')}.example",
        }
        self.there.add(self.name)  # from now on, whatever becomes of the answer
        try:
            made = await self.admin.post("/api/v1/tenants/onboard", body)
        except ApiError as error:
            if error.status < SERVERS_FAULT:
                self.there.discard(self.name)
            raise
        self.own.tenant_key = made["api_key"]
        shown = await self.own.get("/api/v1/tenants/me")
        _check(shown["tenant_id"] == self.name, f"{self.name} is shown as {shown['tenant_id']}")

    async def bring_a_credential(self) -> None:
        path = f"/api/v1/tenants/{self.name}/credentials"
        secret = secrets.token_urlsafe(24)
        body = {"provider": "GENERIC", "credentials": {"password": secret}}
        stored = await self.own.post(path, body)
        _check(stored["action"] == "CREATED", f"{self.name}: credential {stored['action']}")
        listed = await self.own.get(path)
        _check(secret not in str(listed), f"{self.name}: the list shows a secret")

    async def run(self) -> None:
        await self.own.put_text("/api/v1/pipelines/configs/smoke", PIPELINE)
        started = await self.own.post("/api/v1/pipelines/run/smoke", {"trigger_by": "smoke test"})
        self.run_id = started["run_id"]
        status, end = "", time.monotonic() + RUN_SECONDS
        while status not in FINAL:
            _check(time.monotonic() < end, f"{self.name}: run {self.run_id} is still {status}")
            found = await self.own.get(f"/api/v1/pipelines/runs/{self.run_id}", wait="10")
            status = found["status"]
        _check(status == "COMPLETED", f"{self.name}: run {self.run_id} {status}: {found['error']}")
        quota = await self.own.get("/api/v1/tenants/quota")
        _check(quota["used_today"] == 1, f"{self.name}: {quota['used_today']} runs are counted")

    async def see_nothing_of(self, other: "Visitor") -> None:
        for path in (
            f"/api/v1/pipelines/runs/{other.run_id}",
            f"/api/v1/tenants/{other.name}/credentials",
        ):
            try:
                await self.own.get(path)
            except ApiError as error:
                _check(error.status == NOT_FOUND, f"{self.name} got {error.status} for {path}")
            else:
                _check(False, f"{self.name} sees {path}")  # noqa: FBT003  it was seen

    async def leave(self) -> None:
        for pause in LEAVING_PAUSES:
            try:
                await self._offboard()
            except (ApiError, aiohttp.ClientError, TimeoutError):
                if not pause:
                    raise
                await asyncio.sleep(pause)
            else:
                break
        self.there.discard(self.name)

    async def _offboard(self) -> None:
        path = f"/api/v1/admin/tenants/{self.name}"
        try:
            await self.admin.delete(path, drop_datasets="true", confirm=self.name)
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise


def _check(holds: bool, otherwise: str) -> None:  # noqa: FBT001  what is checked
    if not holds:
        raise SmokeError(otherwise)


async def smoke(url: str, admin_key: str, tenants: int, there: set[str], *, keep: bool) -> None:
    """Raises `ApiError` or `SmokeError`; who is in `there` afterwards has been left behind."""
    _end_when_interrupted()
    mark = secrets.token_hex(3)
    async with aiohttp.ClientSession() as session:
        admin = Api(session, url, admin_key)
        visitors = [
            Visitor(f"smoke_{mark}_{number:02}", admin, Api(session, url, ""), there)
            for number in range(tenants)
        ]
        try:
            await _visit(visitors)
        finally:
            if not keep:
                await _see_off([one for one in visitors if one.name in there])


async def _visit(visitors: list[Visitor]) -> None:
    await _through("onboarded", [one.come_in() for one in visitors])
    await _through("credentials", [one.bring_a_credential() for one in visitors])
    await _through("runs completed", [one.run() for one in visitors])
    around = zip(visitors, [*visitors[1:], visitors[0]], strict=True)
    pairs = [one.see_nothing_of(other) for one, other in around if one is not other]
    await _through("kept apart", pairs)


async def _see_off(visitors: list[Visitor]) -> None:
    """What went wrong before is not to be hidden by what goes wrong here."""
    try:
        await _through("offboarded", [one.leave() for one in visitors])
    except (ApiError, aiohttp.ClientError, TimeoutError) as error:
        print(f"not offboarded: {_said(error)}", file=sys.stderr)


def _end_when_interrupted() -> None:
    """Also in the background of a shell, where Python would not heed Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101  a coroutine runs in one
    for sent in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sent, task.cancel)


async def _through(what: str, steps: list[Any]) -> None:
    started = time.monotonic()
    results = await asyncio.gather(*steps, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    took = time.monotonic() - started
    print(f"{len(results) - len(failures)} of {len(results)} {what} in {took:.1f} s")
    if failures:
        raise failures[0]


def main(argv: list[str] | None = None) -> int:
    chosen = _arguments(argv)
    if not (key := given_key()):
        return NO_KEY
    there: set[str] = set()
    url = chosen.url.rstrip("/")
    code = _run(url, key, chosen, there)
    if there and chosen.keep:
        print(f"kept: {', '.join(sorted(there))}")
    elif there:
        code = code or FAILED
        path = f"{url}/api/v1/admin/tenants/NAME?drop_datasets=true&confirm=NAME"
        print(f"left behind: {', '.join(sorted(there))}", file=sys.stderr)
        print(f"see each off by DELETE {path}", file=sys.stderr)
    if not code:
        print("all well")
    return code


def _run(url: str, key: str, chosen: argparse.Namespace, there: set[str]) -> int:
    try:
        asyncio.run(smoke(url, key, chosen.tenants, there, keep=chosen.keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ApiError, SmokeError, aiohttp.ClientError, TimeoutError) as error:
        print(f"failed: {_said(error)}", file=sys.stderr)
        return FAILED
    return 0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.smoke")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the gateway")
    parser.add_argument("--tenants", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="do not offboard them afterwards")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
