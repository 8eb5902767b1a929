"""Recordings in an object store; a real one's turn is in ``tests/asterisk/test_storage.py``."""

from __future__ import annotations

import asyncio
import builtins
from pathlib import Path
from typing import Any

import pytest

from voxtra_core.errors import SinkFailed
from voxtra_core.recording import RecordingEnd
from voxtra_core.sinks import ObjectStoreSink

from .test_sinks import WAV, metadata

obstore = pytest.importorskip("obstore", reason="the extra storage is not installed")
stores = pytest.importorskip("obstore.store")


def tell(sink: ObjectStoreSink, *args: Any, **more: Any) -> None:
    asyncio.run(sink.on_recording_complete(metadata(*args, **more)))


def in_store(store: Any, key: str) -> bytes:
    return bytes(obstore.get(store, key).bytes())


def test_it_is_sent_from_where_it_is(tmp_path: Path) -> None:
    path, store = tmp_path / "a-name.wav", stores.MemoryStore()
    path.write_bytes(b"what is here")
    tell(ObjectStoreSink(store), path)
    assert in_store(store, "a-name.wav") == b"what is here"


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_it_is_sent_as_ari_has_it(tmp_path: Path, is_elsewhere: bool) -> None:
    store = stores.MemoryStore()
    tell(
        ObjectStoreSink(store, key=lambda about: f"{about.session_id}/x"),
        tmp_path / "nothing" if is_elsewhere else None,
    )
    assert in_store(store, "channel-1/x") == WAV


def test_what_is_not_there_or_empty_is_a_failure(tmp_path: Path) -> None:
    sink = ObjectStoreSink(stores.MemoryStore())
    with pytest.raises(SinkFailed, match="there is no recording"):
        tell(sink, ended=RecordingEnd.FAILED)
    with pytest.raises(SinkFailed, match="would be empty"):
        tell(sink, data=b"")
    (tmp_path / "empty").touch()
    with pytest.raises(SinkFailed, match="would be empty"):
        tell(sink, tmp_path / "empty")


def test_what_arrives_in_part_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obstore, "head", lambda store, key: {"size": 5})
    with pytest.raises(SinkFailed, match=f"has 5 bytes in the store, and {len(WAV)} here"):
        tell(ObjectStoreSink(stores.MemoryStore()))


def test_a_url_and_its_options() -> None:
    sink = ObjectStoreSink("s3://bucket/prefix", access_key_id="key", secret_access_key="secret", region="here")
    assert repr(sink) == "<ObjectStoreSink to s3://bucket/prefix>"
    with pytest.raises(TypeError, match="region"):
        ObjectStoreSink(stores.MemoryStore(), region="here")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'voxtra-core\[storage\]'"):
        ObjectStoreSink("s3://bucket")
