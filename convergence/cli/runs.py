"""Commands that start, follow and look at runs."""

import json
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from convergence import ask, models
from convergence.cli.context import CHOICES, Exit, Form, Output, choose, connected, fail, show
from convergence.client import Client

RUN_COLUMNS = ("run_id", "config_id", "status", "run_date", "submitted_at", "finished_at")
STEP_COLUMNS = ("step_id", "status", "attempt", "rows", "bytes", "duration_ms", "error.detail")


def run(  # noqa: PLR0913, PLR0917  the options of a command
    pipeline: Annotated[str, typer.Argument(help="The pipeline to run.")],
    day: Annotated[datetime | None, typer.Option("--date", formats=["%Y-%m-%d"])] = None,
    parameter: Annotated[list[str] | None, typer.Option("-p", help="name=value, repeated.")] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    wait: Annotated[bool, typer.Option(help="Stay until it has ended.")] = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Run a pipeline. With --wait, exit 0 only if it completes."""
    choose(output)
    with connected() as client:
        given = date(day.year, day.month, day.day) if day else None
        started = client(ask.start(pipeline, given, _parameters(parameter or []), priority))
        if not wait:
            show(started, ("run_id", "pipeline_id", "status"))
            return
        ended = _follow(client, started.run_id)
        show(ended, RUN_COLUMNS)
        _end(ended)


def _parameters(given: list[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected name=value, found {text!r}", param_hint="-p")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _follow(client: Client, run_id: str) -> models.Run:
    """Show how far it has come until it ends; on standard error, so that scripts can read."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps"),
        TimeElapsedColumn(),
        console=CHOICES.err,
        transient=True,
    ) as progress:
        task = progress.add_task("waiting", total=None)
        last = None
        for last in client.watch(run_id):
            steps = client(ask.steps(run_id)).steps if last.started_at else ()
            done = sum(step.status != "RUNNING" for step in steps)
            progress.update(task, description=last.status, completed=done, total=len(steps) or None)
        assert last is not None  # noqa: S101  watching gives one state at least
        return last


def _end(ended: models.Run) -> None:
    if ended.status != "COMPLETED":
        reason = f": {ended.error.detail}" if ended.error else ""
        fail(f"the run ended {ended.status}{reason}", Exit.RUN_DID_NOT_COMPLETE)


def runs(
    status: Annotated[str, typer.Option(help="Only in this state, e.g. FAILED.")] = "",
    pipeline: Annotated[str, typer.Option(help="Only of this pipeline.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    output: Output = None,
) -> None:
    """List runs, the newest first."""
    with connected() as client:
        show(client(ask.runs(status.upper(), pipeline, limit)).runs, RUN_COLUMNS, form=output)


def logs(
    run_id: str,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay to its end.")] = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Show the steps of a run. With --follow, each as it ends, and exit 0 only if all is well."""
    choose(output)
    with connected() as client:
        if not follow:
            show(client(ask.steps(run_id)).steps, STEP_COLUMNS)
            return
        told: set[tuple[str, str]] = set()
        for state in client.watch(run_id):
            _tell(client, run_id, told)
            last = state
        _tell(client, run_id, told)
        _end(last)


def _tell(client: Client, run_id: str, told: set[tuple[str, str]]) -> None:
    for step in client(ask.steps(run_id)).steps:
        if (step.step_id, step.status) in told:
            continue
        told.add((step.step_id, step.status))
        if CHOICES.form is not Form.TABLE:
            typer.echo(step.model_dump_json())
            continue
        at = step.finished_at or step.started_at
        detail = f"  {step.error.code}: {step.error.detail}" if step.error else ""
        typer.echo(f"{at:%H:%M:%S}  {step.step_id:<24} {step.status:<10} {step.rows} rows{detail}")


def cancel(run_id: str, output: Output = None) -> None:
    """Cancel a run."""
    with connected() as client:
        show(client(ask.cancel(run_id)), ("run_id", "status"), form=output)


def checks(run_id: str, output: Output = None) -> None:
    """Show what a run has checked of its data."""
    with connected() as client:
        columns = ("check_name", "status", "step_id")
        show(client(ask.checks(run_id)).checks, columns, form=output)
