"""Commands that start, follow and look at runs."""

from datetime import timedelta
from time import sleep
from typing import Annotated

import typer

from convergence import ask
from convergence.cli.context import (
    CHOICES,
    Day,
    Form,
    Output,
    Parameters,
    choose,
    connected,
    given_day,
    given_parameters,
    show,
    today,
)
from convergence.cli.following import RUN_COLUMNS, Wait, end_with, started
from convergence.client import Client

STEP_COLUMNS = ("step_id", "status", "attempt", "rows", "bytes", "duration_ms", "error.detail")
LOOK_SECONDS, QUIET_LOOKS, MOST_LOOKS = 0.5, 3, 60


def run(  # noqa: PLR0913, PLR0917  the options of a command
    pipeline: Annotated[str, typer.Argument(help="The pipeline to run.")],
    day: Day = "",
    parameter: Parameters = None,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    wait: Wait = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Run a pipeline. With --wait, exit 0 only if it completes."""
    choose(output)
    with connected() as client:
        given = given_day(day), given_parameters(parameter)
        started(client, ask.start(pipeline, *given, priority), wait=wait)


def retry(
    run_id: str,
    start: Annotated[str, typer.Option("--from", help="failed, start, or a step.")] = "failed",
    wait: Wait = False,  # noqa: FBT002
    output: Output = None,
) -> None:
    """Run what failed again; what has completed is kept."""
    choose(output)
    with connected() as client:
        started(client, ask.retry(run_id, start), wait=wait)


def explain(run_id: str, output: Output = None) -> None:
    """Say why a run waits: the limit, its place, and when it should start."""
    with connected() as client:
        found = client(ask.explain(run_id))
        columns = ("status", "detail", "blocking_limit", "place", "waiting", "expected_start_at")
        show(found, columns, form=output)


def runs(
    status: Annotated[str, typer.Option(help="Only in this state, e.g. FAILED.")] = "",
    pipeline: Annotated[str, typer.Option(help="Only of this pipeline.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="How far back; else 30.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    output: Output = None,
) -> None:
    """List runs, the newest first."""
    since = today() - timedelta(days=days) if days else None
    asked = ask.runs(status.upper(), pipeline, limit, since)
    with connected() as client:
        show(client(asked).runs, RUN_COLUMNS, form=output)


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
        if last.started_at:
            _tell_the_last(client, run_id, told)
        end_with(last)


def _tell_the_last(client: Client, run_id: str, told: set[tuple[str, str]]) -> None:
    """The run's end and its steps come by different ways: look until nothing new comes."""
    quiet = 0
    for _ in range(MOST_LOOKS):
        known = len(told)
        have_ended = _tell(client, run_id, told)
        quiet = quiet + 1 if have_ended and len(told) == known else 0
        if quiet == QUIET_LOOKS:
            return
        sleep(LOOK_SECONDS)


def _tell(client: Client, run_id: str, told: set[tuple[str, str]]) -> bool:
    """True when there are steps and all that began have ended."""
    steps = client(ask.steps(run_id)).steps
    for step in steps:
        if (step.step_id, step.status) in told:
            continue
        told.add((step.step_id, step.status))
        if CHOICES.form is not Form.TABLE:
            typer.echo(step.model_dump_json())
            continue
        at = step.finished_at or step.started_at
        detail = f"  {step.error.code}: {step.error.detail}" if step.error else ""
        typer.echo(f"{at:%H:%M:%S}  {step.step_id:<24} {step.status:<10} {step.rows} rows{detail}")
    return bool(steps) and all(step.status != "RUNNING" for step in steps)


def cancel(run_id: str, output: Output = None) -> None:
    """Cancel a run."""
    with connected() as client:
        show(client(ask.cancel(run_id)), ("run_id", "status"), form=output)


def checks(run_id: str, output: Output = None) -> None:
    """Show what a run has checked of its data."""
    with connected() as client:
        columns = ("check_name", "status", "step_id")
        show(client(ask.checks(run_id)).checks, columns, form=output)
