"""A gateway on loopback in a thread of its own, for clients that are not asynchronous."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from contracts.costs import CostV1, GetCostV1
from contracts.examples import example_part
from contracts.keys import FindKeyV1
from contracts.message import Message
from libs.web.app import Layer
from services.gateway.api.edge import Edge
from tests.gateway.edges import ScriptedRequester, found_key, serving, silence

example_of = cache(example_part)


class ExampleRequester(ScriptedRequester):
    """Answers every question with the contracts' own example of its first answer."""

    def __init__(self) -> None:
        super().__init__(silence)

    async def answer(
        self, question: Message, wanted: tuple[type[Message], ...], id_: str
    ) -> Message | None:
        del id_
        if isinstance(question, FindKeyV1):
            return found_key(question)
        answer: Message = example_of(wanted[0])
        if isinstance(question, GetCostV1) and isinstance(answer, CostV1):
            return _grouped(answer, len(question.group_by))
        return answer


def _grouped(answer: CostV1, by: int) -> CostV1:
    """The example, with as many keys in each group as were asked for."""
    groups = [row.model_copy(update={"keys": ("some",) * by}) for row in answer.groups]
    return answer.model_copy(update={"groups": tuple(groups)})


@contextmanager
def in_a_thread(edge: Edge, layers: Sequence[Layer] = ()) -> Iterator[str]:
    """The URL of a gateway that serves until the context ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = serving(edge, layers)
    try:
        yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(60)
    finally:
        ending = server.__aexit__(None, None, None)
        asyncio.run_coroutine_threadsafe(ending, loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
