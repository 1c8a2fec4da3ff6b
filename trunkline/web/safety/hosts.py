"""Names of hosts in requests: which are this machine itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: A proxy puts one of these before what it passes on: then it is not this machine that asks.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via")


def host_name(host_header: str) -> str:
    """Return the name in a ``Host`` header, without port and brackets, in lower case."""
    text = host_header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    # A bare IPv6 address, as a setting may have it, has several colons and no port.
    name = text if text.count(":") > 1 else text.partition(":")[0]
    return name.removesuffix(".")


def is_loopback(name: str) -> bool:
    """Return whether a host's name or address is this machine itself."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def was_forwarded(headers: Mapping[str, str]) -> bool:
    """Return whether a proxy passed the request on, as far as it says so."""
    return any(name in headers for name in _FORWARDED)


def client_address(peer: str, forwarded_for: Iterable[str], trusted: Sequence[Network]) -> str:
    """Return where a request came from, behind any number of proxies that are trusted.

    Whoever sends a request may write ``X-Forwarded-For``, and each proxy adds its own peer on the
    right: so from there on what trusted proxies wrote is believed, and nothing else.

    Args:
        peer: Address of the connection.
        forwarded_for: The request's ``X-Forwarded-For`` headers.
        trusted: Networks of the proxies.

    """
    hops = [hop for line in forwarded_for for hop in line.split(",")]
    while hops and _is_within(peer, trusted):
        hop = _address(host_name(hops.pop()))
        if hop is None:
            break
        peer = str(hop)
    return peer


def _is_within(address: str, networks: Sequence[Network]) -> bool:
    parsed = _address(address)
    return parsed is not None and any(parsed in network for network in networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, without its zone; an IPv4 one that was mapped into IPv6 as itself."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(address: str) -> str:
    """Return what a limit counts by: an IPv4 address, or the /64 of an IPv6 one."""
    parsed = _address(address)
    if parsed is None:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
