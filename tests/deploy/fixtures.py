from uuid import uuid4

import pytest

from libs.local_cloud.supervisor import LocalCloud


def use(cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in cloud.environment().items():
        monkeypatch.setenv(name, value)
    project = f"project-{uuid4().hex[:8]}"
    monkeypatch.setenv("GCP_PROJECT_ID", project)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", project)
    return project
