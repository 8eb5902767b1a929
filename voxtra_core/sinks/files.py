"""Files, as sinks need them. All of it blocks, and raises ``OSError``."""

from __future__ import annotations

from contextlib import suppress

from ..recording import World

__all__ = ["size_of", "write_atomically"]


def size_of(world: World, path: str) -> int:
    """In bytes."""
    with world.open(path, "rb") as file:
        return file.seek(0, 2)


def write_atomically(world: World, folder: str, name: str, data: bytes) -> None:
    """A file is there as a whole, or not at all; one of that name is replaced."""
    world.make_folder(folder)
    path, partial = f"{folder}/{name}", f"{folder}/.{name}.partial"
    with suppress(OSError):  # of one that was cut off
        world.remove(partial)
    try:
        with world.open(partial, "xb") as file:
            file.write(data)
            file.flush()
            world.flush(file.fileno())
        world.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            world.remove(partial)
        raise
