"""Configuration from the environment, checked once at start.

Every variable has a safe default; .env.example lists them all. A bad value
ends the process with status 2 and one readable line per variable.
"""

import json
import os
import socket
import sys
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import uuid4

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

EXIT_BAD_SETTING = 2
HIDDEN = ("KEY", "SECRET", "TOKEN", "PASSWORD", "PEPPER")

VERSION = "0.1.0"

ADMIN_KEY_PREFIX = "cvadm_"
SHORTEST_ADMIN_KEY = 40
MOST_ADMIN_KEYS = 2


class Environment(StrEnum):
    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class OnboardingMode(StrEnum):
    OPEN = "open"
    ADMIN = "admin"
    CLOSED = "closed"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class ServiceSettings(BaseSettings):
    """What every service reads."""

    model_config = SettingsConfigDict(
        extra="ignore", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )

    gcp_project_id: str = Field(
        default="convergence-local", pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$"
    )
    """The Google Cloud project that holds topics, datasets, keys and buckets."""
    bigquery_location: str = Field(default="US", min_length=2)
    """Where datasets are created."""
    environment: Environment = Environment.DEVELOPMENT
    """development, staging or production; decides the defaults below."""
    log_level: LogLevel = LogLevel.INFO
    """DEBUG, INFO, WARNING or ERROR."""
    port: int = Field(
        default=8080, ge=0, le=65535, validation_alias=AliasChoices("PORT", "API_PORT", "port")
    )
    """HTTP port; 0 takes a free one. PORT wins over API_PORT."""
    api_host: str = ""
    """Address to listen on; loopback in development, every interface elsewhere."""
    pubsub_emulator_host: str = ""
    """host:port of a Pub/Sub emulator; empty means Google's."""
    storage_emulator_host: str = ""
    """URL of a Cloud Storage emulator; empty means Google's."""
    bigquery_endpoint: str = ""
    """URL of a BigQuery emulator; empty means Google's."""
    bigquery_storage_endpoint: str = ""
    """host:port of a BigQuery Storage emulator; empty means Google's."""
    kms_endpoint: str = ""
    """host:port of a Cloud KMS emulator; empty means Google's."""
    secret_manager_endpoint: str = ""
    """host:port of a Secret Manager emulator; empty means Google's."""
    ledger_bucket: str = ""
    """Bucket of the slot log and the claims; `<project>-convergence-ledger` when empty."""
    data_bucket: str = ""
    """Bucket of deliveries and loads; `<project>-convergence-data` when empty."""
    secrets_dir: Path | None = None
    """Folder of secret files (mode 0600), looked at before Secret Manager."""
    kms_project_id: str = ""
    """Project of the KMS key; the project above when empty."""
    kms_location: str = "global"
    """Location of the KMS key ring."""
    kms_keyring: str = "convergence"
    """KMS key ring."""
    kms_key: str = "credentials"
    """KMS key that wraps the tenants' credentials."""
    otel_exporter_otlp_endpoint: str = ""
    """OTLP/HTTP collector for traces and metrics; empty turns them off."""
    shutdown_grace_seconds: float = Field(default=8.0, ge=0, le=600)
    """How long a stopping service may take to finish what it has begun."""
    max_failures: int = Field(default=20, ge=1)
    """How often a message may fail before it is a dead letter. Crashes and outages do not count."""
    redis_url: str = ""
    """Ignored: Redis was replaced by Pub/Sub. Setting it prints a warning."""

    @cached_property
    def instance(self) -> str:
        """Name of this process, unique among all instances; fit for a subscription id."""
        host = "".join(c if c.isalnum() else "-" for c in socket.gethostname().lower())[:30]
        return f"i{host}-{os.getpid()}-{uuid4().hex[:8]}"

    @property
    def host(self) -> str:
        if self.api_host:
            return self.api_host
        return "127.0.0.1" if self.environment is Environment.DEVELOPMENT else "0.0.0.0"  # noqa: S104  containers are reached from outside

    @property
    def bucket(self) -> str:
        return self.ledger_bucket or f"{self.gcp_project_id}-convergence-ledger"

    @property
    def deliveries_bucket(self) -> str:
        return self.data_bucket or f"{self.gcp_project_id}-convergence-data"

    @property
    def kms_key_name(self) -> str:
        project = self.kms_project_id or self.gcp_project_id
        return (
            f"projects/{project}/locations/{self.kms_location}"
            f"/keyRings/{self.kms_keyring}/cryptoKeys/{self.kms_key}"
        )

    @field_validator(
        "pubsub_emulator_host",
        "bigquery_storage_endpoint",
        "kms_endpoint",
        "secret_manager_endpoint",
    )
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if value and (not host or not port.isdecimal() or "/" in value):
            msg = "use host:port without a scheme, e.g. 127.0.0.1:8085"
            raise ValueError(msg)
        return value

    @field_validator("storage_emulator_host", "bigquery_endpoint", "otel_exporter_otlp_endpoint")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            msg = "use a URL, e.g. http://127.0.0.1:9050"
            raise ValueError(msg)
        return value.rstrip("/")


