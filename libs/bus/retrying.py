"""How long to wait before the next try: longer each time, at random, for ever."""

import asyncio
import random

FIRST, LONGEST = 0.05, 5.0


class Backoff:
    """Full jitter; `reset` after a success."""

    def __init__(self) -> None:
        self._ceiling = FIRST

    def reset(self) -> None:
        self._ceiling = FIRST

    async def pause(self) -> None:
        await asyncio.sleep(random.uniform(FIRST / 2, self._ceiling))  # noqa: S311  jitter
        self._ceiling = min(self._ceiling * 2, LONGEST)
