"""Commands for pipeline definitions."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from convergence import ask, models
from convergence.cli.context import (
    CHOICES,
    Day,
    Exit,
    Form,
    Output,
    Parameters,
    choose,
    connected,
    given_day,
    given_parameters,
    show,
)
from convergence.client import Client
from convergence.errors import ApiError
from convergence.folder import FolderError, PipelineFile, read_folder

app = typer.Typer(help="Pipeline definitions.", no_args_is_help=True)
IMPORTED = ("config_id", "action", "revision")
Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="configs/TENANT")]
COLUMNS = ("config_id", "revision", "saved_at")
File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="YAML or JSON.")]


@app.command("list")
def listing(output: Output = None) -> None:
    """List pipelines."""
    with connected() as client:
        found: list[models.Pipeline] = []
        cursor = ""
        while True:
            page = client(ask.pipelines(cursor))
            found += page.configs
            if not page.next_cursor:
                break
            cursor = page.next_cursor
        show(found, COLUMNS, form=output)


@app.command("show")
def one(pipeline: str) -> None:
    """Print a pipeline as its author wrote it."""
    with connected() as client:
        typer.echo(client(ask.pipeline(pipeline)).source, nl=False)


@app.command()
def save(pipeline: str, file: File, output: Output = None) -> None:
    """Save a definition; every fault is told with its line."""
    with connected() as client:
        saved = client(ask.save(pipeline, file.read_text(encoding="utf-8")))
        show(saved, ("config_id", "revision"), form=output)


def validate(file: File, output: Output = None) -> None:
    """Check a definition without saving it; exit 1 when it has faults, each told by its line."""
    choose(output)
    with connected() as client:
        found = client(ask.validate(file.read_text(encoding="utf-8")))
    if CHOICES.form is not Form.TABLE:
        show(found, ())
    elif found.valid:
        CHOICES.out.print(f"{file}: no faults", highlight=False)
    else:
        show(found.problems, ("line", "column", "detail"))
    if not found.valid:
        raise typer.Exit(Exit.DID_NOT_SUCCEED)


@app.command()
def plan(pipeline: str, day: Day = "", parameter: Parameters = None, output: Output = None) -> None:
    """Say what a run would do: tables touched, bytes and price. Nothing runs."""
    choose(output)
    with connected() as client:
        found = client(ask.plan(pipeline, given_day(day), given_parameters(parameter)))
    if CHOICES.form is not Form.TABLE:
        show(found, ())
        return
    show(found.steps, ("step_id", "verdict", "reads", "writes", "bytes", "price_usd", "note"))
    CHOICES.out.print(f"{found.bytes} bytes, {found.price_usd} USD", highlight=False)


@app.command("import")
def import_folder(folder: Folder, output: Output = None) -> None:
    """Save every pipeline of configs/TENANT; what has not changed gets no new revision."""
    try:
        files = list(read_folder(folder))
    except FolderError as error:
        CHOICES.err.print(escape(str(error)))
        raise typer.Exit(Exit.USAGE) from None
    with connected() as client:
        show([_imported(client, file) for file in files], IMPORTED, form=output)


def _imported(client: Client, file: PipelineFile) -> models.Imported:
    try:
        there = client(ask.pipeline(file.config_id))
    except ApiError as error:
        if error.code != "config_not_found":
            raise
        there = None
    if there is not None and there.source == file.source:
        return models.Imported(
            config_id=file.config_id, revision=there.revision, action="unchanged"
        )
    saved = client(ask.save(file.config_id, file.source))
    action = "created" if there is None else "changed"
    return models.Imported(config_id=file.config_id, revision=saved.revision, action=action)


@app.command()
def delete(pipeline: str) -> None:
    """Delete a pipeline."""
    with connected() as client:
        client(ask.delete(pipeline))
