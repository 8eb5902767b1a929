"""A place for the simulated Asterisk to connect to: no sockets, and every misfortune on demand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ..ari.messages import Link, LinkAccepted, ListenerMessage, ListenFailed
from ..effects import Effect, Input
from .asterisk import SimulatedAsterisk
from .exchange import ASTERISK_ID
from .link import SimulatedLink

__all__ = ["SimulatedListener"]


class SimulatedListener:
    """A :class:`~voxtra_core.ari.messages.Listener` that :meth:`SimulatedAsterisk.add_outbound` can name.

    ``new_link`` makes a link for an application that Asterisk connects for; by default one without delays.
    """

    def __init__(
        self, asterisk: SimulatedAsterisk, port: int = 8090, *, new_link: Callable[[str], SimulatedLink] | None = None
    ) -> None:
        self.asterisk = asterisk
        self.links: list[SimulatedLink] = []
        """Those that Asterisk has opened and that have not ended."""
        self.failure: str | None = None
        """When set, :meth:`start` fails with it."""
        self._asked_port = port
        self._new_link = new_link if new_link is not None else lambda application: SimulatedLink(asterisk, application)
        self._is_listening = False
        self._is_closing = False
        self._port: int | None = None
        self._messages: deque[ListenerMessage] = deque()

    # ---- Listener ----------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int | None:
        """The port, once it is listened on."""
        return self._port

    @property
    def is_listening(self) -> bool:
        """Whether Asterisk can connect."""
        return self._is_listening

    @property
    def is_closed(self) -> bool:
        """Whether it has been closed, with all links."""
        return self._is_closing and not any(link.is_open for link in self.links)

    def start(self, now: float) -> None:
        """Listen."""
        if self.failure is not None:
            self._messages.append(ListenFailed(self.failure))
            return
        self._is_listening = True
        self._port = self._asked_port

    def stop_listening(self, now: float) -> None:
        """Accept no more connections."""
        self._is_listening = False

    def close(self, now: float) -> None:
        """Stop listening, and close all links."""
        self._is_closing = True
        self.stop_listening(now)
        for link in self.links:
            link.close(now)

    def receive(self, event: Input, now: float) -> None:
        """There are no connections of which a driver could report."""

    def handle_timeout(self, now: float) -> None:
        """Let time pass in the simulation, too."""
        self.asterisk.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """The next thing that happens in the simulation, or arrives from it."""
        deadlines = [self.asterisk.next_deadline(), *(link.next_deadline() for link in self.links)]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def effects_to_perform(self) -> list[Effect]:
        """None, ever."""
        return []

    def next_message(self) -> ListenerMessage | None:
        """The next message, or ``None``."""
        return self._messages.popleft() if self._messages else None

    def links_with_messages(self) -> list[Link]:
        """All that may have any."""
        links: list[Link] = [*self.links]
        self.links = [link for link in self.links if link.is_open]
        return links

    # ---- what Asterisk does ------------------------------------------------------------------------------------------

    def accept(self, application: str) -> int:
        """Asterisk connects for this application."""
        link = self._new_link(application)
        self.links.append(link)
        self._messages.append(LinkAccepted(link, application, "/", ASTERISK_ID))
        return link.accept()

    def hang_up(self, socket: int) -> None:
        """Asterisk closes a socket."""
        for link in self.links:
            if link.socket == socket:
                link.is_hung_up()

    # ---- misfortunes -------------------------------------------------------------------------------------------------

    def kill(self, now: float) -> None:
        """Its process is gone: nobody can connect, and to Asterisk all sockets are broken. Here nobody is told."""
        self._is_listening = False
        for link in self.links:
            link.vanish(now)
