"""Messages about the platform itself, not about one tenant."""

from enum import StrEnum

from contracts.identifiers import TenantId
from contracts.message import EVERY_SERVICE, Command, Part, Query, Reply, Service


class ProblemPart(Part):
    """One thing wrong with what was asked, and where."""

    pointer: str
    """JSON pointer into the request, or a field name."""
    detail: str
    line: int | None = None
    column: int | None = None


class CommandRefusedV1(Reply, type="command.refused.v1"):
    """A command or query was understood and not carried out; nothing changed."""

    tenant_id: TenantId | None = None
    code: str
    """Stable and machine-readable, e.g. `tenant_exists`."""
    detail: str
    """What was wrong and what to do about it."""
    problems: tuple[ProblemPart, ...] = ()


class CheckServiceV1(Query, type="service.check.v1", to=EVERY_SERVICE):
    """Asks every service whether it could do its part of a run right now."""

    brief: bool = False
    """Asks only for a sign of life; nothing that the service depends on is looked at."""


class ServiceStatusV1(Reply, type="service.status.v1"):
    service: Service
    instance: str
    ready: bool
    waiting_for: tuple[str, ...] = ()
    version: str


class BootstrapPlatformV1(Command, type="platform.bootstrap.v1", to=Service.AUDIT_LOG):
    """Create or migrate the system datasets, tables and views; repeatable."""

    force_recreate_dataset: bool = False
    force_recreate_tables: bool = False
    confirm: str = ""
    """With force: the name of the dataset that may be recreated."""


class ObjectAction(StrEnum):
    CREATED = "created"
    MIGRATED = "migrated"
    UNCHANGED = "unchanged"
    RECREATED = "recreated"
    SNAPSHOT = "snapshot"


class ObjectPart(Part):
    """What was done to one dataset, table or view."""

    name: str
    action: ObjectAction


class PlatformBootstrappedV1(Reply, type="platform.bootstrapped.v1"):
    schema_version: int
    objects: tuple[ObjectPart, ...]
