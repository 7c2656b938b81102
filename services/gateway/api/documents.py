"""What people and their tools read, outside the API: its document."""

from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from libs.settings import GatewaySettings

DOCUMENT = Path(__file__).parents[1] / "openapi.json"


class DocumentRoutes:
    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._document = DOCUMENT.read_bytes()

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.get("/openapi.json", self.document)]

    async def document(self, _: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type="application/json")
