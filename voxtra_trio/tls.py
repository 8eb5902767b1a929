"""The parts of TLS, which are the standard library's: the same in both drivers, as the core does not import ``ssl``."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import cache

from voxtra_core.effects import TLS, failure_reason
from voxtra_core.tls import TLSConnection

__all__ = ["check_server_context", "client_context", "tls_connection"]


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


def check_server_context(context: ssl.SSLContext) -> None:
    """Answer the first words of a client that takes anything. Raises ``ValueError`` if this context cannot.

    It can't without a certificate. One that chooses its certificate by name (``sni_callback``) is believed.
    """
    if context.sni_callback is not None:
        return
    anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
    anything.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    anything.set_ciphers("ALL:@SECLEVEL=0")
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        anything.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    try:
        server = tls_connection(TLS(context))
        server.start()
        server.receive_data(outgoing.read())
    except ssl.SSLError as error:
        raise ValueError(
            f"this ssl_context cannot be listened with: {failure_reason(error)}; it has to be a server's, with a "
            "certificate (load_cert_chain)"
        ) from error
