"""A crash at any point, then the same message again: done once, and nothing left over."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from contracts.message import Message
from contracts.tenants import OffboardTenantV1, TenantStatus
from libs.slotlog.bucket import Bucket
from libs.slotlog.cloud_storage import Claims
from libs.slotlog.memory import MemorySlotLog
from libs.warehouse.warehouse import Warehouse
from tests.tenant.desk import Desk, key, kinds, onboarding
from tests.tenant.test_handlers import DOORS_SHUT, store

MOST_STEPS = 60


class Crash(Exception):  # noqa: N818  it stands for no error
    """The process is gone: nothing after this point happens."""


class Crashing:
    """Passes calls on to what it stands for, and dies before or after the n-th."""

    def __init__(self, target: Any, fuse: "Fuse") -> None:
        self._target, self._fuse = target, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._fuse.guard(found) if callable(found) else found


class Fuse:
    def __init__(self, at: int) -> None:
        self.left = at

    def guard(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def guarded(*given: Any, **named: Any) -> Any:
            self.burn()
            found = await call(*given, **named)
            self.burn()
            return found

        return guarded

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Crash


class CrashingWarehouse(Warehouse):
    """A warehouse whose calls may be the last thing its process does."""

    def __init__(self, target: Warehouse, fuse: Fuse) -> None:
        self._target, self._fuse = target, fuse

    async def ensure(self, *objects: Any) -> Any:
        return [
            done
            for wanted in objects
            for done in await self._fuse.guard(self._target.ensure)(wanted)
        ]

    async def drop_dataset(self, name: str) -> None:
        await self._fuse.guard(self._target.drop_dataset)(name)


async def crashes(
    message: Message, prepare: Callable[[Desk], Awaitable[None]], whole: Desk
) -> AsyncIterator[tuple[Desk, list[Message]]]:
    """For every point at which a process can die: the state and words of the one after it."""
    for point in range(1, MOST_STEPS):
        log = MemorySlotLog()
        await prepare(Desk(whole.warehouse, whole.bucket, log))
        fuse = Fuse(point)
        dying = Desk(
            CrashingWarehouse(whole.warehouse, fuse),
            whole.bucket,
            Crashing(log, fuse),
            Crashing(Claims(whole.bucket), fuse),
            Crashing(whole.bucket, fuse),
        )
        try:
            await dying.give(message, "the-same-id")
        except Crash:
            survivor = Desk(whole.warehouse, whole.bucket, log)
            yield survivor, await survivor.give(message, "the-same-id")
        else:
            assert point > 4, "nothing was ever interrupted"
            return
    pytest.fail(f"more than {MOST_STEPS} steps")


async def test_an_onboarding_that_was_cut_off_goes_on(desk: Desk) -> None:
    async def nothing(_: Desk) -> None:
        """A tenant begins with nothing."""

    async for after, said in crashes(onboarding("phoenix", first_key=key(1)), nothing, desk):
        assert kinds(said) == ["tenant.onboarded.v1", "key.issued.v1"]
        state = await after.state("phoenix")
        assert (state.status, list(state.keys)) == (TenantStatus.ACTIVE, [key(1).key_hash])


async def test_an_offboarding_that_was_cut_off_goes_on(desk: Desk, bucket: Bucket) -> None:
    numbers = count()

    async def settled(fresh: Desk) -> None:
        await fresh.give(onboarding("goodbye", first_key=key(1)), "onboarded")
        await fresh.give(store(onboarding("goodbye").tenant_id), f"stored-{next(numbers)}")

    leave = OffboardTenantV1.model_validate(
        {"tenant_id": "goodbye", "drop_datasets": True, "requested_by": "admin"}
    )
    async for after, said in crashes(leave, settled, desk):
        assert kinds(said) == [*DOORS_SHUT, "tenant.offboarded.v1"]
        state = await after.state("goodbye")
        assert (state.datasets, state.leaving, state.doomed) == ((), None, ())
        assert await bucket.names("ciphertexts/goodbye/") == []


async def test_a_credential_that_was_cut_off_is_kept_once(desk: Desk, bucket: Bucket) -> None:
    tenant = onboarding("careful").tenant_id

    async def settled(fresh: Desk) -> None:
        await fresh.give(onboarding("careful"), "onboarded")
        await fresh.give(store(tenant, b"old"), "stored-before")

    async for after, said in crashes(store(tenant, b"new"), settled, desk):
        assert kinds(said) == ["credential.stored.v1"]
        (ref,) = (await after.state("careful")).ciphertexts.values()
        assert await bucket.names("ciphertexts/careful/") == [ref]
