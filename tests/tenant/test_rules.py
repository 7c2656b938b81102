"""What is decided about a tenant: pure rules, no world."""

import json
from datetime import timedelta
from itertools import count

import pytest

from contracts.keys import IssueKeyV1, KeyIssuedV1, KeyRevokedV1, KeyRotatedV1
from contracts.keys import RevokeKeyV1 as Revoke
from contracts.keys import RotateKeyV1 as Rotate
from contracts.message import Message
from contracts.platform import CommandRefusedV1
from contracts.tenants import (
    ChangePlanV1,
    LimitOverridesPart,
    OffboardTenantV1,
    PlanChangedV1,
    ResumeTenantV1,
    SuspendTenantV1,
    TenantStatus,
)
from services.tenant.domain import keys
from services.tenant.domain.onboarding import FinishProvisioning
from services.tenant.domain.tenant import ENDED_KEYS_SHOWN, NEWLY_ENDED, Tenant
from services.tenant.store import TenantDecider
from tests.tenant.desk import NOW, key, kinds, onboarding

DECIDER = TenantDecider()


class Life:
    """One tenant to whom things happen; the time is moved by hand."""

    def __init__(self) -> None:
        self.state = Tenant()
        self.now = NOW

    def tell(self, message: Message) -> list[Message]:
        decision = DECIDER.decide(self.state, message, self.now)
        for fact in decision.facts:
            stored = fact.model_dump(mode="json")
            self.state = DECIDER.evolve(self.state, DECIDER.load_fact(stored))
        assert DECIDER.load_state(json.loads(DECIDER.dump_state(self.state))) == self.state
        return list(decision.emits)


@pytest.fixture
def acme() -> Life:
    life = Life()
    assert life.tell(onboarding("acme", first_key=key(1))) == []
    done = FinishProvisioning.model_validate(
        {"tenant_id": "acme", "objects": (), "requested_by": "admin"}
    )
    assert kinds(life.tell(done)) == ["tenant.onboarded.v1", "key.issued.v1"]
    assert life.state.status is TenantStatus.ACTIVE
    return life


def made(model: type[Message], **fields: object) -> Message:
    return model.model_validate({"tenant_id": "acme", "requested_by": "admin", **fields})


def refused(said: list[Message]) -> str:
    (refusal,) = said
    assert isinstance(refusal, CommandRefusedV1)
    return refusal.code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tenant_id": "tenants"}, "tenant_id_reserved"),
        ({"plan": "GOLD"}, "unknown_plan"),
    ],
    ids=["a system's name", "no such plan"],
)
def test_onboarding_is_refused(changes: dict[str, str], code: str) -> None:
    life = Life()
    assert refused(life.tell(onboarding(**{"tenant": "acme", **_renamed(changes)}))) == code
    assert life.state == Tenant()


def _renamed(changes: dict[str, str]) -> dict[str, str]:
    return {("tenant" if name == "tenant_id" else name): value for name, value in changes.items()}


def test_an_id_is_given_once_even_after_its_tenant_has_left(acme: Life) -> None:
    assert refused(acme.tell(onboarding("acme"))) == "tenant_exists"
    acme.tell(made(OffboardTenantV1))
    assert refused(acme.tell(onboarding("acme"))) == "tenant_exists"


def test_suspending_and_resuming_take_turns(acme: Life) -> None:
    suspend, resume = made(SuspendTenantV1, reason="unpaid"), made(ResumeTenantV1)
    assert refused(acme.tell(resume)) == "wrong_status"
    assert kinds(acme.tell(suspend)) == ["tenant.suspended.v1"]
    assert refused(acme.tell(suspend)) == "wrong_status"
    assert kinds(acme.tell(resume)) == ["tenant.resumed.v1"]


def test_an_override_stands_in_for_the_plans_number(acme: Life) -> None:
    (event,) = acme.tell(
        made(ChangePlanV1, plan="PROFESSIONAL", overrides=LimitOverridesPart(daily=40))
    )
    assert isinstance(event, PlanChangedV1)
    assert (event.limits.daily, event.limits.monthly, event.limits.concurrent) == (40, 750, 5)
    part = acme.state.part()
    assert part is not None
    assert part.overrides == LimitOverridesPart(daily=40)


