"""What a driver does for the core, and what it reports back: the whole of their common language.

A *machine* is anything that satisfies :class:`Machine`: the application, or the simulated Asterisk's server. A driver
runs it: it performs the effects it is given, in order, and reports what came of them as inputs. Effects are in the
language of an operating system. Nothing in here knows what ARI or a call is.

Connections and listeners are named by integers that the machine chooses and never uses twice.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Awaitable, Callable
from contextvars import Context
from enum import Enum, IntEnum, auto
from typing import TYPE_CHECKING, Protocol, TypeAlias

import attrs

if TYPE_CHECKING:
    from ssl import SSLContext

__all__ = [
    "TLS",
    "AcceptFailed",
    "Accepted",
    "CancelTask",
    "Close",
    "Connect",
    "Connected",
    "Drained",
    "Effect",
    "EndOfStream",
    "Failed",
    "FailureKind",
    "Finish",
    "Input",
    "Listen",
    "Listening",
    "Log",
    "LogLevel",
    "Machine",
    "Received",
    "Send",
    "StartTask",
    "TaskDone",
    "accept_failed",
    "failed",
    "failure_reason",
]


class LogLevel(IntEnum):
    """The levels of the standard library's logging, by number, so that no one here imports it."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


# ---- effects: the machine asks
# ----------------------------------------------------------------------------------------


@attrs.frozen
class TLS:
    """That a connection is encrypted. The context is opaque to the core, and the driver's business.

    ``None`` are the platform's defaults: its certificate authorities, and a certificate that is valid now and for the
    host. A listener needs a context, one that has a certificate.
    """

    context: SSLContext | None = None


@attrs.frozen
class Connect:
    """Open a TCP connection, with ``tls`` an encrypted one. Answered by :class:`Connected` or :class:`Failed`.

    ``Close`` withdraws it.
    """

    conn: int
    host: str
    port: int
    tls: TLS | None = None

    @property
    def server_name(self) -> str:
        """Whose certificate is wanted: the host's, without what is nobody else's business.

        That is an IPv6 address's zone (RFC 6874, 3) and a name's final dot (RFC 6066, 3).
        """
        return self.host.partition("%")[0].removesuffix(".")


@attrs.frozen
class Listen:
    """Listen on a TCP address; port 0 lets the system choose. Answered by :class:`Listening` or :class:`Failed`.

    With ``tls``, only who has shaken hands is :class:`Accepted`; :class:`AcceptFailed` tells of who could not. Raises
    ``ValueError`` if that is without a context.
    """

    listener: int
    host: str
    port: int
    tls: TLS | None = None

    def __attrs_post_init__(self) -> None:
        if self.tls is not None and self.tls.context is None:
            raise ValueError("a listener with TLS needs an SSLContext with a certificate")


@attrs.frozen
class Send:
    """Write these bytes, after those sent before. :class:`Drained` follows when nothing is left to write.

    That costs as much as a small send, so who sends many need not ask for it each time: without ``tell_drained`` it
    follows only where an earlier send has asked for it and has not been told yet.

    On a connection that is not open, not yet or no more, nothing happens.
    """

    conn: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    tell_drained: bool = True


@attrs.frozen
class Close:
    """Close a connection or a listener. Nothing is reported about it afterwards.

    What was sent and not yet written is written first, with TLS also that this was all (``close_notify``), and then
    the peer's end is awaited, so that it sees all of our bytes and an end whatever it was sending; for a second at
    most, all in all.
    """

    conn: int


@attrs.frozen
class StartTask:
    """Run ``function()`` in a task of its own. :class:`TaskDone` follows when it has ended, cancelled or not.

    An exception that leaves it is a bug in the core and ends the run.
    """

    task: int
    name: str
    function: Callable[[], Awaitable[None]] = attrs.field(repr=False)
    context: Context | None = attrs.field(default=None, repr=False, eq=False)
    """Whose context variables it sees a copy of; those of the run, where it says none."""


@attrs.frozen
class CancelTask:
    """Cancel a running task; :class:`TaskDone` still follows. A task that has ended already is none of our business.

    One that has not taken its first step never does: its function is not called.
    """

    task: int


@attrs.frozen
class Log:
    """Write one line to the log, with the traceback of ``error`` if given."""

    level: LogLevel
    message: str
    error: BaseException | None = None


@attrs.frozen
class Finish:
    """End the run: close what is open, cancel what runs, then return, or raise ``error``. Always the last effect."""

    error: Exception | None = None


Effect: TypeAlias = Connect | Listen | Send | Close | StartTask | CancelTask | Log | Finish


# ---- inputs: the driver reports
# ---------------------------------------------------------------------------------------


@attrs.frozen
class Connected:
    """The connection is open."""

    conn: int


@attrs.frozen
class Listening:
    """The listener is open, on this port."""

    listener: int
    port: int


@attrs.frozen
class Accepted:
    """A peer has connected to the listener. The driver has asked ``new_connection`` for the number ``conn``.

    ``peer`` is its IP address, where the system tells.
    """

    listener: int
    conn: int
    peer: str = ""


@attrs.frozen
class Received:
    """Bytes have come in; never empty."""

    conn: int
    data: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")


@attrs.frozen
class EndOfStream:
    """The peer will send no more; with TLS, whether it has said so (``close_notify``) or not.

    HTTP and WebSocket say by themselves where a message ends, so that nobody gains by cutting it (RFC 9112, 9.8).
    """

    conn: int


