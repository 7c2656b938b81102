"""Grants on one resource: what is missing is added, and grants of others are left.

Of the platform's own accounts, what is not declared is taken back: an earlier
release may have granted more widely. On the project and on buckets, where people
grant roles to these accounts too, only declared roles are narrowed; others are
named, and so is a publisher that nobody declared: for a person to look at.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from libs.provisioning.change import Change, ProvisioningError
from libs.provisioning.rest import Rest

EXCLUSIVE = frozenset({"roles/pubsub.publisher", "roles/secretmanager.secretAccessor"})
EXCLUSIVE_PREFIX = "roles/cloudkms."
VERSION = 3
"""Policies with conditions have to be read and written as this version."""


@dataclass(frozen=True, slots=True)
class Binding:
    role: str
    member: str
    condition: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where and how a resource's policy is read and written."""

    name: str
    read: tuple[str, str]
    write: tuple[str, str]
    """Method and URL; a bucket's policy is the body itself, others' is wrapped."""
    wrapped: bool = True
    shared: bool = False
    """Whether people grant on it too what is nobody's but theirs to take back."""


class Policy:
    """The grants on one resource, as a part of a deployment."""

    def __init__(
        self,
        rest: Rest,
        address: Address,
        wanted: Sequence[Binding],
        owned: Container[str] = frozenset(),
    ) -> None:
        """`owned` are the members who are to have what is wanted, and nothing else."""
        self._rest = rest
        self._address = address
        self._wanted = wanted
        self._owned = owned

    def diff(self) -> list[Change]:
        policy = self._read()
        if policy is None:
            return [Change(f"grant {b.role} to {b.member}{self._on}") for b in self._wanted]
        missing = [b for b in self._wanted if not _holds(policy, b)]
        surplus = list(self._surplus(policy))
        return [
            *(Change(f"grant {b.role} to {b.member}{self._on}") for b in missing),
            *(
                Change(f"revoke {b.role} from {b.member}{self._on}")
                for b in surplus
                if self._is_ours(b)
            ),
            *(
                Change(f"look at why {b.member} has {b.role}{self._on}", by_hand=True)
                for b in surplus
                if not self._is_ours(b)
            ),
            *(
                Change(f"look at who else has {role}{self._on}: {member}", by_hand=True)
                for role, member in self._strangers(policy)
            ),
        ]

    def apply(self) -> list[Change]:
        changes = self.diff()
        if any(not change.by_hand for change in changes):
            self._write()
        return changes

    @property
    def _on(self) -> str:
        return f" on {self._address.name}"

    def _read(self) -> Any:
        method, url = self._address.read
        if method == "GET":
            return self._rest.get(url)
        told = {} if "?" in url else {"options": {"requestedPolicyVersion": VERSION}}
        return self._rest.ask(method, url, told)

    def _write(self) -> None:
        policy = self._read()
        if policy is None:
            absent = LookupError(f"{self._address.name} is not there")
            raise ProvisioningError("granting", absent)
        for binding in self._wanted:
            if not _holds(policy, binding):
                _add(policy, binding)
        for binding in list(self._surplus(policy)):
            if self._is_ours(binding):
                _remove(policy, binding)
        policy["version"] = VERSION
        method, url = self._address.write
        # The etag in it makes this fail when somebody else has written meanwhile.
        self._rest.send(method, url, {"policy": policy} if self._address.wrapped else policy)

    def _surplus(self, policy: Any) -> Iterator[Binding]:
        """What the platform's own accounts have beside what is declared."""
        wanted = {(b.role, b.member, b.condition) for b in self._wanted}
        for found in policy.get("bindings", []):
            for member in found.get("members", []):
                has = Binding(found["role"], member, _condition(found))
                if member in self._owned and (has.role, member, has.condition) not in wanted:
                    yield has

    def _is_ours(self, surplus: Binding) -> bool:
        """Whether nobody but a deployment has granted it."""
        declared = {(b.role, b.member) for b in self._wanted}
        return not self._address.shared or (surplus.role, surplus.member) in declared

    def _strangers(self, policy: Any) -> list[tuple[str, str]]:
        known = {(b.role, b.member) for b in self._wanted}
        return [
            (found["role"], member)
            for found in policy.get("bindings", [])
            if found["role"] in EXCLUSIVE or found["role"].startswith(EXCLUSIVE_PREFIX)
            for member in found.get("members", [])
            if (found["role"], member) not in known and member not in self._owned
        ]


def _condition(found: Any) -> str:
    return str(found.get("condition", {}).get("expression", ""))


def _same(found: Any, wanted: Binding) -> bool:
    return bool(found["role"] == wanted.role and _condition(found) == wanted.condition)


def _holds(policy: Any, wanted: Binding) -> bool:
    return any(
        _same(found, wanted) and wanted.member in found.get("members", [])
        for found in policy.get("bindings", [])
    )


def _add(policy: Any, wanted: Binding) -> None:
    bindings = policy.setdefault("bindings", [])
    for found in bindings:
        if _same(found, wanted):
            found["members"].append(wanted.member)
            return
    made: dict[str, Any] = {"role": wanted.role, "members": [wanted.member]}
    if wanted.condition:
        made["condition"] = {"title": wanted.title, "expression": wanted.condition}
    bindings.append(made)


def _remove(policy: Any, surplus: Binding) -> None:
    for found in policy["bindings"]:
        if _same(found, surplus) and surplus.member in found["members"]:
            found["members"].remove(surplus.member)
    policy["bindings"] = [found for found in policy["bindings"] if found.get("members")]
