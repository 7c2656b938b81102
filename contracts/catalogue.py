"""Every message with who publishes it and who acts on it.

audit_log records everything, so it is named as a consumer only of what it
answers. Replies go to the instance that asked and so need no consumer here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from contracts import (
    audit,
    backfills,
    calls,
    costs,
    credentials,
    datasets,
    keys,
    notifications,
    pipelines,
    planning,
    platform,
    quality,
    quota,
    runs,
    schedules,
    steps,
    templates,
    tenants,
    ticks,
    webhooks,
)
from contracts.message import EVERY_SERVICE, Kind, Message, Service

GATEWAY, TENANT, SCHEDULER = Service.GATEWAY, Service.TENANT, Service.SCHEDULER
EXECUTOR, AUDIT_LOG, TICKS = Service.EXECUTOR, Service.AUDIT_LOG, Service.TICKS

CONSUMING_SERVICES = (GATEWAY, TENANT, SCHEDULER, EXECUTOR, AUDIT_LOG)
WAREHOUSE = "warehouse"
"""The lane of what may wait for BigQuery: no key's end and no suspension waits behind it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the catalogue."""

    model: type[Message]
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...]
    recorded: bool = True
    """Whether audit_log keeps it; health probes would only be noise, ciphertexts must not stay."""
    asked_by: Service = Service.GATEWAY
    """To whose instance a reply goes."""
    heard_by_every: tuple[Service, ...] = ()
    """Of which services every instance hears it, not only the one that takes it."""
    lane: str = ""
    """Where it waits its turn, apart from the tenant's other messages; empty: among them."""

    @property
    def is_sealed(self) -> bool:
        """Whether it carries a ciphertext, which has to be gone once its owner deletes it."""
        return any(f.annotation is credentials.SealedPart for f in self.model.model_fields.values())

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(topic_of(producer) for producer in self.producers)

    @property
    def ordering_key(self) -> str:
        key = "tenant_id" if has_tenant(self.model) else ""
        return f"{key}/{self.lane}" if self.lane else key

    def ordering_key_of(self, message: Message) -> str:
        """Messages of one ordering key are handled one after another, others side by side."""
        scope = message.scope or ""
        return f"{scope}/{self.lane}" if self.lane else scope


class UnknownTypeError(ValueError):
    """A wire type that no release of the contracts knows."""

    def __init__(self, wire_type: str) -> None:
        self.wire_type = wire_type
        super().__init__(
            f"unknown message type {wire_type[:100]!r}: not in the catalogue of this release"
        )


def has_tenant(model: type[Message]) -> bool:
    return "tenant_id" in model.model_fields or "scope" in vars(model)


def topic_of(service: Service | str) -> str:
    return f"convergence-{service}-v1"


def subscription_of(consumer: Service | str, producer: Service | str) -> str:
    return f"convergence-{consumer}-from-{producer}-v1"


def _ask(model: type[Message], *, by: Service = GATEWAY, lane: str = "") -> Entry:
    """A command or query from one service to its owner."""
    return Entry(model, (by,), (Service(model.to),), lane=lane)


def _tell(model: type[Message], producer: Service, *consumers: Service) -> Entry:
    """An event; the gateway hears every event for its live views."""
    return Entry(model, (producer,), consumers)


def _answer(
    model: type[Message], *producers: Service, recorded: bool = True, to: Service = GATEWAY
) -> Entry:
    return Entry(model, producers, (), recorded, to)


