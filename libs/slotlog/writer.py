"""The one way a service changes its durable state.

Per stream: state at slot n → decide a whole batch → create slot n+1 → if it was
taken, or nobody knows: read it, apply it, and decide again unless it is ours.
What a submit returns is what the durable record says, so a redelivered input
gets identical messages and nothing is decided twice.

The inbox remembers the last inputs of a stream (10,000 unless told), which
covers redelivery within a subscription's backlog; beyond it the domain's own
identifiers (run id, key hash) make a repeat harmless.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import Generic
from uuid import UUID, uuid4, uuid5

from contracts.envelope import Envelope, Wire
from contracts.message import Message, Service
from libs.clock import Clock, system_clock
from libs.slotlog.decider import Decider, Decision, S
from libs.slotlog.lanes import Bounds, Lane, Waiting, fail, keep_snapshot, resolve
from libs.slotlog.log import Entry, ExpiredError, Record, SlotLog, Taken, UnknownOutcomeError
from libs.slotlog.stream import (
    NAMESPACE,
    Input,
    Stream,
    entry_for,
    is_worth_recording,
    seal_decision,
)

LOG = logging.getLogger(__name__)
SEQUENCE_STEP = 10_000
PAGE, RECENT = 500, 50
LARGE, SPARSEST = 1 << 20, 4
"""For each so many bytes of a state, snapshots are so much further apart, up to so much."""
STALE = timedelta(hours=1)  # much less than any retention of records


class Writer(Generic[S]):
    """Decides messages for many streams; at most one append is in flight on each."""

    def __init__(  # noqa: PLR0913  what a writer is made of
        self,
        log: SlotLog,
        decider: Decider[S],
        *,
        service: Service,
        clock: Clock = system_clock,
        bounds: Bounds | None = None,
        prefix: str = "",
    ) -> None:
        """`prefix` is of the streams' names; the service's own name unless told."""
        self._log = log
        self._decider = decider
        self._service = service
        self._prefix = prefix or service.value
        self._clock = clock
        self._bounds = bounds or Bounds()
        self._lanes: OrderedDict[str, Lane[S]] = OrderedDict()
        self._bytes = 0
        self._snapshots: set[asyncio.Task[None]] = set()

    async def submit(
        self, key: str, message: Message, envelope: Envelope, step: str = ""
    ) -> Sequence[Wire]:
        """Decide a message and return what is durably to be published for it.

        Raises what the decider raises, for this input alone. Cancelling the
        caller does not take the input back: it may still be decided.
        """
        lane = self._lane(key)
        waiting = Waiting(
            Input(message, envelope, step), asyncio.get_running_loop().create_future()
        )
        lane.queue.append(waiting)
        if lane.worker is None:
            lane.worker = asyncio.create_task(self._work(key, lane))
        return await waiting.answer

    async def state(self, key: str, *, refresh: bool = True) -> S:
        """Return the stream's state; `refresh` reads what other instances wrote."""
        lane = self._lane(key)
        async with lane.lock:
            self._forget_if_stale(lane)
            if refresh or not lane.loaded:
                await self._catch_up(key, lane)
                self._weigh(key, lane)
            return lane.stream.state

    async def expire(self, key: str, before: datetime) -> int:
        """Delete the records made before, but the last; a snapshot keeps what they led to."""
        name, lane = self._name(key), self._lane(key)
        async with lane.lock:
            self._forget_if_stale(lane)
            await self._catch_up(key, lane)
            slot, oldest = lane.stream.slot, await self._log.oldest(name)
            if oldest is None or oldest[0] >= slot or oldest[1].at >= before:
                return 0
            await self._log.save_snapshot(name, slot, lane.stream.dump())
        return await self._log.expire(name, slot, before)

    async def recent(self, key: str) -> Sequence[tuple[int, Record]]:
        """Return the newest records, for who publishes again what they say."""
        await self.state(key)
        after = max(0, self._lane(key).stream.slot - RECENT)
        return await self._log.read(self._name(key), after, RECENT)

    def peek(self, key: str) -> S | None:
        """Return the state as last known here, without waiting; None when it is not loaded."""
        lane = self._lanes.get(key)
        return lane.stream.state if lane is not None and lane.loaded else None

    async def each_key(self, after: str = "") -> AsyncIterator[str]:
        """Iterate over the keys of all streams that exist, in order, page by page."""
        after = after and f"{self._prefix}/{after}"
        while names := await self._log.streams(self._prefix, after, PAGE):
            for name in names:
                yield name.removeprefix(f"{self._prefix}/")
            after = names[-1]

    async def close(self) -> None:
        """Wait for what is being decided and written."""
        workers = [lane.worker for lane in self._lanes.values() if lane.worker]
        await asyncio.gather(*workers, *self._snapshots, return_exceptions=True)

    def _lane(self, key: str) -> Lane[S]:
        lane = self._lanes.get(key)
        if lane is None:
            self._evict()
            lane = self._lanes[key] = Lane(Stream(self._decider, self._bounds.inbox))
        self._lanes.move_to_end(key)
        return lane

    def _evict(self) -> None:
        """Forget what was used longest ago, and is not being used, until there is room."""
        while len(self._lanes) >= self._bounds.streams or self._bytes > self._bounds.bytes:
            idle = next((key for key, lane in self._lanes.items() if lane.idle), None)
            if idle is None:
                return
            self._bytes -= self._lanes.pop(idle).weight

    def _weigh(self, key: str, lane: Lane[S]) -> None:
        if self._lanes.get(key) is lane:
            self._bytes += lane.stream.size - lane.weight
            lane.weight = lane.stream.size
        self._evict()

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{key}"

    async def _work(self, key: str, lane: Lane[S]) -> None:
        while lane.queue:
            batch = lane.queue[: self._bounds.batch]
            del lane.queue[: len(batch)]
            try:
                async with lane.lock:
                    await self._settle(key, lane, batch)
                    self._weigh(key, lane)
            except BaseException as error:
                fail(batch, error)
                if not isinstance(error, Exception):
                    fail(lane.queue, error)
                    lane.worker = None
                    raise
        lane.worker = None

    async def _settle(self, key: str, lane: Lane[S], batch: list[Waiting]) -> None:
        self._forget_if_stale(lane)
        if not lane.loaded:
            await self._catch_up(key, lane)
        open_inputs, lane.unknown = batch, 0
        while open_inputs := await self._answer_known(key, lane, open_inputs):
            commit = uuid4()
            record, answers, state = self._decide(lane.stream, open_inputs, commit)
            if not await self._made_durable(key, lane, record, state):
                continue
            for waiting, wires in answers:
                resolve(waiting, wires)
            return

    async def _answer_known(self, key: str, lane: Lane[S], batch: list[Waiting]) -> list[Waiting]:
        """Answer repeats from the record that decided them; return the rest."""
        fresh = []
        for waiting in batch:
            slot = lane.stream.slot_of(waiting.given.cause)
            if waiting.answer.done():
                continue
            if slot is None:
                fresh.append(waiting)
            else:
                resolve(waiting, await self._recorded(key, slot, waiting.given.cause))
        return fresh

    async def _recorded(self, key: str, slot: int, cause: str) -> tuple[Wire, ...]:
        for _, record in await self._log.read(self._name(key), slot - 1, 1):
            return next(entry.emits for entry in record.entries if entry.cause == cause)
        return ()  # it has expired: what it said was published long ago

    def _decide(
        self, stream: Stream[S], batch: list[Waiting], commit: UUID
    ) -> tuple[Record, list[tuple[Waiting, tuple[Wire, ...]]], S]:
        """Decide each input on the state that the earlier ones of the batch left."""
        now, state = self._clock(), stream.state
        entries: dict[str, Entry] = {}
        answers: list[tuple[Waiting, tuple[Wire, ...]]] = []
        sequence = (stream.slot + 1) * SEQUENCE_STEP
        for waiting in batch:
            given = waiting.given
            if (twin := entries.get(given.cause)) is not None:
                answers.append((waiting, twin.emits))
                continue
            try:
                decision = self._decider.decide(state, given.message, now)
                after = decision.after
                if after is None:
                    after = reduce(self._decider.evolve, decision.facts, state)
            except Exception as error:  # noqa: BLE001  handed to the submitter, whose input it is
                fail([waiting], error)
                continue
            state = after
            wires = self._seal(decision, given, commit, now, sequence)
            sequence += len(decision.emits)
            answers.append((waiting, wires))
            if is_worth_recording(decision):
                entries[given.cause] = entry_for(decision, given, wires)
        return Record(str(commit), now, tuple(entries.values())), answers, state

    def _seal(
        self, decision: Decision, given: Input, commit: UUID, now: datetime, sequence: int
    ) -> tuple[Wire, ...]:
        # A decision that is not recorded must still answer a repeat with the same ids.
        seed = uuid5(commit if is_worth_recording(decision) else NAMESPACE, given.cause)
        return seal_decision(
            decision, given, service=self._service, seed=seed, at=now, sequence=sequence
        )

    async def _made_durable(self, key: str, lane: Lane[S], record: Record, state: S) -> bool:
        """Append the record. What needs none must still have been decided on the newest state."""
        if record.entries:
            return await self._append(key, lane, record, state)
        seen = lane.stream.slot
        await self._catch_up(key, lane)
        return lane.stream.slot == seen

    async def _append(self, key: str, lane: Lane[S], record: Record, state: S) -> bool:
        """Create the next slot, which leads to `state`; False when it went to somebody else."""
        slot = lane.stream.slot + 1
        try:
            outcome = await self._log.append(self._name(key), slot, record)
        except UnknownOutcomeError as error:
            await lane.pause_after(error)
            return await self._catch_up(key, lane, ours=record.commit_id)
        if isinstance(outcome, Taken):
            won = outcome.existing.commit_id == record.commit_id
            lane.stream.apply(slot, outcome.existing)
            return won
        lane.stream.advance(slot, record, state)
        lane.known_at = self._clock()
        self._snapshot_if_due(key, lane.stream)
        return True

    async def _catch_up(self, key: str, lane: Lane[S], ours: str = "") -> bool:
        """Apply what has been written since; True when `ours` was among it."""
        if not lane.loaded:
            await self._load(key, lane)
        found, began = False, self._clock()
        while records := await self._log.read(self._name(key), lane.stream.slot, PAGE):
            for slot, record in records:
                lane.stream.apply(slot, record)
                found = found or record.commit_id == ours
            if len(records) < PAGE:
                break
        lane.known_at = began
        return found

    def _forget_if_stale(self, lane: Lane[S]) -> None:
        """What was known long ago may have been followed by records that have expired since."""
        if lane.known_at is not None and abs(self._clock() - lane.known_at) > STALE:
            lane.stream = Stream(self._decider, self._bounds.inbox)
            lane.loaded, lane.known_at = False, None

    async def _load(self, key: str, lane: Lane[S]) -> None:
        snapshot = await self._log.latest_snapshot(self._name(key))
        if snapshot is not None and not lane.stream.load(*snapshot):
            if not await self._log.read(self._name(key), 0, 1):
                raise ExpiredError(self._name(key), snapshot[0])
            LOG.info("snapshot of %s has another version; replaying its log", self._name(key))
        lane.loaded = True

    def _snapshot_if_due(self, key: str, stream: Stream[S]) -> None:
        """Of a large state less often: writing it takes all that an instance could do meanwhile."""
        every = self._bounds.snapshot_every
        sparser = min(SPARSEST, 1 + stream.whole // LARGE)
        if stream.slot % every or stream.slot - stream.whole_at < every * sparser:
            return
        state = stream.dump()
        task = asyncio.create_task(keep_snapshot(self._log, self._name(key), stream.slot, state))
        self._snapshots.add(task)
        task.add_done_callback(self._snapshots.discard)