def test_a_rotated_key_works_until_the_overlap_ends_and_no_longer(acme: Life) -> None:
    until = NOW + timedelta(hours=1)
    rotate = made(Rotate, old_key_hash=key(1).key_hash, key=key(2), overlap_until=until)
    (event,) = acme.tell(rotate)
    assert isinstance(event, KeyRotatedV1)
    assert acme.state.live_keys(NOW) == [key(1).key_hash, key(2).key_hash]
    assert acme.state.live_keys(until) == [key(2).key_hash]
    acme.now = until
    again = made(Rotate, old_key_hash=key(1).key_hash, key=key(3), overlap_until=until)
    assert refused(acme.tell(again)) == "key_not_found"


def test_rotating_never_lets_the_old_key_live_longer(acme: Life) -> None:
    ends = NOW + timedelta(minutes=5)
    acme.tell(made(IssueKeyV1, key=key(2, expires_at=ends)))
    later = NOW + timedelta(days=7)
    rotate = made(Rotate, old_key_hash=key(2).key_hash, key=key(3), overlap_until=later)
    (event,) = acme.tell(rotate)
    assert isinstance(event, KeyRotatedV1)
    assert event.overlap_until == ends


def test_a_key_is_issued_once_and_not_for_the_past(acme: Life) -> None:
    assert refused(acme.tell(made(IssueKeyV1, key=key(1)))) == "key_exists"
    past = made(IssueKeyV1, key=key(2, expires_at=NOW))
    assert refused(acme.tell(past)) == "key_expired"


def test_revoking_again_says_when_it_was_revoked_first(acme: Life) -> None:
    revoke = made(Revoke, key_hash=key(1).key_hash)
    (first,) = acme.tell(revoke)
    acme.now += timedelta(days=1)
    (again,) = acme.tell(revoke)
    assert isinstance(first, KeyRevokedV1)
    assert first == again
    assert refused(acme.tell(made(Revoke, key_hash=key(9).key_hash))) == "key_not_found"


def test_keys_that_have_ended_neither_count_nor_pile_up(acme: Life) -> None:
    numbers = count(2)
    for _ in range(3 * ENDED_KEYS_SHOWN):
        acme.now += timedelta(minutes=1)
        part = key(next(numbers), expires_at=acme.now + timedelta(seconds=1))
        (event,) = acme.tell(made(IssueKeyV1, key=part))
        assert isinstance(event, KeyIssuedV1)
    assert len(acme.state.keys) <= ENDED_KEYS_SHOWN + 2
    assert key(1).key_hash in acme.state.live_keys(acme.now)


def key_that_ended(life: Life, how: str, **more: object) -> IssueKeyV1:
    """The command that made a key which has ended and has been forgotten since."""
    issue = IssueKeyV1.model_validate(
        {"tenant_id": "acme", "key": key(900, **more), "requested_by": "admin"}
    )
    assert kinds(life.tell(issue)) == ["key.issued.v1"]
    if how == "revoked":
        life.tell(made(Revoke, key_hash=issue.key.key_hash))
    elif how == "rotated":
        until = life.now + timedelta(hours=1)
        fields = {"old_key_hash": issue.key.key_hash, "key": key(901), "overlap_until": until}
        life.tell(made(Rotate, **fields))
    for number in range(1000, 1000 + 2 * ENDED_KEYS_SHOWN):
        life.now += timedelta(minutes=1)
        ends = life.now + timedelta(seconds=1)
        life.tell(made(IssueKeyV1, key=key(number, expires_at=ends)))
    assert issue.key.key_hash not in life.state.keys
    return issue


@pytest.mark.parametrize("how", ["revoked", "rotated"])
@pytest.mark.parametrize("again", ["issued", "put in another's place"])
def test_a_key_that_was_ended_never_opens_again(acme: Life, how: str, again: str) -> None:
    issue = key_that_ended(acme, how)
    later = acme.now + timedelta(hours=1)
    rotate = made(Rotate, old_key_hash=key(1).key_hash, key=issue.key, overlap_until=later)
    said = acme.tell(issue if again == "issued" else rotate)
    assert refused(said) == "key_exists"
    assert issue.key.key_hash not in acme.state.live_keys(acme.now)


