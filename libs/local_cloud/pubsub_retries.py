"""When a failed message comes again, and when it is given up, as a subscription says."""

from typing import Any

DEFAULT_ATTEMPTS = 5
DEFAULT_BACKOFF = (10.0, 600.0)


def is_dead(config: Any, attempts: int) -> bool:
    policy = config.dead_letter_policy
    most = policy.max_delivery_attempts or DEFAULT_ATTEMPTS
    return bool(policy.dead_letter_topic) and attempts >= most


def backoff(config: Any, attempts: int) -> float:
    """Seconds until the next delivery; without a policy, none."""
    if not config.HasField("retry_policy"):
        return 0.0
    shortest, longest = bounds(config.retry_policy)
    return float(min(shortest * 2 ** min(64, max(0, attempts - 1)), longest))


def bounds(policy: Any) -> tuple[float, float]:
    shortest, longest = DEFAULT_BACKOFF
    if policy.HasField("minimum_backoff"):
        shortest = policy.minimum_backoff.ToTimedelta().total_seconds()
    if policy.HasField("maximum_backoff"):
        longest = policy.maximum_backoff.ToTimedelta().total_seconds()
    return shortest, longest
