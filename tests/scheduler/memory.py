"""Objects in memory, as the scheduler uses them; awaits where races happen."""

import asyncio
import bisect


class MemoryObjects:
    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self._names: list[str] = []

    async def fetch(self, name: str) -> bytes | None:
        await asyncio.sleep(0)
        return self.bodies.get(name)

    async def replace(self, name: str, body: bytes) -> None:
        await asyncio.sleep(0)
        if name not in self.bodies:
            bisect.insort(self._names, name)
        self.bodies[name] = body

    async def delete(self, name: str) -> None:
        await asyncio.sleep(0)
        if self.bodies.pop(name, None) is not None:
            del self._names[bisect.bisect_left(self._names, name)]

    async def names(self, prefix: str, start: str = "", limit: int = 1000) -> list[str]:
        await asyncio.sleep(0)
        first = bisect.bisect_left(self._names, max(prefix, start))
        page = self._names[first : first + limit]
        return [name for name in page if name.startswith(prefix)]
