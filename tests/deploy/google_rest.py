"""Stands in for Google's IAM, Cloud Scheduler and policy interfaces: etags, 404s, roles, jobs.

Policies are kept for whatever resource was announced; a write with an old etag is refused.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

NUMBER = "123456789012"


@dataclass(slots=True)
class Google:
    """What it knows, by path."""

    url: str = ""
    policies: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    writes: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        path = path.partition("?")[0]
        if method != "GET" and not path.endswith(":getIamPolicy"):
            self.writes.append((method, path))
        if path.endswith((":getIamPolicy", ":setIamPolicy", "/iam")):
            return self._policy(method, path, body)
        if path.startswith("/cloudresourcemanager/"):
            return 200, {"projectNumber": NUMBER}
        return self._resource(method, path, body)

    def _policy(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        name, reads = path.rpartition(":")[0] or path, path.endswith(":getIamPolicy")
        kept = self.policies.setdefault(name, {"version": 1, "etag": "1", "bindings": []})
        if reads or method == "GET":
            return 200, kept
        policy = body if path.endswith("/iam") else body["policy"]
        if policy["etag"] != kept["etag"]:
            return 409, {"error": "the policy was changed meanwhile"}
        if any("condition" in b for b in policy["bindings"]) and policy["version"] != 3:
            return 400, {"error": "conditions need version 3"}
        self.policies[name] = {**policy, "etag": str(int(policy["etag"]) + 1)}
        return 200, self.policies[name]

    def _resource(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            found = self.resources.get(path)
            return (200, found) if found is not None else (404, {"error": "not found"})
        if method == "PATCH":
            self.resources[path] = {**self.resources[path], **body}
            return 200, self.resources[path]
        path, made = self._made(path, body)
        self.resources[path] = made
        return 200, made

    def _made(self, path: str, body: Any) -> tuple[str, Any]:
        if path.endswith("/serviceAccounts"):
            project = path.split("/")[4]
            name = f"{body['accountId']}@{project}.iam.gserviceaccount.com"
            return f"{path}/{name}", body["serviceAccount"]
        if path.endswith("/roles"):
            return f"{path}/{body['roleId']}", body["role"]
        return f"{path}/{body['name'].rpartition('/')[2]}", body


@contextmanager
def google() -> Iterator[Google]:
    known = Google()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = known.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = _do  # noqa: N815  names of the standard library

        def log_message(self, *_: object) -> None:
            """Say nothing: the test's own output is enough."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
