"""Credentials of all tenants are wrapped anew: page by page, and a failure is said, not hidden."""

import pytest
from pydantic import SecretStr

from contracts.credentials import (
    CredentialAction,
    CredentialListV1,
    CredentialPart,
    CredentialStoredV1,
    ListCredentialsV1,
    RewrapCredentialV1,
)
from contracts.examples import example_part
from contracts.identifiers import CredentialId, TenantId
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import ListTenantsV1, TenantListV1, TenantPart, TenantStatus
from deploy import rewrap
from libs.settings import GatewaySettings
from tests.api.threads import in_a_thread
from tests.gateway.edges import ADMIN_KEY, edge_on

FIRST = example_part(CredentialPart)
SECOND = FIRST.model_copy(update={"credential_id": CredentialId("second")})
PAGES = (("acme", "beta"), ("gone", "zeta"))


def tenant(name: str) -> TenantPart:
    status = TenantStatus.OFFBOARDED if name == "gone" else TenantStatus.ACTIVE
    return TenantPart.model_validate(
        {**example_part(TenantPart).model_dump(), "tenant_id": name, "status": status}
    )


def answered(question: Message, asked: list[str]) -> Message:
    match question:
        case ListTenantsV1(after=after):
            page = PAGES[1 if after else 0]
            last = None if after else TenantId(page[-1])
            return TenantListV1(tenants=tuple(map(tenant, page)), next_after=last)
        case ListCredentialsV1(tenant_id=name):
            return CredentialListV1(tenant_id=name, credentials=(FIRST, SECOND))
        case RewrapCredentialV1(tenant_id=name, credential_id=credential):
            asked.append(f"{name}/{credential}")
            if (name, credential) == ("beta", FIRST.credential_id):
                return CommandRefusedV1(code="credential_unreadable", detail="it does not open")
            return CredentialStoredV1(
                tenant_id=name,
                credential_id=credential,
                provider=FIRST.provider,
                action=CredentialAction.REWRAPPED,
                requested_by="admin",
            )
    raise AssertionError(question)


def test_every_page_is_walked_and_a_failure_ends_in_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    settings = GatewaySettings(admin_api_key=SecretStr(ADMIN_KEY))
    monkeypatch.setenv("ADMIN_API_KEY", ADMIN_KEY)
    with in_a_thread(edge_on(lambda question: answered(question, asked), settings)) as url:
        assert rewrap.main(["--url", url]) == rewrap.FAILED
    told = capsys.readouterr()
    names = (FIRST.credential_id, SECOND.credential_id)
    assert asked == [f"{tenant}/{name}" for tenant in ("acme", "beta", "zeta") for name in names]
    assert told.out.splitlines() == [
        "acme: 2 wrapped",
        "beta: 1 wrapped",
        "zeta: 2 wrapped",
        "5 wrapped in all, 1 tenants left",
    ]
    assert told.err == f"beta: {FIRST.credential_id} not wrapped: it does not open\n"


def test_without_a_key_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADMIN_API_KEY", raising=False)
    assert rewrap.main([]) == rewrap.NO_KEY
