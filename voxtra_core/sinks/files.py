"""Files, as sinks need them. All of it blocks."""

from __future__ import annotations

import os
import tempfile
import wave
from pathlib import Path

__all__ = ["wav_seconds", "write_atomically"]


def wav_seconds(path: str) -> float:
    """How long a WAV file is. ``OSError`` where it cannot be read, ``ValueError`` for one that is none."""
    try:
        with wave.open(path) as file:
            return float(file.getnframes() / file.getframerate())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from error


def write_atomically(path: Path, data: bytes) -> None:
    """A file is there as a whole, or not at all; one of that name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
