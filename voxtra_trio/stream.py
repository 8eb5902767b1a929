"""One connection on trio."""

from __future__ import annotations

import socket as stdlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf

import trio

from voxtra_core.driving import LINGER, READ, Unread
from voxtra_core.effects import Drained, Failed, Input, Received, accept_failed
from voxtra_core.tls import TLSConnection

__all__ = ["Stream"]


class Stream:
    """A connection, from the effect that asks for it, or its acceptance, to its end. ``report`` tells the machine.

    It has a number, ``conn``, or the ``listener`` that has let it in.
    """

    def __init__(
        self, conn: int | None, tls: TLSConnection | None, report: Callable[[Input], None], listener: int | None = None
    ) -> None:
        self.conn = conn
        """``None`` before it is accepted."""
        self.scope = trio.CancelScope()
        """For all that is done about it."""
        self.peer = ""
        """The other side's IP address, where the system tells."""
        self._listener = listener
        self._tls = tls
        self._report = report
        self._is_open = False
        self._closing = False  # nothing is reported any more
        self._unread = Unread()
        self._taken = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._socket: stdlib.socket | None = None
        """To send at once what can be, beside the writer; there is one while it is open, without TLS."""
        self._unsent = bytearray()
        self._writing = False
        self._drained = True
        self._poke = trio.Event()

    def send(self, data: bytes, tell_drained: bool = True) -> None:
        """Have this written after what was sent before: by the writer, or at once where it can be and need not be told
        of. That is audio, and to wake the writer for it costs more than to send it.
        """
        if not self._is_open or self._closing:
            return
        try:
            if self._tls is not None:
                self._tls.send(data)
                data = self._tls.data_to_send()
            elif not (tell_drained or self._unsent or self._writing):
                data = self._send_now(data)
        except OSError as error:
            self.fail(error)
            return
        if tell_drained:
            self._drained = False
        if data or tell_drained:
            self._write_later(data)

    def _send_now(self, data: bytes) -> bytes:
        """Send what can be without waiting; the rest."""
        if self._socket is None:
            return data
        try:
            return data[self._socket.send(data) :]
        except BlockingIOError:
            return data

    def close(self) -> None:
        """Write what was sent, say that it was all, and wait for the peer to do the same; not for ever."""
        self._closing = True
        if not self._is_open:
            self.scope.cancel()
            return
        self.scope.deadline = trio.current_time() + LINGER
        if self._tls is not None:
            self._tls.close()
            self._unsent += self._tls.data_to_send()
        self._poke.set()

    def fail(self, error: BaseException) -> None:
        """It could not be opened, or broke; which is nobody's business once it is being closed."""
        if self._closing:
            return
        if self.conn is None:
            self._closing = True
            self.scope.cancel()
            if self._listener is not None:
                self._report(accept_failed(self._listener, error))
        elif self._unread.fail(error):
            self._hand_in()

    async def carry(self, socket: trio.SocketStream, opened: Callable[[], Input | None]) -> None:
        """Shake hands if it has TLS. Report what ``opened()`` gives, if it does; then read and write until both sides
        have ended, or it breaks.
        """
        async with socket, trio.open_nursery() as nursery:
            with suppress(OSError):  # it may be gone already
                self.peer = str(socket.socket.getpeername()[0])
            if self._tls is not None and not self._closing:
                await self._shake_hands(socket, self._tls)
            if self._closing:  # also where a cancellation came too late to be noticed
                return
            event = opened()
            if event is None:
                return
            self._is_open = True
            self.scope.deadline = inf
            self._nursery = nursery
            with self._sending_at_once(socket):
                self._report(event)
                nursery.start_soon(self._read, socket)
                await self._write(socket)

    @contextmanager
    def _sending_at_once(self, socket: trio.SocketStream) -> Iterator[None]:
        """A second object for the same socket, since trio's sends only where one may wait. It does not close it."""
        if self._tls is not None:
            yield
            return
        sock = socket.socket
        self._socket = stdlib.socket(sock.family, sock.type, sock.proto, sock.fileno())
        self._socket.setblocking(False)
        try:
            yield
        finally:
            self._socket.detach()
            self._socket = None

    async def _shake_hands(self, socket: trio.SocketStream, tls: TLSConnection) -> None:
        try:
            tls.start()
            while not tls.is_open:
                await socket.send_all(tls.data_to_send())
                if data := await socket.receive_some(READ):
                    tls.receive_data(data)
                else:
                    tls.receive_eof()
        except (OSError, trio.BrokenResourceError) as error:
            with suppress(trio.BrokenResourceError):
                await socket.send_all(tls.data_to_send())
            self.fail(error)
        else:
            self._unsent += tls.data_to_send()

    @trio.lowlevel.enable_ki_protection
    async def _read(self, socket: trio.SocketStream) -> None:
        try:
            if self._tls is not None:
                self._received_through(self._tls, b"")  # what came together with the end of the handshake
            while data := await socket.receive_some(READ):
                if self._tls is not None:
                    self._received_through(self._tls, data)
                else:
                    self._received(bytes(data))
                while self._unread.is_full and not self._closing:
                    self._taken = trio.Event()
                    await self._taken.wait()
            socket.socket.getpeername()  # raises after a reset: it was told to the writer, and is no end
        except (OSError, trio.BrokenResourceError) as error:
            self.fail(error)
        else:
            self._end()

    def _received_through(self, tls: TLSConnection, data: bytes) -> None:
        if self._closing:
            return
        try:
            tls.receive_data(data)
        finally:
            if to_send := tls.data_to_send():
                self._write_later(to_send)
            if data := tls.received_data():
                self._received(data)
        if tls.has_ended:
            self._end()

    def _received(self, data: bytes) -> None:
        """A slice is handed over at once, and one in each further turn of the loop; the end is behind them."""
        if self.conn is not None and not self._closing and self._unread.passes(data):
            self._report(Received(self.conn, data))
        elif self._unread.add(data):
            self._hand_in()
            if self._unread and self._nursery is not None:
                self._nursery.start_soon(self._hand_in_later)

    def _end(self) -> None:
        if not self._closing and self._unread.end():
            self._hand_in()

    def _write_later(self, data: bytes) -> None:
        self._unsent += data
        self._poke.set()

    def _hand_in(self) -> None:
        if self.conn is None or self._closing:
            self._unread.clear()
        else:
            event = self._unread.take(self.conn)
            if isinstance(event, Failed):
                self._closing = True
                self.scope.cancel()
            self._report(event)
        self._taken.set()

    @trio.lowlevel.enable_ki_protection
    async def _hand_in_later(self) -> None:
        while self._unread:
            await trio.lowlevel.checkpoint()
            self._hand_in()

    async def _write(self, socket: trio.SocketStream) -> None:
        try:
            while self._unsent or not self._drained or not self._closing:
                if self._unsent:
                    data, self._unsent = self._unsent, bytearray()
                    self._writing = True
                    await socket.send_all(data)
                    self._writing = False
                elif not self._drained:
                    self._drained = True
                    if self.conn is not None and not self._closing:
                        self._report(Drained(self.conn))
                else:
                    self._poke = trio.Event()
                    await self._poke.wait()
            await socket.send_eof()  # and not yet close: that resets the connection if it has bytes we didn't read
        except trio.BrokenResourceError as error:
            self.fail(error)