class FailureKind(Enum):
    """Whose words the reason of a :class:`Failed` are."""

    SYSTEM = auto()
    """The operating system's: refused, unreachable, reset, …"""
    TLS = auto()
    """TLS's: the peer does not speak it, or they don't agree on how."""
    CERTIFICATE = auto()
    """TLS's: the peer's certificate is not to be trusted."""
    CERTIFICATE_EXPIRED = auto()
    """TLS's: the peer's certificate was valid until some day."""
    CERTIFICATE_HOSTNAME = auto()
    """TLS's: the peer's certificate is somebody else's."""


@attrs.frozen
class Failed:
    """The connection or listener could not be opened, or broke. It is gone; no ``Close`` is needed."""

    conn: int
    reason: str
    kind: FailureKind = FailureKind.SYSTEM


@attrs.frozen
class AcceptFailed:
    """Somebody connected to the listener, and their TLS handshake failed. The listener goes on."""

    listener: int
    reason: str
    kind: FailureKind = FailureKind.TLS
    """``SYSTEM`` where the connection broke, or ended, without a word of TLS."""


@attrs.frozen
class Drained:
    """Everything sent on this connection so far has been handed to the operating system."""

    conn: int


@attrs.frozen
class TaskDone:
    """A task has ended, whichever way."""

    task: int


Input: TypeAlias = (
    Connected | Listening | Accepted | AcceptFailed | Received | EndOfStream | Failed | Drained | TaskDone
)


class Machine(Protocol):
    """What a driver can run."""

    def start(self, now: float) -> None:
        """Called once, first."""

    def receive(self, event: Input, now: float) -> None:
        """Something the driver reports. Never raises for what a peer did."""

    def new_connection(self) -> int:
        """A number for a connection that a listener accepts."""

    def handle_timeout(self, now: float) -> None:
        """The deadline has come, or somebody has asked something of the machine. Early and late calls are harmless."""

    def next_deadline(self) -> float | None:
        """The absolute time at which :meth:`handle_timeout` is wanted, or ``None``."""

    def effects_to_perform(self) -> list[Effect]:
        """What to do now, in order. Each effect is handed out once."""

    def interrupt(self, now: float) -> None:
        """The run is being cancelled from outside: do the last things, then :class:`Finish`, within a bounded time."""


_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by the peer",
    errno.EPIPE: "connection reset by the peer",  # these two are what a reset looks like to whoever comes second
    errno.ENOTCONN: "connection reset by the peer",
    errno.ECONNABORTED: "connection aborted",
    errno.ETIMEDOUT: "timed out",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.EADDRINUSE: "address already in use",
    errno.EADDRNOTAVAIL: "address not available",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EMFILE: "too many open files",
    errno.ENOENT: "no such file or directory",
    errno.EISDIR: "is a directory",
}
_NUMBER = re.compile(r"\[Errno (-?\d+)\]")

_CERTIFICATE_KINDS = {
    10: FailureKind.CERTIFICATE_EXPIRED,
    62: FailureKind.CERTIFICATE_HOSTNAME,
    64: FailureKind.CERTIFICATE_HOSTNAME,  # of an IP address
}
"""OpenSSL's ``X509_V_ERR_…`` that are named; whatever else is wrong with a certificate is a ``CERTIFICATE``."""
_NO_TLS = "the peer does not speak TLS"
_TLS_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,  # what OpenSSL makes of any text
    "HTTP_REQUEST": _NO_TLS,
    "HTTPS_PROXY_REQUEST": _NO_TLS,
}
_SOURCE_LINE = re.compile(r" \(_ssl\.c:\d+\)$")


def failed(conn: int, error: BaseException) -> Failed:
    """What to report about a connection or a listener that failed, the same on every loop."""
    kind, reason = _kind_and_reason(error)
    return Failed(conn, reason, kind)


def accept_failed(listener: int, error: BaseException) -> AcceptFailed:
    """What to report about somebody who could not be accepted, the same on every loop."""
    kind, reason = _kind_and_reason(error)
    return AcceptFailed(listener, reason, kind)


def failure_reason(error: BaseException) -> str:
    """Why a connection or a listener failed, in words that are the same on every loop.

    Loops wrap what the system said: in a group with an error for each address, in an error of their own with that as
    its cause, or in the text of one without a number (asyncio). The first system error counts.
    """
    return _kind_and_reason(error)[1]


def _kind_and_reason(error: BaseException) -> tuple[FailureKind, str]:
    code: int | None = getattr(error, "verify_code", None)
    if code is not None:  # ssl.SSLCertVerificationError, which is an OSError as well as a ValueError
        message: str = getattr(error, "verify_message", "")
        return _CERTIFICATE_KINDS.get(code, FailureKind.CERTIFICATE), message.rstrip(".")
    if hasattr(error, "library"):  # ssl.SSLError
        name: str = getattr(error, "reason", None) or ""
        words = _TLS_REASONS.get(name) or name.lower().replace("_", " ")
        return FailureKind.TLS, words or _SOURCE_LINE.sub("", str(error))
    if isinstance(error, ValueError):  # of getaddrinfo(), for what IDNA cannot encode
        return FailureKind.SYSTEM, "not a host name"
    found = _system_error(error)
    if found is None:
        return FailureKind.SYSTEM, str(error) or type(error).__name__
    number = found.errno or 0
    return FailureKind.SYSTEM, _REASONS.get(number) or errno.errorcode.get(number) or found.strerror or str(found)


def _system_error(error: BaseException | None) -> OSError | None:
    if isinstance(error, BaseExceptionGroup):
        return next((found for part in error.exceptions if (found := _system_error(part))), None)
    if isinstance(error, OSError):
        if error.errno is not None:
            return error
        if number := _NUMBER.search(str(error)):
            return OSError(int(number[1]), "")
    return _system_error(error.__cause__) if error is not None else None
