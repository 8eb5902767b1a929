"""Voxtra on trio: the same names, and the same behaviour, as :mod:`voxtra_asyncio`."""

from __future__ import annotations

from voxtra_core.app import AudioSocket, BaseApp, Reconnect
from voxtra_core.media import AudioChunk
from voxtra_core.session import (
    AttendedTransfer,
    AudioStream,
    Bridge,
    CallSession,
    EventStream,
    PlaybackHandle,
    QueueVisit,
)
from voxtra_core.stasis import CallOffer

from .backend import TrioBackend

__all__ = [
    "AttendedTransfer",
    "AudioChunk",
    "AudioSocket",
    "AudioStream",
    "Bridge",
    "CallOffer",
    "CallSession",
    "EventStream",
    "PlaybackHandle",
    "QueueVisit",
    "Reconnect",
    "VoxtraApp",
]


class VoxtraApp(BaseApp):
    __doc__ = BaseApp.__doc__

    backend = TrioBackend()
