"""Calls to user-given URLs reach the public internet only, and are bounded."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from aiohttp import web

from libs.outgoing import addresses
from libs.outgoing.addresses import is_public
from libs.outgoing.client import Call, Outgoing, OutgoingRules
from libs.outgoing.errors import (
    AddressRefusedError,
    OutgoingError,
    TooLargeError,
    UnreachableError,
)

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104  not bound to
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:db8::1",
    "::",
    "::7f00:1",
    "::ffff:0:7f00:1",
    "fec0::1",
    "64:ff9b:1::1",
    "5f00::1",
    "3fff::1",
    "192.88.99.1",
    "192.0.0.8",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


async def refused(url: str, *resolved: str) -> str:
    async def look(_: str, __: int) -> list[str]:
        return list(resolved)

    outgoing = Outgoing(OutgoingRules(look=look))
    try:
        with pytest.raises(AddressRefusedError) as caught:
            await outgoing.send(Call("GET", url))
        return str(caught.value)
    finally:
        await outgoing.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://user:pass@example.com/",
        "https://169.254.169.254/computeMetadata/v1/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https:///nohost",
        "https://example.com:0/",
        "https://example.com/\r\nX-Injected: 1",
        "https://exa mple.com/",
        "//example.com",
        "",
    ],
)
async def test_a_url_that_may_not_be_called_is_refused(url: str) -> None:
    await refused(url, "93.184.216.34")


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    assert "metadata.example" in await refused("https://metadata.example/", address)


async def test_one_inner_address_among_public_ones_is_enough_to_refuse() -> None:
    await refused("https://rebind.example/", "93.184.216.34", "10.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.1.",
        "0x7f.1",
        "１２７.0.0.1",  # noqa: RUF001  digits of other scripts become plain ones when it is called
        "127。0。0。1",
        "①②⑦.0.0.1",
        "[::7f00:1]",
        "[::ffff:0:7f00:1]",
        "[::1%25lo]",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
async def test_an_address_in_disguise_is_refused(host: str, exact: bool) -> None:  # noqa: FBT001  parametrized
    outgoing = Outgoing(OutgoingRules(look=never))
    with pytest.raises(AddressRefusedError):
        await outgoing.send(Call("GET", f"https://{host}/", total_seconds=3, exact=exact))
    await outgoing.close()


async def never(host: str, _: int) -> list[str]:
    raise AssertionError(host)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"headers": dict(request.headers)})

    async def big(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 200_000)

    async def slow(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def inside(_: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/computeMetadata/v1/")

    async def round_and_round(request: web.Request) -> web.Response:
        raise web.HTTPFound(str(request.url))

    async def elsewhere(request: web.Request) -> web.Response:
        raise web.HTTPFound(f"http://localhost:{request.url.port}/echo")

    app = web.Application()
    for path, handler in {
        "/echo": echo,
        "/big": big,
        "/slow": slow,
        "/inside": inside,
        "/round": round_and_round,
        "/elsewhere": elsewhere,
    }.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def outgoing() -> AsyncIterator[Outgoing]:
    found = Outgoing(OutgoingRules.of(development=True))
    yield found
    await found.close()


async def test_an_answer_is_read_whole(outgoing: Outgoing, server: str) -> None:
    answer = await outgoing.send(Call("GET", f"{server}/echo", {"x-one": "1"}))
    assert (answer.status, b'"x-one": "1"' in answer.body) == (200, True)


async def test_too_large_an_answer_is_cut_off(outgoing: Outgoing, server: str) -> None:
    with pytest.raises(TooLargeError):
        await outgoing.send(Call("GET", f"{server}/big", max_bytes=100_000))


async def test_an_answer_that_does_not_come_is_given_up(outgoing: Outgoing, server: str) -> None:
    with pytest.raises(UnreachableError, match="in time"):
        await outgoing.send(Call("GET", f"{server}/slow", total_seconds=0.2))


async def test_a_redirect_into_private_space_is_refused(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "127.0.0.1")
    outgoing = Outgoing(OutgoingRules(https_only=False))
    assert (await outgoing.send(Call("GET", f"{server}/echo"))).status == 200
    with pytest.raises(AddressRefusedError, match=r"169\.254\.169\.254"):
        await outgoing.send(Call("GET", f"{server}/inside"))
    await outgoing.close()


async def test_endless_redirects_end(outgoing: Outgoing, server: str) -> None:
    with pytest.raises(UnreachableError, match="redirects"):
        await outgoing.send(Call("GET", f"{server}/round"))


async def test_a_credential_is_not_sent_on_to_another_host(outgoing: Outgoing, server: str) -> None:
    call = Call(
        "GET",
        f"{server}/elsewhere",
        {"Authorization": "Bearer x", "DD-API-KEY": "y", "Accept": "a/b"},
    )
    answer = await outgoing.send(call)
    assert b"Bearer" not in answer.body
    assert b"DD-API-KEY" not in answer.body
    assert b"a/b" in answer.body


async def test_a_refusal_never_quotes_the_path(outgoing: Outgoing) -> None:
    with pytest.raises(OutgoingError) as caught:
        await outgoing.send(Call("GET", "ftp://hooks.example/services/SECRET?token=SECRET"))
    assert "SECRET" not in str(caught.value)
