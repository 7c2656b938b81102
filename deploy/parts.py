"""What a deployment consists of, in the order in which it is made."""

from collections.abc import Callable, Iterable, Iterator

from contracts.topology import topology
from libs.provisioning.buckets import LedgerBucket
from libs.provisioning.change import Part
from libs.provisioning.datasets import SystemDataset
from libs.provisioning.keys import CredentialsKey
from libs.provisioning.secret_values import RandomSecret
from libs.provisioning.topics import Topics
from libs.settings import ServiceSettings
from services.audit_log.tables import DATASETS

ADMIN_KEY_PREFIX = "cvadm_"


def _topics(settings: ServiceSettings) -> Iterator[Part]:
    yield Topics(settings.gcp_project_id, topology())


def _bucket(settings: ServiceSettings) -> Iterator[Part]:
    yield LedgerBucket(
        settings.gcp_project_id,
        settings.bucket,
        settings.bigquery_location,
        settings.storage_emulator_host,
    )


def _datasets(settings: ServiceSettings) -> Iterator[Part]:
    for dataset in DATASETS:
        yield SystemDataset(
            settings.gcp_project_id, dataset, settings.bigquery_location, settings.bigquery_endpoint
        )


def _key(settings: ServiceSettings) -> Iterator[Part]:
    yield CredentialsKey(settings.kms_key_name, settings.kms_endpoint)


def _secrets(settings: ServiceSettings) -> Iterator[Part]:
    project, endpoint = settings.gcp_project_id, settings.secret_manager_endpoint
    yield RandomSecret(project, "api-key-pepper", endpoint)
    yield RandomSecret(project, "admin-api-key", endpoint, ADMIN_KEY_PREFIX)


GROUPS: dict[str, Callable[[ServiceSettings], Iterator[Part]]] = {
    "topics": _topics,
    "bucket": _bucket,
    "datasets": _datasets,
    "key": _key,
    "secrets": _secrets,
}
NAMES = tuple(GROUPS)


def parts(settings: ServiceSettings, names: Iterable[str] = NAMES) -> Iterator[tuple[str, Part]]:
    for name in names:
        for part in GROUPS[name](settings):
            yield name, part
