"""One connection on trio."""

from __future__ import annotations

from collections.abc import Callable

import trio

from voxtra_core.driving import LINGER, READ, Unread
from voxtra_core.effects import Drained, EndOfStream, Failed, Input, Received, failure_reason

__all__ = ["Stream"]


class Stream:
    """A connection, from the effect that asks for it, or its acceptance, to its end. ``report`` tells the machine."""

    def __init__(self, conn: int, report: Callable[[Input], None]) -> None:
        self.scope = trio.CancelScope()
        """For all that is done about it."""
        self._conn = conn
        self._report = report
        self._open = False
        self._closing = False  # nothing is reported any more
        self._unread = Unread()
        self._taken = trio.Event()
        self._unsent = bytearray()
        self._drained = True
        self._poke = trio.Event()

    def send(self, data: bytes) -> None:
        """Have this written after what was sent before."""
        if self._open and not self._closing:
            self._unsent += data
            self._drained = False
            self._poke.set()

    def close(self) -> None:
        """Write what was sent, say that it was all, and wait for the peer to do the same; not for ever."""
        self._closing = True
        if self._open:
            self.scope.deadline = trio.current_time() + LINGER
            self._poke.set()
        else:
            self.scope.cancel()

    def fail(self, error: BaseException) -> None:
        """It could not be opened, or broke; which is nobody's business once it is being closed."""
        if not self._closing:
            self._closing = True
            self.scope.cancel()
            self._report(Failed(self._conn, failure_reason(error)))

    async def carry(self, socket: trio.SocketStream, opened: Input) -> None:
        """Say that it is open; then read and write until both sides have ended, or it breaks."""
        async with socket, trio.open_nursery() as nursery:
            if self._closing:
                return
            self._open = True
            self._report(opened)
            nursery.start_soon(self._read, socket, nursery)
            await self._write(socket)

    @trio.lowlevel.enable_ki_protection
    async def _read(self, socket: trio.SocketStream, nursery: trio.Nursery) -> None:
        """Read on; a slice is handed over at once, and one in each further turn of the loop."""
        try:
            while data := await socket.receive_some(READ):
                waiting = bool(self._unread)
                self._unread.add(bytes(data))
                if not waiting:
                    self._hand_in()
                    if self._unread:
                        nursery.start_soon(self._hand_in_all)
                while self._unread.is_full and not self._closing:
                    self._taken = trio.Event()
                    await self._taken.wait()
            socket.socket.getpeername()  # raises after a reset: it was told to the writer, and is no end
        except (OSError, trio.BrokenResourceError) as error:
            while self._unread:
                self._hand_in()
            self.fail(error)
        while self._unread:
            self._hand_in()
        if not self._closing:
            self._report(EndOfStream(self._conn))

    def _hand_in(self) -> None:
        data = self._unread.take()
        self._taken.set()
        if not self._closing:
            self._report(Received(self._conn, data))

    @trio.lowlevel.enable_ki_protection
    async def _hand_in_all(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            if not self._unread:
                return
            self._hand_in()

    async def _write(self, socket: trio.SocketStream) -> None:
        try:
            while not (self._closing and self._drained):
                if self._unsent:
                    data, self._unsent = self._unsent, bytearray()
                    await socket.send_all(data)
                elif not self._drained:
                    self._drained = True
                    if not self._closing:
                        self._report(Drained(self._conn))
                else:
                    self._poke = trio.Event()
                    await self._poke.wait()
            await socket.send_eof()  # and not yet close: that resets the connection if it has bytes we didn't read
        except trio.BrokenResourceError as error:
            self.fail(error)
