"""`python -m deploy.apply` on emulators: what it says, what it makes, what it leaves alone."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from contracts.message import Service
from contracts.topology import Clause, Topology, durable_subscriptions, topology
from deploy import apply
from libs.bus.admin import PubSubAdmin
from libs.provisioning.keys import CredentialsKey
from libs.provisioning.topics import Topics
from libs.settings import ServiceSettings
from libs.vault.secrets import Secrets, SecretSettings

EMULATED = "topics,bucket,datasets,key,secrets"


def run(*arguments: str) -> int:
    return apply.main(["--only", EMULATED, *arguments])


def test_it_announces_then_makes_and_the_second_time_finds_nothing_to_do(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--dry-run") == 0
    announced = capsys.readouterr().out
    for line in (
        "topics: create topic convergence-gateway-v1\n",
        f"bucket: create bucket {project}-convergence-ledger in US\n",
        f"bucket: create bucket {project}-convergence-data in US\n",
        "datasets: create dataset tenants in US\n",
        "secrets: create secret api-key-pepper with a random value\n",
    ):
        assert line in announced
    assert f"key: create key projects/{project}/locations/global/keyRings/" in announced
    assert run() == 0
    assert capsys.readouterr().out == announced
    assert run() == 0
    assert capsys.readouterr().out == "nothing to do: the cloud is as declared\n"


def test_a_dry_run_changes_nothing(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--dry-run") == 0
    first = capsys.readouterr().out
    assert run("--dry-run") == 0
    assert capsys.readouterr().out == first


async def test_secrets_are_made_once_and_never_shown(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings()
    vault = Secrets.connect(SecretSettings(project, None, settings.secret_manager_endpoint))
    assert apply.main(["--only", "secrets"]) == 0
    pepper = await vault.get("api-key-pepper")
    admin = await vault.get("admin-api-key")
    assert apply.main(["--only", "secrets"]) == 0
    assert await vault.get("api-key-pepper") == pepper
    assert len(pepper) == 64
    assert admin.startswith(b"cvadm_")
    said = capsys.readouterr()
    assert admin.decode() not in said.out + said.err
    await vault.close()


def test_the_only_flag_names_its_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        apply.main(["--only", "topics,moon"])
    assert "'moon' is none of topics, bucket" in capsys.readouterr().err


def test_what_a_person_must_do_is_an_exit_code_and_is_left_alone(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = durable_subscriptions(Service.TENANT)[0]
    wrong = replace(spec, any_of=(Clause("ce-to", "nobody"),))
    PubSubAdmin(project).apply(Topology(topology().topics, (wrong,)))
    assert apply.main(["--only", "topics"]) == apply.BY_HAND
    assert f"{spec.name} (filter)" in capsys.readouterr().out
    (left,) = PubSubAdmin(project).diff(topology())
    assert left.name == spec.name


def test_a_key_that_is_not_rotated_is_brought_up_to_date(project: str) -> None:
    settings = ServiceSettings()
    key = CredentialsKey(settings.kms_key_name, settings.kms_endpoint)
    key.apply()
    client = key._client()
    client.update_crypto_key(
        request={
            "crypto_key": {"name": key.name, "rotation_period": {"seconds": 86_400}},
            "update_mask": {"paths": ["rotation_period"]},
        }
    )
    assert [str(change) for change in key.diff()] == [
        f"update key {key.name} (rotated every 90 days)"
    ]
    key.apply()
    assert key.diff() == []


@pytest.fixture
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with socket.socket() as closed:  # bound but not listening: nobody else gets this port
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{closed.getsockname()[1]}")
        yield


def test_a_cloud_that_does_not_answer_is_an_exit_code_and_words(
    nobody_listens: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "libs.provisioning.topics.PubSubAdmin", lambda name: PubSubAdmin(name, call_seconds=0.3)
    )
    assert Topics("nowhere", topology())
    assert apply.main(["--project", "nowhere", "--only", "topics"]) == apply.FAILED
    assert "project nowhere failed" in capsys.readouterr().err
