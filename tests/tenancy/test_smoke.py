"""The ten-tenant smoke test, as an operator runs it against any URL."""

import os
import re
import subprocess
import sys

from tests.stack import ADMIN_KEY, ROOT, Stack


def smoke(
    stack: Stack, *arguments: str, key: str = ADMIN_KEY
) -> "subprocess.CompletedProcess[str]":
    url = f"http://127.0.0.1:{stack.port}"
    return subprocess.run(
        [sys.executable, "-m", "deploy.smoke", "--url", url, *arguments],
        cwd=ROOT,
        env={**os.environ, "ADMIN_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_ten_tenants_come_run_and_go(stack: Stack) -> None:
    done = smoke(stack)
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("onboarded", "credentials", "runs completed", "kept apart", "offboarded"):
        assert re.search(rf"^10 of 10 {what} in", done.stdout, re.MULTILINE)
    found = stack.call("GET", "/api/v1/admin/tenants").body["tenants"]
    states = {one["status"] for one in found if one["tenant_id"].startswith("smoke_")}
    assert states == {"OFFBOARDED"}


def test_a_wrong_admin_key_is_said_so(stack: Stack) -> None:
    done = smoke(stack, "--tenants", "1", key="cvadm_wrong")
    assert (done.returncode, "HTTP 401" in done.stderr) == (1, True)
