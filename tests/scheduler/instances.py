"""One scheduler process of a simulation: it can be killed wherever it waits."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from contracts.envelope import Envelope, Wire
from contracts.message import Message, Service
from libs.bus.message import Context as Delivered
from libs.bus.router import Router
from libs.slotlog.lanes import Bounds
from libs.slotlog.writer import Writer
from services.scheduler.handlers import Neighbours, register
from services.scheduler.ledgers import Ledgers
from services.scheduler.objects import Reminders, Revisions
from services.scheduler.store import PlaceDecider

if TYPE_CHECKING:
    from tests.scheduler.simulation import World

BOUNDS = Bounds(snapshot_every=7, streams=50)
_OWNER: ContextVar["Instance | None"] = ContextVar("_OWNER", default=None)


class Instance:
    """A killed one says and writes nothing any more; a new one takes its place."""

    def __init__(self, world: "World", skew: timedelta = timedelta(0)) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.calls: dict[asyncio.Task[Any], None] = {}

        def clock() -> datetime:
            return world.now + skew

        def writer(decider: Any, **more: Any) -> Writer[Any]:
            return world.ground.writer(
                world.log, decider, service=Service.SCHEDULER, clock=clock, bounds=BOUNDS, **more
            )

        reminders = Reminders(world.objects)
        ledgers = writer(world.ground.decider(world.rules))
        places = writer(PlaceDecider(world.rules), prefix="scheduler-places")
        self.ledgers = Ledgers(ledgers, places, reminders, world.rules, clock)
        self.router = Router()
        neighbours = Neighbours(
            ledgers=self.ledgers,
            reminders=reminders,
            revisions=Revisions(world.objects),
            templates=world.templates,
            sender=Broker(world),
        )
        register(self.router, neighbours)

    async def handle(self, message: Message, envelope: Envelope) -> Sequence[Any]:
        handler = self.router.handler_for(message)
        assert handler is not None
        return list(await handler(message, Delivered(envelope)) or ())

    def call(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start what this process does for one message; all that comes of it is the process's."""
        context = copy_context()
        context.run(_OWNER.set, self)
        task: asyncio.Task[Any] = context.run(asyncio.create_task, work)
        self.calls[task] = None
        task.add_done_callback(self._forget)
        return task

    def kill(self) -> None:
        """As by kill -9: nothing that it has begun goes on."""
        for task in list(self.tasks):
            task.cancel()

    def forsake(self) -> None:
        """Whoever called it has given up; what it has begun goes on."""
        for task in list(self.calls):
            task.cancel()

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.pop(task, None)
        self.calls.pop(task, None)

    @classmethod
    def owning(
        cls, loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        """A task factory: each task belongs to the process that starts it."""
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
        if (owner := _OWNER.get()) is not None:
            owner.tasks[task] = None
            task.add_done_callback(owner._forget)
        return task


class Broker:
    """Publishing: durable as soon as it returns, and the world reacts."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def send(self, *emits: Wire) -> None:
        for wire in emits:
            await asyncio.sleep(0)
            self._world.published.setdefault(wire.attributes["ce-id"], wire)
