"""Commands about limits and cost."""

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from math import ceil
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from convergence import ask, models
from convergence.cli.context import (
    CHOICES,
    DATE,
    Form,
    Output,
    choose,
    connected,
    given_day,
    show,
    today,
)

NONE = Decimal(0)
MOST_BARS = 24
BARS = "▁▂▃▄▅▆▇█"


def quota(output: Output = None) -> None:
    """Say what has run, what may still run, and when each limit resets."""
    choose(output)
    with connected() as client:
        found = client(ask.quota())
    if CHOICES.form is not Form.TABLE:
        show(found, ())
        return
    lines = (
        ("today", found.used_today, found.limits.daily, found.day_resets_at),
        ("this month", found.used_this_month, found.limits.monthly, found.month_resets_at),
    )
    for name, used, most, resets in lines:
        CHOICES.out.print(f"{name:<11} {used:>5} of {most:<6} resets {resets:%Y-%m-%d %H:%M} UTC")
    CHOICES.out.print(
        f"{'at once':<11} {found.running:>5} of {found.limits.concurrent:<6} {found.queued} waiting"
    )


def cost(
    by: Annotated[
        str, typer.Option(help="service, account, region, provider, tag:NAME …; or several: a,b.")
    ] = "service",
    days: Annotated[int, typer.Option(min=1, max=200, help="How far back.")] = 30,
    until: Annotated[str, typer.Option(help=f"The last one. {DATE} Else today in UTC.")] = "",
    provider: Annotated[str, typer.Option(help="Only of this bill, e.g. aws.")] = "",
    output: Output = None,
) -> None:
    """Say what your clouds and services cost; by one thing, with a line over time for each."""
    choose(output)
    last = given_day(until) or today()
    first = last - timedelta(days=days - 1)
    names = by.split(",")
    with connected() as client:
        found = client(ask.bill(by, first, last, provider))
        if CHOICES.form is not Form.TABLE:
            show(found, ())
            return
        is_drawn = len(names) == 1 and by != "day"
        daily = client(ask.bill(f"{by},day", first, last, provider)).costs if is_drawn else ()
    if not found.costs:
        CHOICES.out.print(f"nothing from {first} to {last}: --days and --until ask for other days")
        return
    table = Table(*names, box=None, header_style="bold")
    if is_drawn:
        table.add_column("over time", no_wrap=True, min_width=MOST_BARS)
    for name in ("effective", "billed"):
        table.add_column(name, no_wrap=True)
    for one in found.costs:
        groups = [escape(one.group[name] or "-") for name in names]
        drawn = [sparkline(_over_time(one, daily, first, days))] if is_drawn else []
        amounts = [f"{amount:,.2f} {one.currency}" for amount in _amounts(one)]
        table.add_row(*groups, *drawn, *amounts)
    CHOICES.out.print(table)
    if found.truncated:
        CHOICES.err.print("these are the dearest; there are more", highlight=False)


def _over_time(
    of: models.Charge, daily: Sequence[models.Charge], first: date, days: int
) -> list[Decimal]:
    line = [NONE] * days
    for one in daily:
        if of.group.items() <= one.group.items() and one.currency == of.currency:
            line[(date.fromisoformat(one.group["day"]) - first).days] = one.effective_cost
    return line


def _amounts(charge: models.Charge) -> tuple[Decimal, Decimal]:
    return charge.effective_cost, charge.billed_cost


def cost_changes(
    period: Annotated[str, typer.Option(help="A billing month, as 2026-03.")] = "",
    output: Output = None,
) -> None:
    """Say which billing periods have moved since they were first loaded, and by how much."""
    with connected() as client:
        found = client(ask.bill_changes(period)).changes
        columns = ("provider", "billing_account_id", "billing_period", "version", "billed_before")
        show(found, (*columns, "billed_after", "billed_delta", "currency"), form=output)


def run_costs(
    by: Annotated[str, typer.Option(help="day, pipeline or run.")] = "day",
    days: Annotated[int, typer.Option(min=1, max=200, help="How far back.")] = 30,
    output: Output = None,
) -> None:
    """Say what the runs themselves have cost, with a line of it over time."""
    choose(output)
    since = today() - timedelta(days=days - 1)
    with connected() as client:
        found = sorted(
            client(ask.costs(by, since)).costs, key=lambda one: (one.day or since, -one.cost)
        )
    column = {"day": "day", "pipeline": "pipeline_id"}.get(by, "pipeline_id")
    show(found, (column, "runs", "bytes_billed", "cost", "currency"))
    if by == "day" and CHOICES.form is Form.TABLE and found:
        of = {one.day: one.cost for one in found}
        CHOICES.out.print(sparkline([of.get(since + timedelta(days=n), NONE) for n in range(days)]))


def sparkline(values: Sequence[Decimal]) -> str:
    """Days, or so many together that it fits; credits stand at the bottom."""
    together = ceil(len(values) / MOST_BARS)
    sums = [sum(values[n : n + together], NONE) for n in range(0, len(values), together)]
    most = max(*sums, NONE) or Decimal(1)
    return "".join(BARS[round(max(value, NONE) / most * (len(BARS) - 1))] for value in sums)
