"""Clients that mean harm: the gateway answers or hangs up, and goes on serving everybody else."""

import asyncio
import json

import aiohttp
import pytest

from tests.gateway.edges import KEY, edge_on, serving

HEAD = f"POST /api/v1/pipelines/run/ones HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY.text}\r\n"
SLOW_ONES = 200
FLOOD = 500
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(url: str) -> Pipe:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def answer_to(url: str, data: bytes) -> int:
    """The status; 0 when the connection was closed without one."""
    reader, writer = await connect(url)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(60):
            line = await reader.readline()
    except ConnectionError:
        return 0
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0


async def assert_serves(url: str) -> None:
    async with asyncio.timeout(60), aiohttp.request("GET", url + "/healthz") as response:
        assert response.status == 200


async def test_those_who_send_slowly_keep_nobody_from_being_served() -> None:
    async with serving(edge_on()) as url:
        slow = [await connect(url) for _ in range(SLOW_ONES)]
        for _, writer in slow:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            await writer.drain()
        for _ in range(20):
            await assert_serves(url)
        for _, writer in slow:
            writer.close()


@pytest.mark.parametrize("given", [2 << 20, 1 << 24], ids=["two MiB", "sixteen MiB"])
async def test_a_body_over_the_limit_is_refused(given: int) -> None:
    async with serving(edge_on()) as url:
        head = f"{HEAD}Content-Length: {given}\r\n\r\n".encode()
        assert await answer_to(url, head + b"x" * given) in {0, 413}
        await assert_serves(url)


async def test_a_body_that_never_comes_keeps_nobody_waiting() -> None:
    async with serving(edge_on()) as url:
        _, writer = await connect(url)
        writer.write(f"{HEAD}Content-Length: {1 << 40}\r\n\r\n{{".encode())
        await writer.drain()
        await assert_serves(url)
        writer.close()


@pytest.mark.parametrize("depth", [51, 5_000, 400_000])
@pytest.mark.parametrize(("opening", "inner", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
async def test_deep_json_is_refused_in_words(
    depth: int, opening: str, inner: str, closing: str
) -> None:
    data = (opening * depth + inner + closing * depth)[: (1 << 20) - 1]
    async with serving(edge_on()) as url, aiohttp.ClientSession() as session:
        path, key = f"{url}/api/v1/pipelines/run/ones", {"X-API-Key": KEY.text}
        async with session.post(path, data=data, headers=key) as response:
            assert response.status == 400
            assert json.loads(await response.read())["code"] in {"too_deep", "invalid_json"}
        await assert_serves(url)


@pytest.mark.parametrize(
    "flood",
    ["X-Much: " + "y" * (1 << 20) + "\r\n", "".join(f"X-{n}: y\r\n" for n in range(100_000))],
    ids=["one long header", "very many headers"],
)
async def test_a_flood_of_headers_is_refused(flood: str) -> None:
    async with serving(edge_on()) as url:
        data = f"GET /healthz HTTP/1.1\r\nHost: x\r\n{flood}\r\n".encode()
        assert await answer_to(url, data) in {0, 400, 431}
        await assert_serves(url)


async def test_a_flood_of_wrong_keys_is_turned_away() -> None:
    async with serving(edge_on()) as url, aiohttp.ClientSession() as session:
        headers = {"X-API-Key": f"acme_cloud_api_{'A' * 49}"}
        for _ in range(FLOOD):
            async with session.get(url + "/api/v1/tenants/me", headers=headers) as response:
                assert response.status == 401
        await assert_serves(url)


@pytest.mark.parametrize(
    "data",
    [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"],
    ids=["TLS", "no path", "a negative length"],
)
async def test_what_is_no_request_is_turned_away(data: bytes) -> None:
    async with serving(edge_on()) as url:
        assert await answer_to(url, data + b"\r\n\r\n") in {0, 400}
        await assert_serves(url)
