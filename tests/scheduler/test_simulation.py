"""Every promise holds in every history; and histories on sabotaged ground break one by name."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from contracts.catalogue import by_wire_type
from contracts.message import Kind, Service
from contracts.platform import CommandRefusedV1
from contracts.runs import RunStatus, TriggerType
from contracts.tenants import LimitsPart
from tests.scheduler.faulty import GROUND, Ground
from tests.scheduler.judge import Judge, moments
from tests.scheduler.promises import BrokenPromiseError, Promise
from tests.scheduler.reasons import REASONS
from tests.scheduler.sabotaged import AnswersFirst, Forgetful, NoDedupe, Overwriting
from tests.scheduler.simulation import STARTS, Plan, World

PLANS = (
    Plan(),
    Plan(instances=3, tenants=3, max_running=3),
    Plan(limits=LimitsPart(daily=50, monthly=60, concurrent=1), queue_limit=4),
    Plan(tenants=1, limits=LimitsPart(daily=5, monthly=100, concurrent=3), scheduled=False),
    Plan(limits=LimitsPart(daily=60, monthly=2000, concurrent=4)),
)
QUICK, LONG = 200, 2_000
BLOCK = 25


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Each lost reply is a warning."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def world_of(seed: int, ground: Ground = GROUND) -> World:
    return World(seed, PLANS[seed // len(STARTS) % len(PLANS)], ground)


def play(seed: int) -> Judge:
    world = world_of(seed)
    world.live()
    judge = Judge(world)
    judge.judge()
    return judge


@pytest.mark.parametrize("first", range(0, QUICK, BLOCK))
def test_promises_hold_in_every_history(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, LONG, 200))
def test_promises_hold_in_many_more_histories(first: int) -> None:
    for seed in range(first, first + 200):
        play(seed)


def test_histories_hold_everything_that_promises_are_about() -> None:
    """What never happens proves nothing."""
    judges = [play(seed) for seed in range(0, 60, 2)]
    assert all(judge.world.log.failed for judge in judges)
    books = [book for judge in judges for book in judge.books.values()]
    refused = {said.code for book in books for said in book.refused}
    assert refused == {"quota_exceeded", "queue_full", "config_not_found", "tenant_suspended"}
    began = Counter(said.trigger.type for book in books for said in book.accepted.values())
    assert set(began) == set(TriggerType)
    ends = [said for book in books for said in book.ended.values()]
    assert {said.status for said in ends} == {
        RunStatus.COMPLETED,
        RunStatus.FAILED,
        RunStatus.CANCELLED,
    }
    assert any(said.refunded for said in ends)
    assert max(said.attempt for said in ends) > 3
    assert {about.status for book in books for about in book.backfills.values()} == {
        "COMPLETED",
        "CANCELLED",
    }
    assert any(judge.missed for judge in judges)
    assert any(judge.places.time for judge in judges)


def test_of_all_that_the_scheduler_says_it_is_known_where_the_reason_is() -> None:
    events = {
        entry.model
        for entry in by_wire_type().values()
        if entry.model.kind is Kind.EVENT and entry.producers == (Service.SCHEDULER,)
    }
    assert events == set(REASONS) - {CommandRefusedV1}


def test_a_seed_is_one_history() -> None:
    for seed in (3, 8):
        twice = [world_of(seed), world_of(seed)]
        for world in twice:
            world.live()
        assert moments(twice[0]) == moments(twice[1])


SHORT = Plan(
    tenants=1,
    steps=2,
    instances=1,
    limits=LimitsPart(daily=40, monthly=60, concurrent=2),
    turns_between_strikes=0,
)
EVERY = 7


def short(seed: int, strikes: set[int]) -> World:
    """The same history, but for when everything is killed."""
    world = World(seed, SHORT)
    world.strikes = strikes
    world.live()
    Judge(world).judge()
    return world


def _kill_at(turns: range) -> None:
    for turn in turns:
        world = short(1, {turn})
        assert world.turns >= turn, "it was over before"


def test_a_history_can_be_cut_off_at_any_turn_of_its_loop() -> None:
    _kill_at(range(1, short(1, set()).turns, EVERY))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(1, EVERY))
def test_a_history_can_be_cut_off_at_every_turn_of_its_loop(first: int) -> None:
    _kill_at(range(1 + first, short(1, set()).turns, EVERY))


@dataclass(frozen=True, slots=True)
class Sabotage:
    ground: Ground
    breaks: frozenset[Promise]


LOSES = {Promise.NOTHING_LOST, Promise.NOTHING_LEAKED}
TWICE = {Promise.ONCE, Promise.FINAL, Promise.ATTEMPTS, Promise.LIMITS, Promise.CHARGED}
SABOTAGED = {
    "no dedupe": Sabotage(Ground(writer=NoDedupe), frozenset({Promise.ONCE})),
    "acknowledges first": Sabotage(Ground(writer=AnswersFirst), frozenset(LOSES | TWICE)),
    "overwrites slots": Sabotage(Ground(log=Overwriting), frozenset(LOSES | TWICE)),
    "forgets suspensions": Sabotage(Ground(decider=Forgetful), frozenset({Promise.SUSPENDED})),
}


@pytest.mark.parametrize("sabotage", SABOTAGED.values(), ids=SABOTAGED)
def test_a_sabotaged_scheduler_breaks_a_promise_by_name(sabotage: Sabotage) -> None:
    """Where it breaks one, the same history keeps them all without the sabotage."""
    for seed in range(60):
        broken = _broken(world_of(seed, sabotage.ground))
        if broken is not None:
            assert broken in sabotage.breaks
            assert _broken(world_of(seed)) is None
            return
    pytest.fail("60 histories on sabotaged ground broke no promise")


def _broken(world: World) -> Promise | None:
    """The first promise that is not kept; a history that breaks off is judged up to there."""
    judge = Judge(world)
    try:
        world.live()
    except Exception:
        if world.ground == GROUND:
            raise
        judged = judge.judge_log
    else:
        judged = judge.judge
    try:
        judged()
    except BrokenPromiseError as error:
        return error.promise
    return None
