"""Commands for pipelines that run by themselves."""

from enum import StrEnum
from typing import Annotated

import typer

from convergence import ask, models
from convergence.cli.context import Output, connected, show, tenant_of

app = typer.Typer(help="Schedules of pipelines.", no_args_is_help=True)
COLUMNS = ("config_id", "cron", "time_zone", "misfire", "enabled", "next_run_time")


class Misfire(StrEnum):
    SKIP = "skip"
    RUN_ONCE = "run_once"
    RUN_ALL = "run_all"


@app.command("list")
def listing(output: Output = None) -> None:
    """List schedules with their next time."""
    with connected() as client:
        tenant, found, cursor = tenant_of(client), list[models.Schedule](), ""
        while True:
            page = client(ask.schedules(tenant, cursor))
            found += page.schedules
            if not page.next_cursor:
                break
            cursor = page.next_cursor
        show(found, COLUMNS, form=output)


@app.command("set")
def put(  # noqa: PLR0913, PLR0917  the options of a command
    pipeline: str,
    cron: Annotated[str, typer.Argument(help="Five fields, e.g. '0 6 * * *'.")],
    time_zone: Annotated[str, typer.Option(help="E.g. Europe/Berlin.")] = "UTC",
    misfire: Annotated[Misfire, typer.Option(help="For times that were missed.")] = (
        Misfire.RUN_ONCE
    ),
    paused: Annotated[bool, typer.Option("--paused", help="Keep it, start nothing.")] = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Have a pipeline run by itself, in place of what was said before."""
    with connected() as client:
        tenant = tenant_of(client)
        asked = ask.schedule(tenant, pipeline, cron, time_zone, misfire.value, not paused)
        show(client(asked), (*COLUMNS, "next_times"), form=output)


@app.command()
def delete(pipeline: str) -> None:
    """Let a pipeline no longer run by itself."""
    with connected() as client:
        client(ask.unschedule(tenant_of(client), pipeline))
