"""Endpoints for the platform itself."""

from contracts.platform import BootstrapPlatformV1, PlatformBootstrappedV1
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Body, Call, Who, endpoint


class BootstrapBody(Body):
    force_recreate_dataset: bool = False
    """Make anew all that a dataset holds: tables, views, and what is not the platform's."""
    force_recreate_tables: bool = False
    """Make the platform's tables anew."""
    confirm: str = ""
    """With force: the dataset, `tenants` or `metadata`. A snapshot is taken first."""


class AdminRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        "/api/v1/admin/bootstrap",
        Who.ADMIN,
        errors=("confirmation_required", "schema_conflict"),
        example={},
    )
    async def bootstrap(self, call: Call, body: BootstrapBody) -> PlatformBootstrappedV1:
        """Create or migrate the system datasets, tables and views; may be repeated."""
        return await self._edge.questions.ask(
            BootstrapPlatformV1(**body.model_dump()),
            PlatformBootstrappedV1,
            within=self._edge.settings.provision_timeout_seconds,
        )
