"""What a deployment consists of, in the order in which it is made."""

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from pydantic import Field

from contracts.catalogue import CONSUMING_SERVICES, topic_of
from contracts.message import Service
from contracts.ticks import TickJob, TickV1, fixed_attributes
from contracts.topology import topology
from deploy.access import (
    INSTANCE_PERMISSIONS,
    INSTANCE_ROLE,
    Grant,
    Names,
    account_id,
    account_of,
    grants,
)
from deploy.policy_addresses import address_of
from libs.provisioning.accounts import CustomRole, ServiceAccount, project_number
from libs.provisioning.buckets import PrivateBucket
from libs.provisioning.change import Part
from libs.provisioning.dataset_access import DatasetAccess, Writer
from libs.provisioning.datasets import SystemDataset
from libs.provisioning.keys import CredentialsKey
from libs.provisioning.policies import Binding, Policy
from libs.provisioning.rest import Rest
from libs.provisioning.schedules import Schedule
from libs.provisioning.secret_values import RandomSecret
from libs.provisioning.tenants import AuthorizedViews, tenant_datasets
from libs.provisioning.topics import Topics
from libs.settings import ServiceSettings
from libs.warehouse.accounts import account_id as tenant_account_id
from libs.warehouse.accounts import account_of as tenant_account
from services.audit_log.tables import DATASETS

ACT_AS, RUN_JOBS = "roles/iam.serviceAccountTokenCreator", "roles/bigquery.jobUser"
ADMIN_KEY_PREFIX = "cvadm_"
SCHEDULES = {
    TickJob.TRIGGER: "* * * * *",
    TickJob.QUEUE: "*/5 * * * *",
    TickJob.DAILY: "0 0 * * *",
}


class DeploySettings(ServiceSettings):
    """What only deployment reads."""

    region: str = Field(default="us-central1", min_length=2)
    """Where Cloud Run and Cloud Scheduler work."""
    google_rest_endpoint: str = ""
    """URL of a stand-in for Google's IAM and Cloud Scheduler; empty means Google's."""

    @property
    def emulated(self) -> bool:
        """Emulators know no accounts and no schedules, unless something stands in for those."""
        return bool(self.pubsub_emulator_host) and not self.google_rest_endpoint

    @property
    def rest(self) -> Rest:
        return Rest(self.google_rest_endpoint)


def _topics(settings: DeploySettings) -> Iterator[Part]:
    yield Topics(settings.gcp_project_id, topology())


def _bucket(settings: DeploySettings) -> Iterator[Part]:
    project, endpoint = settings.gcp_project_id, settings.storage_emulator_host
    for name in dict.fromkeys((settings.bucket, settings.deliveries_bucket)):
        yield PrivateBucket(project, name, settings.bigquery_location, endpoint)


def _datasets(settings: DeploySettings) -> Iterator[Part]:
    for dataset in DATASETS:
        yield SystemDataset(
            settings.gcp_project_id, dataset, settings.bigquery_location, settings.bigquery_endpoint
        )


def _key(settings: DeploySettings) -> Iterator[Part]:
    yield CredentialsKey(settings.kms_key_name, settings.kms_endpoint)


def _secrets(settings: DeploySettings) -> Iterator[Part]:
    project, endpoint = settings.gcp_project_id, settings.secret_manager_endpoint
    yield RandomSecret(project, "api-key-pepper", endpoint)
    yield RandomSecret(project, "webhook-signing-key", endpoint)
    yield RandomSecret(project, "admin-api-key", endpoint, ADMIN_KEY_PREFIX)


def _accounts(settings: DeploySettings) -> Iterator[Part]:
    if settings.emulated:
        return
    rest, project = settings.rest, settings.gcp_project_id
    for service in CONSUMING_SERVICES:
        yield ServiceAccount(rest, project, account_id(service), f"Convergence {service}")
    yield CustomRole(
        rest, project, INSTANCE_ROLE, "Convergence gateway instances", INSTANCE_PERMISSIONS
    )


def _access(settings: DeploySettings) -> Iterator[Part]:
    if settings.emulated:
        return
    rest, project = settings.rest, settings.gcp_project_id
    names = Names(
        project,
        project_number(rest, project),
        settings.bucket,
        settings.deliveries_bucket,
        settings.kms_key_name,
    )

    def resource(grant: Grant) -> str:
        return grant.resource

    for name, of_one in groupby(sorted(grants(names), key=resource), key=resource):
        wanted = list(of_one)
        kind, _, what = name.partition(":")
        if kind == "dataset":
            writers = [Writer(grant.member.partition(":")[2]) for grant in wanted]
            yield DatasetAccess(rest, project, what, writers)
        else:
            bindings = [Binding(g.role, g.member, g.condition, g.title) for g in wanted]
            yield Policy(rest, address_of(kind, what, project), bindings, names.accounts)


def _tenants(settings: DeploySettings) -> Iterator[Part]:
    """What each tenant's own SQL needs: an account that sees its datasets and nothing else."""
    if settings.emulated:
        return
    rest, project = settings.rest, settings.gcp_project_id
    executor = account_of(Service.EXECUTOR, project)
    found = sorted(tenant_datasets(rest, project), key=lambda one: (one.tenant_id, one.dataset))
    accounts: list[str] = []
    for tenant, datasets in groupby(found, key=lambda one: one.tenant_id):
        accounts.append(email := tenant_account(tenant, project))
        yield ServiceAccount(rest, project, tenant_account_id(tenant), f"SQL of {tenant}"[:100])
        acting = [Binding(ACT_AS, executor)]
        yield Policy(rest, address_of("account", email, project), acting)
        for one in datasets:
            yield DatasetAccess(rest, project, one.dataset, [Writer(email)])
    running = [Binding(RUN_JOBS, f"serviceAccount:{email}") for email in accounts]
    yield Policy(rest, address_of("project", project, project), running)
    for system in DATASETS:
        yield AuthorizedViews(rest, project, system.name, [one.dataset for one in found])


def _schedules(settings: DeploySettings) -> Iterator[Part]:
    if settings.emulated:
        return
    project = settings.gcp_project_id
    for job, cron in SCHEDULES.items():
        yield Schedule(
            settings.rest,
            f"projects/{project}/locations/{settings.region}",
            f"convergence-{job.value}",
            cron,
            f"projects/{project}/topics/{topic_of(Service.TICKS)}",
            TickV1(job=job).encode(),
            fixed_attributes(),
        )


GROUPS: dict[str, Callable[[DeploySettings], Iterator[Part]]] = {
    "topics": _topics,
    "bucket": _bucket,
    "datasets": _datasets,
    "key": _key,
    "secrets": _secrets,
    "accounts": _accounts,
    "access": _access,
    "tenants": _tenants,
    "schedules": _schedules,
}
NAMES = tuple(GROUPS)


def parts(settings: DeploySettings, names: Iterable[str] = NAMES) -> Iterator[tuple[str, Part]]:
    for name in names:
        for part in GROUPS[name](settings):
            yield name, part
