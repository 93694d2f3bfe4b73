"""Who is where: the one place that compares an address with the networks of the configuration. It fails closed."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address


def plain(host: str) -> IPv4Address | IPv6Address | None:
    """The address written in `host`, its zone left away; IPv4 mapped into IPv6 is IPv4. None if there is none."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def within(address: IPv4Address | IPv6Address | None, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Whether the address is in one of the networks; what is no address is in none."""
    return address is not None and any(address in network for network in networks)
