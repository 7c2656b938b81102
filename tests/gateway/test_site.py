"""The human pages: served by the gateway alone, and gone in production but for the error codes."""

import json
import re
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from libs.settings import Environment
from libs.web.problem import Problem
from libs.web.server import serve
from services.gateway.errors import CODES
from services.gateway.openapi import PATH
from services.gateway.site import CONSOLE, REFERENCE, console_routes, document_routes

FILES = [path for folder in (CONSOLE, REFERENCE) for path in folder.rglob("*.*")]


async def statuses(environment: Environment, *paths: str) -> dict[str, int]:
    app = web.Application()
    app.add_routes([*document_routes(environment), *console_routes()])
    runner, port = await serve(app, host="127.0.0.1", port=0)
    found = {}
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                found[path] = answer.status
                policy = answer.headers.get("Content-Security-Policy", "")
                assert answer.status != 200 or policy.startswith("default-src 'none'")
    await runner.cleanup()
    return found


async def test_the_reference_is_served_with_all_it_needs() -> None:
    wanted = {"/docs", "/redoc", "/docs/errors", "/openapi.json"}
    for page in REFERENCE.glob("*.html"):
        wanted |= set(re.findall(r'(?:src|href)="(/[^"#]+)"', page.read_text()))
    for script in REFERENCE.glob("*.js"):
        wanted |= set(re.findall(r'(?:from|fetch\()\s*"([^"]+)"', script.read_text()))
    found = await statuses(Environment.DEVELOPMENT, *sorted(wanted))
    assert set(found.values()) == {200}
    assert "/console/dom.js" in found


async def test_production_explains_errors_and_shows_no_reference() -> None:
    paths = ("/docs", "/redoc", "/docs/errors", "/docs/errors.js")
    found = await statuses(Environment.PRODUCTION, *paths)
    assert list(found.values()) == [404, 404, 200, 200]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    for url in re.findall(r"https?://[^\s\"'`]+", text):
        assert url == "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_type_of_a_problem_leads_to_its_explanation(code: str) -> None:
    examples = json.loads(PATH.read_text())["components"]["examples"]
    problem = Problem(CODES[code].status, code, "It was so.").response("/")
    assert isinstance(problem.body, bytes)
    assert json.loads(problem.body)["type"] == f"/docs/errors#{code}"
    assert examples[code]["value"]["detail"] == CODES[code].text
