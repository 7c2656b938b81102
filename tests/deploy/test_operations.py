"""The operators' commands, on emulators."""

from datetime import UTC, datetime, timedelta

import pytest
from google.api_core.exceptions import DeadlineExceeded
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import PublisherOptions

from contracts.catalogue import subscription_of, topic_of
from contracts.message import Service
from contracts.topology import dead_letters_of
from deploy import apply, operations
from libs.bus.operating import DeadLetterBox
from libs.settings import ServiceSettings
from libs.vault.secrets import Secrets, SecretSettings
from libs.vault.vault import Purpose, Vault, VaultSettings
from libs.warehouse.schema import Column, Dataset, Table, View, required
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

DROPPED = subscription_of(Service.SCHEDULER, Service.EXECUTOR)
RECORDING = subscription_of(Service.AUDIT_LOG, Service.EXECUTOR)
ATTRIBUTES = {"ce-id": "m-1", "ce-type": "attempt.started.v1", "ce-source": "executor"}
WHY = {"dead-reason": "ValueError: broken", "dead-attempt": "10", "dead-service": "scheduler"}
LOG = Table("tenants", "event_log", (required("event_id", "STRING"), Column("note", "STRING")))
EVENTS = View(
    "tenants",
    "events",
    "SELECT * FROM `{project}.tenants.event_log` WHERE TRUE"
    " QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY note) = 1",
)


@pytest.fixture
def topics(project: str) -> str:
    assert apply.main(["--only", "topics"]) == 0
    return project


def publish(project: str, topic: str, **attributes: str) -> None:
    publisher = PublisherClient(publisher_options=PublisherOptions(enable_message_ordering=True))
    path = publisher.topic_path(project, topic)
    publisher.publish(path, b'{"a":1}', ordering_key="acme", **attributes).result(timeout=60)


def taken(
    project: str, subscription: str, *, most: int = 1, patience: float = 60.0
) -> list[dict[str, str]]:
    """Up to `most`, by as many pulls as they take; one pull may bring a part of what is there."""
    subscriber = SubscriberClient()
    path = subscriber.subscription_path(project, subscription)
    found: list[dict[str, str]] = []
    while len(found) < most:
        try:
            pulled = subscriber.pull(
                subscription=path, max_messages=100, timeout=patience, retry=None
            )
        except DeadlineExceeded:
            break
        received = pulled.received_messages
        if not received:
            break
        subscriber.acknowledge(subscription=path, ack_ids=[one.ack_id for one in received])
        found += [dict(one.message.attributes) for one in received]
    return found


def is_empty(project: str, subscription: str) -> bool:
    return taken(project, subscription, patience=3.0) == []


