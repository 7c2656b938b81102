"""A key gives away, and takes from others, no more than it has itself."""

from datetime import datetime

from contracts.keys import KeyPart
from libs.web.problem import Problem
from services.gateway.known_keys import Actor


def check_scopes(actor: Actor, wanted: tuple[str, ...]) -> None:
    """Raises `Problem` unless the actor may do all that is wanted; none means everything."""
    has = actor.scopes
    if has and not (wanted and set(wanted) <= has):
        detail = f"This key may do no more to keys than it has: {', '.join(sorted(has))}."
        raise Problem(403, "scope_exceeded", detail)


def end_within(actor: Actor, wanted: datetime | None) -> datetime | None:
    """When a key ends that this one makes: not after itself. Raises `Problem`."""
    if actor.expires_at is None:
        return wanted
    if wanted is not None and wanted > actor.expires_at:
        raise _too_long(actor.expires_at)
    return wanted or actor.expires_at


def check_may_rotate(actor: Actor, old: KeyPart) -> None:
    """Raises `Problem` when the key that would be shown could do more, or for longer."""
    check_scopes(actor, old.scopes)
    ends = actor.expires_at
    if ends is not None and (old.expires_at is None or old.expires_at > ends):
        raise _too_long(ends)


def _too_long(ends: datetime) -> Problem:
    detail = f"This key ends at {ends.isoformat()} and may make none that ends later."
    return Problem(403, "scope_exceeded", detail)
