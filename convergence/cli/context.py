"""What every command shares: the chosen profile and form of output, and how errors end it."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Any, NoReturn

import typer
import yaml
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from convergence import ask
from convergence.cli import profiles
from convergence.client import Client
from convergence.errors import ApiError, ConnectionFailedError


class Exit(IntEnum):
    """What scripts may rely on."""

    DID_NOT_SUCCEED = 1
    USAGE = 2
    REFUSED = 3
    NO_CONNECTION = 4
    NO_KEY = 5


class Form(StrEnum):
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(slots=True)
class Choices:
    """Of the whole command line."""

    profile: str = "default"
    form: Form = Form.TABLE
    out: Console = field(default_factory=Console)
    err: Console = field(default_factory=lambda: Console(stderr=True))


CHOICES = Choices()
Day = Annotated[str, typer.Option("--date", help="The day it is about; else today in UTC.")]
Parameters = Annotated[list[str] | None, typer.Option("-p", help="name=value, repeated.")]
Output = Annotated[Form | None, typer.Option("-o", "--output", help="table, json or yaml.")]


DATE = "A day, as 2026-03-14."


def today() -> date:
    return datetime.now(UTC).date()


def parsed_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"expected a day such as 2026-03-14, found {text!r}") from None


def given_day(text: str) -> date | None:
    return parsed_day(text) if text else None


def given_parameters(given: list[str] | None) -> dict[str, Any]:
    """Values are JSON where they can be, and text otherwise."""
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"expected name=value, found {text!r}", param_hint="-p")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def choose(form: Form | None) -> None:
    if form is not None:
        CHOICES.form = form


@contextmanager
def connected(*, admin: bool = False) -> Iterator[Client]:
    """A client of the chosen profile; what goes wrong ends the command in words."""
    profile = profiles.read(CHOICES.profile)
    key = profile.admin_key if admin else profile.key
    if not key:
        option = "--admin-key" if admin else "--key"
        fail(f"no key is known for this: run `convergence login {option}` first", Exit.NO_KEY)
    client = Client(profile.url, admin_key=key) if admin else Client(profile.url, key)
    with client:
        try:
            yield client
        except ApiError as error:
            refused(error)
        except ConnectionFailedError as error:
            fail(str(error), Exit.NO_CONNECTION)


def tenant_of(client: Client) -> str:
    """Whose key the profile has."""
    return client(ask.me()).tenant_id


def refused(error: ApiError) -> NoReturn:
    lines = [f"{error.detail} ({error.code or error.status})"]
    for fault in error.errors:
        line = fault.get("line")
        place = f"line {line}" if line else str(fault.get("pointer", ""))
        lines.append(f"  {place}: {fault.get('detail', '')}")
    if error.trace_id:
        lines.append(f"  trace {error.trace_id}")
    fail("\n".join(lines), Exit.REFUSED)


def fail(text: str, code: Exit) -> NoReturn:
    CHOICES.err.print(f"[bold red]error:[/] {escape(text)}", highlight=False)
    raise typer.Exit(code)


def show(
    found: BaseModel | Sequence[BaseModel], columns: Sequence[str], *, form: Form | None = None
) -> None:
    """Print a model or several in the chosen form; a table has the columns that are named."""
    choose(form)
    if CHOICES.form is not Form.TABLE:
        if isinstance(found, BaseModel):
            dump(found.model_dump(mode="json"))
        else:
            dump([one.model_dump(mode="json") for one in found])
        return
    rows = [found] if isinstance(found, BaseModel) else found
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name.rsplit(".", maxsplit=1)[-1].replace("_", " "))
    for row in rows:
        table.add_row(*(escape(_cell(row, name)) for name in columns))
    CHOICES.out.print(table if rows else "nothing")


def dump(data: Any) -> None:
    if CHOICES.form is Form.YAML:
        sys.stdout.write(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))
    else:
        CHOICES.out.print_json(data=data)


def _cell(row: BaseModel, name: str) -> str:
    value: Any = row
    for part in name.split("."):
        value = getattr(value, part, None)
    return _written(value)


def _written(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_written, value))
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "hour") else str(value)
