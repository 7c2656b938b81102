"""Since when there can be something of a run: what was recorded before need not be read."""

from collections import OrderedDict
from datetime import datetime

from contracts.audit import CLOCKS_DIFFER
from contracts.identifiers import RunId, TenantId
from contracts.runs import RunPart
from libs.clock import Clock, earlier
from services.audit_log.parts import RUN_COLUMNS, run_part
from services.audit_log.reading import SHOWN, Conditions, Reader

KNOWN = 10_000


class RunDays:
    """Looks for a run among the newest first. Its id says nothing of its time."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._began: OrderedDict[tuple[TenantId, RunId], datetime] = OrderedDict()

    async def find(self, tenant: TenantId, run_id: RunId) -> RunPart | None:
        """Of what is recorded lately the whole run is seen only if it was submitted since."""
        lately = earlier(self._clock(), SHOWN)
        run = await self._read(tenant, run_id, lately)
        if run is None or run.submitted_at < lately:
            run = await self._read(tenant, run_id, None)
        return run

    async def began(self, tenant: TenantId, run_id: RunId) -> datetime:
        """Of a run that nobody has decided on, it can only have been asked for lately."""
        if found := self._began.get((tenant, run_id)):
            return found
        run = await self.find(tenant, run_id)
        if run is None:
            return earlier(self._clock(), SHOWN)
        found = self._began[tenant, run_id] = earlier(run.submitted_at, CLOCKS_DIFFER)
        while len(self._began) > KNOWN:
            self._began.popitem(last=False)
        return found

    async def _read(
        self, tenant: TenantId, run_id: RunId, since: datetime | None
    ) -> RunPart | None:
        wanted = Conditions().add("run_id = @run_id", run_id=run_id)
        rows = await self._reader.select(
            "tenant_pipeline_runs", tenant, wanted, columns=RUN_COLUMNS, since=since
        )
        return run_part(rows[0]) if rows else None
