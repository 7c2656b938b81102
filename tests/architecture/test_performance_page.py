"""The page of figures: what was measured anew takes the place of what was, and of nothing else."""

import re

from tests.bench.figures import Figure, Findings
from tests.bench.page import PAGE, WHY, page
from tests.bench.profiling import profiled


def measured(area: str, value: float) -> Findings:
    return Findings(area, [Figure("so much", "ms", [value])], on="2026-11-22")


def test_sections_that_were_not_measured_again_stay() -> None:
    first = page([measured("reading", 1), measured("bus", 2)])
    second = page([measured("reading", 3)], first)
    assert second == page([measured("bus", 2), measured("reading", 3)])
    assert second.count("Measured on 2026-11-22.") == 2


def test_the_page_that_is_there_can_be_written_on() -> None:
    there = PAGE.read_text()
    assert page([], there).splitlines()[5:] == there.splitlines()[5:]


def test_a_figure_that_is_behind_is_said_to_be_so_and_why() -> None:
    behind, ahead = (
        page([Findings("bus", [Figure("publish", "/s", [ours], "Google's", [10], aim=4)])])
        for ours in (20, 50)
    )
    assert "**missed**" in behind
    assert WHY["bus"] in behind
    assert WHY["bus"] not in ahead


def test_the_page_says_why_wherever_something_is_behind() -> None:
    for section in re.split("^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        ratios = re.findall(r"^\|[^|]+\|[^|]+\|[^|]+\| ([\d.]+) times \|", section, re.MULTILINE)
        slower = [float(times) < 1 for times in ratios]
        if any(slower) or "**missed**" in section:
            assert re.search(r"would\s+change\s+it", section), section.partition("\n")[0]


def test_where_the_time_went_is_told_by_function() -> None:
    with profiled("adding up") as found:
        sum(number * number for number in range(200_000))
    shown = page([Findings("sums", [Figure("so much", "ms", [1])], profiles=found)])
    told = re.search("^Where the processor time of adding up goes: (.+)$", shown, re.MULTILINE)
    assert told is not None
    assert "`tests/architecture/test_performance_page.py: <genexpr>`" in told[1]
    assert "sum`" in told[1]
    shares = [percent for _, percent in found[0].parts]
    assert shares == sorted(shares, reverse=True)
    assert 90 < sum(shares) <= 100.1
