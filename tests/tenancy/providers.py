"""Stands in for every provider: lets in what does not say `bad`, and repeats all of what does.

Below `/hook` it takes everything.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class ProviderStandIn:
    """Listens on loopback while its block runs."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                said = self.path + self.rfile.read(length).decode() + str(self.headers)
                bad = "bad" in said and not self.path.startswith("/hook")
                body = json.dumps({"error": said} if bad else [{"id": "1"}]).encode()
                self.send_response(401 if bad else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self) -> None:
                self.send_response(405)
                self.end_headers()

            do_POST = do_GET  # noqa: N815  the server's own name

            def log_message(self, *_: object) -> None:
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
