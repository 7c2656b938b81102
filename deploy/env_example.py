"""Writes .env.example from the settings themselves.

python -m deploy.env_example
"""

from collections.abc import Iterator
from pathlib import Path

from deploy.parts import DeploySettings
from libs.settings import (
    AuditLogSettings,
    ExecutorSettings,
    GatewaySettings,
    SchedulerSettings,
    ServiceSettings,
)

CLASSES = (
    ServiceSettings,
    GatewaySettings,
    SchedulerSettings,
    ExecutorSettings,
    AuditLogSettings,
    DeploySettings,
)
TARGET = Path(__file__).parents[1] / ".env.example"


def env_example() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every setting with its default; each service reads what it needs."
    yield "# Made from libs/settings.py by `python -m deploy.env_example`."
    known: set[str] = set()
    for settings in CLASSES:
        yield ""
        yield f"# --- {(settings.__doc__ or '').strip()}"
        for name, field in settings.model_fields.items():
            if name not in known:
                known.add(name)
                yield f"# {field.description}"
                yield f"#{name.upper()}={_shown(field.default)}"


def _shown(value: object) -> str:
    if value is None or value == () or type(value).__name__ == "SecretStr":
        return ""
    return str(value)


if __name__ == "__main__":
    TARGET.write_text(env_example())
