"""Work for many tenants at once, of which one that fails holds up no other."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from contracts.identifiers import TenantId
from libs.bus.errors import RetryableError
from libs.outages import OutageError

LOG = logging.getLogger(__name__)
DELAY = 1.0
SHOWN = 10
T = TypeVar("T")
R = TypeVar("R")


class TenantsFailedError(RetryableError):
    """All other tenants have been served."""

    def __init__(self, tenants: Iterable[TenantId]) -> None:
        names = sorted(tenants)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        super().__init__(
            f"{len(names)} tenants could not be served and are tried again: "
            f"{', '.join(names[:SHOWN])}{more}; the log says why of each",
            DELAY,
        )


class TenantsUnreachedError(TenantsFailedError, OutageError):
    """For none of them anything is wrong but that something is away."""


class Sparing:
    """Remembers for whom something failed; nothing more is done for them."""

    def __init__(self) -> None:
        self.failed: set[TenantId] = set()
        self._kind: type[TenantsFailedError] = TenantsUnreachedError

    async def each(
        self,
        given: Iterable[T],
        tenant_of: Callable[[T], TenantId],
        do: Callable[[T], Awaitable[R]],
    ) -> list[tuple[T, R]]:
        """Do it for all at once; returns what came of those for whom it could be done."""
        chosen = [one for one in given if tenant_of(one) not in self.failed]
        found = await asyncio.gather(*map(do, chosen), return_exceptions=True)
        done: list[tuple[T, R]] = []
        for one, result in zip(chosen, found, strict=True):
            if isinstance(result, Exception):
                self._fail(tenant_of(one), result)
            elif isinstance(result, BaseException):
                raise result
            else:
                done.append((one, result))
        return done

    def check(self) -> None:
        """Raises when anything failed."""
        if self.failed:
            raise self._kind(self.failed)

    def _fail(self, tenant: TenantId, error: Exception) -> None:
        self.failed.add(tenant)
        if not isinstance(error, OutageError):
            self._kind = TenantsFailedError
        LOG.error("tenant %s could not be served: %s", tenant, error, exc_info=error)
