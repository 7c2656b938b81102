"""Settings: safe defaults, readable refusals, secrets never shown."""

import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from deploy.env_example import env_example
from libs.settings import (
    Environment,
    GatewaySettings,
    OnboardingMode,
    SchedulerSettings,
    explain,
)
from libs.testing.processes import ROOT


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "API_PORT", "ENVIRONMENT", "ADMIN_API_KEY", "CORS_ORIGINS"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_safe_for_a_laptop() -> None:
    settings = GatewaySettings()
    assert (settings.port, settings.host) == (8080, "127.0.0.1")
    assert settings.onboarding is OnboardingMode.OPEN


def test_production_closes_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    settings = GatewaySettings()
    assert settings.environment is Environment.PRODUCTION
    assert settings.onboarding is OnboardingMode.ADMIN
    assert settings.host == "0.0.0.0"  # noqa: S104  containers are reached from outside
    monkeypatch.setenv("DISABLE_AUTH", "true")
    with pytest.raises(ValidationError, match="ENVIRONMENT=development"):
        GatewaySettings()


def test_port_wins_over_api_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "8090")
    assert GatewaySettings().port == 8090
    monkeypatch.setenv("PORT", "9000")
    assert GatewaySettings().port == 9000


@pytest.mark.parametrize(
    "text", ['["https://a.example","https://b.example"]', "https://a.example, https://b.example"]
)
def test_origins_are_json_or_a_list(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", text)
    assert GatewaySettings().cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "ninety", "PORT='ninety'"),
        ("CORS_ORIGINS", "[oops", "JSON array"),
        ("PUBSUB_EMULATOR_HOST", "http://x:1", "host:port without a scheme"),
        ("BIGQUERY_ENDPOINT", "127.0.0.1:9050", "use a URL"),
        ("LOG_LEVEL", "LOUD", "LOG_LEVEL"),
    ],
)
def test_a_bad_value_is_explained(
    name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        GatewaySettings()
    (line,) = explain(caught.value)
    assert expected in line
    assert name in line


def test_a_service_ends_with_status_2_and_a_readable_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "0")
    done = subprocess.run(
        [sys.executable, "-m", "services.scheduler"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"bad setting LEASE_SECONDS='0': .*\n", done.stderr)
    assert SchedulerSettings.model_fields["lease_seconds"].default == 60.0


def test_env_example_lists_every_setting() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()
