"""Who may do what: one service account per service, and no more than it needs.

Publishing follows from the topology: only a topic's own service publishes to it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.catalogue import CONSUMING_SERVICES, topic_of
from contracts.message import Service
from contracts.topology import HEARD_BY_GATEWAYS, dead_letters_of, durable_subscriptions, topology
from libs.warehouse.accounts import email_of

INSTANCE_ROLE = "convergenceInstanceSubscriber"
INSTANCE_PERMISSIONS = (
    "pubsub.subscriptions.consume",
    "pubsub.subscriptions.create",
    "pubsub.subscriptions.delete",
    "pubsub.subscriptions.get",
)
PUBLISHER, SUBSCRIBER = "roles/pubsub.publisher", "roles/pubsub.subscriber"
OBJECT_USER, OBJECT_READER = "roles/storage.objectUser", "roles/storage.objectViewer"
BUCKET_READER = "roles/storage.legacyBucketReader"
DATASET_CLAIMS = "claims/datasets"
# The folders of the bucket that a service writes, and nobody else.
FOLDERS = {
    Service.TENANT: ("ledger/tenant", "snapshots/tenant", "ciphertexts", DATASET_CLAIMS),
    Service.SCHEDULER: (
        "ledger/scheduler",
        "snapshots/scheduler",
        "ledger/scheduler-places",
        "snapshots/scheduler-places",
        "due",
        "revisions",
    ),
    Service.EXECUTOR: ("claims", "checkpoints", "work"),
    Service.AUDIT_LOG: ("ledger/audit-log", "snapshots/audit-log"),
}
LANDING, LOADS = "landing", "loads"
"""Folders of the data bucket: what is delivered, and what the executor makes of it."""
SYSTEM_DATASETS = ("tenants", "metadata")


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on one resource for one member, perhaps under a condition."""

    resource: str
    """`topic:NAME`, `subscription:NAME`, `bucket:NAME`, `key:PATH`, `secret:NAME`, `project:`."""
    role: str
    member: str
    condition: str = ""

    @property
    def title(self) -> str:
        """What Google shows of a condition."""
        return f"{self.role.rpartition('/')[2]} of {self.member.partition('@')[0]}"[:100]


@dataclass(frozen=True, slots=True)
class Names:
    """The names in one project that grants speak of."""

    project: str
    number: str
    bucket: str
    data_bucket: str
    """Of deliveries and loads; it may be the same one."""
    kms_key: str

    def account(self, service: Service) -> str:
        return account_of(service, self.project)

    @property
    def accounts(self) -> frozenset[str]:
        """Of all services."""
        return frozenset(map(self.account, CONSUMING_SERVICES))

    def agent(self, of: str) -> str:
        """Google's own account by which one of its products works for this project."""
        return f"serviceAccount:service-{self.number}@gcp-sa-{of}.iam.gserviceaccount.com"


def account_id(service: Service) -> str:
    return f"convergence-{service.value}"


def account_of(service: Service, project: str) -> str:
    """As a member of policies."""
    return f"serviceAccount:{email_of(account_id(service), project)}"


def grants(names: Names) -> Iterator[Grant]:
    yield from _publishing(names)
    yield from _receiving(names)
    yield from _storing(names)
    yield from _loading(names)
    yield from _warehousing(names)
    yield from _secrets(names)
    for service in CONSUMING_SERVICES:
        for role in ("roles/cloudtrace.agent", "roles/monitoring.metricWriter"):
            yield Grant("project:", role, names.account(service))


def _publishing(names: Names) -> Iterator[Grant]:
    for topic in topology().topics:
        owner = Service(topic.publisher)
        if owner is Service.TICKS:
            yield Grant(f"topic:{topic.name}", PUBLISHER, names.agent("cloudscheduler"))
        else:
            yield Grant(f"topic:{topic.name}", PUBLISHER, names.account(owner))


