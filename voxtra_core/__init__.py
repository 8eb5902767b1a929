"""Voxtra's core: phone calls on Asterisk as state machines, with no I/O, no clock and no chance in them.

Importing it costs next to nothing: each name below is loaded when it is first asked for. The rooms, inside out:

* :mod:`.errors`, every exception; :mod:`.ari`, Asterisk's REST interface as values;
* :mod:`.media`, audio: chunks, formats, tones, speech;
* :mod:`.call`, the machine of one call; :mod:`.stasis`, the machine of one application;
* :mod:`.session`, the async API over them; :mod:`.app`, the application; :mod:`.driving`, :mod:`.effects`, for drivers;
* :mod:`.wire`, bytes to messages, over h11 and wsproto; :mod:`.testing`, a simulated Asterisk.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .app import (
        AppStats,
        AppUpdate,
        AudioSocket,
        BaseApp,
        CallStateChanged,
        Connection,
        ConnectionChanged,
        Reconnect,
    )
    from .call import (
        CallDirection,
        CallEnd,
        CallMachine,
        CallState,
        CallUpdate,
        CollectedDigits,
        CollectEnd,
        EndedBy,
        HangupReason,
        MediaFailure,
        MediaLost,
        MediaOpened,
        Outage,
        Pending,
        PlaybackEnd,
        StateChanged,
    )
    from .errors import (
        AriBadRequest,
        AriConflict,
        AriError,
        AriForbidden,
        AriNotFound,
        AriPreconditionFailed,
        AriServerError,
        AriUnauthorized,
        AriUnprocessable,
        AuthenticationFailed,
        BridgeGone,
        CallEnded,
        CertificateError,
        CertificateExpired,
        CertificateHostnameMismatch,
        ConnectFailed,
        ConnectionLost,
        LinkError,
        LocalProtocolError,
        MediaFailed,
        NameTaken,
        OperationTimeout,
        OriginateFailed,
        QueueUnavailable,
        RemoteProtocolError,
        ReplyTimeout,
        RequestNotSent,
        RequestOutcomeUnknown,
        TLSFailed,
        TooManyCalls,
        TransferFailed,
        TransferOutcomeUnknown,
        VoxtraError,
    )
    from .media import AudioChunk, AudioFormat
    from .session import (
        AttendedTransfer,
        AudioStats,
        AudioStream,
        Bridge,
        CallSession,
        Driver,
        EventStream,
        PlaybackHandle,
        QueueVisit,
    )
    from .stasis import CallOffer, StasisMachine

__all__ = [
    "AppStats",
    "AppUpdate",
    "AriBadRequest",
    "AriConflict",
    "AriError",
    "AriForbidden",
    "AriNotFound",
    "AriPreconditionFailed",
    "AriServerError",
    "AriUnauthorized",
    "AriUnprocessable",
    "AttendedTransfer",
    "AudioChunk",
    "AudioFormat",
    "AudioSocket",
    "AudioStats",
    "AudioStream",
    "AuthenticationFailed",
    "BaseApp",
    "Bridge",
    "BridgeGone",
    "CallDirection",
    "CallEnd",
    "CallEnded",
    "CallMachine",
    "CallOffer",
    "CallSession",
    "CallState",
    "CallStateChanged",
    "CallUpdate",
    "CertificateError",
    "CertificateExpired",
    "CertificateHostnameMismatch",
    "CollectEnd",
    "CollectedDigits",
    "ConnectFailed",
    "Connection",
    "ConnectionChanged",
    "ConnectionLost",
    "Driver",
    "EndedBy",
    "EventStream",
    "HangupReason",
    "LinkError",
    "LocalProtocolError",
    "MediaFailed",
    "MediaFailure",
    "MediaLost",
    "MediaOpened",
    "NameTaken",
    "OperationTimeout",
    "OriginateFailed",
    "Outage",
    "Pending",
    "PlaybackEnd",
    "PlaybackHandle",
    "QueueUnavailable",
    "QueueVisit",
    "Reconnect",
    "RemoteProtocolError",
    "ReplyTimeout",
    "RequestNotSent",
    "RequestOutcomeUnknown",
    "StasisMachine",
    "StateChanged",
    "TLSFailed",
    "TooManyCalls",
    "TransferFailed",
    "TransferOutcomeUnknown",
    "VoxtraError",
    "__version__",
]

_ROOMS = {
    "app": {
        "AppStats",
        "AppUpdate",
        "AudioSocket",
        "BaseApp",
        "CallStateChanged",
        "Connection",
        "ConnectionChanged",
        "Reconnect",
    },
    "call": {
        "CallDirection",
        "CallEnd",
        "CallMachine",
        "CallState",
        "CallUpdate",
        "CollectEnd",
        "CollectedDigits",
        "EndedBy",
        "HangupReason",
        "MediaFailure",
        "MediaLost",
        "MediaOpened",
        "Outage",
        "Pending",
        "PlaybackEnd",
        "StateChanged",
    },
    "media": {"AudioChunk", "AudioFormat"},
    "session": {
        "AttendedTransfer",
        "AudioStats",
        "AudioStream",
        "Bridge",
        "CallSession",
        "Driver",
        "EventStream",
        "PlaybackHandle",
        "QueueVisit",
    },
    "stasis": {"CallOffer", "StasisMachine"},
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = next((room for room, names in _ROOMS.items() if name in names), "errors")
    value = getattr(import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
