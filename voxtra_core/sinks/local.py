"""Recordings kept on this machine."""

from __future__ import annotations

from typing import Protocol

from ..errors import SinkFailed
from ..recording import RecordingEnd, RecordingMetadata, SinkTools, World
from .files import size_of, write_atomically

__all__ = ["FilePath", "LocalFileSink", "tools_for"]


class FilePath(Protocol):
    """A ``pathlib.Path``, and what else is a path."""

    def __fspath__(self) -> str:
        """As text."""


class LocalFileSink:
    """Makes sure that a recording is there; given a ``directory``, downloads it there.

    Without one, the file has to be where the application expects it (``VoxtraApp(recording_dir=…)``), and not empty;
    where that is not known there is nothing to be sure of. With one, it comes through ARI, and is there as a whole, as
    ``name.format``, or not at all.
    """

    def __init__(self, directory: str | FilePath | None = None) -> None:
        path = directory if isinstance(directory, str | None) else directory.__fspath__()
        self._directory = None if path is None else path.rstrip("/") or "/"

    def __repr__(self) -> str:
        return f"<LocalFileSink {self._directory or 'that verifies'}>"

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        """A recording is over. Raises :class:`~voxtra_core.errors.SinkFailed`, ``OSError`` or what ARI raises."""
        tools, directory, path = tools_for(metadata), self._directory, metadata.path
        if directory is None:
            if path is not None:
                await tools.in_thread(lambda: verify(tools.world, path))
            return
        data = await tools.read(metadata.name)
        if not data:
            raise SinkFailed(f"recording {metadata.name} is empty")
        name = f"{metadata.name}.{metadata.format}"
        await tools.in_thread(lambda: write_atomically(tools.world, directory, name, data))


def tools_for(metadata: RecordingMetadata) -> SinkTools:
    """What is needed for a recording that there is; ``SinkFailed`` where there is none."""
    if metadata.ended is RecordingEnd.FAILED:
        raise SinkFailed(f"there is no recording {metadata.name}: {metadata.extra.get('cause', 'it failed')}")
    if metadata.tools is None:
        raise SinkFailed("it is an application that tells this sink of recordings")
    return metadata.tools


def verify(world: World, path: str) -> None:
    """Raise :class:`SinkFailed` unless there is something in this file."""
    try:
        size = size_of(world, path)
    except OSError as error:
        raise SinkFailed(f"{path} cannot be seen: {error.strerror}") from error
    if size == 0:
        raise SinkFailed(f"{path} is empty")