def _receiving(names: Names) -> Iterator[Grant]:
    for service in CONSUMING_SERVICES:
        for spec in durable_subscriptions(service):
            yield Grant(f"subscription:{spec.name}", SUBSCRIBER, names.account(service))
            # Pub/Sub itself moves what kills its consumer again and again.
            yield Grant(f"subscription:{spec.name}", SUBSCRIBER, names.agent("pubsub"))
            yield Grant(f"topic:{dead_letters_of(spec.name)}", PUBLISHER, names.agent("pubsub"))
    gateway = names.account(Service.GATEWAY)
    for producer in HEARD_BY_GATEWAYS:  # to attach what each instance makes for itself
        yield Grant(f"topic:{topic_of(producer)}", SUBSCRIBER, gateway)
    yield Grant("project:", f"projects/{names.project}/roles/{INSTANCE_ROLE}", gateway)


def _storing(names: Names) -> Iterator[Grant]:
    resource = f"bucket:{names.bucket}"
    for service, folders in FOLDERS.items():
        yield Grant(resource, BUCKET_READER, names.account(service))
        condition = " || ".join(_inside(names.bucket, folder) for folder in folders)
        if any(DATASET_CLAIMS.startswith(f"{folder}/") for folder in folders):
            others = f"!{_inside(names.bucket, DATASET_CLAIMS)}"
            condition = f"({condition}) && {others}"
        yield Grant(resource, OBJECT_USER, names.account(service), condition)


def _loading(names: Names) -> Iterator[Grant]:
    """The executor reads what is delivered, and writes only what it makes of it."""
    resource, executor = f"bucket:{names.data_bucket}", names.account(Service.EXECUTOR)
    if names.data_bucket != names.bucket:
        yield Grant(resource, BUCKET_READER, executor)
    yield Grant(resource, OBJECT_READER, executor, _inside(names.data_bucket, LANDING))
    yield Grant(resource, OBJECT_USER, executor, _inside(names.data_bucket, LOADS))


def _inside(bucket: str, folder: str) -> str:
    """The condition that an object is in a folder."""
    return f'resource.name.startsWith("projects/_/buckets/{bucket}/objects/{folder}/")'


def _warehousing(names: Names) -> Iterator[Grant]:
    # To create datasets makes one their owner: the tenant service of tenants' datasets.
    yield Grant("project:", "roles/bigquery.user", names.account(Service.TENANT))
    yield Grant("project:", "roles/bigquery.user", names.account(Service.AUDIT_LOG))
    for dataset in SYSTEM_DATASETS:
        yield Grant(f"dataset:{dataset}", "WRITER", names.account(Service.AUDIT_LOG))
    executor = names.account(Service.EXECUTOR)
    yield Grant("project:", "roles/bigquery.jobUser", executor)
    yield Grant("project:", "roles/bigquery.dataEditor", executor, _not_the_system(names))


def _not_the_system(names: Names) -> str:
    """Every dataset but the platform's own."""
    paths = [f"projects/{names.project}/datasets/{dataset}" for dataset in SYSTEM_DATASETS]
    return " && ".join(
        f'resource.name != "{path}" && !resource.name.startsWith("{path}/")' for path in paths
    )


def _secrets(names: Names) -> Iterator[Grant]:
    encrypt, decrypt = "roles/cloudkms.cryptoKeyEncrypter", "roles/cloudkms.cryptoKeyDecrypter"
    yield Grant(f"key:{names.kms_key}", encrypt, names.account(Service.GATEWAY))
    yield Grant(f"key:{names.kms_key}", decrypt, names.account(Service.EXECUTOR))
    # To wrap data keys anew after a rotation; what it may open it may also close.
    yield Grant(f"key:{names.kms_key}", encrypt, names.account(Service.EXECUTOR))
    role = "roles/secretmanager.secretAccessor"
    for secret in ("api-key-pepper", "admin-api-key", "webhook-signing-key"):
        yield Grant(f"secret:{secret}", role, names.account(Service.GATEWAY))
    yield Grant("secret:webhook-signing-key", role, names.account(Service.AUDIT_LOG))
