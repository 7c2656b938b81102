"""Instances stopped at every await: what is decided, published and acknowledged agrees."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.envelope import Wire
from libs.bus.router import Delivery
from libs.bus.service import Bus
from libs.slotlog.lanes import LONGEST_PAUSE
from libs.slotlog.log import Record, Taken, UnknownOutcomeError, Written
from libs.slotlog.writer import Writer
from tests.libs.slotlog.toy import LIMIT
from tests.libs.slotlog.world import TURNS, GatedLog, Instance, Kinds, World
from tests.turns import Turns

ANY = st.integers(0, 10**6)
INPUTS = LIMIT + 3


class Machine(RuleBasedStateMachine):
    kinds = Kinds()

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)  # each lost reply is a warning
        self.loop = Turns()
        self.world = World()
        self.instances: list[Instance] = []
        self.sent: list[int] = []
        self.deliveries: list[asyncio.Task[None]] = []

    @initialize(instances=st.integers(2, 3))
    def begin(self, instances: int) -> None:
        for _ in range(instances):
            self.instances.append(self._start())

    @rule(times=st.integers(1, 3))
    @precondition(lambda self: len(self.sent) < INPUTS)
    def send(self, times: int) -> None:
        """A new command, which Pub/Sub delivers once or more, to one instance or several."""
        self.sent.append(len(self.sent))
        for turn in range(times):
            self._deliver(self.sent[-1], turn)

    @rule(which=ANY, to=ANY)
    @precondition(lambda self: self.sent)
    def deliver_again(self, which: int, to: int) -> None:
        self._deliver(self.sent[which % len(self.sent)], to)

    @rule(which=ANY, further=st.integers(0, 5))
    @precondition(lambda self: self.world.gates)
    def go_on(self, which: int, further: int) -> None:
        """One instance goes on from one await to the next, and some way beyond it."""
        gate = self.world.gates[which % len(self.world.gates)]
        self.world.open(gate, well=True)
        self._settle()
        for _ in range(further):
            theirs = [g for g in self.world.gates if g.instance is gate.instance]
            if theirs:
                self.world.open(theirs[0], well=True)
                self._settle()

    @rule(which=ANY)
    @precondition(lambda self: self.world.gates)
    def lose(self, which: int) -> None:
        """A request or its answer is lost, and its sender notices only that."""
        self.world.open(self.world.gates[which % len(self.world.gates)], well=False)
        self._settle()

    @rule(which=ANY)
    @precondition(lambda self: self.world.adrift)
    def arrive_late(self, which: int) -> None:
        self.world.adrift.pop(which % len(self.world.adrift))()

    @rule(which=ANY)
    @precondition(lambda self: self.world.gates)
    def kill(self, which: int) -> None:
        """The instance that waits at some gate ends there; another takes its place."""
        victim = self.world.gates[which % len(self.world.gates)].instance
        self.world.kill(victim)
        self.instances[self.instances.index(victim)] = self._start()

    @rule(which=ANY)
    @precondition(lambda self: self.deliveries)
    def give_back(self, which: int) -> None:
        """A delivery is cancelled, as when an instance drains."""
        self.deliveries.pop(which % len(self.deliveries)).cancel()
        self._settle()

    @invariant()
    def each_input_is_decided_once(self) -> None:
        causes = [entry.cause for record in self.world.store.records() for entry in record.entries]
        assert len(causes) == len(set(causes)), "an input was decided twice"
        assert len(causes) <= LIMIT, "more places were given out than there are"

    @invariant()
    def what_is_published_is_what_the_records_say(self) -> None:
        recorded = [_key(wire) for wires in self._emits().values() for wire in wires]
        for wire in self.world.published:
            assert _key(wire) in recorded, "something was published that no record says"

    @invariant()
    def what_is_acknowledged_is_published(self) -> None:
        emits, published = self._emits(), {_key(wire) for wire in self.world.published}
        for number in self.world.acked:
            if str(number) not in emits:
                assert len(emits) == LIMIT, "an input was acknowledged that no record holds"
            for wire in emits.get(str(number), ()):
                assert _key(wire) in published, "acknowledged before it was published"

    def teardown(self) -> None:
        try:
            if self.instances:
                self._end_well()
        finally:
            self._close()
            logging.disable(logging.NOTSET)

    def _end_well(self) -> None:
        """With no more trouble everything that was sent is decided, published, acknowledged."""
        for number in self.sent:
            self._deliver(number, number)
        while self.world.gates:
            self.world.open(self.world.gates[0], well=True)
            self._settle()
        for check in (
            self.each_input_is_decided_once,
            self.what_is_published_is_what_the_records_say,
            self.what_is_acknowledged_is_published,
        ):
            check()
        assert set(self.world.acked) == set(self.sent)
        assert len(self._emits()) == min(LIMIT, len(self.sent))
        for task in self.deliveries:
            if task.done() and not task.cancelled():
                task.result()

    def _start(self) -> Instance:
        made = Instance(self.world, self.kinds)
        self.loop.run_until_complete(made.bus.start())
        return made

    def _deliver(self, number: int, to: int) -> None:
        instance = self.instances[to % len(self.instances)]
        self.deliveries.append(self.loop.create_task(instance.deliver(number)))
        self._settle()

    def _settle(self) -> None:
        """Let everyone run until they wait at a gate, and those who pause go on."""

        async def turns() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            await asyncio.sleep(2 * LONGEST_PAUSE)

        self.loop.run_until_complete(turns())

    def _emits(self) -> dict[str, Sequence[Wire]]:
        records = self.world.store.records()
        return {entry.cause: entry.emits for record in records for entry in record.entries}

    def _close(self) -> None:
        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(end())
        self.loop.close()


def _key(wire: Wire) -> tuple[str, bytes]:
    return wire.attributes["ce-id"], wire.data


QUICK = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestMachine = Machine.TestCase
TestMachine.settings = QUICK


# The machine is worth something only if it catches what is broken.


class ForgetsItsInbox(Writer[int]):
    async def _answer_known(self, _key: str, _lane: object, batch: Any) -> Any:
        return [waiting for waiting in batch if not waiting.answer.done()]


class AnswersBeforeItIsDurable(Writer[int]):
    async def _made_durable(self, key: str, lane: Any, record: Record, state: Any) -> bool:
        task = asyncio.ensure_future(super()._made_durable(key, lane, record, state))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)
        return True


class TakesALostReplyForAWin(Writer[int]):
    async def _append(self, key: str, lane: Any, record: Record, state: Any) -> bool:
        try:
            await self._log.append(self._name(key), lane.stream.slot + 1, record)
        except UnknownOutcomeError:
            lane.stream.apply(lane.stream.slot + 1, record)
            return True
        return bool(await super()._append(key, lane, record, state))


class TakesALostReplyForALoss(Writer[int]):
    """Tries the next slot without having read the one it asked for."""

    async def _append(self, key: str, lane: Any, record: Record, _state: Any) -> bool:
        try:
            outcome = await self._log.append(self._name(key), lane.stream.slot + 1, record)
        except UnknownOutcomeError:
            await self._catch_up(key, lane)
            return False
        lane.stream.apply(
            lane.stream.slot + 1, outcome.existing if isinstance(outcome, Taken) else record
        )
        return True


class AcknowledgesBeforeItPublishes(Bus):
    async def _answer(self, delivery: Delivery) -> None:
        task = asyncio.ensure_future(super()._answer(delivery))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.sleep(0)


class OverwritingLog(GatedLog):
    async def append(self, stream: str, slot: int, record: Record) -> Written:
        await self._world.gate(self._instance, "append")
        self._world.store._slots.setdefault(stream, {})[slot] = record.encode()
        return Written()


@pytest.mark.parametrize(
    "broken",
    [
        Kinds(writer=ForgetsItsInbox),
        Kinds(writer=AnswersBeforeItIsDurable),
        Kinds(writer=TakesALostReplyForAWin),
        Kinds(writer=TakesALostReplyForALoss),
        Kinds(bus=AcknowledgesBeforeItPublishes),
        Kinds(log=OverwritingLog),
    ],
    ids=["inbox", "early-answer", "lost-win", "lost-loss", "early-ack", "overwrite"],
)
def test_what_is_broken_is_caught(broken: Kinds) -> None:
    class Broken(Machine):
        kinds = broken

    finding: Callable[..., None] = run_state_machine_as_test
    with pytest.raises(AssertionError):
        finding(
            Broken,
            settings=settings(
                QUICK, max_examples=500, phases=[Phase.generate], derandomize=True, database=None
            ),
        )
