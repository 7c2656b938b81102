"""Endpoints for backfills: a pipeline, for days that have passed."""

from uuid import NAMESPACE_URL, uuid4, uuid5

from pydantic import Field, JsonValue

from contracts.backfills import (
    BackfillAction,
    BackfillChangedV1,
    BackfillListV1,
    BackfillOnly,
    BackfillPart,
    BackfillPlannedV1,
    BackfillStartedV1,
    ChangeBackfillV1,
    ListBackfillsV1,
    StartBackfillV1,
)
from contracts.identifiers import BackfillId, ConfigId
from contracts.message import Part
from libs.web.problem import Problem
from services.gateway.api.edge import Edge
from services.gateway.api.endpoint import Answer, Body, Call, Who, endpoint
from services.gateway.api.moments import Day

PATH = "/api/v1/pipelines/configs/{config_id}/backfills"
ONE = PATH + "/{backfill_id}"
CHANGING = ("backfill_not_found", "backfill_ended")
NAMESPACE = uuid5(NAMESPACE_URL, "convergence/gateway/backfills")


class BackfillBody(Body):
    from_: Day = Field(alias="from")
    """The first day."""
    to: Day
    """The last day."""
    only: BackfillOnly = BackfillOnly.MISSING
    max_active: int = Field(default=1, ge=1, le=100)
    """How many of its runs may be under way at once."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=100)
    dry_run: bool = False
    """Only say what it would cost of the quota."""


class ActionBody(Body):
    action: BackfillAction


class BackfillCost(Part):
    """What a backfill would cost; nothing was started."""

    config_id: ConfigId
    days: int
    runs: int
    left_today: int
    left_this_month: int
    expected_days: int


class BackfillsShown(Part):
    backfills: tuple[BackfillPart, ...]


class BackfillRoutes:
    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @endpoint(
        "POST",
        PATH,
        Who.TENANT,
        status=202,
        errors=(
            "invalid_parameters",
            "config_not_found",
            "invalid_range",
            "backfill_exists",
            "too_many_backfills",
            "tenant_not_found",
        ),
        sends=("Location",),
        also={200: BackfillCost},
        example={"from": "2026-02-01", "to": "2026-02-28", "max_active": 2},
    )
    async def start(
        self, call: Call, config_id: ConfigId, body: BackfillBody
    ) -> Answer[BackfillPart]:
        """Run a pipeline for each day of a range; live work goes first."""
        command = StartBackfillV1(
            tenant_id=call.tenant,
            backfill_id=_new_id(call),
            config_id=config_id,
            from_date=body.from_,
            to_date=body.to,
            **body.model_dump(include={"only", "max_active", "parameters", "dry_run"}),
            requested_by=call.who(),
        )
        done: BackfillStartedV1 | BackfillPlannedV1 = await self._edge.questions.ask(
            command, BackfillStartedV1, BackfillPlannedV1
        )
        if isinstance(done, BackfillPlannedV1):
            cost = BackfillCost(**done.model_dump(exclude={"tenant_id"}))
            return Answer(cost, status=200)  # type: ignore[arg-type] # declared in `also`
        location = f"{call.request.path}/{done.backfill.backfill_id}"
        return Answer(done.backfill, {"Location": location})

    @endpoint("GET", PATH, Who.TENANT, errors=("config_not_found",))
    async def list(self, call: Call, config_id: ConfigId) -> BackfillsShown:
        """List a pipeline's backfills, the newest first."""
        query = ListBackfillsV1(tenant_id=call.tenant, config_id=config_id)
        found = await self._edge.questions.ask(query, BackfillListV1)
        return BackfillsShown(backfills=found.backfills)

    @endpoint("GET", ONE, Who.TENANT, errors=("backfill_not_found",))
    async def show(self, call: Call, config_id: ConfigId, backfill_id: BackfillId) -> BackfillPart:
        """Show a backfill and how far it is."""
        query = ListBackfillsV1(tenant_id=call.tenant, config_id=config_id, backfill_id=backfill_id)
        found = await self._edge.questions.ask(query, BackfillListV1)
        if not found.backfills:
            raise Problem(404, "backfill_not_found", f"There is no backfill {backfill_id}.")
        return found.backfills[0]

    @endpoint("PATCH", ONE, Who.TENANT, errors=CHANGING, example={"action": "pause"})
    async def change(
        self, call: Call, config_id: ConfigId, backfill_id: BackfillId, body: ActionBody
    ) -> BackfillPart:
        """Pause, resume or cancel a backfill."""
        await self.show(call, config_id, backfill_id)
        return await self._change(call, backfill_id, body.action)

    @endpoint("DELETE", ONE, Who.TENANT, errors=CHANGING)
    async def cancel(
        self, call: Call, config_id: ConfigId, backfill_id: BackfillId
    ) -> BackfillPart:
        """Cancel a backfill; its runs that have begun go on."""
        await self.show(call, config_id, backfill_id)
        return await self._change(call, backfill_id, BackfillAction.CANCEL)

    async def _change(
        self, call: Call, backfill_id: BackfillId, action: BackfillAction
    ) -> BackfillPart:
        command = ChangeBackfillV1(
            tenant_id=call.tenant, backfill_id=backfill_id, action=action, requested_by=call.who()
        )
        return (await self._edge.questions.ask(command, BackfillChangedV1)).backfill


def _new_id(call: Call) -> BackfillId:
    key = call.request.headers.get("Idempotency-Key")
    return BackfillId(str(uuid5(NAMESPACE, f"{call.tenant}/{key}") if key else uuid4()))
