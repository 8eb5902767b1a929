"""TLS contexts of the standard library with the certificates in this folder; ``make`` says what each is."""

from __future__ import annotations

import ssl
from pathlib import Path

__all__ = ["CA", "client", "server"]

HERE = Path(__file__).parent
CA = HERE / "ca.pem"


def client(certificate: str | None = None) -> ssl.SSLContext:
    """One that trusts ``ca``, and has a certificate if one is named."""
    context = ssl.create_default_context(cafile=CA)
    if certificate is not None:
        context.load_cert_chain(HERE / f"{certificate}.pem")
    return context


def server(certificate: str = "server", *, asks_for_certificate: bool = False) -> ssl.SSLContext:
    """One with this certificate, that may ask for one of ``ca``'s from the other side."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(HERE / f"{certificate}.pem")
    if asks_for_certificate:
        context.load_verify_locations(CA)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
