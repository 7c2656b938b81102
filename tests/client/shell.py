"""The command line as a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from convergence.cli.main import app
from tests.stack import ROOT


@dataclass(slots=True)
class Shell:
    """Runs the command line with a folder of its own for what it keeps."""

    folder: Path
    url: str

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "convergence", *arguments],
            cwd=ROOT,
            env={**os.environ, "CONVERGENCE_CONFIG_DIR": str(self.folder), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@dataclass(slots=True)
class QuickShell:
    """The same commands in this process, for tests of many of them."""

    folder: Path
    url: str

    def __call__(self, *arguments: str) -> Result:
        env = {"CONVERGENCE_CONFIG_DIR": str(self.folder), "COLUMNS": "200"}
        return CliRunner().invoke(app, list(arguments), env=env)

    def data(self, *arguments: str) -> Any:
        """What it says, read as JSON; it has to do what it was told."""
        done = self("-o", "json", *arguments)
        assert done.exit_code == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def code(self, *arguments: str) -> int:
        return self(*arguments).exit_code
