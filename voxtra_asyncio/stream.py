"""One connection on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from voxtra_core.driving import LINGER, Unread
from voxtra_core.effects import Drained, Failed, Input, Received, accept_failed
from voxtra_core.tls import TLSConnection

__all__ = ["Stream"]


class Stream(asyncio.Protocol):
    """A connection, from the effect that asks for it, or its acceptance, to its end.

    It has a number, ``conn``, or the ``listener`` that has let it in. ``report`` tells the machine. ``made(stream)`` is
    called once there is a connection, ``opened(stream)`` once it can be used: with ``tls``, when that has shaken hands.
    """

    def __init__(
        self,
        conn: int | None,
        tls: TLSConnection | None,
        *,
        report: Callable[[Input], None],
        made: Callable[[Stream], None],
        opened: Callable[[Stream], None],
        listener: int | None = None,
    ) -> None:
        self.conn = conn
        """``None`` before it is accepted, and from when nothing is reported about it any more."""
        self.gone = asyncio.get_running_loop().create_future()
        """Done when there was a connection, and is no more."""
        self._listener = listener
        self._tls = tls
        self._report = report
        self._made = made
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._is_open = False
        self._is_withdrawn = False
        self._unread = Unread()
        self._unsent = bytearray()
        self._drained = True
        self._is_at_end = False  # of the bytes underneath TLS

    @property
    def peer(self) -> str:
        """The other side's IP address, where the system tells."""
        name = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(name[0]) if name else ""

    def send(self, data: bytes, tell_drained: bool = True) -> None:
        """Have this written in the loop's next turn, after what was sent before, and in one go with it; or at once
        where it need not be told of. That is audio, and a turn for it costs as much as to send it.
        """
        if not self._is_open or self._transport is None or self._transport.is_closing():
            return
        if not (tell_drained or self._unsent or self._tls is not None):
            self._transport.write(data)
            return
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._write)
        self._unsent += data
        if tell_drained:
            self._drained = False

    def close(self) -> None:
        """Write what was sent, say that it was all, and wait for the peer to do the same; not for ever."""
        if self._transport is None or not self._is_open or self.gone.done():
            self.abort()
            return
        self.conn = None
        self._stop_reading_ahead()
        self._write()
        if self._tls is not None:
            self._tls.close()
            self._transport.write(self._tls.data_to_send())
        self._linger = asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        if self._is_at_end:
            self._transport.close()
            return
        try:
            self._transport.write_eof()  # and not close(): that resets the connection if it has bytes we didn't read
        except OSError:
            self._transport.abort()

    def abort(self) -> None:
        """Close it at once, or as soon as there is one."""
        self.conn = None
        self._is_withdrawn = True
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """It could not be opened, or broke; which is nobody's business once it is being closed."""
        if self.conn is not None:
            if self._unread.fail(error):
                self._hand_in()
        elif self._listener is not None and not self._is_open and not self._is_withdrawn:
            self._is_withdrawn = True
            self._report(accept_failed(self._listener, error))

    # ---- what asyncio calls ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=0)  # resume_writing() is called when nothing is left
        self._transport = transport
        self._made(self)
        if self._is_withdrawn:
            transport.abort()
        elif self._tls is None:
            self._open()
        else:
            self._through_tls(self._tls, self._tls.start)

    def data_received(self, data: bytes) -> None:
        """Bytes have come in."""
        if self._tls is None:
            self._received(data)
        elif self.conn is not None or not self._is_open:
            self._through_tls(self._tls, partial(self._tls.receive_data, data))

    def eof_received(self) -> bool:
        """The peer has ended; returns whether we have not, for what we still send may arrive."""
        self._is_at_end = True
        if self._tls is not None and not self._is_open:
            self._through_tls(self._tls, self._tls.receive_eof)
        is_wanted = self.conn is not None
        self._end()
        return is_wanted

    def resume_writing(self) -> None:
        """What did not fit at first has been written."""
        self._report_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: broken, or closed by us."""
        if self._linger is not None:
            self._linger.cancel()
        self.gone.set_result(None)
        if exc is not None:
            self.fail(exc)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._is_open = True
        self._opened(self)

    def _received(self, data: bytes) -> None:
        """A slice is handed over at once, and one in each further turn of the loop; the end is behind them."""
        if self.conn is None:
            return
        if self._unread.passes(data):
            self._report(Received(self.conn, data))
            return
        if self._unread.add(data):
            self._hand_in()
        if self._unread.is_full and self._transport is not None:
            self._transport.pause_reading()

    def _hand_in(self) -> None:
        if self.conn is None or not self._unread:
            return
        was_full = self._unread.is_full
        event = self._unread.take(self.conn)
        if self._unread:
            asyncio.get_running_loop().call_soon(self._hand_in)
        if was_full and not self._unread.is_full and self._transport is not None:
            self._transport.resume_reading()
        if isinstance(event, Failed):
            self.conn = None
        self._report(event)

    def _stop_reading_ahead(self) -> None:
        if self._unread.is_full and self._transport is not None:
            self._transport.resume_reading()  # so that its end is seen
        self._unread.clear()

    def _end(self) -> None:
        if self.conn is not None and self._unread.end():
            self._hand_in()

    def _through_tls(self, tls: TLSConnection, step: Callable[[], None]) -> None:
        """Have TLS do something, and see what comes of it."""
        assert self._transport is not None
        error = None
        try:
            step()
        except OSError as exc:
            error = exc
        self._transport.write(tls.data_to_send())
        if not self._is_open and error is not None:
            self._give_up_handshake(error)
            return
        if not self._is_open and tls.is_open:
            self._open()
        if data := tls.received_data():
            self._received(data)
        if error is not None:
            self.fail(error)
            self._transport.abort()
        elif tls.has_ended:
            self._end()

    def _give_up_handshake(self, error: OSError) -> None:
        """It came to nothing; what TLS has to say about that is written."""
        assert self._transport is not None
        self.fail(error)
        self._linger = asyncio.get_running_loop().call_later(LINGER, self._transport.abort)
        self._transport.close()

    def _write(self) -> None:
        if self._transport is not None and self._unsent:
            data, self._unsent = self._unsent, bytearray()
            if self._tls is None:
                self._transport.write(data)
            else:
                self._through_tls(self._tls, partial(self._tls.send, data))
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
