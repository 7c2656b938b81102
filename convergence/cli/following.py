"""Seeing a run to its end, as every command that starts one may."""

from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from convergence import ask, models
from convergence.ask import Ask
from convergence.cli.context import CHOICES, Exit, fail, show
from convergence.client import Client

RUN_COLUMNS = ("run_id", "config_id", "status", "run_date", "submitted_at", "finished_at")
Wait = Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")]


def started(client: Client, asked: Ask[models.Started], *, wait: bool) -> None:
    """Show what was started or, at its end, what came of it."""
    begun = client(asked)
    if not wait:
        show(begun, ("run_id", "pipeline_id", "status"))
        return
    ended = follow(client, begun.run_id)
    show(ended, RUN_COLUMNS)
    end_with(ended)


def follow(client: Client, run_id: str) -> models.Run:
    """Show how far it has come until it ends; on standard error, so that scripts can read."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[steps]}"),
        TimeElapsedColumn(),
        console=CHOICES.err,
        transient=True,
    ) as progress:
        task = progress.add_task("waiting", total=None, steps="")
        last = None
        for last in client.watch(run_id):
            steps = client(ask.steps(run_id)).steps if last.started_at else ()
            done = sum(step.status != "RUNNING" for step in steps)
            known = f"{done}/{len(steps)} steps" if steps else ""
            progress.update(
                task,
                description=last.status,
                completed=done,
                total=len(steps) or None,
                steps=known,
            )
        assert last is not None  # noqa: S101  watching gives one state at least
        return last


def end_with(ended: models.Run) -> None:
    if ended.status != "COMPLETED":
        reason = f": {ended.error.detail}" if ended.error else ""
        fail(f"the run ended {ended.status}{reason}", Exit.DID_NOT_SUCCEED)
