"""Services as processes of their own that begin with everything imported.

To import takes most of a start: a kill while it goes on would prove nothing.
"""

import multiprocessing
import os
import runpy
from collections.abc import Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from libs.testing.processes import ROOT

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["services.scheduler.app", "services.executor.app"])


def start(module: str, environment: Mapping[str, str], log: Path) -> ForkServerProcess:
    """Run `python -m <module>`; it ends with the process that started it."""
    given = {**os.environ, **environment}
    process = _CONTEXT.Process(target=_live, args=(module, given, log), daemon=True)
    process.start()
    return process


def _live(module: str, environment: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
