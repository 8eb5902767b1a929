"""Recordings kept on this machine."""

from __future__ import annotations

from pathlib import Path

from ..errors import SinkFailed
from ..recording import RecordingEnd, RecordingMetadata
from .files import write_atomically

__all__ = ["LocalFileSink"]


class LocalFileSink:
    """Makes sure that a recording is there; given a ``directory``, downloads it there.

    Without one, the file has to be where the application expects it (``VoxtraApp(recording_dir=…)``), and not empty;
    where that is not known there is nothing to be sure of. With one, it comes through ARI, and is there as a whole, as
    ``name.format``, or not at all.
    """

    def __init__(self, directory: str | Path | None = None) -> None:
        self._directory = None if directory is None else Path(directory)

    def __repr__(self) -> str:
        return f"<LocalFileSink {self._directory or 'that verifies'}>"

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        """A recording is over. Raises :class:`~voxtra_core.errors.SinkFailed`, ``OSError`` or what ARI raises."""
        tools = metadata.tools
        if metadata.ended is RecordingEnd.FAILED:
            raise SinkFailed(f"there is no recording {metadata.name}: {metadata.extra.get('cause', 'it failed')}")
        if tools is None:
            raise SinkFailed("it is an application that tells this sink of recordings")
        if self._directory is None:
            if metadata.path is not None:
                await tools.in_thread(lambda: verify(Path(metadata.path or "")))
            return
        path = self._directory / f"{metadata.name}.{metadata.format}"
        data = await tools.read(metadata.name)
        if not data:
            raise SinkFailed(f"recording {metadata.name} is empty")
        await tools.in_thread(lambda: write_atomically(path, data))


def verify(path: Path) -> None:
    """Raise :class:`SinkFailed` unless there is something in this file."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SinkFailed(f"{path} cannot be seen: {error.strerror}") from error
    if size == 0:
        raise SinkFailed(f"{path} is empty")
