"""What must hold of a load before it takes its place, as quality checks with figures."""

from collections.abc import Iterator
from decimal import Decimal

from contracts.quality import CheckPart, CheckStatus, Severity
from services.executor.focus.begins import month_of
from services.executor.focus.counted import MOST_SHOWN, none_of, not_made
from services.executor.focus.money import EXACT, NOTHING, ROUNDED, less, shown, total
from services.executor.focus.tally import Tally, Unmapped
from services.executor.focus.twice import MOST, Twice

CANCELLING = "charges_that_cancel_out"
MOST_OF_VALUE = 100
LEAST_SHOWN = Decimal("0.0001")
MOST_OFF = Decimal("0.01")
"""The share by which sums may differ whose parts were rounded."""
BUDGET = Decimal("0.05")
"""The share of the costs that may be unmapped before a check warns."""


def checks_of(tally: Tally, unmapped_budget: Decimal = BUDGET) -> list[CheckPart]:
    """Conservation first: it alone says that nothing was lost or counted twice."""
    mapped = _mapped(tally, unmapped_budget)
    once = [_once(tally, tally.twice)] if tally.twice is not None else []
    # What stands twice is told first: its costs may be missing elsewhere for that alone.
    whole = [_conservation(tally), _rows(tally), _left(tally)]
    whole += [*_cancelling(tally), *_offsets(tally)]
    return [*once, *whole, *_elements(tally), *_kept(tally), _rounded(tally), *mapped]


def _conservation(tally: Tally) -> CheckPart:
    lost = tally.lost
    missing = "; ".join(
        f"{month_of(start)} account {account}: {shown(amount)} {currency}"
        for (start, account, currency), amount in list(lost.items())[:MOST_SHOWN]
    )
    return CheckPart(
        name="cost_is_conserved",
        kind="sum_of_bill_equals_sum_of_BilledCost",
        column="BilledCost",
        severity=Severity.FAIL,
        status=CheckStatus.FAILED if lost else CheckStatus.PASSED,
        observed=f"{total(tally.billed.values()):f}",
        expected=f"{total(tally.raw.values()):f}",
        row_count=tally.rows_in,
        detail=f"missing from the result: {missing}" if lost else "",
    )


def _cancelling(tally: Tally) -> Iterator[CheckPart]:
    for name, sums in tally.cancelling.items():
        if name in tally.given_up:
            yield not_made(name, CANCELLING, tally.rows_in, tally.given_up[name])
            continue
        left = {key: amount for key, amount in sorted(sums.items()) if amount}
        worst = "; ".join(
            f"{month_of(start)} {of or 'nameless'}: {shown(amount)}"
            for (start, of), amount in list(left.items())[:MOST_SHOWN]
        )
        yield none_of(
            name,
            CANCELLING,
            len(left),
            tally.rows_in,
            severity=Severity.FAIL,
            detail=f"left over: {worst}" if left else "",
        )


def _offsets(tally: Tally) -> Iterator[CheckPart]:
    for name, found in tally.offsets.items():
        sums = {
            key: (found.left_out.get(key, NOTHING), less(NOTHING, found.taken.get(key, NOTHING)))
            for key in sorted(found.left_out.keys() | found.taken.keys())
        }
        torn = "; ".join(
            f"{month_of(start)} account {account}: {shown(out)} instead of {shown(taken)} {of}"
            for (start, account, of), (out, taken) in sums.items()
            if abs(less(out, taken)) > max(ROUNDED, EXACT.multiply(abs(taken), MOST_OFF))
        )
        yield CheckPart(
            name=name,
            kind="sum_left_out_equals_sum_of_lines_that_take_away",
            severity=Severity.WARN,
            status=CheckStatus.FAILED if torn else CheckStatus.PASSED,
            observed=shown(total(out for out, _ in sums.values())),
            expected=shown(total(taken for _, taken in sums.values())),
            row_count=tally.rows_in,
            detail=torn,
        )


def _rows(tally: Tally) -> CheckPart:
    dropped = ", ".join(f"{name} {n}" for name, n in sorted(tally.dropped.items()) if n)
    added = ", ".join(f"{name} {n}" for name, n in sorted(tally.added.items()) if n)
    return CheckPart(
        name="rows_are_accounted_for",
        kind="rows_in_less_dropped_plus_added_equals_rows_out",
        severity=Severity.FAIL,
        status=CheckStatus.PASSED if tally.rows_accounted else CheckStatus.FAILED,
        observed=str(tally.rows_out),
        expected=f"{tally.rows_in} less {dropped or 'nothing'} plus {added or 'nothing'}",
        row_count=tally.rows_in,
    )


