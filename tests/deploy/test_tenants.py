"""Accounts of tenants: each sees its own datasets, and the executor may act as it."""

from collections.abc import Iterator

import pytest

from deploy import apply
from libs.provisioning.rest import Rest
from libs.provisioning.tenants import AuthorizedViews
from libs.warehouse.accounts import account_of
from tests.deploy.google_rest import Google, google

BQ = "/bigquery/bigquery/v2/projects"
OWNER = {"role": "OWNER", "specialGroup": "projectOwners"}
OF = {"acme": ("acme", "acme_raw"), "globex": ("globex",)}


@pytest.fixture
def cloudy(project: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    with google() as found:
        datasets = f"{BQ}/{project}/datasets"
        labels = {"convergence": "tenant"}
        found.resources[datasets] = {
            "datasets": [
                {
                    "datasetReference": {"datasetId": dataset},
                    "labels": {**labels, "convergence_tenant": tenant},
                }
                for tenant, of_one in OF.items()
                for dataset in of_one
            ]
        }
        for name in ("tenants", "metadata", "acme", "acme_raw", "globex"):
            found.resources[f"{datasets}/{name}"] = {"access": [OWNER]}
        monkeypatch.setenv("GOOGLE_REST_ENDPOINT", found.url)
        yield found


def seen_by(cloudy: Google, project: str, email: str) -> set[str]:
    return {
        path.rpartition("/")[2]
        for path, found in cloudy.resources.items()
        if path.startswith(f"{BQ}/{project}/datasets/")
        and {"role": "WRITER", "userByEmail": email} in found["access"]
    }


def test_each_tenants_account_sees_its_own_datasets_only(project: str, cloudy: Google) -> None:
    assert apply.main(["--only", "tenants"]) == 0
    for tenant, datasets in OF.items():
        assert seen_by(cloudy, project, account_of(tenant, project)) == set(datasets)


def test_only_the_executor_may_act_as_a_tenant(project: str, cloudy: Google) -> None:
    assert apply.main(["--only", "tenants"]) == 0
    executor = f"serviceAccount:convergence-executor@{project}.iam.gserviceaccount.com"
    for tenant in OF:
        email = account_of(tenant, project)
        policy = cloudy.policies[f"/iam/v1/projects/{project}/serviceAccounts/{email}"]
        (binding,) = policy["bindings"]
        assert binding == {"role": "roles/iam.serviceAccountTokenCreator", "members": [executor]}


def test_platform_views_of_tenants_may_read_what_they_show(project: str, cloudy: Google) -> None:
    assert apply.main(["--only", "tenants"]) == 0
    for system in ("tenants", "metadata"):
        access = cloudy.resources[f"{BQ}/{project}/datasets/{system}"]["access"]
        views = {e["dataset"]["dataset"]["datasetId"] for e in access if "dataset" in e}
        assert views == {"acme", "acme_raw", "globex"}
        assert OWNER in access
        assert not [e for e in access if e.get("role") == "WRITER"]


def test_applied_twice_there_is_nothing_to_do(
    project: str, cloudy: Google, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apply.main(["--only", "tenants", "--dry-run"]) == 0
    assert cloudy.writes == []
    announced = capsys.readouterr().out
    assert f"create service account {account_of('acme', project)}" in announced
    assert apply.main(["--only", "tenants"]) == 0
    assert capsys.readouterr().out == announced
    assert apply.main(["--only", "tenants"]) == 0
    assert capsys.readouterr().out == "nothing to do: the cloud is as declared\n"


def test_a_full_dataset_is_told(cloudy: Google, project: str) -> None:
    many = [f"d{number}" for number in range(2_501)]
    changes = AuthorizedViews(Rest(cloudy.url), project, "tenants", many).diff()
    assert [str(change) for change in changes if change.by_hand] == [
        "tenants lets in 2500 datasets at most: use more projects"
    ]
