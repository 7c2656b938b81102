"""Arithmetic of money to the last digit.

Amounts have 38 digits, of which Python's own context would keep 28.
"""

from collections.abc import Iterable
from decimal import Context, Decimal

EXACT = Context(prec=76)
NOTHING = Decimal(0)
ROUNDED = Decimal("0.01")
"""By how much sums may differ whose parts were rounded."""


def added(one: Decimal, other: Decimal) -> Decimal:
    return EXACT.add(one, other)


def less(one: Decimal, other: Decimal) -> Decimal:
    return EXACT.subtract(one, other)


def total(amounts: Iterable[Decimal]) -> Decimal:
    found = NOTHING
    for amount in amounts:
        found = added(found, amount)
    return found


def shown(amount: Decimal) -> str:
    """All its digits, without the zeros behind them."""
    return f"{EXACT.normalize(amount):f}"