def test_a_redriven_letter_is_the_message_it_was(
    topics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(topics, dead_letters_of(DROPPED), **ATTRIBUTES, **WHY)
    assert operations.main(["dead-letters"]) == 0
    assert f"{DROPPED}: attempt.started.v1 m-1 of no tenant: ValueError: broken" in (
        capsys.readouterr().out
    )
    assert operations.main(["redrive", "--subscription", DROPPED]) == 0
    assert "1 redriven, 0 left" in capsys.readouterr().out
    assert taken(topics, DROPPED) == [ATTRIBUTES]
    assert is_empty(topics, dead_letters_of(DROPPED))


def test_what_is_not_chosen_is_left_in_the_box(
    topics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = dead_letters_of(DROPPED)
    publish(topics, dead, **ATTRIBUTES, **WHY)
    publish(topics, dead, **{**ATTRIBUTES, "ce-id": "m-2", "ce-source": "mallory"}, **WHY)
    publish(topics, dead, **{**ATTRIBUTES, "ce-id": "m-3"}, **{**WHY, "dead-reason": "other"})
    wanted = ["redrive", "--subscription", DROPPED, "--reason", "broken"]
    assert operations.main(wanted) == operations.LEFT
    said = capsys.readouterr().out
    assert "redriven: attempt.started.v1 m-1" in said
    assert "1 redriven, 2 left" in said
    assert {one["ce-id"] for one in taken(topics, dead, most=2)} == {"m-2", "m-3"}


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["redrive", "dry run"])
def test_a_letter_without_its_body_is_left(
    dry: list[str], topics: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = dead_letters_of(DROPPED)
    publish(topics, dead, **ATTRIBUTES, **WHY, **{"dead-body-bytes": "9999999"})
    command = ["redrive", "--subscription", DROPPED, *dry]
    assert operations.main(command) == operations.LEFT
    said = capsys.readouterr().out
    assert "left: attempt.started.v1 m-1" in said
    assert "its body of 9999999 bytes is not kept" in said
    assert is_empty(topics, DROPPED)
    assert len(taken(topics, dead)) == 1


def test_a_dry_run_redrives_nothing(topics: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(topics, dead_letters_of(DROPPED), **ATTRIBUTES, **WHY)
    assert operations.main(["redrive", "--subscription", DROPPED, "--dry-run"]) == 0
    assert "would redrive: attempt.started.v1 m-1" in capsys.readouterr().out
    assert is_empty(topics, DROPPED)
    assert len(taken(topics, dead_letters_of(DROPPED))) == 1


def test_a_letter_that_was_looked_at_often_is_there_for_the_next_look(topics: str) -> None:
    publish(topics, dead_letters_of(DROPPED), **ATTRIBUTES, **WHY)
    box = DeadLetterBox(topics, DROPPED)
    assert [len(box.look(1)) for _ in range(5)] == [1] * 5


def test_an_unknown_subscription_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        operations.main(["redrive", "--subscription", "moon"])
    assert DROPPED in capsys.readouterr().err


def test_a_replay_delivers_again_what_was_recorded_once(topics: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    publish(topics, topic_of(Service.EXECUTOR), **ATTRIBUTES)
    assert taken(topics, RECORDING) == [ATTRIBUTES]
    assert is_empty(topics, RECORDING)
    assert operations.main(["replay", "--since", before.isoformat()]) == 0
    assert taken(topics, RECORDING) == [ATTRIBUTES]


def test_a_moment_without_a_time_zone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        operations.main(["replay", "--since", "2026-01-31T00:00:00"])
    assert "has no time zone" in capsys.readouterr().err


async def test_what_was_sealed_before_a_rotation_opens_after_it(project: str) -> None:
    assert apply.main(["--only", "key"]) == 0
    settings = ServiceSettings()
    vault = Vault.connect(VaultSettings(settings.kms_key_name, settings.kms_endpoint))
    purpose = Purpose("acme", "AWS", "c-1")
    before = await vault.seal(b"secret", purpose)
    assert operations.main(["rotate-key"]) == 0
    after = await vault.seal(b"secret", purpose)
    assert await vault.open(before, purpose) == await vault.open(after, purpose) == b"secret"
    await vault.close()


async def test_two_admin_keys_are_valid_until_the_rotation_is_finished(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply.main(["--only", "secrets"]) == 0
    secrets = Secrets.connect(
        SecretSettings(project, None, ServiceSettings().secret_manager_endpoint)
    )
    old = await secrets.get("admin-api-key")
    assert operations.main(["rotate-admin-key"]) == 0
    new, _, kept = (await secrets.get("admin-api-key")).partition(b",")
    assert kept == old != new
    assert operations.main(["rotate-admin-key", "--finish"]) == 0
    assert await secrets.get("admin-api-key") == new
    assert new.decode() not in capsys.readouterr().out
    await secrets.close()


async def test_a_restored_snapshot_loses_and_doubles_nothing(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ServiceSettings()
    warehouse = Warehouse.connect(
        WarehouseSettings(
            project,
            endpoint=settings.bigquery_endpoint,
            storage_endpoint=settings.bigquery_storage_endpoint,
        )
    )
    await warehouse.ensure(Dataset("tenants"), LOG, EVENTS)
    await warehouse.append(LOG, [{"event_id": "1", "note": "a"}, {"event_id": "2", "note": "b"}])
    assert operations.main(["snapshot"]) == 0
    assert "event_log: 2 rows" in capsys.readouterr().out
    assert operations.main(["snapshots"]) == 0
    name = capsys.readouterr().out.strip()
    assert name.startswith("tenants_snapshot_")
    await warehouse.query(f"DELETE FROM `{project}.tenants.event_log` WHERE event_id = '1'")
    await warehouse.append(LOG, [{"event_id": "3", "note": "c"}])
    assert operations.main(["restore", name]) == 0
    rows = await warehouse.query(f"SELECT event_id FROM `{project}.tenants.events`")
    assert sorted(row["event_id"] for row in rows) == ["1", "2", "3"]
    await warehouse.drop("tenants.event_log")
    assert operations.main(["restore", name]) == 0
    rows = await warehouse.query(f"SELECT event_id FROM `{project}.tenants.events`")
    assert sorted(row["event_id"] for row in rows) == ["1", "2"]
    await warehouse.close()


def test_only_a_snapshot_can_be_restored(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert operations.main(["restore", "acme"]) == operations.FAILED
    assert "acme is no snapshot of tenants" in capsys.readouterr().err
