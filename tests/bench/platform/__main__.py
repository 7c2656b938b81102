"""The whole platform, with an executor that knows the benches' step types too."""

import sys
from typing import Any
from unittest.mock import patch

from deploy.local import up
from deploy.local.processes import Child

EXECUTOR, BENCHES = "services.executor", "tests.bench.platform.executor"


def child(name: str, module: str, *more: Any) -> Child:
    return Child(name, BENCHES if module == EXECUTOR else module, *more)


if __name__ == "__main__":
    with patch.object(up, "Child", child):
        sys.exit(up.main())
