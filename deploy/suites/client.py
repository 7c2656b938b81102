"""Plain HTTP against any gateway: one answer per call, whatever its status."""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 40.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and how long it took."""

    status: int
    body: Any
    headers: Mapping[str, str]
    seconds: float

    def header(self, name: str) -> str:
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), "")


@dataclass(slots=True)
class Client:
    """One gateway as its operator and its tenants see it."""

    url: str
    admin_key: str = ""
    ca_file: str = ""
    keys: dict[str, str] = field(default_factory=dict)

    def call(  # noqa: PLR0913  the parts of a request
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        tenant: str = "",
        admin: bool = False,
        headers: Mapping[str, str] | None = None,
        text: str | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if tenant:
            sent["X-API-Key"] = self.keys[tenant]
        if admin:
            sent["X-Admin-Key"] = self.admin_key
        data = text.encode() if text is not None else None
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(  # noqa: S310  the operator says which URL
            self.url + path, data=data, method=method, headers=sent
        )
        began = time.perf_counter()
        try:
            with urllib.request.urlopen(  # noqa: S310
                request, timeout=TIMEOUT, context=self.tls()
            ) as found:
                status, raw, said = found.status, found.read(), dict(found.headers)
        except urllib.error.HTTPError as error:
            status, raw, said = error.code, error.read(), dict(error.headers)
        return Answer(status, _json(raw), said, time.perf_counter() - began)

    def get(self, path: str, *, tenant: str = "", admin: bool = False) -> Answer:
        return self.call("GET", path, tenant=tenant, admin=admin)

    def tls(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https://"):
            return None
        return ssl.create_default_context(cafile=self.ca_file or None)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except json.JSONDecodeError:
        return raw.decode(errors="replace")