class GatewaySettings(ServiceSettings):
    """What only the gateway reads."""

    admin_api_key: SecretStr = SecretStr("")
    """Opens the admin routes; without one they are shut. Two, comma-separated, may be valid."""
    rate_limit_tenant: int = Field(default=6_000, ge=0)
    """How many requests a minute a tenant may make of one instance; 0 for no limit."""
    rate_limit_address: int = Field(default=12_000, ge=0)
    """How many requests a minute one address may make of one instance; 0 for no limit."""
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    """How many proxies stand in front and add to X-Forwarded-For; 1 on Cloud Run."""
    disable_auth: bool = False
    """Skip API keys; refused unless ENVIRONMENT=development."""
    onboarding_mode: OnboardingMode | None = None
    """open, admin or closed; open in development, admin elsewhere."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins that browsers may call from: a JSON array or a comma-separated list."""
    question_timeout_seconds: float = Field(default=2.0, gt=0, le=60)
    """How long the gateway waits for another service's answer."""
    provision_timeout_seconds: float = Field(default=30.0, gt=0, le=300)
    """How long it waits for datasets to be made, at onboarding and bootstrap."""

    @property
    def admin_keys(self) -> tuple[str, ...]:
        """Those that are valid: one, or two while it is changed."""
        text = self.admin_api_key.get_secret_value()
        return tuple(part.strip() for part in text.split(",") if part.strip())

    @property
    def onboarding(self) -> OnboardingMode:
        if self.onboarding_mode:
            return self.onboarding_mode
        development = self.environment is Environment.DEVELOPMENT
        return OnboardingMode.OPEN if development else OnboardingMode.ADMIN

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _read_origins(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if not value.strip().startswith("["):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        try:
            return tuple(json.loads(value))
        except (json.JSONDecodeError, TypeError):
            msg = 'use a JSON array such as ["https://app.example.com"] or a comma-separated list'
            raise ValueError(msg) from None

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                msg = f"{origin!r} is not an origin; use e.g. https://app.example.com"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _admin_keys_are_strong(self) -> "GatewaySettings":
        if len(self.admin_keys) > MOST_ADMIN_KEYS:
            msg = "ADMIN_API_KEY may hold two keys, comma-separated: the new one and the old one"
            raise ValueError(msg)
        weak = any(
            not key.startswith(ADMIN_KEY_PREFIX) or len(key) < SHORTEST_ADMIN_KEY
            for key in self.admin_keys
        )
        if weak and self.environment is not Environment.DEVELOPMENT:
            msg = "ADMIN_API_KEY is too weak: make one with `python -m deploy.admin_key`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _auth_stays_on(self) -> "GatewaySettings":
        if self.disable_auth and self.environment is not Environment.DEVELOPMENT:
            msg = "DISABLE_AUTH is allowed only with ENVIRONMENT=development"
            raise ValueError(msg)
        return self


class SchedulerSettings(ServiceSettings):
    """What only the scheduler reads."""

    lease_seconds: float = Field(default=60.0, ge=1, le=3600)
    """An attempt without a heartbeat for this long is given up and requested again."""
    max_attempts: int = Field(default=5, ge=1, le=100)
    """How many attempts a run gets before it fails for the platform's fault."""
    queue_limit: int = Field(default=100, ge=0, le=100_000)
    """How many runs of one tenant may wait."""
    max_running: int = Field(default=0, ge=0, le=1_000_000)
    """How many runs may go on over all tenants, shared fairly by plan; 0 is without limit."""
    max_bytes_billed: int = Field(default=1 << 40, ge=0)
    """The most bytes that one query of a tenant may bill."""
    aging_seconds: float = Field(default=60.0, ge=1, le=86_400)
    """Waiting so long counts as much as one point of priority."""
    misfire_seconds: float = Field(default=300.0, ge=0, le=86_400)
    """A schedule's time that passed longer ago was missed; its policy says what happens."""
    keep_days: int = Field(default=90, ge=1, le=3650)
    """For how many days ended runs, backfills, deleted pipelines and their records are kept."""


class ExecutorSettings(ServiceSettings):
    """What only the executor reads."""

    max_runs: int = Field(default=64, ge=1, le=10_000)
    """How many runs one executor works on at once."""
    max_parallel_steps: int = Field(default=8, ge=1, le=1000)
    """How many steps of one run may go on at once."""
    max_steps: int = Field(default=64, ge=1, le=10_000)
    """How many steps of all its runs one executor works on at once; more wait their turn."""
    max_loads: int = Field(default=4, ge=1, le=1000)
    """How many of those may be loads, whose rows go through memory: up to 1 GB each."""
    tenant_accounts: bool = False
    """Each tenant's SQL runs as an account of its own, made by `deploy.apply --only tenants`."""
    price_per_tib_usd: Decimal = Field(default=Decimal("6.25"), ge=0)
    """What BigQuery asks on demand, for the estimates of plans."""
    providers_at: str = ""
    """URL of a stand-in for all providers when credentials are tried; in development only."""

    landing_folder: str = ""
    """Deliveries on this machine's disk, a folder per tenant; only in development."""

    @model_validator(mode="after")
    def _credentials_go_to_their_providers(self) -> "ExecutorSettings":
        if self.providers_at and self.environment is not Environment.DEVELOPMENT:
            msg = "PROVIDERS_AT is allowed only with ENVIRONMENT=development"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _local_files_stay_local(self) -> "ExecutorSettings":
        if self.landing_folder and self.environment is not Environment.DEVELOPMENT:
            msg = "LANDING_FOLDER is allowed only with ENVIRONMENT=development"
            raise ValueError(msg)
        return self


class AuditLogSettings(ServiceSettings):
    """What only audit_log reads."""

    batch_rows: int = Field(default=500, ge=1, le=10_000)
    """The most messages in one append."""
    batch_linger_seconds: float = Field(default=0.02, ge=0, le=5)
    """How long a batch waits for more messages."""
    bigquery_price_per_tib: Decimal = Field(default=Decimal("6.25"), ge=0)
    """US dollars for a TiB billed, by which runs are told what they cost."""


Settings = TypeVar("Settings", bound=ServiceSettings)


def load(cls: type[Settings], *, project: str | None = None) -> Settings:
    """Read the environment; ends the process with status 2 when a value is bad.

    A command's `--project` goes before the variable.
    """
    try:
        found = cls(gcp_project_id=project) if project else cls()
    except ValidationError as error:
        for line in explain(error):
            sys.stderr.write(line + "\n")
        sys.exit(EXIT_BAD_SETTING)
    if found.redis_url:
        sys.stderr.write("REDIS_URL is ignored: Pub/Sub replaced Redis; unset it\n")
    return found


def explain(error: ValidationError) -> list[str]:
    """One line per bad variable, without the value of anything secret."""
    return [_explain_one(problem) for problem in error.errors()]


def _explain_one(problem: Any) -> str:
    name = str(problem["loc"][0]).upper() if problem["loc"] else "settings"
    reason = problem["msg"].removeprefix("Value error, ")
    if name == "settings" or any(word in name for word in HIDDEN):
        return f"bad setting {name}: {reason}"
    return f"bad setting {name}={str(problem['input'])[:80]!r}: {reason}; see .env.example"
