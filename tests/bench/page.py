"""Writes docs/performance.md from what the benches kept.

python -m tests.bench.page
"""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from tests.bench.figures import FOLDER, Curve, Figure, Findings, kept

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
HEAD = """\
# Performance

Written by `make bench`, `make long` and `make peers` from their last runs. A section is of one
run, and names its day unless it is older than that rule; what is not run again stays as it was.
Everything ran on one machine of {cores} cores together with the emulators and whatever made the
load, so read ratios, not absolutes: each is against something measured in the same run. A ratio
above 1 is better than what stands beside it.
In brackets: the least and the most over the rounds.
"""
TAIL = """\
## What is not promised

- Absolute rates: the local BigQuery and Pub/Sub are emulators in Python and take most of the
  processor here. Google's own take none of it, and add a network instead.
- Anything at a size that was not run. The curves say how far was looked.
"""


WHY = {
    "bus": """\
Messages a second are those of the local Pub/Sub, a process in Python on the same two cores, which
all sides wait for; the processor time of the client says what ours costs beside Google's. The
generated client and the bare stub are floors and no aim: they extend no leases, keep no order over
a call that failed, and tell no publisher of its own message. What would change it: Pub/Sub itself,
whose streams carry some 10 MB a second each, so that no client would be the limit.""",
    "gateway": """\
`docs/decisions/0030-what-a-request-costs.md` says where each microsecond goes. Where a collector is
configured, OpenTelemetry's own SDK takes some 80 µs to make, measure and encode a span; where it
samples, a span that is not exported is still measured. A raw protocol's constant answer is no aim:
nothing that looks at requests comes near it. What would change it: a server below aiohttp, commands
that are not checked as their contracts say, and, of spans, exporting one in many.""",
    "gateway-beside-peers": """\
FastAPI and Starlette look a hashed key up, check the body, and answer. Ours does that and counts
limits, looks for an earlier answer to the same request, makes a command and an audit event, and
writes a log line; decision 30 says what each costs. What would change it: a server below
aiohttp.""",
    "conversion-beside-peers": """\
Told to leave the columns of the bill out, focus-converter writes 24 to 34 columns; ours are the 65
of FOCUS 1.4 and some of the bill's own, exact to the last digit, with the sum of the result held
against that of the bill. As it comes, it keeps all columns of the bill, and four times are passed.
At its leanest they are out of reach for CSV on two cores: see what Polars alone comes to, reading
what ours reads and writing it as it is. Of a million rows of ours, a third to a half of the
processor's time is reading, a third converting, and the rest writing and starting Python. What
would change it: another core, as reading, converting and writing go on side by side, or fewer
columns.""",
    "packed-bills": """\
`zcat`, `igzip` and `wc` write nothing and look at no value. Of lines of JSON every number keeps all
of its digits and every row may say something else than those before; so lines are looked at before
Arrow reads them at once (`docs/decisions/0039-lines-that-say-nothing-new.md`), and what may differ
is read row by row. DuckDB guesses types from a sample, and what was written as a number becomes a
float. What would change it: converting on more cores, which takes as long as reading by now.""",
    "recording": """\
A row is a dictionary that is looked through for columns it must or may not have, so that what is
wrong is told by its name; rows that are tuples in the right order take a microsecond. Written
events are held against what the slower of the two emulators does alone, with two cores to itself.
What would change it: rows that are made as tuples, and a machine of more cores.""",
    "exactness": """\
Beside it stands what nobody is offered: a bill of which nothing is added up, so that nothing tells
whether the result has all of it, and amounts that lose digits. What would change it: sums by less
than day, account and commitment, which budgets and the other checks are made of; and decimals that
are read while the text is split.""",
    "reading": """\
A list by HTTP is its query, asked through Pub/Sub and answered through it, which nothing that asks
BigQuery alone has to do. What would change it: lists from the memory of the gateway, which would
have to know that it knows all of them.""",
    "executor": """\
A run passes the gateway, the scheduler, the executor and audit_log, each time through Pub/Sub,
and is written to the slot log. All cores are busy meanwhile, so no more runs end than the processor
times above allow: the emulators alone, processes of Python, take more than 200 a second would leave
to everything. No service stands out, and none of its parts does. What would change it: more cores,
or Google's own services.""",
    "a mixed load": """\
Lists come from the local BigQuery, a process of Python on the same two cores, and wait there beside
the jobs and the audit rows of the runs that are started meanwhile. What is answered from memory,
and what is decided, does not wait for it. What would change it: Google's own BigQuery, or more
cores.""",
    "long run": """\
Twenty-four clients keep both cores busy, so a run takes as long as the machine makes it, and that
varies: what is held is its time over that of a bare computation between the windows. The emulators
keep each row, slot and message of all these runs, on the same cores and disk. What would change it:
Google's own services, which are not on these cores.""",
    "loading-beside-peers": """\
DuckDB casts and writes, in any order. Ours keeps the rows in theirs, looks for quotes that would
swallow rows and for lines that are short of values, tells the line of whatever does not fit, and
says where decimals are rounded; starting Python and its libraries takes most of a second of five.
What would change it: types read while the text is split, at the price of those messages.""",
    "orchestration-beside-peers": """\
A chain of Celery keeps nothing: no record of what ran, no tenants, no limits, no audit trail, and a
worker that dies takes its chain along. Here each run is written to the slot log before it is told
of and each step is recorded, which is what the difference pays for. What would change it: steps of
one run that are told together instead of one by one.""",
    "schedules-beside-peers": """\
Ours asks cronsim, so it cannot be ahead of it: it also looks the time zone up, holds the expression
to five fields, and puts what it finds into UTC. What would change it: expressions that are read
once and kept, as a table of minutes; or a zone that is not looked up.""",
}
"""Where a figure is behind what stands beside it or its aim: why, and what would change it."""


