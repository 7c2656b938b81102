import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from libs.local_cloud.supervisor import LocalCloud

SCHEMAS = Path(__file__).parents[2] / "deploy" / "schemas"


def use(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    project = f"project-{uuid4().hex[:8]}"
    monkeypatch.setenv("GCP_PROJECT_ID", project)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    return project


def schema(name: str) -> dict[str, Any]:
    """What Google's interface takes, from its own description."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found
