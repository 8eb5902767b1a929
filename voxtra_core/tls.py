"""TLS between a socket and a machine, for drivers: encrypted bytes in and out, plain ones out and in, and no I/O.

The loops have TLS of their own, and each its own manners: asyncio's does not say how much is not written yet, and
resets a connection being closed whose peer goes on sending. Over this, the rest of a driver is the same as without TLS.

The cryptography is the standard library's. The core does not import it; a driver makes the parts::

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context.wrap_bio(incoming, outgoing, server_hostname=effect.server_name)
    tls = TLSConnection(engine, incoming, outgoing)
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import MemoryBIO, SSLObject

__all__ = ["HANDSHAKE_TIMEOUT", "MAX_HANDSHAKES", "TLSConnection"]

HANDSHAKE_TIMEOUT = 10.0
"""Seconds that whoever is accepted has for the handshake. Connecting, the machine withdraws what takes too long."""

MAX_HANDSHAKES = 100
"""Accepted connections of a driver whose handshake is not done; the oldest of them makes room for a new one."""

_CHUNK = 65536
"""Bytes to decrypt at a time; a record has 16 KiB (RFC 8446, 5.1)."""

_WANT_READ = 2  # ssl.SSL_ERROR_WANT_READ, the errno of an ssl.SSLWantReadError


class TLSConnection:
    """One end of a TLS connection.

    In: :meth:`start`, then :meth:`receive_data`, :meth:`receive_eof`, :meth:`send`, :meth:`close`. Out, after each:
    :meth:`data_to_send`, :meth:`received_data`, :attr:`is_open` and :attr:`has_ended`. Each but :meth:`close` may raise
    an ``ssl.SSLError``, an ``OSError``, which is the connection's end: but for what was received before, and for an
    alert that may be there to be sent, and tells the peer why.
    """

    def __init__(self, engine: SSLObject, incoming: MemoryBIO, outgoing: MemoryBIO) -> None:
        self.is_open = False
        """Whether the handshake is done, as far as this side can tell.

        In TLS 1.3 a server that does not like the client's certificate says so after that.
        """
        self.has_ended = False
        """Whether the peer has said that it will send no more (``close_notify``)."""
        self._engine = engine
        self._incoming = incoming
        self._outgoing = outgoing
        self._unencrypted = bytearray()
        self._received = bytearray()

    def start(self) -> None:
        """Begin the handshake."""
        self._go_on()

    def receive_data(self, data: bytes) -> None:
        """Bytes from the peer; what comes behind its end is ignored."""
        if not self.has_ended:
            self._incoming.write(data)
            self._go_on()

    def receive_eof(self) -> None:
        """The stream has ended. Raises ``ConnectionError`` where that is in the middle of the handshake."""
        if not self.is_open:
            raise ConnectionAbortedError("the connection was closed in the middle of the TLS handshake")

    def send(self, data: bytes | bytearray) -> None:
        """Encrypt these, after what was given before. Only if :attr:`is_open`."""
        self._unencrypted += data
        self._encrypt()

    def close(self) -> None:
        """Say that we will send no more: the last thing to be sent. Only if :attr:`is_open`."""
        with suppress(OSError):  # that it waits for the peer to say so, too, or has bytes to be read first
            self._engine.unwrap()

    def data_to_send(self) -> bytes:
        """Bytes for the peer; each is handed out once."""
        return self._outgoing.read()

    def received_data(self) -> bytes:
        """What the peer has sent, decrypted; each byte is handed out once."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def _go_on(self) -> None:
        try:
            if not self.is_open:
                self._engine.do_handshake()
                self.is_open = True
            while data := self._engine.read(_CHUNK):
                self._received += data
            self.has_ended = True
        except OSError as error:
            if error.errno != _WANT_READ:
                raise
        self._encrypt()

    def _encrypt(self) -> None:
        try:
            while self._unencrypted:
                del self._unencrypted[: self._engine.write(self._unencrypted)]
        except OSError as error:
            if error.errno != _WANT_READ:  # it does in the middle of a renegotiation (TLS 1.2)
                raise
