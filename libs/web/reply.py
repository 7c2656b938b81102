"""A whole answer to an ordinary request, sent in one step.

How aiohttp sends an answer is made for chunks, compression, cookies and older clients
too, and takes a sixth of the time of a request that is accepted.
"""

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE


class Reply(web.Response):
    """Has a body of bytes. To HTTP/1.1 that goes on it is sent at once, else as any other."""

    _directly_to: AbstractStreamWriter | None = None
    _whole = b""

    @property
    def keep_alive(self) -> bool | None:
        return True if self._directly_to is not None else super().keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        goes_on = request.keep_alive and self._keep_alive is None
        if not goes_on or request.version is not HttpVersion11 or request.method == hdrs.METH_HEAD:
            return await super().prepare(request)
        assert isinstance(self.body, bytes)  # noqa: S101  whoever makes one gives it that
        self._whole, headers = self.body, self.headers
        headers[hdrs.CONTENT_LENGTH] = str(len(self._whole))
        headers[hdrs.DATE] = rfc822_formatted_time()
        headers[hdrs.SERVER] = SERVER_SOFTWARE
        writer = self._directly_to = request.writer
        await writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", headers)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        if self._directly_to is None:
            await super().write_eof(data)
        elif not self._eof_sent:
            self._eof_sent = True
            await self._directly_to.write_eof(self._whole)