def _left(tally: Tally) -> CheckPart:
    """Rows that cost something may add up to nothing, and be dropped: that is no bill."""
    gone = not tally.rows_out and any(tally.turnover.values())
    dropped = ", ".join(f"{name} {n}" for name, n in sorted(tally.dropped.items()) if n)
    return CheckPart(
        name="costs_are_left",
        kind="rows_out_where_rows_in_have_costs",
        severity=Severity.FAIL,
        status=CheckStatus.FAILED if gone else CheckStatus.PASSED,
        observed=str(tally.rows_out),
        expected="at least 1" if any(tally.turnover.values()) else "0",
        row_count=tally.rows_in,
        detail=f"every row was dropped: {dropped}; deliver what they belong to" if gone else "",
    )


def _once(tally: Tally, twice: Twice) -> CheckPart:
    worst, small = twice.worst(), twice.small
    said = f"{worst.file} and {worst.beside} have rows in common: {twice.otherwise}"
    too_small = f"files too small to be judged alone: {small}"
    return CheckPart(
        name="no_row_stands_in_two_files",
        kind="share_of_a_file_that_stands_in_another_one",
        severity=Severity.WARN if worst.share and worst.by_chance else Severity.FAIL,
        status=CheckStatus.FAILED if worst.share else CheckStatus.PASSED,
        observed=_percent(worst.share),
        expected=f"at most {_percent(MOST)}",
        row_count=tally.rows_in,
        detail="; ".join([said] * bool(worst.share) + [too_small] * bool(small)),
    )


def _elements(tally: Tally) -> Iterator[CheckPart]:
    for name, repeated in tally.repeated.items():
        kind = "elements_that_stand_in_their_row_a_second_time"
        yield none_of(f"{name}_stand_once", kind, repeated, tally.rows_in, column=name)


def _kept(tally: Tally) -> Iterator[CheckPart]:
    if tally.absent:
        yield CheckPart(
            name="columns_to_be_kept_are_there",
            kind="columns_that_the_export_has_not",
            severity=Severity.WARN,
            status=CheckStatus.FAILED,
            observed=str(len(tally.absent)),
            expected="0",
            row_count=tally.rows_in,
            detail=f"not in the export: {', '.join(sorted(tally.absent)[:MOST_SHOWN])}",
        )


def _rounded(tally: Tally) -> CheckPart:
    kind = "digits_beyond_the_eighteenth_decimal"
    return none_of("amounts_fit_eighteen_decimals", kind, tally.rounded, tally.rows_in)


def _mapped(tally: Tally, budget: Decimal) -> list[CheckPart]:
    return [_of_unmapped(name, found, tally, budget) for name, found in tally.unmapped.items()]


def _of_unmapped(name: str, found: Unmapped, tally: Tally, budget: Decimal) -> CheckPart:
    """How much of the bill, signs aside, is not known: the worst currency counts."""
    unknown = {
        currency: total(cost for (_, of), cost in found.costs.items() if of == currency)
        for currency in tally.turnover
    }
    over = any(
        cost > EXACT.multiply(budget, tally.turnover[currency])
        for currency, cost in unknown.items()
    )
    dearest = _dearest(found, tally)
    return CheckPart(
        name=f"{name}_is_known",
        kind="share_of_cost_that_is_unmapped",
        severity=Severity.WARN,
        status=CheckStatus.FAILED if over else CheckStatus.PASSED,
        observed=_shares(unknown, tally),
        expected=f"at most {_percent(budget)}",
        row_count=tally.rows_in,
        failing_rows=found.rows.total(),
        detail=f"not known: {', '.join(dearest)}" if dearest else "",
    )


def _dearest(found: Unmapped, tally: Tally) -> list[str]:
    """Values, beginning with what has the largest share of what was spent in a currency."""
    costs: dict[str, list[tuple[Decimal, str]]] = {value: [] for value in found.rows}
    for (value, currency), cost in found.costs.items():
        costs[value].append((_share(cost, tally.turnover[currency]), f"{shown(cost)} {currency}"))
    values = sorted(costs, key=lambda value: (-max(costs[value])[0], value))[:MOST_SHOWN]
    return [
        f"{value[:MOST_OF_VALUE]} ({found.rows[value]} rows,"
        f" {' and '.join(text for _, text in sorted(costs[value], reverse=True)[:MOST_SHOWN])})"
        for value in values
    ]


def _shares(unknown: dict[str, Decimal], tally: Tally) -> str:
    shares = [(_share(cost, tally.turnover[of]), of) for of, cost in unknown.items()]
    if len(shares) < 2:  # noqa: PLR2004  of one currency there is nothing to tell apart
        return _percent(shares[0][0] if shares else NOTHING)
    worst = sorted(shares, key=lambda one: (-one[0], one[1]))[:MOST_SHOWN]
    return ", ".join(f"{_percent(share)} of {currency}" for share, currency in worst)


def _share(cost: Decimal, turnover: Decimal) -> Decimal:
    return cost / turnover if turnover else NOTHING


def _percent(share: Decimal) -> str:
    if 0 < share < LEAST_SHOWN:
        return f"less than {_percent(LEAST_SHOWN)}"
    return f"{(share * 100).quantize(Decimal('0.01')).normalize():f} %"
