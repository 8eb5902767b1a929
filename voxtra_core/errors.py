"""Every exception that Voxtra raises, in one tree.

::

    VoxtraError
    ├── LocalProtocolError          the caller's bug; nothing was sent and no state changed
    ├── RemoteProtocolError         the peer broke its protocol; raised only by ``receive_*``
    ├── CallEnded                   the call ended under whatever was awaited
    ├── OriginateFailed             an outbound call that never reached us
    ├── TooManyCalls                the application has as many calls as it may; nothing was sent
    ├── MediaFailed                 no audio of a call that lives
    ├── BridgeGone                  a bridge that has been destroyed
    ├── TransferFailed              nobody to transfer a call to, which lives
    ├── QueueUnavailable            a call that lives cannot be handed to that queue
    ├── AgentNotConfigured          a conversation without the part that this needs; a RuntimeError as well
    ├── ProviderFailed              a part of a conversation failed, or took too long; the call goes on
    ├── OperationTimeout            nothing came back in time; the call goes on
    │   ├── TransferOutcomeUnknown      … of what became of a transfer that the far end was asked to make
    │   └── ReplyTimeout                … to a request: it was sent, so it is a RequestOutcomeUnknown as well
    ├── AriError                    Asterisk refused a request, by status:
    │   ├── AriBadRequest           400
    │   ├── AriUnauthorized         401
    │   ├── AriForbidden            403
    │   ├── AriNotFound             404
    │   ├── AriConflict             409
    │   ├── AriPreconditionFailed   412
    │   ├── AriUnprocessable        422
    │   └── AriServerError          500 and above
    └── LinkError                   the way to Asterisk:
        ├── ConnectFailed           could not be opened
        │   ├── AuthenticationFailed    … because of the user, the password or the rights
        │   ├── TLSFailed               … because there is no TLS, or none that both sides accept
        │   └── CertificateError        … because the server's certificate is not to be trusted,
        │       ├── CertificateExpired      … not any more
        │       └── CertificateHostnameMismatch     … not for this host
        ├── ConnectionLost          was open, and is gone
        ├── NameTaken               another program has registered our application's name
        ├── RequestNotSent          this request never left; it may be repeated
        └── RequestOutcomeUnknown   this request left, its reply never came
            └── ReplyTimeout            … in time, although the connection lives

What became of a request is always told, as one of four: it was done (the operation returns), it was refused
(:class:`AriError`), it never left (:class:`RequestNotSent`), or nobody knows (:class:`RequestOutcomeUnknown`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .call.cause import CallEnd

__all__ = [
    "AgentNotConfigured",
    "AriBadRequest",
    "AriConflict",
    "AriError",
    "AriForbidden",
    "AriNotFound",
    "AriPreconditionFailed",
    "AriServerError",
    "AriUnauthorized",
    "AriUnprocessable",
    "AuthenticationFailed",
    "BridgeGone",
    "CallEnded",
    "CertificateError",
    "CertificateExpired",
    "CertificateHostnameMismatch",
    "ConnectFailed",
    "ConnectionLost",
    "LinkError",
    "LocalProtocolError",
    "MediaFailed",
    "NameTaken",
    "OperationTimeout",
    "OriginateFailed",
    "ProviderFailed",
    "QueueUnavailable",
    "RecordingNotStarted",
    "RemoteProtocolError",
    "ReplyTimeout",
    "RequestNotSent",
    "RequestOutcomeUnknown",
    "SinkFailed",
    "TLSFailed",
    "TooManyCalls",
    "TransferFailed",
    "TransferOutcomeUnknown",
    "VoxtraError",
    "ari_error",
    "one_line",
]


_LONGEST_SHOWN = 200


def one_line(text: str) -> str:
    """A text that somebody has given, for a message or a log: as it is, unless it is long or would break the line."""
    if len(text) <= _LONGEST_SHOWN and text.isprintable():
        return text
    return f"{text[:_LONGEST_SHOWN]!r}{'…' if len(text) > _LONGEST_SHOWN else ''}"


class VoxtraError(Exception):
    """The base of everything in this module."""


class LocalProtocolError(VoxtraError):
    """The caller did something the current state does not allow.

    Nothing was sent and no state changed.
    """


class RemoteProtocolError(VoxtraError):
    """The peer broke its protocol. Only ``receive_*`` methods raise it.

    ``hint`` says what to do about it; for an HTTP or WebSocket peer it may carry the status or close code
    that the protocol suggests in answer.
    """

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(f"{message} ({hint})" if hint else message)
        self.hint = hint
        self.status = status


class CallEnded(VoxtraError):
    """The call ended under whatever was awaited, or had ended before it was asked for.

    A handler that lets its own call's go up has ended normally; with another call's it has failed.
    """

    def __init__(self, call_id: str, end: CallEnd) -> None:
        super().__init__(f"call {call_id} ended: {end}")
        self.call_id = call_id
        self.end = end


class MediaFailed(VoxtraError):
    """There is no audio to be had of a call that lives: Asterisk refused a media channel, could not connect to us, or
    the channel was lost, and once more when it had been opened again. Asking for audio again tries again.
    """


class RecordingNotStarted(VoxtraError):
    """A recording of a call that lives did not begin; the message says why. The call goes on."""


class QueueUnavailable(VoxtraError):
    """A call cannot be handed to a queue: Asterisk has no such queue, or no dialplan for it; the message says what to
    do. The call goes on.
    """


class SinkFailed(VoxtraError):
    """A recording could not be handed to where it was to go; the message says why. It is tried again."""


class OriginateFailed(VoxtraError):
    """An outbound call that never reached us: busy, refused, unanswered, or impossible to place.

    ``end`` has the Q.850 cause; ``dialstatus`` is Asterisk's last word on the attempt (``"BUSY"``,
    ``"CONGESTION"``, ``"NOANSWER"``, ``"CHANUNAVAIL"``; ``"RINGING"`` when it rang until the time was over),
    ``""`` when it gave none. Where Asterisk refused the
    request itself, that :class:`AriError` is the ``__cause__``.
    """

    def __init__(self, endpoint: str, end: CallEnd, dialstatus: str = "") -> None:
        detail = f", dial status {dialstatus}" if dialstatus else ""
        super().__init__(f"could not reach {one_line(endpoint)}: {end}{detail}")
        self.endpoint = endpoint
        self.end = end
        self.dialstatus = dialstatus


class TooManyCalls(VoxtraError):
    """The application has ``max_calls`` calls already, and has not placed this one. It can when one has ended."""


class BridgeGone(VoxtraError):
    """The bridge has been destroyed: by us, when the last call had left, by somebody else, or with Asterisk."""


class TransferFailed(VoxtraError):
    """A call that lives was not transferred: whom it was to go to was busy, did not answer, refused, could not be
    reached, or has gone again. The caller is still there.

    ``end`` has the Q.850 cause; ``dialstatus`` is as in :class:`OriginateFailed`.
    """

    def __init__(self, endpoint: str, end: CallEnd, dialstatus: str = "", detail: str = "") -> None:
        said = f", dial status {dialstatus}" if dialstatus else ""
        super().__init__(f"not transferred to {endpoint}: {detail or end}{said}")
        self.endpoint = endpoint
        self.end = end
        self.dialstatus = dialstatus


class AgentNotConfigured(VoxtraError, RuntimeError):
    """The application was not given the part of a conversation that this needs: ``stt=``, ``llm=`` or ``tts=``; or the
    environment does not hold what such a part needs.
    """


class ProviderFailed(VoxtraError):
    """A part of a conversation raised, broke off, or took too long. The call goes on.

    ``part`` says which: ``"stt"``, ``"llm"``, ``"tts"``, ``"vad"``, or ``"web"`` for the network below one. Where an
    HTTP server answered, ``status`` is what. ``retry_after`` are the seconds that it asks to be left alone, where it
    does.
    """

    def __init__(self, part: str, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(f"{part}: {message}")
        self.part = part
        self.status = status
        self.retry_after = retry_after


class OperationTimeout(VoxtraError):
    """Asterisk did not say within the operation's own deadline how it ended. The call goes on.

    Of a request it says :class:`ReplyTimeout` where it had been sent; one that had not is a :class:`RequestNotSent`.
    """


class AriError(VoxtraError):
    """Asterisk refused a request.

    ``operation`` is the builder's name (``"channels.answer"``), ``status`` the HTTP status, ``reason`` Asterisk's
    own words from the body's ``message`` or ``error``, or the reason phrase where there is no body.
    """

    def __init__(self, operation: str, status: int, reason: str) -> None:
        super().__init__(f"{operation}: {status} {reason}".rstrip())
        self.operation = operation
        self.status = status
        self.reason = reason


class AriBadRequest(AriError):
    """400: a parameter is missing or cannot be used."""


class AriUnauthorized(AriError):
    """401: the user or the password is wrong."""


class AriForbidden(AriError):
    """403: the user is read-only, or its address is not permitted."""


class AriNotFound(AriError):
    """404: there is no such channel, bridge, playback, … (any more)."""


class AriConflict(AriError):
    """409: the thing exists, but its state does not allow this; for a channel: it is not in Stasis."""


class AriPreconditionFailed(AriError):
    """412: the channel is created or ringing, and not answered yet."""


class AriUnprocessable(AriError):
    """422: well-formed, and impossible: an unknown format, a channel outside Stasis, …"""


class AriServerError(AriError):
    """500 and above: Asterisk failed, or has not finished booting (503)."""


_BY_STATUS: dict[int, type[AriError]] = {
    400: AriBadRequest,
    401: AriUnauthorized,
    403: AriForbidden,
    404: AriNotFound,
    409: AriConflict,
    412: AriPreconditionFailed,
    422: AriUnprocessable,
}


class TransferOutcomeUnknown(OperationTimeout):
    """The far end was asked to call somebody else, and has neither gone within the time nor said anything. It may do so
    later: Asterisk does not tell whether it was refused.
    """


def ari_error(operation: str, status: int, reason: str) -> AriError:
    """The :class:`AriError` for a status of 400 or above."""
    cls = _BY_STATUS.get(status, AriServerError if status >= 500 else AriError)
    return cls(operation, status, reason)


class LinkError(VoxtraError):
    """The way to Asterisk failed."""


class ConnectFailed(LinkError):
    """The connection to Asterisk could not be opened; the message says why, where, and what to do.

    Trying again may help, but for the subclasses: what they say stays so until somebody mends it, or, of TLS and
    certificates, until whatever stands before Asterisk has finished restarting.
    """


class AuthenticationFailed(ConnectFailed):
    """Asterisk refused the user, the password or the rights (401, 403). Trying again will not help."""


class TLSFailed(ConnectFailed):
    """No TLS came about: the port does not speak it, or the two sides don't agree on how, or a certificate of ours is
    wanted. Trying again will not help.
    """


class CertificateError(ConnectFailed):
    """The server's certificate is not to be trusted: its issuer is unknown, it is its own issuer, it is not valid yet,
    or not for a server. Trying again will not help.
    """


class CertificateExpired(CertificateError):
    """The server's certificate was valid until some day. Trying again will not help."""


class CertificateHostnameMismatch(CertificateError):
    """The server's certificate is for other names or addresses than the host's. Trying again will not help."""


class ConnectionLost(LinkError):
    """The connection to Asterisk was open, and is gone."""


class NameTaken(LinkError):
    """Another program has registered the application's name: it gets the calls from there on.

    Those that were here have been finished. Trying again would take the name back, and so on for ever.
    """


class RequestNotSent(LinkError):
    """This request never left us, and will not any more. It had no effect, and may be repeated."""


class RequestOutcomeUnknown(LinkError):
    """This request left us and its reply never came. It may or may not have had its effect."""


class ReplyTimeout(OperationTimeout, RequestOutcomeUnknown):
    """This request left us, and Asterisk has not replied in time. The connection lives, and so does the call.

    It may or may not have had its effect, or may yet have it.
    """
