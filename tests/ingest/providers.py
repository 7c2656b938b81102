"""Providers' APIs as they behave: pages, keys, limits, and answers that break off.

A server of our own, in their shapes. `faults` are what the next requests meet,
one each: a status, `truncated`, `slow` or nothing; then it answers well again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from aiohttp import web

ADMIN_KEY = "sk-admin-0123456789-canary"
DAY = 86400


Beyond = Literal["empty", "missing", "last"]


@dataclass
class Provider:
    """What the server knows, and what it was asked."""

    url: str = ""
    faults: deque[int | str | None] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)
    posted: list[dict[str, Any]] = field(default_factory=list)
    elsewhere: str = ""
    """Where the next page is said to be."""
    link: str = '<{}>; rel="next"'
    """How a header says where the next page is."""
    tokens: int = 0
    days: int = 30
    per_page: int = 7
    changes: list[dict[str, str]] = field(default_factory=list)
    most: int = 4
    """What a page of items has at most, whatever is asked for."""
    number: int = 10
    """Of the items."""
    hidden: frozenset[int] = frozenset()
    """Items that take their place on a page, and are not shown."""
    beyond: Beyond = "empty"
    """What is behind the last page."""
    written: str = "[]"
    """An answer, to the letter."""

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._trouble])
        app.router.add_get("/v1/organization/costs", self.openai_costs)
        app.router.add_get("/v1/organization/usage/{kind}", self.openai_usage)
        app.router.add_get("/v1/organizations/cost_report", self.anthropic_costs)
        app.router.add_get("/items/{kind}", self.items)
        app.router.add_post("/token", self.token)
        app.router.add_post("/posted", self.items_posted)
        return app

    @web.middleware
    async def _trouble(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        fault = self.faults.popleft() if self.faults else None
        if fault == "truncated":
            return await self._truncated(request)
        if fault == "slow":
            await asyncio.sleep(5)
        elif isinstance(fault, str):
            waits = {"retry-after": fault.split()[1]}
            return web.json_response({"error": "later"}, status=429, headers=waits)
        elif fault == 429:
            return web.json_response({"error": "slow down"}, status=429, headers=_AT_ONCE)
        elif fault is not None:
            return web.json_response({"error": "trouble"}, status=int(fault))
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _truncated(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b'{"object": "page", "data": [')
        if request.transport is not None:
            request.transport.close()
        return response

    async def openai_costs(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {ADMIN_KEY}":
            return web.json_response({"error": {"message": "no admin key"}}, status=401)
        start, end = int(request.query["start_time"]), int(request.query["end_time"])
        first = int(request.query.get("page", "p_0").removeprefix("p_"))
        days = list(range(start, min(end, start + self.days * DAY), DAY))
        page = days[first : first + self.per_page]
        more = first + self.per_page < len(days)
        body = {
            "object": "page",
            "data": [_openai_bucket(day) for day in page],
            "has_more": more,
            "next_page": f"p_{first + self.per_page}" if more else None,
        }
        return web.json_response(body)

    async def openai_usage(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {ADMIN_KEY}":
            return web.json_response({"error": {"message": "no admin key"}}, status=401)
        kind = USAGE.get(request.match_info["kind"])
        if kind is None:
            return web.json_response({"error": {"message": "no such endpoint"}}, status=404)
        groups, measures = kind
        if unknown := set(request.query.getall("group_by")) - {"project_id", *groups}:
            return web.json_response({"error": {"message": f"no group {unknown}"}}, status=400)
        day = int(request.query["start_time"])
        result = {**dict.fromkeys(groups), **measures, "project_id": "proj_a"}
        bucket = {"object": "bucket", "start_time": day, "end_time": day + DAY, "results": [result]}
        body = {"object": "page", "data": [bucket], "has_more": False, "next_page": None}
        return web.json_response(body)

    async def anthropic_costs(self, request: web.Request) -> web.Response:
        if request.headers.get("x-api-key") != ADMIN_KEY:
            return web.json_response({"error": {"type": "authentication_error"}}, status=401)
        if "anthropic-version" not in request.headers:
            return web.json_response({"error": {"type": "invalid_request_error"}}, status=400)
        start = datetime.fromisoformat(request.query["starting_at"])
        second = request.query.get("page") == "page_2"
        at = int(start.timestamp()) + (DAY if second else 0)
        body = {
            "data": [_anthropic_bucket(at)],
            "has_more": not second,
            "next_page": None if second else "page_2",
        }
        return web.json_response(body)

    async def items(self, request: web.Request) -> web.Response:
        """So many items, paged as `kind` says; opened by a token where it is `oauth`."""
        kind = request.match_info["kind"]
        if kind == "oauth" and request.headers.get("Authorization") != f"Bearer t{self.tokens}":
            return web.json_response({"error": "expired"}, status=401)
        if kind == "written":
            return web.Response(text=self.written, content_type="application/json")
        if kind == "changes":
            return web.json_response(self.changes)
        at = {
            "page": (int(request.query.get("p", 1)) - 1) * self.most,
            "offset": int(request.query.get("skip", 0)),
            "link": int(request.query.get("from", 0)),
        }.get(kind, 0)
        if at >= self.number and self.beyond == "missing":
            return web.json_response({"detail": "no such page"}, status=404)
        if at >= self.number and self.beyond == "last":
            at = (self.number - 1) // self.most * self.most
        size = 10 if kind in {"oauth", "basic"} else self.most
        shown = set(range(at, min(at + size, self.number))) - self.hidden
        found = [{"id": number} for number in sorted(shown)]
        headers = {}
        if kind == "link" and at + 4 < 10:
            headers["Link"] = self.link.format(f"{self.url}/items/link?from={at + 4}")
        return web.json_response(found, headers=headers)

    async def items_posted(self, request: web.Request) -> web.Response:
        """Ten items; which page is wanted is in the body, or in the address that was given."""
        said = await request.json()
        self.posted.append(said)
        at = int(said.get("after", said.get("skip", request.query.get("from", 0))))
        found = [{"of": {"id": number}} for number in range(at, min(at + said["size"], 10))]
        answer: dict[str, Any] = {"found": found, "more": None, "@next": None}
        if (after := at + said["size"]) < 10:
            address = self.elsewhere or f"{self.url}/posted"
            answer |= {"more": str(after), "@next": f"{address}?from={after}"}
        return web.json_response(answer)

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        if form.get("client_secret") != ADMIN_KEY:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens += 1
        return web.json_response({"access_token": f"t{self.tokens}", "expires_in": 3600})


BY_MODEL = ("user_id", "api_key_id", "model")
USAGE: dict[str, tuple[tuple[str, ...], dict[str, int]]] = {
    "completions": ((*BY_MODEL, "batch"), {"input_tokens": 9, "output_tokens": 5}),
    "embeddings": (BY_MODEL, {"input_tokens": 9, "num_model_requests": 1}),
    "moderations": (BY_MODEL, {"input_tokens": 9, "num_model_requests": 1}),
    "images": ((*BY_MODEL, "size", "source"), {"images": 2, "num_model_requests": 1}),
    "audio_speeches": (BY_MODEL, {"characters": 45, "num_model_requests": 1}),
    "audio_transcriptions": (BY_MODEL, {"seconds": 10, "num_model_requests": 1}),
    "vector_stores": ((), {"usage_bytes": 1024}),
    "code_interpreter_sessions": ((), {"num_sessions": 1}),
    "file_search_calls": (("user_id", "api_key_id", "vector_store_id"), {"num_requests": 2}),
    "web_search_calls": ((*BY_MODEL, "context_level"), {"num_requests": 2}),
}
"""Of each endpoint: what it groups by beside projects, and what it counts."""
_AT_ONCE = {"retry-after-ms": "10"}


def _openai_bucket(day: int) -> dict[str, Any]:
    """One line item a day, and nothing at all on some days."""
    results = [] if day // DAY % 5 == 0 else [_openai_result(day)]
    return {"object": "bucket", "start_time": day, "end_time": day + DAY, "results": results}


def _openai_result(day: int) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": day // DAY % 7 + 0.06, "currency": "usd"},
        "line_item": "gpt-5, input tokens",
        "project_id": "proj_a",
        "quantity": 1000,
        "quantity_unit": "tokens",
        "api_key_id": None,
    }


def _anthropic_bucket(at: int) -> dict[str, Any]:
    start, end = (datetime.fromtimestamp(t, UTC).isoformat() for t in (at, at + DAY))
    result = {
        "currency": "USD",
        "amount": "123.4500",
        "workspace_id": "wrkspc_1",
        "description": "Claude Opus Usage - Input Tokens",
        "cost_type": "tokens",
        "model": "claude-opus",
        "service_tier": "standard",
        "token_type": "uncached_input_tokens",
        "context_window": "0-200k",
    }
    return {"starting_at": start, "ending_at": end, "results": [result]}


@asynccontextmanager
async def serve(provider: Provider | None = None) -> AsyncIterator[Provider]:
    provider = provider or Provider()
    runner = web.AppRunner(provider.application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    provider.url = f"http://{host}:{port}"
    yield provider
    await runner.cleanup()
