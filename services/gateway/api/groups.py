"""Every group of endpoints that the gateway serves. A new group is one more line."""

from collections.abc import Callable, Iterator
from typing import Any

from services.gateway.api.admin import AdminRoutes
from services.gateway.api.admin_tenants import AdminTenantRoutes
from services.gateway.api.audit import AuditRoutes
from services.gateway.api.backfills import BackfillRoutes
from services.gateway.api.cost import CostRoutes
from services.gateway.api.credentials import CredentialRoutes
from services.gateway.api.dead_letters import DeadLetterRoutes
from services.gateway.api.endpoint import Endpoint, Who, endpoints_of
from services.gateway.api.events import EventRoutes
from services.gateway.api.health import HealthRoutes
from services.gateway.api.history import HistoryRoutes
from services.gateway.api.keys import KeyRoutes
from services.gateway.api.pipelines import PipelineRoutes
from services.gateway.api.planning import PlanRoutes
from services.gateway.api.quality import QualityRoutes
from services.gateway.api.runs import RunRoutes
from services.gateway.api.scheduler import SchedulerRoutes
from services.gateway.api.schedules import ScheduleRoutes
from services.gateway.api.templates import TemplateRoutes
from services.gateway.api.tenants import TenantRoutes
from services.gateway.api.webhooks import WebhookRoutes

GROUPS = (
    AdminRoutes,
    AdminTenantRoutes,
    TenantRoutes,
    KeyRoutes,
    CredentialRoutes,
    PipelineRoutes,
    PlanRoutes,
    ScheduleRoutes,
    BackfillRoutes,
    RunRoutes,
    TemplateRoutes,
    SchedulerRoutes,
    HistoryRoutes,
    AuditRoutes,
    CostRoutes,
    EventRoutes,
    QualityRoutes,
    WebhookRoutes,
    DeadLetterRoutes,
)


def all_endpoints() -> Iterator[tuple[Endpoint, Callable[..., Any], type]]:
    """Every endpoint with its handler and group, those of health first."""
    for group in (HealthRoutes, *GROUPS):
        for declared, function in endpoints_of(group):
            yield declared, function, group


GUESTS = frozenset(
    path for one, _, _ in all_endpoints() if one.who is Who.GUEST for path in one.paths
)
"""The paths that are open to who has no key."""