def page(findings: Iterable[Findings], before: str = "") -> str:
    """With the sections of an earlier page that nothing was found for since."""
    sections = _sections(before) | dict(_sections("".join(map(_section, findings))))
    parts = [HEAD.format(cores=os.cpu_count())]
    parts += [sections[title] for title in sorted(sections)]
    return "\n".join([*parts, TAIL])


def _sections(text: str) -> dict[str, str]:
    """By their titles, without what every page has."""
    parts = re.split(r"^(?=## )", text.removesuffix(TAIL), flags=re.MULTILINE)[1:]
    return {part.partition("\n")[0]: part.rstrip() + "\n" for part in parts}


def _section(found: Findings) -> str:
    lines = [f"## {found.area.replace('-', ' ').capitalize()}", ""]
    if found.on:
        lines += [f"Measured on {found.on}.", ""]
    if found.figures:
        lines += ["| what | measured | beside it | ratio | aim |", "|---|---|---|---|---|"]
        lines += [_row(figure) for figure in found.figures]
        lines.append("")
    if found.note:
        lines += [found.note, ""]
    if found.area in WHY and any(map(_is_behind, found.figures)):
        lines += [WHY[found.area], ""]
    for profile in found.profiles:
        shares = ", ".join(f"`{what}` {percent:.0f} %" for what, percent in profile.parts)
        lines += [f"Where the processor time of {profile.name} goes: {shares}.", ""]
    for curve in found.curves:
        lines += [*_plot(curve), ""]
    return "\n".join([*lines, ""])


def _is_behind(figure: Figure) -> bool:
    return figure.reached is False or (figure.ratio is not None and figure.ratio < 1)


def _row(figure: Figure) -> str:
    beside = ratio = ""
    if figure.beside_rounds:
        beside = f"{figure.beside}: {_spread(figure.beside_rounds, figure.unit)}"
        ratio = f"{figure.ratio:.2f} times"
    return (
        f"| {figure.name} | {_spread(figure.rounds, figure.unit)} | {beside} | {ratio}"
        f" | {_aim(figure)} |"
    )


def _spread(rounds: Sequence[float], unit: str) -> str:
    if len(rounds) == 1:
        return f"{_number(rounds[0])} {unit}"
    least, most = _number(min(rounds)), _number(max(rounds))
    return f"{_number(median(rounds))} {unit} ({least} to {most})"


def _aim(figure: Figure) -> str:
    if figure.aim is None:
        return ""
    sign = "≥" if figure.more_is_better or figure.beside_rounds else "≤"
    unit = "times" if figure.beside_rounds else figure.unit
    return f"{sign} {_number(figure.aim)} {unit}, {'reached' if figure.reached else '**missed**'}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _plot(curve: Curve) -> list[str]:
    """A chart that shows wherever Mermaid does, and its points for everywhere else."""
    across = ", ".join(f'"{_number(x)}"' for x, _ in curve.points)
    up = ", ".join(f"{y:.4g}" for _, y in curve.points)
    told = "; ".join(f"{_number(x)}: {_number(y)}" for x, y in curve.points)
    return [
        "```mermaid",
        "xychart-beta",
        f'    title "{curve.name}"',
        f'    x-axis "{curve.over}" [{across}]',
        f'    y-axis "{curve.unit}" 0 --> {max(y for _, y in curve.points) * 1.1 or 1:.4g}',
        f"    line [{up}]",
        "```",
        f"{curve.name}, {curve.unit} by {curve.over}: {told}.",
    ]


def main() -> int:
    findings = kept()
    if not findings:
        sys.stderr.write(f"nothing measured yet in {FOLDER}: run `make bench`\n")
        return 1
    PAGE.write_text(page(findings, PAGE.read_text()))
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])} from {len(findings)} benches")
    return 0


if __name__ == "__main__":
    sys.exit(main())