def test_a_key_that_ended_by_itself_needs_no_memory_and_stays_ended(acme: Life) -> None:
    issue = key_that_ended(acme, "by itself", expires_at=NOW + timedelta(minutes=5))
    assert acme.state.ends_at(acme.now) == {}
    assert refused(acme.tell(issue)) == "key_expired"
    later = acme.now + timedelta(hours=1)
    rotate = made(Rotate, old_key_hash=key(1).key_hash, key=issue.key, overlap_until=later)
    assert refused(acme.tell(rotate)) == "key_expired"


def test_a_revoked_key_is_remembered_until_it_would_have_ended(acme: Life) -> None:
    ends = NOW + timedelta(days=1)
    issue = key_that_ended(acme, "revoked", expires_at=ends)
    assert refused(acme.tell(issue)) == "key_exists"
    acme.now = ends
    assert refused(acme.tell(issue)) == "key_expired"
    acme.tell(made(IssueKeyV1, key=key(2)))
    assert acme.state.ends_at(acme.now) == {}


def test_rotating_and_then_revoking_does_not_shorten_the_memory(acme: Life) -> None:
    until = NOW + timedelta(hours=1)
    first = key(1)
    acme.tell(made(Rotate, old_key_hash=first.key_hash, key=key(2), overlap_until=until))
    acme.tell(made(Revoke, key_hash=first.key_hash))
    acme.now += timedelta(days=2)
    acme.tell(made(IssueKeyV1, key=key(3)))
    assert list(acme.state.ends_at(acme.now).values()) == [None]


def test_every_end_of_many_is_remembered_and_copied_seldom(acme: Life) -> None:
    """A log of 50,000 ends would take long to read if all of them were copied each time."""
    stored, changed = [], 0
    for number in range(1000, 1000 + 2 * NEWLY_ENDED + 10):
        before = acme.state.ended
        acme.tell(made(IssueKeyV1, key=key(number)))
        acme.tell(made(Revoke, key_hash=key(number).key_hash))
        stored.append(key(number).key_hash)
        changed += acme.state.ended is not before
    assert changed == 2
    assert all(map(acme.state.has_ended, stored))
    assert len(acme.state.ends_at(acme.now)) == len(stored)
    assert len(acme.state.newly_ended) == 10


def test_who_has_ended_too_many_keys_gets_no_more(
    acme: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MOST_ENDED", 2)
    for number in (2, 3):
        acme.tell(made(IssueKeyV1, key=key(number)))
        acme.tell(made(Revoke, key_hash=key(number).key_hash))
    (refusal,) = acme.tell(made(IssueKeyV1, key=key(4)))
    assert isinstance(refusal, CommandRefusedV1)
    assert refusal.code == "too_many_keys"
    assert "expires_at" in refusal.detail
    until = acme.now + timedelta(hours=1)
    rotate = made(Rotate, old_key_hash=key(1).key_hash, key=key(4), overlap_until=until)
    assert refused(acme.tell(rotate)) == "too_many_keys"
    assert kinds(acme.tell(made(Revoke, key_hash=key(1).key_hash))) == ["key.revoked.v1"]


def test_the_hundred_and_first_live_key_is_refused(acme: Life) -> None:
    for number in range(2, 101):
        acme.tell(made(IssueKeyV1, key=key(number)))
    assert refused(acme.tell(made(IssueKeyV1, key=key(101)))) == "too_many_keys"


def test_leaving_ends_every_key_at_once(acme: Life) -> None:
    acme.tell(made(IssueKeyV1, key=key(2)))
    said = acme.tell(made(OffboardTenantV1))
    assert kinds(said) == ["tenant.suspended.v1", "key.revoked.v1", "key.revoked.v1"]
    assert acme.state.live_keys(NOW) == []
    assert refused(acme.tell(made(SuspendTenantV1, reason="x"))) == "tenant_not_found"


def test_what_a_tenant_that_is_not_there_asks_is_refused() -> None:
    for message in (
        made(SuspendTenantV1, reason="x"),
        made(ChangePlanV1, plan="SCALE"),
        made(OffboardTenantV1),
        made(IssueKeyV1, key=key(1)),
    ):
        assert refused(Life().tell(message)) == "tenant_not_found"
