"""The health endpoints, which every service has (libs/web/app.py), as the document tells them."""

from typing import Literal

from contracts.message import Part
from services.gateway.api.endpoint import Call, Who, endpoint


class Health(Part):
    status: Literal["healthy"]
    service: str
    component: str
    version: str
    environment: str


class Ready(Part):
    status: Literal["ready", "waiting"]
    waiting_for: tuple[str, ...] = ()
    """What is missing, service by service."""


class HealthRoutes:
    """Declared here, served by the application itself."""

    @endpoint("GET", "/health", Who.ANYONE)
    @endpoint("GET", "/healthz", Who.ANYONE)
    async def healthy(self, call: Call) -> Health:
        """Say that the process answers, and which version it is."""
        raise NotImplementedError

    @endpoint("GET", "/readyz", Who.ANYONE, also={503: Ready})
    async def ready(self, call: Call) -> Ready:
        """Say whether a run would succeed, or with 503 what is missing."""
        raise NotImplementedError
