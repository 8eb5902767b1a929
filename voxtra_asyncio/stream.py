"""One connection on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voxtra_core.driving import LINGER, Unread
from voxtra_core.effects import Drained, EndOfStream, Failed, Input, Received, failure_reason

__all__ = ["Stream"]


class Stream(asyncio.Protocol):
    """A connection, from the effect that asks for it, or its acceptance, to its end.

    ``report`` tells the machine. ``opened(stream)`` is called once it is open.
    """

    def __init__(self, conn: int | None, report: Callable[[Input], None], opened: Callable[[Stream], None]) -> None:
        self.conn = conn
        """``None`` before it is accepted, and from when nothing is reported about it any more."""
        self.gone = asyncio.get_running_loop().create_future()
        """Done when it was open, and is no more."""
        self._report = report
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._unread = Unread()
        self._unsent = bytearray()
        self._drained = True
        self._ended = False

    def send(self, data: bytes) -> None:
        """Have this written in the loop's next turn, after what was sent before, and in one go with it."""
        if self._transport is None or self._transport.is_closing():
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._write)
        self._unsent += data
        self._drained = False

    def close(self) -> None:
        """Write what was sent, say that it was all, and wait for the peer to do the same; not for ever."""
        self.conn = None
        if self._transport is None:
            return
        self._stop_reading_ahead()
        self._write()
        self._linger = asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        if self._ended:
            self._transport.close()
            return
        try:
            self._transport.write_eof()  # and not close(): that resets the connection if it has bytes we didn't read
        except OSError:
            self._transport.abort()

    def abort(self) -> None:
        """Close it at once."""
        assert self._transport is not None
        self._transport.abort()

    def fail(self, error: Exception) -> None:
        """It could not be opened, or broke; which is nobody's business once it is being closed."""
        if self.conn is not None:
            conn, self.conn = self.conn, None
            self._report(Failed(conn, failure_reason(error)))

    # ---- what asyncio calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)  # resume_writing() is called when nothing is left
        self._transport = transport
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have come in: a slice is handed over at once, and one in each further turn of the loop."""
        if self.conn is None:
            return
        waiting = bool(self._unread)
        self._unread.add(data)
        if not waiting:
            self._hand_in()
        if self._unread.is_full and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer has ended; returns whether we have not, for what we still send may arrive."""
        self._ended = True
        self._hand_in_all()
        if self.conn is not None:
            self._report(EndOfStream(self.conn))
            return True
        return False

    def resume_writing(self) -> None:
        """What did not fit at first has been written."""
        self._report_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: broken, or closed by us."""
        if self._linger is not None:
            self._linger.cancel()
        self._hand_in_all()
        self.gone.set_result(None)
        if exc is not None:
            self.fail(exc)

    def _hand_in(self) -> None:
        if not self._unread:
            return
        was_full = self._unread.is_full
        data = self._unread.take()
        if self._unread:
            asyncio.get_running_loop().call_soon(self._hand_in)
        if was_full and not self._unread.is_full and self._transport is not None:
            self._transport.resume_reading()
        if self.conn is not None:
            self._report(Received(self.conn, data))

    def _hand_in_all(self) -> None:
        while self._unread and self.conn is not None:
            self._report(Received(self.conn, self._unread.take()))

    def _stop_reading_ahead(self) -> None:
        if self._unread.is_full and self._transport is not None:
            self._transport.resume_reading()  # so that its end is seen
        self._unread.clear()

    def _write(self) -> None:
        if self._transport is not None and self._unsent:
            data, self._unsent = self._unsent, bytearray()
            self._transport.write(data)
        self._report_drained()

    def _report_drained(self) -> None:
        transport = self._transport
        if self._drained or self._unsent or transport is None:
            return
        if transport.is_closing() or transport.get_write_buffer_size():
            return
        self._drained = True
        if self.conn is not None:
            self._report(Drained(self.conn))
