"""Columns that are not those a table had: told, so that nobody finds out by a broken report."""

from collections.abc import Iterable

from contracts.quality import SchemaDriftedV1
from services.executor.ingest.parts import ROLE
from services.executor.steps.step import StepRun
from services.executor.steps.tools import Tools


async def tell_drift(
    given: StepRun,
    tools: Tools,
    table: str,
    delivered: Iterable[str],
    empty: Iterable[str] | None = (),
) -> None:
    """Tell it before the table is given what is new.

    Columns that came without a value are `empty`; None where nobody can tell them.
    """
    there = await tools.warehouse.columns(table)
    if there is None:
        return
    # Whether roles are said is the tenant's choice, and nothing that was delivered.
    found, names = tuple(delivered), tuple(column.name for column in there)
    known, come = (
        {ROLE, *(name.lower() for name in some)} for some in (names, (*found, *(empty or ())))
    )
    added = tuple(name for name in found if name.lower() not in known)
    missing = () if empty is None else tuple(name for name in names if name.lower() not in come)
    if added or missing:
        say_drift(given, tools, table, added=added, missing=missing)


def say_drift(  # noqa: PLR0913  what there is to say
    given: StepRun,
    tools: Tools,
    table: str,
    *,
    added: tuple[str, ...],
    missing: tuple[str, ...] = (),
    refused: bool = False,
) -> None:
    request = given.request
    event = SchemaDriftedV1(
        tenant_id=request.tenant_id,
        run_id=request.run_id,
        attempt=request.attempt,
        step_id=given.step.step_id,
        table=table,
        added=added,
        missing=missing,
        refused=refused,
        found_at=tools.clock(),
    )
    given.tell.say("drift", event)
