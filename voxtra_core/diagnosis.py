"""What it means that Asterisk can't be reached, and how that is mended: the words of the errors and of ``check``.

Nothing in here repeats what a server has sent: whatever answers there may have been told the password.
"""

from __future__ import annotations

import json

import attrs

from .effects import Failed, FailureKind
from .errors import (
    CertificateError,
    CertificateExpired,
    CertificateHostnameMismatch,
    ConnectFailed,
    TLSFailed,
)

__all__ = [
    "ENOUGH",
    "HTTP_PORT",
    "Diagnosis",
    "cut_off",
    "is_aris",
    "is_asterisks",
    "is_foreign",
    "may_be_http",
    "not_asterisk",
    "not_http",
    "not_in_time",
    "not_reached",
    "place",
]

ENOUGH = 64
"""Bytes from the beginning of what comes that tell whether it is HTTP, and what else it is."""

HTTP_PORT = (
    "give the port of Asterisk's HTTP server, which is bindport in its http.conf and 8088 by default, or that of "
    "tlsbindaddr for https"
)


@attrs.frozen
class Diagnosis:
    """What is wrong, and what to do about it."""

    what: str
    mend: str
    kind: type[ConnectFailed] = ConnectFailed

    @property
    def error(self) -> ConnectFailed:
        """To be raised."""
        return self.kind(f"{self.what} – {self.mend}")


def place(host: str, port: int) -> str:
    """``host:port``, as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ---- no connection ---------------------------------------------------------------------------------------------------

_WHY_NOT_REACHED = {
    "connection refused": "is Asterisk running, with enabled=yes in its http.conf, this bindport, and a bindaddr that "
    "can be reached from here? `http show status` on its console says",
    "timed out": "is the address right, and does a firewall on the way let this port through?",
    "no route to host": "is the address right, and is that machine up?",
    "network unreachable": "is the address right, and does this machine have a way there?",
}

_NO_TLS = "is this port TLS? If not, begin the URL with http"
_SESSIONS = "are all HTTP sessions of Asterisk in use (sessionlimit in http.conf, 100 by default)?"

_TLS_ERRORS: dict[FailureKind, tuple[type[ConnectFailed], str, str]] = {
    FailureKind.TLS: (
        TLSFailed,
        "the TLS handshake with {place} failed",
        f"{_NO_TLS}; if it is, the ssl_context has to suit the server: versions, ciphers, and a certificate where it "
        "wants one",
    ),
    FailureKind.CERTIFICATE: (
        CertificateError,
        "the certificate of {place} is not to be trusted",
        "if it should be, have its issuer trusted: ssl_context=ssl.create_default_context(cafile=…), for a check --ca "
        "FILE; the server's is tlscertfile in Asterisk's http.conf, with the intermediate ones behind it",
    ),
    FailureKind.CERTIFICATE_EXPIRED: (
        CertificateExpired,
        "the certificate of {place} is not valid any more",
        "renew it, tlscertfile in Asterisk's http.conf, and `module reload http`; is this machine's clock right?",
    ),
    FailureKind.CERTIFICATE_HOSTNAME: (
        CertificateHostnameMismatch,
        "the certificate of {place} is somebody else's",
        "put a name into the URL that it is for, or this host among the names (subjectAltName) of the certificate, "
        "which is tlscertfile in Asterisk's http.conf",
    ),
}


def not_reached(host: str, port: int, failed: Failed, *, encrypted: bool) -> Diagnosis:
    """No connection could be opened; ``encrypted`` says whether it was to have TLS."""
    where = place(host, port)
    if failed.kind is not FailureKind.SYSTEM:
        error, what, mend = _TLS_ERRORS[failed.kind]
        return Diagnosis(f"{what.format(place=where)}: {failed.reason}", mend, error)
    is_name = not (":" in host or host.replace(".", "").isdigit())
    mend = "is the host's name right, and does it resolve here?" if is_name else "is the address right?"
    if encrypted and failed.reason.startswith(("the connection was closed", "connection reset")):
        mend = f"{_NO_TLS}; if it is, {_SESSIONS}"
    return Diagnosis(f"no connection to {where}: {failed.reason}", _WHY_NOT_REACHED.get(failed.reason, mend))


def not_in_time(host: str, port: int, timeout: float, *, connected: bool, encrypted: bool) -> Diagnosis:
    """Nothing more came within so many seconds; ``connected`` says how far we had got."""
    where = place(host, port)
    if connected:
        mend = f"is it something else? Then {HTTP_PORT}; otherwise Asterisk hangs"
        return Diagnosis(f"{where} takes connections, and did not answer within {timeout:g} s", mend)
    mend = f"{_WHY_NOT_REACHED['timed out']} {_NO_TLS}" if encrypted else _WHY_NOT_REACHED["timed out"]
    return Diagnosis(f"no connection to {where} within {timeout:g} s: timeout", mend)


# ---- no HTTP ---------------------------------------------------------------------------------------------------------

_GREETINGS = {
    b"Asterisk Call Manager": ("it is Asterisk's manager interface, AMI", HTTP_PORT),
    b"SSH-": ("it is SSH", HTTP_PORT),
    b"\x15\x03": ("it is TLS", "begin the URL with https"),  # an alert, RFC 8446, 5.1
}
"""What others begin to speak with, who they are, and what to do."""


def may_be_http(beginning: bytes) -> bool:
    """Whether what begins like this may be an HTTP response: there is not enough of it yet, or it is one."""
    return b"HTTP/1.".startswith(beginning[:7])


def is_foreign(beginning: bytes) -> bool:
    """Whether what begins like this is no HTTP, and no more of it is needed to tell what it is."""
    half_a_greeting = any(greeting.startswith(beginning) and greeting != beginning for greeting in _GREETINGS)
    return not may_be_http(beginning) and not half_a_greeting


def cut_off(host: str, port: int, *, encrypted: bool) -> Diagnosis:
    """The connection ended instead of an answer."""
    is_tls = "" if encrypted else "is this port TLS? Then begin the URL with https. "
    return Diagnosis(
        f"{place(host, port)} closed the connection without an answer",
        f"{is_tls}{_SESSIONS[0].upper()}{_SESSIONS[1:]} If it is something else, {HTTP_PORT}",
    )


def not_http(host: str, port: int, received: bytes) -> Diagnosis:
    """What came, of which this is the beginning, is no HTTP."""
    what = f"what answers at {place(host, port)} does not speak HTTP"
    for greeting, (who, mend) in _GREETINGS.items():
        if received.startswith(greeting):
            return Diagnosis(f"{what}, {who}", mend)
    return Diagnosis(what, HTTP_PORT)


# ---- not Asterisk ----------------------------------------------------------------------------------------------------


def is_aris(body: bytes) -> bool:
    """Whether this is a refusal in ARI's way: a JSON object with a ``message``.

    Asterisk's HTTP server itself answers in HTML, as do most others.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(value.get("message"), str)


def is_asterisks(body: bytes) -> bool:
    """Whether this is a refusal of ARI, or in the words of Asterisk's HTTP server (``main/http.c``)."""
    return is_aris(body) or b"Asterisk" in body or b"not booted" in body


def not_asterisk(url: str, status: int) -> Diagnosis:
    """Somebody else has answered, with this status."""
    return Diagnosis(
        f"HTTP, but not Asterisk: status {status} at {url}",
        f"{HTTP_PORT}; if a proxy stands there, it does not lead to Asterisk",
    )
