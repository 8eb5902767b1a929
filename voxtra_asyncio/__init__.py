"""Voxtra on asyncio: the same names, and the same behaviour, as :mod:`voxtra_trio`."""

from __future__ import annotations

from voxtra_core.app import BaseApp
from voxtra_core.session import CallSession, EventStream, PlaybackHandle

from .backend import AsyncioBackend

__all__ = ["CallSession", "EventStream", "PlaybackHandle", "VoxtraApp"]


class VoxtraApp(BaseApp):
    __doc__ = BaseApp.__doc__

    backend = AsyncioBackend()
