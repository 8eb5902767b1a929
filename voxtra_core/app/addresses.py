"""URLs and addresses as users give them.

What urllib says of one that it cannot read quotes it, and there may be a password in it: nothing here repeats any of
that, not even as the context of an error.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

__all__ = ["host_and_port", "is_loopback", "port_of", "split_url"]


def split_url(url: str) -> SplitResult | None:
    """Its parts; ``None`` where it has none."""
    with suppress(ValueError):
        return urlsplit(url)
    return None


def port_of(parts: SplitResult, default: int | None = None) -> int | None:
    """The port in it; ``None`` for one that can be none."""
    with suppress(ValueError):
        return default if parts.port is None else parts.port
    return None


def host_and_port(option: str, given: str, example: str) -> tuple[str, int]:
    """The two in ``host:port``. ``ValueError`` for anything else, which names the option."""
    parts = split_url(f"//{given}")
    port = None if parts is None else port_of(parts)
    if parts is None or not parts.hostname or port is None or parts.netloc != given or "@" in given:
        raise ValueError(f"{option} must be host:port, as {example}")
    return parts.hostname, port


def is_loopback(host: str) -> bool:
    """Whether this is a name or an address of this machine for itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.removesuffix(".").lower() == "localhost"
