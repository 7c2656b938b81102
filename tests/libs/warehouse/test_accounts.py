"""Whose account a tenant's SQL runs under."""

import re
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import RefreshError

from libs.warehouse.accounts import MOST_KEPT, OwnAccounts, account_id, account_of
from libs.warehouse.errors import UnavailableError
from libs.warehouse.warehouse import Warehouse, WarehouseSettings

TENANTS = ("acme", "acme2", "a", "x" * 50, "acme_inc", "acmeinc")


def test_an_account_has_a_name_that_google_allows() -> None:
    names = {account_id(tenant) for tenant in TENANTS}
    assert len(names) == len(TENANTS)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", name) for name in names)
    assert account_of("acme", "p") == f"{account_id('acme')}@p.iam.gserviceaccount.com"


def test_a_warehouse_acts_as_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    own = AnonymousCredentials()
    monkeypatch.setattr(google.auth, "default", lambda **_: (own, "p"))
    warehouse = Warehouse(WarehouseSettings("p", endpoint=""))
    acting: Any = warehouse.acting_as("t@p.iam.gserviceaccount.com")
    credentials = acting._client._credentials
    assert credentials.service_account_email == "t@p.iam.gserviceaccount.com"
    assert credentials._target_scopes == ["https://www.googleapis.com/auth/bigquery"]


async def test_an_account_that_does_not_let_us_in_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = AnonymousCredentials()
    monkeypatch.setattr(google.auth, "default", lambda **_: (own, "p"))
    warehouse: Any = Warehouse(WarehouseSettings("p", endpoint="")).acting_as("t@p")

    def refused(*_: object) -> None:
        raise RefreshError("Permission 'iam.serviceAccounts.getAccessToken' denied")

    monkeypatch.setattr(type(warehouse._client._credentials), "refresh", refused)
    with pytest.raises(UnavailableError):
        await warehouse.dry_run("SELECT 1")


def test_clients_of_those_who_ran_last_are_kept() -> None:
    made: list[str] = []

    def act_as(account: str) -> Warehouse:
        made.append(account)
        return Warehouse(WarehouseSettings("p", endpoint="http://127.0.0.1:1"))

    warehouse = Warehouse(WarehouseSettings("p", endpoint="http://127.0.0.1:1"))
    accounts = OwnAccounts(warehouse, act_as)
    first = accounts.of("acme")
    assert accounts.of("acme") is first
    assert accounts.of("globex") is not first
    assert made == [account_of("acme", "p"), account_of("globex", "p")]
    for number in range(MOST_KEPT):
        accounts.of(f"t{number}")
    assert accounts.of("acme") is not first
