"""The whole platform, with a scheduler and an executor that know the benches' step types too."""

import sys
from typing import Any
from unittest.mock import patch

from deploy.local import up
from deploy.local.processes import Child

BENCHES = {
    "services.executor": "tests.bench.platform.executor",
    "services.scheduler": "tests.bench.platform.scheduler",
}


def child(name: str, module: str, *more: Any) -> Child:
    return Child(name, BENCHES.get(module, module), *more)


if __name__ == "__main__":
    with patch.object(up, "Child", child):
        sys.exit(up.main())
