"""A bad network between the clients and one gateway: late, cut off, or 503 from somebody else."""

import asyncio
import random
import socket
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
CHUNK = 65_536
LATEST_SECONDS = 0.02
RESET, REFUSED, REPLY_LOST = 0.01, 0.01, 0.01
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Proxy:
    """Decides anew for each piece that a client sends, until it is told to be good."""

    port: int
    """Of the gateway."""
    chance: random.Random
    is_bad: bool = True
    done: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None

    async def start(self) -> str:
        """Return the URL for clients."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(HOST, self.port)
        except OSError:
            _reset(writer)
            return
        answering = asyncio.create_task(_copy(there, writer))
        with suppress(OSError):
            await self._pass_on(reader, back, writer, answering)
        answering.cancel()
        for one in (writer, back):
            one.close()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        writer: asyncio.StreamWriter,
        answering: "asyncio.Task[None]",
    ) -> None:
        while data := await reader.read(CHUNK):
            fate = self.chance.random() if self.is_bad else 1.0
            if fate < RESET:
                self.done["connections reset"] += 1
                _reset(writer)
                return
            if fate < RESET + REFUSED:
                self.done["503 of a proxy"] += 1
                writer.write(UNAVAILABLE)
                await writer.drain()
                return
            if fate < RESET + REFUSED + REPLY_LOST:
                self.done["replies lost"] += 1
                answering.cancel()
                back.write(data)
                await back.drain()
                _reset(writer)
                return
            if self.is_bad:
                await asyncio.sleep(self.chance.uniform(0, LATEST_SECONDS))
            back.write(data)
            await back.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a cut cable would: without a word, and at once."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    writer.transport.abort()
