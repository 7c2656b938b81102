"""Commands that run a pipeline for days gone by."""

from enum import StrEnum
from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import DATE, Output, connected, parsed_day, show

app = typer.Typer(help="Runs for days gone by.", no_args_is_help=True)
COLUMNS = ("backfill_id", "from_date", "to_date", "status", "started", "completed", "failed")


class Action(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@app.command()
def start(  # noqa: PLR0913, PLR0917  the options of a command
    pipeline: str,
    first: Annotated[str, typer.Option("--from", help=DATE)],
    last: Annotated[str, typer.Option("--to", help=DATE)],
    every: Annotated[bool, typer.Option("--all", help="Also days that have completed.")] = False,  # noqa: FBT002
    max_active: Annotated[int, typer.Option(min=1, max=100, help="Runs at once.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it takes.")] = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Run a pipeline for each day that is missing between two days."""
    days, only = (parsed_day(first), parsed_day(last)), "all" if every else "missing"
    with connected() as client:
        if dry_run:
            columns = ("days", "runs", "left_today", "left_this_month", "expected_days")
            show(client(ask.backfill_cost(pipeline, *days, only)), columns, form=output)
        else:
            show(client(ask.backfill(pipeline, *days, only, max_active)), COLUMNS, form=output)


@app.command("list")
def listing(pipeline: str, output: Output = None) -> None:
    """List the backfills of a pipeline."""
    with connected() as client:
        show(client(ask.backfills(pipeline)).backfills, COLUMNS, form=output)


@app.command()
def change(pipeline: str, backfill: str, action: Action, output: Output = None) -> None:
    """Pause, resume or cancel a backfill."""
    with connected() as client:
        changed = client(ask.change_backfill(pipeline, backfill, action.value))
        show(changed, COLUMNS, form=output)
