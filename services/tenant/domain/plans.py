"""Plans are data: what each allows unless an admin says otherwise for one tenant."""

from collections.abc import Mapping

from contracts.tenants import LimitOverridesPart, LimitsPart

SMALLEST = "STARTER"

PLANS: Mapping[str, LimitsPart] = {
    "STARTER": LimitsPart(daily=6, monthly=180, concurrent=3, max_team=2),
    "PROFESSIONAL": LimitsPart(daily=25, monthly=750, concurrent=5, max_team=6),
    "SCALE": LimitsPart(daily=100, monthly=3000, concurrent=10, max_team=11),
}


def limits_of(plan: str, overrides: LimitOverridesPart) -> LimitsPart:
    """The plan's numbers with a tenant's own in their place. The plan must exist."""
    changed = {k: v for k, v in overrides.model_dump().items() if v is not None}
    return PLANS[plan].model_copy(update=changed)
