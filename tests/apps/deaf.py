"""An Asterisk that stops reading: it opens the event socket, says what the test has it say, and reads no more."""

from __future__ import annotations

from itertools import count

import anyio

from tests.drivers.peers import Door, Peer
from voxtra_core.effects import Accepted, Received, Send
from voxtra_core.testing import Caller, SimEvent, SimulatedAsterisk
from voxtra_core.wire.server import AriServer, SocketOpened

from .site import PASSWORD, USER

__all__ = ["DeafAsterisk"]

_LISTENER = 1


class DeafAsterisk:
    """What it says is what a simulated Asterisk would. Requests are neither read nor answered.

    Connections for them are accepted by the system, and take as much as that buffers.
    """

    def __init__(self, door: Door) -> None:
        self.url = f"http://127.0.0.1:{door.port}"
        ids = count(1)
        self._asterisk = SimulatedAsterisk(new_id=lambda: f"id-{next(ids)}")
        numbers = count(_LISTENER)
        self._server = AriServer(
            host="127.0.0.1", port=0, users={USER: PASSWORD}, new_conn=lambda: next(numbers), max_unsent=1 << 30
        )
        self._door = door
        self._conn = next(numbers)
        self._socket = 0
        self._peer: Peer

    async def open(self) -> Peer:
        """Read until the event socket is open; not a byte after that."""
        self._peer = await self._door.accept()
        self._server.receive(Accepted(_LISTENER, self._conn), 0.0)
        while True:
            self._server.receive(Received(self._conn, await self._peer.receive()), 0.0)
            await self._send()
            match self._server.next_message():
                case SocketOpened(socket, apps, subscribe_all):
                    self._socket = socket
                    self._asterisk.connect_app(socket, apps, subscribe_all, 0.0)
                    return self._peer

    async def call(self, caller: Caller, app: str, now: float, *, answered: bool = False) -> None:
        """Somebody calls, at a time of the simulation's own clock."""
        self._asterisk.call(caller, app, now, answered=answered)
        await self.until(now)

    async def until(self, now: float) -> None:
        """Say everything that happens until then."""
        self._asterisk.handle_timeout(now)
        while (message := self._asterisk.next_message()) is not None:
            if isinstance(message, SimEvent):
                self._server.send_text(self._socket, message.text)
        await self._send()

    async def _send(self) -> None:
        for effect in self._server.effects_to_perform():
            if isinstance(effect, Send):
                with anyio.fail_after(5):
                    await self._peer.send(effect.data)
