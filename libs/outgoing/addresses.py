"""Which addresses a call to a user-given URL may reach: the public internet only.

Names are resolved by us and the connection is made to what was judged, so a name
cannot answer one thing when it is checked and another when it is used.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import SplitResult, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

from libs.outgoing.errors import AddressRefusedError

Look = Callable[[str, int], Awaitable[list[str]]]
"""Addresses of a name."""
_EMBEDDING = (
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4
)
_GIVEN_OUT_V6 = ipaddress.ip_network("2000::/3")
"""What of IPv6 has been given out at all."""
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20"),
    )
)
"""Not private, yet nobody's address: protocols, relays and examples."""
_ENDS_IN_A_NUMBER = re.compile(r"(^|\.)(\d+|0x[0-9a-f]*)\.?$", re.IGNORECASE)
"""Which is how browsers and resolvers tell an address from a name: 127.1, 0x7f.1, 2130706433."""
_LONGEST_URL = 4096


async def look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Neither private, local nor reserved, also not as seen through a tunnel."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        for network, shift in _EMBEDDING:
            if address in network:
                return is_public(IPv4Address((int(address) >> shift) & 0xFFFFFFFF))
        if address not in _GIVEN_OUT_V6:
            return False
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def checked_url(url: str, *, https_only: bool) -> SplitResult:
    """Raises `AddressRefusedError`, which never quotes a URL's path, query or password."""
    if len(url) > _LONGEST_URL or any(ord(c) <= 32 or ord(c) == 127 for c in url):  # noqa: PLR2004  ASCII
        raise AddressRefusedError("", "it is too long or has blanks in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefusedError("", "it is not a URL") from None
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host:
        raise AddressRefusedError(host, "it is not an http or https URL")
    if https_only and parts.scheme != "https":
        raise AddressRefusedError(host, "only https is allowed")
    if parts.username or parts.password:
        raise AddressRefusedError(host, "a name or password in a URL is not allowed")
    if port == 0:
        raise AddressRefusedError(host, "port 0 is not allowed")
    return parts


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those that lead to a place that is not public."""

    def __init__(self, look: Look, *, allow_private: bool) -> None:
        self._look = look
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = []
        for text in await self._look(host, port):
            address = ipaddress.ip_address(text.partition("%")[0])
            if not (self._allow_private or is_public(address)):
                raise AddressRefusedError(host, "it leads to an address that is not public")
            found.append(_result(host, port, address))
        return [one for one in found if family in {socket.AF_UNSPEC, one["family"]}]

    async def close(self) -> None:
        """Nothing is kept."""


def check_literal(host: str, *, allow_private: bool) -> None:
    """An address written out is never resolved, so it is judged here."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not host.isascii() or _ENDS_IN_A_NUMBER.search(host):
            raise AddressRefusedError(host, "write an address in its usual form") from None
        return  # a name: the resolver judges what it leads to
    if not (allow_private or is_public(address)):
        raise AddressRefusedError(host, "it is an address that is not public")


def _result(host: str, port: int, address: IPv4Address | IPv6Address) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004  IP version
    return ResolveResult(
        hostname=host,
        host=str(address),
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
