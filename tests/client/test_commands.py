"""Each command of a tenant's, against the whole platform."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.shell import QuickShell
from tests.focus.ledger import load_ledger
from tests.pipelines import BAD_SQL, ONE_STEP
from tests.stack import ROOT, Stack, eventually

TENANT = "shell_inc"
CANARY = "sk-canary0123456789abcdefghij"
WRONG = "pipeline_id: x\nsteps:\n  - id: a\n    ps_type: bq_etl.query\n    colour: 1\n"


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> QuickShell:
    stack.onboard(TENANT)
    found = QuickShell(tmp_path_factory.mktemp("shell"), f"http://127.0.0.1:{stack.port}")
    assert found.code("login", "--url", found.url, "--key", stack.keys[TENANT]) == 0
    for name, text in (("ones", ONE_STEP), ("bad", BAD_SQL)):
        (found.folder / f"{name}.yml").write_text(text)
        assert found.code("pipelines", "save", name, str(found.folder / f"{name}.yml")) == 0
    return found


def test_a_credential_goes_in_by_file_and_never_comes_out(shell: QuickShell) -> None:
    file = shell.folder / "openai.json"
    file.write_text(json.dumps({"api_key": CANARY}))
    stored = shell.data("credentials", "store", "openai", str(file), "--name", "main")
    assert (stored["credential_id"], stored["action"]) == ("main", "CREATED")
    listed = shell("credentials", "list")
    assert ("main" in listed.stdout, CANARY in listed.stdout) == (True, False)
    assert shell.code("credentials", "delete", "main") == 0
    assert shell("credentials", "test", "main").exit_code == 3


def test_a_file_that_is_no_credential_is_not_repeated(shell: QuickShell) -> None:
    file = shell.folder / "broken.json"
    file.write_text(f'{{"api_key": "{CANARY}')
    done = shell("credentials", "store", "openai", str(file))
    assert (done.exit_code, "broken.json" in done.stderr) == (2, True)
    assert CANARY not in done.stdout + done.stderr


def test_own_keys_are_made_rotated_and_revoked(shell: QuickShell) -> None:
    made = shell.data("keys", "create", "--description", "job", "--scope", "runs:read")
    rotated = shell.data("keys", "rotate", made["api_key_hash"], "--overlap", "0")
    assert rotated["api_key"] != made["api_key"]
    assert shell.code("keys", "revoke", rotated["api_key_hash"]) == 0
    rows = {row["api_key_hash"]: row for row in shell.data("keys", "list")}
    assert not rows[rotated["api_key_hash"]]["is_active"]
    assert rows[rotated["api_key_hash"]]["scopes"] == ["runs:read"]


def test_a_definition_is_validated_without_being_saved(shell: QuickShell) -> None:
    wrong = shell.folder / "wrong.yml"
    wrong.write_text(WRONG)
    done = shell("validate", str(wrong))
    assert (done.exit_code, "colour" in done.stdout) == (1, True)
    assert shell.code("validate", str(shell.folder / "ones.yml")) == 0
    assert "x" not in [one["config_id"] for one in shell.data("pipelines", "list")]


def test_a_plan_says_what_would_be_written(shell: QuickShell) -> None:
    plan = shell.data("pipelines", "plan", "ones")
    assert (plan["allowed"], plan["steps"][0]["writes"]) == (True, [f"{TENANT}.ones"])


def test_a_template_runs_to_its_end_and_its_cost_is_shown(shell: QuickShell, landing: Path) -> None:
    ledger = load_ledger("aws_cur")
    path = landing / TENANT / "aws/cur/2026-11/cur-00001.csv"
    path.parent.mkdir(parents=True)
    ledger.frame(list(ledger.lines)).write_csv(path)
    assert "aws/cost/cur" in [one["template_id"] for one in shell.data("templates", "list")]
    shown = shell.data("templates", "show", "aws/cost/cur")
    assert "period" in shown["parameters"]["properties"]
    ended = shell.data("templates", "run", "aws/cost/cur", "-p", "period=2026-11", "--wait")
    assert ended["status"] == "COMPLETED"
    days = ("--days", "200", "--until", "2026-12-01")
    bill = shell.data("cost", *days, "--by", "service")
    dearest = bill["costs"][0]["group"]["service"]
    for by in ("service", "service,month", "service,account,region,month", "day,service"):
        table = shell("cost", *days, "--by", by).stdout
        line = next(line for line in table.splitlines() if dearest.split()[0] in line)
        assert bool(set(line) & set("▂▃▄▅▆▇█")) is (by == "service"), table
    assert "nothing from 2020-01-01" in shell("cost", "--until", "2020-01-30").stdout
    assert shell.data("cost-changes", "--period", "2026-11") == []


def test_what_failed_is_explained_and_run_again(shell: QuickShell) -> None:
    failed = shell("-o", "json", "run", "bad", "--wait")
    run_id = json.loads(failed.stdout)["run_id"]
    assert failed.exit_code == 1
    assert shell.data("explain", run_id)["status"] == "FAILED"
    again = shell("-o", "json", "retry", run_id, "--from", "start", "--wait")
    assert (again.exit_code, json.loads(again.stdout)["status"]) == (1, "FAILED")


def test_days_gone_by_are_filled(shell: QuickShell) -> None:
    days = ("--from", "2026-02-01", "--to", "2026-02-02")
    assert shell.data("backfill", "start", "ones", *days, "--dry-run")["runs"] == 2
    begun = shell.data("backfill", "start", "ones", *days, "--max-active", "2")

    def done() -> None:
        (found,) = shell.data("backfill", "list", "ones")
        assert (found["status"], found["completed"]) == ("COMPLETED", 2)

    eventually(done)
    late = shell("backfill", "change", "ones", begun["backfill_id"], "cancel")
    assert (late.exit_code, "backfill_ended" in late.stderr) == (3, True)


def test_a_schedule_is_set_shown_and_taken_away(shell: QuickShell) -> None:
    made = shell.data("schedules", "set", "ones", "0 6 * * *", "--time-zone", "Europe/Berlin")
    assert len(made["next_times"]) == 10
    told = " ".join(shell("schedules", "set", "ones", "0 6 1 1 *").stdout.split())
    assert ("-01-01 06:00:00, " in told, "datetime" in told) == (True, False), told
    assert [one["config_id"] for one in shell.data("schedules", "list")] == ["ones"]
    assert shell.code("schedules", "delete", "ones") == 0
    assert shell.data("schedules", "list") == []
    done = shell("schedules", "set", "ones", "every day")
    assert (done.exit_code, "invalid_schedule" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("templates", "run", "cur"), "PROVIDER/DOMAIN/TEMPLATE"),
        (("run", "ones", "--date", "yesterday"), "2026-03-14"),
        (("run", "ones", "-p", "nothing"), "name=value"),
        (("cerdentials", "list"), "No such command"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_wrong_usage_is_told_in_words(shell: QuickShell, wrong: tuple[str, ...], said: str) -> None:
    done = shell(*wrong)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_the_shell_is_taught_its_words() -> None:
    asked = {"_CONVERGENCE_COMPLETE": "complete_bash", "COMP_WORDS": "convergence cre"}
    done = subprocess.run(
        [sys.executable, "-m", "convergence"],
        cwd=ROOT,
        env={**os.environ, **asked, "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.split() == ["credentials"]
