"""Recordings kept in an object store: S3 and what is compatible with it, Google Cloud Storage, Azure."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, Any

from ..errors import SinkFailed
from ..recording import RecordingMetadata, World
from .local import tools_for

__all__ = ["ObjectStoreSink"]


class ObjectStoreSink:
    """Puts a recording into an object store, and makes sure that it is there. Needs the extra ``storage``.

    ``store`` is the URL of a bucket, with a prefix or without (``s3://recordings/2026``, ``gs://…``, ``az://…``), or a
    store of obstore's own. ``options`` are obstore's for that kind of store: ``endpoint``, ``region``,
    ``access_key_id``, …; what is not given comes from the environment, as with other programs of that vendor's.

    ``key(metadata)`` makes the object's name; by default it is ``name.format``. The file is sent from where it is,
    where the application knows that (``recording_dir=``), and else as ARI has it.
    """

    def __init__(
        self,
        store: Any,
        *,
        key: Callable[[RecordingMetadata], str] = lambda metadata: f"{metadata.name}.{metadata.format}",
        **options: Any,
    ) -> None:
        try:
            from obstore.store import from_url
        except ImportError as error:
            raise ImportError("ObjectStoreSink needs obstore: pip install 'voxtra-core[storage]'") from error
        if isinstance(store, str):
            self._name = store.partition("?")[0]
            self._store: Any = from_url(store, **options)
        elif options:
            raise TypeError(f"options are for a URL: the store that was given has its own, not {', '.join(options)}")
        else:
            self._name, self._store = type(store).__name__, store
        self._key = key

    def __repr__(self) -> str:
        return f"<ObjectStoreSink to {self._name}>"

    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        """A recording is over. Raises :class:`~voxtra_core.errors.SinkFailed`, or what ARI or the store raises."""
        tools, key = tools_for(metadata), self._key(metadata)
        if not await tools.in_thread(lambda: self._has_put_file(key, metadata.path, tools.world)):
            data = await tools.read(metadata.name)
            await tools.in_thread(lambda: self._put(key, data, len(data)))

    def _has_put_file(self, key: str, path: str | None, world: World) -> bool:
        """Whether the file is here."""
        if path is None:
            return False
        try:
            file = world.open(path, "rb")
        except FileNotFoundError:  # it is on another machine
            return False
        with file:
            size = file.seek(0, 2)
            file.seek(0)
            self._put(key, file, size)
        return True

    def _put(self, key: str, file: IO[bytes] | bytes, size: int) -> None:
        import obstore

        if size == 0:
            raise SinkFailed(f"{key} would be empty")
        obstore.put(self._store, key, file)
        stored = obstore.head(self._store, key)["size"]
        if stored != size:
            raise SinkFailed(f"{key} has {stored} bytes in the store, and {size} here")
