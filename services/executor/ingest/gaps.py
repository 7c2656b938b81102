"""Whether a text has empty lines: seen while it is read, for next to nothing."""

from typing import Protocol

_EMPTY = (b"\n\n", b"\n\r", b"\r\r")


class Bytes(Protocol):
    def read(self, size: int) -> bytes: ...


class Watched:
    """A stream for Arrow to read. One empty line too many may be seen, never one too few."""

    closed = False

    def __init__(self, stream: Bytes, encoding: str) -> None:
        self._stream, self._last = stream, b""
        self.gaps = not "\n\n".encode(encoding).endswith(b"\n\n")
        """Also for encodings whose line breaks do not look so."""

    def read(self, size: int) -> bytes:
        piece = self._stream.read(size)
        if not self.gaps and piece:
            seam = self._last + piece[:1]
            self.gaps = seam in _EMPTY or any(empty in piece for empty in _EMPTY)
            self._last = piece[-1:]
        return piece

    def close(self) -> None:
        """Whoever opened the stream closes it."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False
