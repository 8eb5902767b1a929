"""The parts of TLS, which are the standard library's."""

from __future__ import annotations

import ssl
from functools import cache

from voxtra_core.effects import TLS
from voxtra_core.tls import TLSConnection

__all__ = ["client_context", "tls_connection"]


@cache
def client_context(authorities: str | None = None) -> ssl.SSLContext:
    """The platform's defaults, read once; with ``authorities``, a file in PEM, it is those that are trusted instead.

    Raises ``OSError`` if that cannot be read, or has no certificate in it.
    """
    return ssl.create_default_context(cafile=authorities)


def tls_connection(tls: TLS, server_name: str | None = None) -> TLSConnection:
    """One end of a connection: the client's to a server of that name; without a name the server's.

    Raises ``ssl.SSLError``, an ``OSError``, if the context is for the other end, and ``ValueError`` for no name.
    """
    context = tls.context or client_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context.wrap_bio(incoming, outgoing, server_side=server_name is None, server_hostname=server_name)
    return TLSConnection(engine, incoming, outgoing)
