"""An instance handles a message once; one that failed, or that another was, is not left out."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from contracts.ticks import TickJob, TickV1, fixed_attributes
from libs.bus.message import Received
from libs.bus.middleware import dedupe as middleware
from libs.bus.middleware.dead_letter import read
from libs.bus.middleware.dedupe import dedupe
from libs.bus.router import Delivery

TICK = Received(
    "scheduler-ticks",
    "m1",
    datetime(2026, 1, 31, tzinfo=UTC),
    fixed_attributes(),
    TickV1(job=TickJob.TRIGGER).encode(),
)


class Handler:
    """Counts what reaches it; its first call fails when told so."""

    def __init__(self, *, fails_first: bool = False) -> None:
        self.handled: list[Received] = []
        self._fails_first = fails_first

    async def __call__(self, delivery: Delivery) -> None:
        self.handled.append(delivery.received)
        if self._fails_first and len(self.handled) == 1:
            raise ConnectionError


async def test_what_was_handled_is_left_out_when_it_comes_again() -> None:
    handler = Handler()
    once = dedupe(handler)
    await once(read(TICK))
    await once(read(replace(TICK, attempt=2)))
    assert handler.handled == [TICK]


async def test_what_failed_is_handled_when_it_comes_again() -> None:
    handler = Handler(fails_first=True)
    once = dedupe(handler)
    with pytest.raises(ConnectionError):
        await once(read(TICK))
    again = replace(TICK, attempt=2)
    await once(read(again))
    assert handler.handled == [TICK, again]


@pytest.mark.parametrize(
    "other", [replace(TICK, message_id="m2"), replace(TICK, subscription="audit-log-ticks")]
)
async def test_another_message_or_subscription_is_another_matter(other: Received) -> None:
    handler = Handler()
    once = dedupe(handler)
    await once(read(TICK))
    await once(read(other))
    assert handler.handled == [TICK, other]


async def test_its_memory_is_bounded_and_forgets_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "REMEMBERED", 2)
    handler = Handler()
    once = dedupe(handler)
    for name in ("m1", "m2", "m3", "m3", "m2", "m1"):
        await once(read(replace(TICK, message_id=name)))
    assert [one.message_id for one in handler.handled] == ["m1", "m2", "m3", "m1"]
