"""The client and the command line, against the whole platform."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from convergence import ApiError, AsyncClient, Client, ConnectionFailedError, ask
from tests.client.shell import Shell
from tests.pipelines import BAD_SQL, ONE_STEP
from tests.poison import poison
from tests.stack import ADMIN_KEY, Stack, eventually, free_port

TENANT = "client_inc"


@pytest.fixture(scope="module", autouse=True)
def _tenant(stack: Stack) -> None:
    stack.onboard(TENANT)


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    return Shell(tmp_path, f"http://127.0.0.1:{stack.port}")


@pytest.fixture
def signed_in(shell: Shell, stack: Stack) -> Shell:
    keys = ("--key", stack.keys[TENANT], "--admin-key", ADMIN_KEY)
    done = shell("login", "--url", shell.url, *keys)
    assert done.returncode == 0, done.stderr
    return shell


def test_a_run_from_the_client_to_its_end(stack: Stack) -> None:
    with Client(f"http://127.0.0.1:{stack.port}", stack.keys[TENANT]) as client:
        assert client(ask.save("ones", ONE_STEP)).config_id == "ones"
        started = client(ask.start("ones"))
        ended = client.wait(started.run_id)
        assert (ended.status, ended.error) == ("COMPLETED", None)
        assert ended.run_id == started.run_id


async def test_a_run_from_the_asynchronous_client_to_its_end(stack: Stack) -> None:
    async with AsyncClient(f"http://127.0.0.1:{stack.port}", stack.keys[TENANT]) as client:
        await client(ask.save("ones", ONE_STEP))
        started = await client(ask.start("ones"))
        assert (await client.wait(started.run_id)).status == "COMPLETED"


def test_a_refusal_says_why(stack: Stack) -> None:
    with Client(f"http://127.0.0.1:{stack.port}", stack.keys[TENANT]) as client:
        with pytest.raises(ApiError) as caught:
            client(ask.start("nothing-of-that-name"))
        assert (caught.value.status, caught.value.code) == (404, "config_not_found")
        with pytest.raises(ApiError) as caught:
            client(ask.save("bad", "steps: 1"))
        assert caught.value.errors


def test_silence_is_told_with_the_url() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, "key") as client, pytest.raises(ConnectionFailedError, match=url):
        client(ask.me())


def test_login_keeps_keys_for_their_owner_alone(signed_in: Shell) -> None:
    kept = signed_in.folder / "profiles.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(signed_in("-o", "json", "me").stdout)["tenant_id"] == TENANT


def test_a_key_that_opens_nothing_is_not_kept(shell: Shell) -> None:
    done = shell("login", "--url", shell.url, "--key", "nonsense")
    assert (done.returncode, "invalid_api_key" in done.stderr) == (3, True)
    assert not (shell.folder / "profiles.json").exists()
    assert shell("runs").returncode == 5


def test_a_run_is_waited_for_and_its_end_is_the_exit_code(signed_in: Shell, tmp_path: Path) -> None:
    good, bad = tmp_path / "ones.yml", tmp_path / "bad.yml"
    good.write_text(ONE_STEP)
    bad.write_text(BAD_SQL)
    assert signed_in("pipelines", "save", "ones", str(good)).returncode == 0
    assert signed_in("pipelines", "save", "bad", str(bad)).returncode == 0
    done = signed_in("run", "ones", "--wait", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "COMPLETED")
    failed = signed_in("run", "bad", "--wait", "-o", "json")
    assert (failed.returncode, "nothing_like_it" in failed.stderr) == (1, True)
    log = signed_in("logs", "--follow", json.loads(failed.stdout)["run_id"])
    assert (log.returncode, "make" in log.stdout, "SKIPPED" in log.stdout) == (1, True, True)


def test_a_folder_is_imported_and_what_is_the_same_stays(signed_in: Shell, tmp_path: Path) -> None:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "ones.yml").write_text(ONE_STEP.replace("ones", "imported"))
    for action in ("created", "unchanged"):
        done = signed_in("pipelines", "import", str(tmp_path), "-o", "json")
        assert done.returncode == 0, done.stderr
        assert [(one["config_id"], one["action"]) for one in json.loads(done.stdout)] == [
            ("imported", action)
        ]


def test_faults_of_a_definition_are_told_by_line(signed_in: Shell, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yml"
    file.write_text("pipeline_id: x\nsteps:\n  - id: a\n    ps_type: bq_etl.query\n    colour: 1\n")
    done = signed_in("pipelines", "save", "wrong", str(file))
    assert (done.returncode, "line 5" in done.stderr) == (3, True)


@pytest.mark.parametrize(
    "look", [("runs",), ("quota",), ("cost",), ("pipelines", "list"), ("audit", "events")], ids=str
)
def test_what_is_shown_is_for_people_or_for_programs(
    signed_in: Shell, look: tuple[str, ...]
) -> None:
    table, data = signed_in(*look), signed_in("-o", "json", *look)
    assert (table.returncode, data.returncode) == (0, 0), table.stderr + data.stderr
    assert table.stdout != data.stdout
    json.loads(data.stdout)


def test_yaml_is_yaml(signed_in: Shell) -> None:
    assert yaml.safe_load(signed_in("-o", "yaml", "quota").stdout)["plan"] == "SCALE"


def test_an_operator_sees_what_was_given_up(signed_in: Shell, stack: Stack) -> None:
    id_ = poison(stack, TENANT)

    def given_up() -> list[str]:
        done = signed_in("-o", "json", "dead-letters", "--type", "run.cancel.v1")
        assert done.returncode == 0, done.stderr
        letters = [one for one in json.loads(done.stdout) if one["message_id"] == id_]
        assert {one["service"] for one in letters} == {"audit-log", "scheduler"}
        return [one["reason"] for one in letters]

    assert all("run_id: missing" in reason for reason in eventually(given_up))
    chosen = signed_in("dead-letters", "--service", "scheduler")
    assert (chosen.returncode, "audit-log" in chosen.stdout) == (0, False)
    refused = signed_in("dead-letters", "--service", "moon")
    assert (refused.returncode, "service" in refused.stderr) == (3, True)


def test_an_operator_issues_a_key_that_the_trail_has_and_verifies(signed_in: Shell) -> None:
    made = json.loads(signed_in("-o", "json", "keys", "create", "--tenant", TENANT).stdout)
    gone = signed_in("keys", "revoke", made["api_key_hash"], "--tenant", TENANT)
    assert gone.returncode == 0, gone.stderr
    assert TENANT in signed_in("tenants", "list").stdout
    assert signed_in("tick", "trigger").returncode == 0
    verified = signed_in("audit", "verify")
    assert verified.returncode == 0, verified.stderr
    assert "unbroken" in verified.stdout
