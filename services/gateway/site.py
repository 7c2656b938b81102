"""The console and what else people look at: files read once, compressed, under a strict policy."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from libs.settings import Environment
from services.gateway.api.groups import all_endpoints

HERE = Path(__file__).parent
CONSOLE, REFERENCE = HERE / "console", HERE / "reference"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file as it is sent. Its ETag is its content's hash, so a change is seen at once."""

    plain: bytes
    small: bytes
    media: str
    etag: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> "Page":
        etag = f'"{sha256(content).hexdigest()[:32]}"'
        return cls(content, gzip.compress(content, 9, mtime=0), TYPES[suffix], etag)

    async def answer(self, request: web.Request) -> web.Response:
        headers = {**HEADERS, "ETag": self.etag}
        if request.headers.get("If-None-Match") == self.etag:
            return web.Response(status=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return web.Response(body=self.small, content_type=self.media, headers=headers)
        return web.Response(body=self.plain, content_type=self.media, headers=headers)


def console_routes() -> Sequence[web.RouteDef]:
    """The console at /console. Its folder is all that can be asked for."""
    pages = {
        f"/console/{path.relative_to(CONSOLE)}": Page.of(path.read_bytes(), path.suffix)
        for path in sorted(CONSOLE.rglob("*.*"))
    }
    pages["/console"] = pages["/console/"] = pages.pop("/console/index.html")
    served = sorted({f"{d.method} {path}" for d, _, _ in all_endpoints() for path in d.paths})
    pages["/console/endpoints.json"] = Page.of(json.dumps(served).encode(), ".json")
    return [web.get(path, page.answer) for path, page in pages.items()]


def document_routes(environment: Environment) -> Sequence[web.RouteDef]:
    """The OpenAPI document and the error codes; its human pages everywhere but in production."""
    document = (HERE / "openapi.json").read_bytes()
    routes = [web.get("/openapi.json", Page.of(document, ".json").answer)]
    pages = {path.name: Page.of(path.read_bytes(), path.suffix) for path in REFERENCE.iterdir()}
    index = pages.pop("index.html")
    routes.append(web.get("/docs/errors", pages.pop("errors.html").answer))
    routes += [web.get(f"/docs/{name}", page.answer) for name, page in pages.items()]
    if environment is not Environment.PRODUCTION:
        routes += [web.get(path, index.answer) for path in ("/docs", "/redoc")]
    return routes
