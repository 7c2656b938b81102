"""What is asked about a run that this instance has not heard of."""

from datetime import timedelta

import pytest

from contracts.audit import CLOCKS_DIFFER, ListEventsV1
from contracts.examples import example_part
from contracts.runs import RunPart
from libs.web.problem import Problem
from services.gateway import backfill
from tests.gateway.edges import NOW, TENANT
from tests.gateway.test_live import FINISHED, REQUESTED, RUN, Platform


async def test_of_a_run_of_long_ago_nothing_is_read_from_before_it_was_submitted() -> None:
    submitted = NOW - timedelta(days=400)
    run = example_part(RunPart).model_copy(update={"run_id": RUN, "submitted_at": submitted})
    platform = Platform(run=run)
    platform.record(REQUESTED)
    platform.record(FINISHED)
    followed = platform.edge.live.followed(TENANT, RUN)
    await platform.edge.backfill.refresh(TENANT, RUN, followed)
    assert followed.run is not None
    (asked,) = (one for one in platform.asked if isinstance(one, ListEventsV1))
    assert asked.from_time == submitted - CLOCKS_DIFFER


async def test_what_is_known_of_a_run_already_is_not_asked_for_to_begin_there() -> None:
    platform = Platform()
    platform.hear(REQUESTED)
    followed = platform.edge.live.followed(TENANT, RUN)
    await platform.edge.backfill.refresh(TENANT, RUN, followed)
    assert followed.run is not None
    (asked,) = platform.asked
    assert isinstance(asked, ListEventsV1)
    assert asked.from_time == followed.run.submitted_at - CLOCKS_DIFFER


async def test_of_a_run_that_is_none_no_more_is_read_than_can_be_undecided() -> None:
    platform = Platform()
    followed = platform.edge.live.followed(TENANT, RUN)
    with pytest.raises(Problem, match="no run"):
        await platform.edge.backfill.refresh(TENANT, RUN, followed)
    asked = [one.from_time for one in platform.asked if isinstance(one, ListEventsV1)]
    assert asked == [NOW - backfill.UNDECIDED] * 2