CATALOGUE: tuple[Entry, ...] = (
    # the platform
    Entry(platform.CheckServiceV1, (GATEWAY,), CONSUMING_SERVICES[1:], recorded=False),
    _answer(platform.ServiceStatusV1, TENANT, SCHEDULER, EXECUTOR, AUDIT_LOG, recorded=False),
    _answer(platform.CommandRefusedV1, TENANT, SCHEDULER, EXECUTOR, AUDIT_LOG),
    _ask(platform.BootstrapPlatformV1),
    _answer(platform.PlatformBootstrappedV1, AUDIT_LOG),
    # tenants
    _ask(tenants.OnboardTenantV1, lane=WAREHOUSE),
    _tell(tenants.TenantOnboardedV1, TENANT, SCHEDULER),
    _ask(tenants.ProvisionTenantV1, lane=WAREHOUSE),
    _tell(tenants.TenantProvisionedV1, TENANT),
    _ask(tenants.SuspendTenantV1),
    _tell(tenants.TenantSuspendedV1, TENANT, SCHEDULER, GATEWAY),
    _ask(tenants.ResumeTenantV1),
    _tell(tenants.TenantResumedV1, TENANT, SCHEDULER, GATEWAY),
    _ask(tenants.ChangePlanV1, lane=WAREHOUSE),
    _tell(tenants.PlanChangedV1, TENANT, SCHEDULER),
    _ask(tenants.OffboardTenantV1, lane=WAREHOUSE),
    _tell(tenants.TenantOffboardedV1, TENANT, SCHEDULER, GATEWAY, AUDIT_LOG),
    _ask(tenants.GetTenantV1),
    _answer(tenants.TenantV1, TENANT),
    _ask(tenants.ListTenantsV1),
    _answer(tenants.TenantListV1, TENANT),
    # datasets
    _ask(datasets.RegisterDatasetV1, lane=WAREHOUSE),
    _tell(datasets.DatasetRegisteredV1, TENANT, SCHEDULER),
    # keys
    _ask(keys.IssueKeyV1),
    _tell(keys.KeyIssuedV1, TENANT, GATEWAY),
    _ask(keys.RotateKeyV1),
    _tell(keys.KeyRotatedV1, TENANT, GATEWAY),
    _ask(keys.RevokeKeyV1),
    _tell(keys.KeyRevokedV1, TENANT, GATEWAY),
    Entry(keys.FindKeyV1, (GATEWAY,), (TENANT,), recorded=False),
    _answer(keys.KeyFoundV1, TENANT, recorded=False),
    _ask(keys.ListKeysV1),
    _answer(keys.KeyListV1, TENANT),
    # credentials
    Entry(credentials.StoreCredentialV1, (GATEWAY,), (TENANT,), recorded=False),
    _tell(credentials.CredentialStoredV1, TENANT),
    _ask(credentials.DeleteCredentialV1),
    _tell(credentials.CredentialDeletedV1, TENANT),
    _ask(credentials.GetCredentialV1, by=EXECUTOR),
    _answer(credentials.CredentialV1, TENANT, recorded=False, to=EXECUTOR),
    _ask(credentials.TestCredentialV1),
    _tell(credentials.CredentialTestedV1, EXECUTOR),
    _ask(credentials.RewrapCredentialV1),
    Entry(credentials.KeepRewrappedV1, (EXECUTOR,), (TENANT,), recorded=False),
    _tell(credentials.CredentialRewrappedV1, EXECUTOR),
    _ask(credentials.ListCredentialsV1),
    _answer(credentials.CredentialListV1, TENANT),
    # pipeline definitions
    _ask(pipelines.SaveConfigV1),
    _tell(pipelines.ConfigSavedV1, SCHEDULER),
    _ask(pipelines.DeleteConfigV1),
    _tell(pipelines.ConfigDeletedV1, SCHEDULER),
    _ask(pipelines.GetConfigV1),
    _answer(pipelines.ConfigV1, SCHEDULER),
    _ask(pipelines.ListConfigsV1),
    _answer(pipelines.ConfigListV1, SCHEDULER),
    _ask(pipelines.ListRevisionsV1),
    _answer(pipelines.RevisionListV1, SCHEDULER),
    _ask(pipelines.CheckDefinitionV1),
    _answer(pipelines.DefinitionCheckedV1, SCHEDULER),
    # templates
    _ask(templates.ListTemplatesV1),
    _answer(templates.TemplateListV1, SCHEDULER),
    _ask(templates.GetTemplateV1),
    _answer(templates.TemplateV1, SCHEDULER),
    # schedules and backfills
    _ask(schedules.SaveScheduleV1),
    _tell(schedules.ScheduleSavedV1, SCHEDULER),
    _ask(schedules.DeleteScheduleV1),
    _tell(schedules.ScheduleDeletedV1, SCHEDULER),
    _tell(schedules.ScheduleMissedV1, SCHEDULER),
    _tell(schedules.SchedulesAdvancedV1, SCHEDULER),
    _ask(schedules.ListSchedulesV1),
    _answer(schedules.ScheduleListV1, SCHEDULER),
    _ask(backfills.StartBackfillV1),
    _answer(backfills.BackfillPlannedV1, SCHEDULER),
    _tell(backfills.BackfillStartedV1, SCHEDULER),
    _ask(backfills.ChangeBackfillV1),
    _tell(backfills.BackfillChangedV1, SCHEDULER),
    _ask(backfills.ListBackfillsV1),
    _answer(backfills.BackfillListV1, SCHEDULER),
    # runs
    _ask(runs.SubmitRunV1),
    _tell(runs.RunRequestedV1, SCHEDULER, EXECUTOR, GATEWAY, AUDIT_LOG),
    _tell(runs.RunQueuedV1, SCHEDULER, GATEWAY),
    _tell(runs.RunRejectedV1, SCHEDULER, GATEWAY, AUDIT_LOG),
    _ask(runs.CancelRunV1),
    Entry(runs.RunCancelRequestedV1, (SCHEDULER,), (EXECUTOR,), heard_by_every=(EXECUTOR,)),
    _ask(runs.RetryRunV1),
    _ask(runs.ExplainRunV1),
    _answer(runs.RunExplainedV1, SCHEDULER),
    _tell(runs.RunFinishedV1, SCHEDULER, GATEWAY, AUDIT_LOG),
    _tell(runs.AttemptStartedV1, EXECUTOR, SCHEDULER, GATEWAY),
    _tell(runs.AttemptHeartbeatV1, EXECUTOR, SCHEDULER, GATEWAY),
    _tell(runs.AttemptReturnedV1, EXECUTOR, SCHEDULER, GATEWAY),
    _tell(runs.AttemptFinishedV1, EXECUTOR, SCHEDULER, GATEWAY),
    _ask(runs.GetRunV1),
    _answer(runs.RunV1, AUDIT_LOG),
    _ask(runs.ListRunsV1),
    _answer(runs.RunListV1, AUDIT_LOG),
    _ask(planning.PlanRunV1),
    _answer(planning.RunPlanV1, EXECUTOR),
    # steps
    _tell(steps.StepStartedV1, EXECUTOR, GATEWAY),
    _tell(steps.StepProgressedV1, EXECUTOR, GATEWAY),
    _tell(steps.StepCompletedV1, EXECUTOR, GATEWAY),
    _ask(steps.ListStepsV1),
    _answer(steps.StepListV1, AUDIT_LOG),
    # what tenants' clouds cost
    _ask(costs.GetCostV1),
    _answer(costs.CostV1, EXECUTOR),
    _ask(costs.GetCostChangesV1),
    _answer(costs.CostChangesV1, EXECUTOR),
    _ask(costs.GetCostSourcesV1),
    _answer(costs.CostSourcesV1, EXECUTOR),
    # data quality
    _tell(quality.QualityCheckedV1, EXECUTOR, GATEWAY, AUDIT_LOG),
    _tell(quality.SchemaDriftedV1, EXECUTOR, GATEWAY, AUDIT_LOG),
    _ask(quality.ListQualityV1),
    _answer(quality.QualityListV1, AUDIT_LOG),
    # notifications
    _tell(notifications.WebhookDeliveredV1, EXECUTOR, GATEWAY),
    # webhooks
    _ask(webhooks.SaveWebhookV1),
    _tell(webhooks.WebhookSavedV1, AUDIT_LOG),
    _ask(webhooks.DeleteWebhookV1),
    _tell(webhooks.WebhookDeletedV1, AUDIT_LOG),
    _ask(webhooks.RotateWebhookV1),
    _tell(webhooks.WebhookRotatedV1, AUDIT_LOG),
    _ask(webhooks.SendNoticeV1),
    _tell(webhooks.NoticeRaisedV1, AUDIT_LOG),
    _tell(webhooks.NoticeSentV1, AUDIT_LOG),
    _ask(webhooks.ListWebhooksV1),
    _answer(webhooks.WebhookListV1, AUDIT_LOG),
    _ask(webhooks.ListNoticesV1),
    _answer(webhooks.NoticeListV1, AUDIT_LOG),
    # quota
    _tell(quota.QuotaReachedV1, SCHEDULER, AUDIT_LOG),
    _ask(quota.GetQuotaV1),
    _answer(quota.QuotaV1, SCHEDULER),
    _ask(quota.GetSchedulerStatusV1),
    _answer(quota.SchedulerStatusV1, SCHEDULER),
    # ticks
    Entry(ticks.TickV1, (TICKS, GATEWAY), (SCHEDULER,)),
    _answer(ticks.TickAppliedV1, SCHEDULER),
    # who did what
    Entry(calls.CallAnsweredV1, (GATEWAY,), ()),
    # what has been recorded
    _ask(audit.ListEventsV1),
    _answer(audit.EventListV1, AUDIT_LOG),
    _ask(audit.ListUsageV1),
    _answer(audit.UsageListV1, AUDIT_LOG),
    _ask(audit.ListRunCostsV1),
    _answer(audit.RunCostListV1, AUDIT_LOG),
    _ask(audit.ListLineageV1),
    _answer(audit.LineageListV1, AUDIT_LOG),
    Entry(audit.MessageAbandonedV1, CONSUMING_SERVICES[1:], ()),
    _ask(audit.ListDeadLettersV1),
    _answer(audit.DeadLetterListV1, AUDIT_LOG),
)


@cache
def by_wire_type() -> dict[str, Entry]:
    return {entry.model.wire_type: entry for entry in CATALOGUE}


def entry_of(wire_type: str) -> Entry:
    """The catalogue's line for a wire type; raises `UnknownTypeError`."""
    try:
        return by_wire_type()[wire_type]
    except KeyError:
        raise UnknownTypeError(wire_type) from None


def consumed_by(service: Service) -> Iterable[type[Message]]:
    """What a service must have a handler for: all of it, and nothing else."""
    return (entry.model for entry in CATALOGUE if service in entry.consumers)


def is_addressed(model: type[Message]) -> bool:
    return model.kind in {Kind.COMMAND, Kind.QUERY} or model.to == EVERY_SERVICE
