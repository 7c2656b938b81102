"""Who may do what: least privilege as data, and what applying it writes."""

from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator

from contracts.message import Service
from contracts.topology import topology
from deploy import apply
from deploy.access import OBJECT_READER, OBJECT_USER, PUBLISHER, Grant, Names, grants
from tests.deploy.fixtures import schema
from tests.deploy.google_rest import NUMBER, Google, google

NAMES = Names(
    "p", "42", "p-ledger", "p-data", "projects/p/locations/global/keyRings/r/cryptoKeys/k"
)
ALL = list(grants(NAMES))
CLOUD = "accounts,access,schedules"


def of(service: Service) -> list[Grant]:
    return [grant for grant in ALL if grant.member == NAMES.account(service)]


def test_each_topic_has_one_publisher_beside_google() -> None:
    for topic in topology().topics:
        members = [
            g.member for g in ALL if g.resource == f"topic:{topic.name}" and g.role == PUBLISHER
        ]
        ours = [member for member in members if "gcp-sa" not in member]
        if topic.publisher == Service.TICKS:
            assert members == [NAMES.agent("cloudscheduler")]
        else:
            assert ours == [NAMES.account(Service(topic.publisher))]


def test_the_gateway_encrypts_and_never_sees_bigquery_or_the_ledger() -> None:
    roles = {grant.role for grant in of(Service.GATEWAY)}
    assert "roles/cloudkms.cryptoKeyEncrypter" in roles
    assert not {r for r in roles if "Decrypter" in r or "bigquery" in r or "storage" in r}


def test_only_the_executor_decrypts() -> None:
    assert [g.member for g in ALL if "Decrypter" in g.role] == [NAMES.account(Service.EXECUTOR)]


def test_nobody_has_an_owner_editor_or_admin_role() -> None:
    assert not [g for g in ALL if g.role in {"roles/owner", "roles/editor"} or "dmin" in g.role]


def test_no_two_services_write_the_same_folder_and_each_write_is_bound_to_folders() -> None:
    writes = [g for g in ALL if g.role == "roles/storage.objectUser"]
    assert len(writes) == 5
    folders = [part for g in writes for part in g.condition.split(" || ")]
    assert len(set(folders)) == len(folders)
    assert all("resource.name.startsWith" in folder for folder in folders)


def test_the_executor_writes_its_own_claims_and_not_those_of_datasets() -> None:
    ledger = [g for g in ALL if g.resource == "bucket:p-ledger"]
    writes = {g.member: g for g in ledger if g.role == OBJECT_USER}
    start = 'resource.name.startsWith("projects/_/buckets/p-ledger/objects/claims/'
    own, others = writes[NAMES.account(Service.EXECUTOR)].condition.split(" && ")
    assert own.startswith(f'({start}") || ')
    assert others == f'!{start}datasets/")'
    assert f'{start}datasets/")' in writes[NAMES.account(Service.TENANT)].condition.split(" || ")


def test_the_executor_reads_what_is_delivered_and_writes_only_its_loads() -> None:
    (bucket,) = [g for g in ALL if g.resource == "bucket:p-data" and not g.condition]
    (reads,) = [g for g in ALL if g.role == OBJECT_READER]
    (writes,) = [g for g in ALL if g.resource == "bucket:p-data" and g.role == OBJECT_USER]
    start = 'resource.name.startsWith("projects/_/buckets/p-data/objects/'
    assert bucket.role == "roles/storage.legacyBucketReader"
    assert (reads.resource, reads.condition) == ("bucket:p-data", f'{start}landing/")')
    assert writes.condition == f'{start}loads/")'
    executor = NAMES.account(Service.EXECUTOR)
    assert {g.member for g in ALL if g.resource == "bucket:p-data"} == {executor}


def test_the_executor_cannot_reach_the_platforms_own_datasets() -> None:
    (grant,) = [g for g in of(Service.EXECUTOR) if g.role == "roles/bigquery.dataEditor"]
    for dataset in ("tenants", "metadata"):
        assert f'resource.name != "projects/p/datasets/{dataset}"' in grant.condition
        assert f'!resource.name.startsWith("projects/p/datasets/{dataset}/")' in grant.condition


