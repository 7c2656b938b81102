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
from convergence.cli.context import CHOICES, Form, Output, choose, connected, show, today

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
    by: Annotated[str, typer.Option(help="service, account, region, provider, tag:NAME …")] = (
        "service"
    ),
    days: Annotated[int, typer.Option(min=1, max=200, help="How far back.")] = 30,
    provider: Annotated[str, typer.Option(help="Only of this bill, e.g. aws.")] = "",
    output: Output = None,
) -> None:
    """Say what your clouds and services cost, with a line over time for each."""
    choose(output)
    last = today()
    first = last - timedelta(days=days - 1)
    with connected() as client:
        found = client(ask.bill(by, first, last, provider))
        if CHOICES.form is not Form.TABLE:
            show(found, ())
            return
        daily = client(ask.bill(f"{by},day", first, last, provider)).costs
    table = Table(by, box=None, header_style="bold")
    for name in ("over time", "effective", "billed"):
        table.add_column(name, no_wrap=True, min_width=MOST_BARS if name == "over time" else None)
    for one in found.costs:
        line = [NONE] * days
        for charge in daily:
            if charge.group[by] == one.group[by] and charge.currency == one.currency:
                line[(date.fromisoformat(charge.group["day"]) - first).days] = charge.effective_cost
        amounts = [f"{amount:,.2f} {one.currency}" for amount in _amounts(one)]
        table.add_row(escape(one.group[by] or "-"), sparkline(line), *amounts)
    CHOICES.out.print(table if found.costs else "nothing")
    if found.truncated:
        CHOICES.err.print("these are the dearest; there are more", highlight=False)


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
