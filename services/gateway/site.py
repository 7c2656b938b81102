"""The console and what else people look at: files read once, compressed, under a strict policy."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from aiohttp import web

from services.gateway.api.groups import all_endpoints

CONSOLE = Path(__file__).parent / "console"
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


def document_routes() -> Sequence[web.RouteDef]:
    document = (Path(__file__).parent / "openapi.json").read_bytes()
    return [web.get("/openapi.json", Page.of(document, ".json").answer)]
