"""Where a request comes from, as far as that can be believed.

The connection says so, unless it is a proxy's that is trusted: then the last address in
`X-Forwarded-For` that is not a trusted proxy's. Who comes from such a network without that header
(a tool on the same machine, by default) has no address to be limited by. IPv6 counts by its /64,
which is what one customer of a provider has.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Network = IPv4Network | IPv6Network

_IPV6_PREFIX = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Return networks from `10.0.0.0/8, ::1`. Raises ValueError."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


class Addresses:
    """The addresses of clients behind these proxies, or none."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def of(self, request: web.Request) -> str | None:
        """Return the address a request counts for, None for none."""
        peer = request.transport and request.transport.get_extra_info("peername")
        address = self.counted(peer[0] if peer else "")
        if address is not None or not peer:
            return address
        hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for hop in reversed(hops):
            if not _is_address(hop.strip()):
                return None
            address = self.counted(hop.strip())
            if address is not None:
                return address
        return None

    def counted(self, peer: str) -> str | None:
        """Return what the address of a connection counts as, None for a trusted proxy's."""
        try:
            address = ip_address(peer)
        except ValueError:
            return None
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in self._trusted):
            return None
        if isinstance(address, IPv6Address):
            return str(ip_network((address.packed, _IPV6_PREFIX), strict=False))
        return str(address)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
