"""A small client of the gateway, for the demo: what any tenant could write."""

from typing import Any

import aiohttp


class ApiError(RuntimeError):
    """The gateway's answer, when it is not the one that was hoped for."""

    def __init__(self, what: str, status: int, body: Any) -> None:
        self.status = status
        self.code = body.get("code", "") if isinstance(body, dict) else ""
        detail = body.get("detail", body) if isinstance(body, dict) else body
        super().__init__(f"{what}: HTTP {status}: {detail}")


class Api:
    """One gateway, with an admin key and perhaps a tenant's."""

    def __init__(self, session: aiohttp.ClientSession, url: str, admin_key: str) -> None:
        self._session = session
        self.url = url
        self._admin_key = admin_key
        self.tenant_key = ""

    async def get(self, path: str, **query: str) -> Any:
        return await self._call("GET", path, params=query)

    async def post(self, path: str, body: Any) -> Any:
        return await self._call("POST", path, json=body)

    async def delete(self, path: str, **query: str) -> Any:
        return await self._call("DELETE", path, params=query)

    async def put_text(self, path: str, text: str) -> Any:
        # Whatever is there gives way: the definition comes with the product.
        headers = {"Content-Type": "application/yaml", "If-Match": "*"}
        return await self._call("PUT", path, data=text.encode(), headers=headers)

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        keys = {"X-Admin-Key": self._admin_key, "X-API-Key": self.tenant_key}
        headers = {**{k: v for k, v in keys.items() if v}, **options.pop("headers", {})}
        call = self._session.request(method, self.url + path, headers=headers, **options)
        async with call as response:
            body = await response.json(content_type=None)
            if not response.ok:
                raise ApiError(f"{method} {path}", response.status, body)
            return body
