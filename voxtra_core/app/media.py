"""Where the audio of calls comes to, as an application is told."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

import attrs

from ..media.formats import AudioFormat, as_format, wire_format
from .addresses import host_and_port, is_loopback

__all__ = ["AudioSocket"]


@attrs.frozen(kw_only=True)
class AudioSocket:
    """Audio by AudioSocket: Asterisk connects to a port of ours, a connection for each call (from 18 on; 16 has none).

    The default is for an Asterisk on the same machine. For another, ``listen`` on an address that it can reach, and say
    in ``address`` which that is as Asterisk sees it: they differ behind NAT and in containers.

    AudioSocket has neither encryption nor a password: what connects must name a UUID that only Asterisk has been told.
    Keep the port to a network that you trust, and name that in ``peers``.

    Raises ``ValueError`` for what cannot be right.
    """

    listen: str = "127.0.0.1:0"
    """``host:port`` to listen on; port 0 for one that is free. Nothing is listened on before a call's audio is used."""
    address: str | None = None
    """``host:port`` that Asterisk is told; ``None`` for the one that is listened on. Port 0 stands for that port."""
    peers: Sequence[str] = attrs.field(default=(), converter=tuple)
    """The addresses, or networks as ``"10.0.0.0/8"``, that may connect; empty for any."""
    format: AudioFormat | str | None = None
    """What is spoken with Asterisk: ``"slin"`` or ``"slin16"``, …; ``None`` for what the first use of a call's audio
    asks for. Before 20.17, 21.12 and 22.7 Asterisk has only ``"slin"``."""

    def __attrs_post_init__(self) -> None:
        host, _ = self.host_and_port
        if self.address is not None:
            host_and_port("address", self.address, "pbx-side.example:9092")
        elif host in {"0.0.0.0", "::"}:
            raise ValueError(f"listen={self.listen!r} is every address: say in address= which one Asterisk is to use")
        wanted = None if self.format is None else as_format(self.format)
        if wanted is not None and wire_format(wanted) != wanted:
            raise ValueError(f"format must be one of signed linear, 'slin' to 'slin48', not {wanted.name!r}")
        self.networks  # noqa: B018 - a wrong one is told now

    @property
    def host_and_port(self) -> tuple[str, int]:
        """What is listened on."""
        return host_and_port("listen", self.listen, "127.0.0.1:0 or 0.0.0.0:9092")

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The peers, parsed."""
        try:
            return tuple(ip_network(peer) for peer in self.peers)
        except ValueError as error:
            raise ValueError(f"peers must be addresses or networks, as '10.0.0.0/8': {error}") from None

    def can_be_reached_from(self, host: str) -> bool:
        """Whether Asterisk on this host could connect to what it is told, as far as one can say without asking."""
        return self.address is not None or not is_loopback(self.host_and_port[0]) or is_loopback(host)
