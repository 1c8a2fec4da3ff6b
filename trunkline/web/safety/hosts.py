"""Names of hosts in requests: which are this machine itself."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

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
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def was_forwarded(headers: Mapping[str, str]) -> bool:
    """Return whether a proxy passed the request on, as far as it says so."""
    return any(name in headers for name in _FORWARDED)


def network_of(address: str) -> str:
    """Return what a limit counts by: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
