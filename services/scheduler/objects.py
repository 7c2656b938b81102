"""What the scheduler keeps beside its ledgers: reminders and old revisions, as objects.

Neither decides anything. A reminder that is there twice, or too long, leads to a
look that finds nothing to do; a revision is written again with the same content.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from contracts.identifiers import ConfigId, TenantId
from contracts.pipelines import ConfigPart

SECOND_DIGITS = 12
REMEMBERED = 100_000


class Objects(Protocol):
    """What is used of the bucket."""

    async def fetch(self, name: str) -> bytes | None: ...

    async def replace(self, name: str, body: bytes) -> None: ...

    async def delete(self, name: str) -> None: ...

    async def names(self, prefix: str, start: str = "", limit: int = 1000) -> list[str]: ...


class Reminder(NamedTuple):
    """Somebody must look at a tenant's ledger at a time: an object's name says all."""

    name: str

    @classmethod
    def of(cls, at: datetime, tenant: TenantId, number: int) -> "Reminder":
        """`number`: of this tenant's reminders, so that each is a thing of its own."""
        return cls(f"due/{_second(at)}/{tenant}/{number}")

    @property
    def tenant_id(self) -> TenantId:
        return TenantId(self.name.split("/")[2])

    @property
    def number(self) -> int:
        return int(self.name.split("/")[3])


class Reminders:
    """The index of due times: a listing of names that begin with the second.

    It costs what is due, not what there is. Safe to share between tasks.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: OrderedDict[str, None] = OrderedDict()

    async def keep(self, reminder: Reminder, *, again: bool = False) -> None:
        """Return when it is durable; `again` also when this instance has kept it before."""
        if reminder.name in self._kept and not again:
            return
        await self._objects.replace(reminder.name, b"")
        self._kept[reminder.name] = None
        while len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)

    async def due(self, now: datetime, after: Reminder | None, limit: int) -> Sequence[Reminder]:
        """The next reminders whose time has come, in order."""
        start = f"{after.name}0" if after else ""
        names = await self._objects.names("due/", start, limit)
        due = names[: bisect_left(names, f"due/{_second(now, 1)}/")]
        return list(map(Reminder, due))

    async def drop(self, reminder: Reminder) -> None:
        await self._objects.delete(reminder.name)
        self._kept.pop(reminder.name, None)


class Revisions:
    """Every definition ever saved, by its number."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def keep(self, tenant: TenantId, config: ConfigPart) -> None:
        name = _revision(tenant, config.config_id, config.revision)
        await self._objects.replace(name, config.encode())

    async def configs(self, tenant: TenantId) -> set[ConfigId]:
        """Whose revisions there are."""
        names, last = await self._names(tenant, ""), ""
        found: set[ConfigId] = set()
        while names:
            found |= {ConfigId(name.split("/")[2]) for name in names}
            last = names[-1]
            names = await self._names(tenant, f"{last}0")
        return found

    async def _names(self, tenant: TenantId, start: str) -> list[str]:
        return await self._objects.names(f"revisions/{tenant}/", start)

    async def drop(self, tenant: TenantId, config_id: ConfigId) -> None:
        """All revisions of one definition."""
        prefix = f"revisions/{tenant}/{config_id}/"
        while names := await self._objects.names(prefix):
            for name in names:
                await self._objects.delete(name)

    async def find(self, tenant: TenantId, config_id: ConfigId, revision: int) -> ConfigPart | None:
        body = await self._objects.fetch(_revision(tenant, config_id, revision))
        return None if body is None else ConfigPart.decode(body)


def _second(at: datetime, later: int = 0) -> str:
    return f"{int(at.timestamp()) + later:0{SECOND_DIGITS}d}"


def _revision(tenant: TenantId, config_id: ConfigId, revision: int) -> str:
    return f"revisions/{tenant}/{config_id}/{revision:08d}.json"
