"""Where a step's files are: the landing folder, or what a URL says, let in by a credential."""

import glob
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from urllib.parse import urlsplit

from libs.cloud_auth.azure import STORAGE
from libs.cloud_auth.google import READ_STORAGE
from libs.outgoing.client import Outgoing
from services.executor.ingest.api_source import (
    Auth,
    AwsAuth,
    AzureAuth,
    BasicAuth,
    BearerAuth,
    GoogleAuth,
)
from services.executor.ingest.authorize import authorizer
from services.executor.ingest.places import BadPatternError, Place
from services.executor.ingest.remote import Reached, RemotePlace, WebPlace
from services.executor.ingest.stores import S3, AzureBlob, CloudStorage, WebFile

SCHEMES = ("s3://", "gs://", "az://", "https://", "http://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Reach:
    """What is needed to reach a place outside."""

    outgoing: Outgoing
    fields: Mapping[str, str]
    """Of the stored credential; empty without one."""
    azure_login: str
    region: str = ""
    endpoint: str = ""
    """Of a store that speaks like S3, Cloud Storage or Azure Blob; empty: the provider's."""
    unknown: str = ""
    """Stands for the checksum of a file whose server tells none."""
    seconds: float = inf
    """After which the step is over."""


def is_remote(files: str) -> bool:
    return files.startswith(SCHEMES)


def remote(files: str, reach: Reach) -> tuple[Place, str]:
    """The place that a URL names, and the pattern within it. Raises `IngestError`."""
    scheme, _, rest = files.partition("://")
    match scheme:
        case "s3":
            return _s3(*_split(files, rest, _BUCKET), reach)
        case "gs":
            bucket, pattern = _split(files, rest, _BUCKET)
            auth = GoogleAuth(kind="google", credential=GIVEN, scopes=(READ_STORAGE,))
            return RemotePlace(CloudStorage(bucket, reach.endpoint), _reached(auth, reach)), pattern
        case "az":
            account, inner = _split(files, rest, _ACCOUNT)
            return _azure(account, *_split(files, inner, _BUCKET), reach)
        case _:
            web = WebFile(files)
            place = WebPlace(web, _reached(_web_auth(reach.fields), reach), reach.unknown)
            return place, glob.escape(web.file)


def _s3(bucket: str, pattern: str, reach: Reach) -> tuple[Place, str]:
    region = reach.region or reach.fields.get("region") or "us-east-1"
    if not _REGION.fullmatch(region):
        raise BadPatternError(f"s3://{bucket}/…", f"{region[:40]!r} is no region of AWS")
    auth = AwsAuth(kind="aws", credential=GIVEN, service="s3", region=region)
    return RemotePlace(S3(bucket, region, reach.endpoint), _reached(auth, reach)), pattern


def _azure(account: str, container: str, pattern: str, reach: Reach) -> tuple[Place, str]:
    signature = reach.fields.get("sas_token", "")
    auth = None if signature else AzureAuth(kind="azure", credential=GIVEN, scope=STORAGE)
    blobs = AzureBlob(account, container, reach.endpoint, signature)
    return RemotePlace(blobs, _reached(auth, reach)), pattern


def _reached(auth: Auth | None, reach: Reach) -> Reached:
    """A bucket may be open to everybody: then no credential is named."""
    let_in = authorizer(
        auth if reach.fields else None, reach.fields, reach.outgoing, reach.azure_login
    )
    return Reached(reach.outgoing, let_in, reach.seconds)


def _web_auth(fields: Mapping[str, str]) -> Auth | None:
    if "username" in fields:
        return BasicAuth(kind="basic", credential=GIVEN)
    return BearerAuth(kind="bearer", credential=GIVEN) if fields else None


def _split(files: str, rest: str, form: re.Pattern[str]) -> tuple[str, str]:
    name, _, pattern = rest.partition("/")
    if not form.fullmatch(name) or not pattern:
        expected = "write s3://bucket/path, gs://bucket/path or az://account/container/path"
        raise BadPatternError(urlsplit(files).scheme + "://…", expected)
    return name, pattern