@pytest.fixture
def cloudy(project: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    with google() as found:
        for dataset in ("tenants", "metadata"):
            path = f"/bigquery/bigquery/v2/projects/{project}/datasets/{dataset}"
            found.resources[path] = {"access": [{"role": "OWNER", "specialGroup": "projectOwners"}]}
        monkeypatch.setenv("GOOGLE_REST_ENDPOINT", found.url)
        yield found


def test_applied_twice_there_is_nothing_to_do(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply.main(["--dry-run", "--only", CLOUD]) == 0
    announced = capsys.readouterr().out
    assert cloudy.writes == []
    assert f"create service account convergence-gateway@{project}.iam" in announced
    assert "schedules: create schedule convergence-trigger (* * * * *)\n" in announced
    assert apply.main(["--only", CLOUD]) == 0
    assert capsys.readouterr().out == announced
    assert apply.main(["--only", CLOUD]) == 0
    assert capsys.readouterr().out == "nothing to do: the cloud is as declared\n"


def test_grants_of_others_stay(project: str, cloudy: Google) -> None:
    path = f"/cloudresourcemanager/v1/projects/{project}"
    theirs = {"role": "roles/viewer", "members": ["user:somebody@example.com"]}
    cloudy.policies[path] = {"version": 1, "etag": "1", "bindings": [theirs]}
    assert apply.main(["--only", "access"]) == 0
    assert theirs in cloudy.policies[path]["bindings"]
    dataset = cloudy.resources[f"/bigquery/bigquery/v2/projects/{project}/datasets/tenants"]
    assert {"role": "OWNER", "specialGroup": "projectOwners"} in dataset["access"]
    assert len(dataset["access"]) == 2


def test_what_an_earlier_release_granted_too_widely_is_taken_back(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a declared role, a service's own account has on the bucket only what is declared."""
    path = ledger_policy(project, cloudy)
    declared = cloudy.policies[path]["bindings"]
    mine = names_of(project).account(Service.EXECUTOR)
    theirs = {"role": "roles/storage.objectAdmin", "members": ["user:somebody@example.com"]}
    wide = "resource.name.startsWith('projects/_/buckets/')"
    older = [
        {"role": OBJECT_USER, "members": [mine]},
        {"role": OBJECT_USER, "members": [mine], "condition": {"title": "x", "expression": wide}},
        theirs,
    ]
    cloudy.policies[path]["bindings"] = [*declared, *older]
    capsys.readouterr()
    assert apply.main(["--dry-run", "--only", "access"]) == 0
    announced = capsys.readouterr().out
    assert announced.count(f"revoke {OBJECT_USER} from {mine}") == 2
    assert len(announced.splitlines()) == 2
    assert apply.main(["--only", "access"]) == 0
    assert cloudy.policies[path]["bindings"] == [*declared, theirs]
    capsys.readouterr()
    assert apply.main(["--only", "access"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def ledger_policy(project: str, cloudy: Google) -> str:
    """Where the bucket's policy is, once it has been granted on."""
    assert apply.main(["--only", "access"]) == 0
    (path,) = [path for path in cloudy.policies if f"{project}-convergence-ledger" in path]
    return path


def test_one_bucket_for_all_has_each_grant_once(
    project: str,
    cloudy: Google,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATA_BUCKET", f"{project}-convergence-ledger")
    mine = names_of(project).account(Service.EXECUTOR)
    path = ledger_policy(project, cloudy)
    announced = capsys.readouterr().out.splitlines()
    assert len(set(announced)) == len([one for one in announced if OBJECT_USER not in one]) + 4
    held = [b for b in cloudy.policies[path]["bindings"] for m in b["members"] if m == mine]
    roles = sorted(b["role"].rpartition(".")[2] for b in held)
    assert roles == ["legacyBucketReader", "objectUser", "objectUser", "objectViewer"]
    assert apply.main(["--only", "access"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_other_roles_that_were_given_by_hand_on_a_bucket_are_named_and_left(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ledger_policy(project, cloudy)
    mine = names_of(project).account(Service.EXECUTOR)
    by_hand = {"role": "roles/storage.objectAdmin", "members": [mine]}
    cloudy.policies[path]["bindings"].append(by_hand)
    capsys.readouterr()
    assert apply.main(["--only", "access"]) == apply.BY_HAND
    assert capsys.readouterr().out == (
        f"access: look at why {mine} has {by_hand['role']} on bucket {project}-convergence-ledger\n"
    )
    assert by_hand in cloudy.policies[path]["bindings"]


def test_a_project_wide_role_is_narrowed_and_roles_given_by_hand_are_named(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/cloudresourcemanager/v1/projects/{project}"
    mine = names_of(project).account(Service.EXECUTOR)
    older = {"role": "roles/bigquery.dataEditor", "members": [mine]}
    by_hand = {"role": "roles/logging.viewer", "members": [mine]}
    cloudy.policies[path] = {"version": 1, "etag": "1", "bindings": [older, by_hand]}
    assert apply.main(["--only", "access"]) == apply.BY_HAND
    bindings = cloudy.policies[path]["bindings"]
    assert older not in bindings
    assert by_hand in bindings
    capsys.readouterr()
    assert apply.main(["--only", "access"]) == apply.BY_HAND
    assert capsys.readouterr().out == (
        f"access: look at why {mine} has roles/logging.viewer on project {project}\n"
    )


def names_of(project: str) -> Names:
    return Names(project, NUMBER, "", "", "")


def test_a_publisher_that_nobody_declared_is_named_and_left(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply.main(["--only", "access"]) == 0
    path = f"/pubsub/v1/projects/{project}/topics/convergence-scheduler-v1"
    stranger = {"role": PUBLISHER, "members": ["user:mallory@example.com"]}
    cloudy.policies[path]["bindings"].append(stranger)
    capsys.readouterr()
    assert apply.main(["--only", "access"]) == apply.BY_HAND
    said = capsys.readouterr().out
    assert "look at who else has roles/pubsub.publisher on topic convergence-scheduler-v1" in said
    assert stranger in cloudy.policies[path]["bindings"]


def test_a_schedule_that_was_changed_is_mended(project: str, cloudy: Google) -> None:
    assert apply.main(["--only", "schedules"]) == 0
    jobs = {path: job for path, job in cloudy.resources.items() if "/jobs/" in path}
    validator = Draft202012Validator({"$ref": "#/$defs/Job", **schema("cloudscheduler.v1")})
    for job in jobs.values():
        validator.validate(job)
    assert len(jobs) == 3
    daily = next(path for path in jobs if path.endswith("daily"))
    cloudy.resources[daily] = {**jobs[daily], "schedule": "0 5 * * *"}
    assert apply.main(["--only", "schedules"]) == 0
    assert cloudy.resources[daily]["schedule"] == "0 0 * * *"


def test_on_emulators_alone_there_is_nobody_to_grant(
    project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply.main(["--only", CLOUD]) == 0
    assert "nothing to do" in capsys.readouterr().out
