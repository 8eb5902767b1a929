"""Sinks alone: what is kept, what is sent and how it is signed, and that one's failure is none of another's."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from voxtra_asyncio.backend import AsyncioBackend
from voxtra_core.errors import SinkFailed
from voxtra_core.media import SLIN, write_wav
from voxtra_core.recording import RecordingEnd, RecordingMetadata, World
from voxtra_core.sinks import CompositeSink, LocalFileSink, WebhookSink, signature_of, verify_signature
from voxtra_core.sinks.files import write_atomically

T = TypeVar("T")

WAV = write_wav(bytes(16000), SLIN)
"""A second."""


def world(**more: Any) -> World:
    """This machine."""
    this = AsyncioBackend().world()
    assert this is not None
    return attrs.evolve(this, **({"now": lambda: 1800000000.7} | more))


@attrs.frozen
class Tools:
    """An application with one recording."""

    data: bytes = WAV
    world: World = attrs.field(factory=world)

    async def read(self, name: str) -> bytes:
        assert name == "a-name"
        return self.data

    async def in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.to_thread(function)


def metadata(
    path: Path | None = None, data: bytes = WAV, ended: RecordingEnd = RecordingEnd.STOPPED
) -> RecordingMetadata:
    return RecordingMetadata(
        session_id="channel-1",
        name="a-name",
        format="wav",
        ended=ended,
        duration=1.0,
        duration_source="asterisk",
        url="http://pbx:8088/ari/recordings/stored/a-name/file",
        path=None if path is None else str(path),
        extra={"caller_id": "5550100"},
        tools=Tools(data),
    )


def tell(sink: LocalFileSink | CompositeSink, about: RecordingMetadata) -> None:
    asyncio.run(sink.on_recording_complete(about))


# ---- on this machine -------------------------------------------------------------------------------------------------


def test_what_is_where_it_should_be(tmp_path: Path) -> None:
    path = tmp_path / "a-name.wav"
    path.write_bytes(WAV)
    tell(LocalFileSink(), metadata(path))
    tell(LocalFileSink(), metadata())  # nobody knows where that is


def test_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a-name.wav"
    with pytest.raises(SinkFailed, match="cannot be seen: No such file"):
        tell(LocalFileSink(), metadata(path))
    path.touch()
    with pytest.raises(SinkFailed, match="is empty"):
        tell(LocalFileSink(), metadata(path))
    with pytest.raises(SinkFailed, match="there is no recording a-name"):
        tell(LocalFileSink(), metadata(ended=RecordingEnd.FAILED))


def test_it_is_downloaded(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    tell(LocalFileSink(folder), metadata())
    assert [path.name for path in folder.iterdir()] == ["a-name.wav"]
    assert (folder / "a-name.wav").read_bytes() == WAV
    with pytest.raises(SinkFailed, match="is empty"):
        tell(LocalFileSink(folder), metadata(data=b""))


def test_there_is_no_half_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a-name.wav"
    path.write_bytes(b"as it was")

    def fails(*args: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_atomically(world(flush=fails), str(tmp_path), "a-name.wav", WAV)
    assert path.read_bytes() == b"as it was"
    assert [each.name for each in tmp_path.iterdir()] == ["a-name.wav"]
    (tmp_path / ".a-name.wav.partial").write_bytes(b"of a process that was killed")
    write_atomically(world(), str(tmp_path), "a-name.wav", WAV)
    assert path.read_bytes() == WAV
    assert [each.name for each in tmp_path.iterdir()] == ["a-name.wav"]


# ---- several ---------------------------------------------------------------------------------------------------------


class Counts:
    """Fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self._failures = failures

    def on_recording_complete(self, metadata: RecordingMetadata) -> None:
        self.calls += 1
        if self.calls <= self._failures:
            raise OSError("not now")


class CountsLater(Counts):
    async def on_recording_complete(self, metadata: RecordingMetadata) -> None:  # type: ignore[override]
        super().on_recording_complete(metadata)


def test_one_that_fails_keeps_none_from_being_told_and_is_told_again_alone() -> None:
    sinks = [Counts(), Counts(failures=2), CountsLater(failures=1), CountsLater()]
    composite, about = CompositeSink(*sinks), metadata()
    for failing in (2, 1):
        with pytest.raises(ExceptionGroup, match=f"{failing} of 4 sinks") as error:
            tell(composite, about)
        assert "from <tests.sinks" in error.value.exceptions[0].__notes__[0]
    tell(composite, about)
    assert [sink.calls for sink in sinks] == [1, 3, 2, 1]
    tell(composite, metadata())
    assert [sink.calls for sink in sinks] == [2, 4, 3, 2]


# ---- a web server ----------------------------------------------------------------------------------------------------


@attrs.define
class Received:
    """What has come."""

    path: str
    headers: dict[str, str]
    body: bytes


@contextmanager
def web_server(status: int, location: str = "") -> Iterator[tuple[str, list[Received]]]:
    """Answers everything with this."""
    received: list[Received] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(Received(self.path, dict(self.headers), body))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", received
        finally:
            server.shutdown()
            thread.join()


def test_what_is_sent_is_signed() -> None:
    with web_server(204) as (url, received):
        sink = WebhookSink(f"{url}/hook?a=b", "a secret", headers={"X-Tenant": "7"})
        sink.on_recording_complete(metadata(Path("/spool/a-name.wav")))
    (got,) = received
    assert got.path == "/hook?a=b"
    assert json.loads(got.body) == {
        "session_id": "channel-1",
        "name": "a-name",
        "format": "wav",
        "ended": "stopped",
        "duration": 1.0,
        "duration_source": "asterisk",
        "url": "http://pbx:8088/ari/recordings/stored/a-name/file",
        "path": "/spool/a-name.wav",
        "extra": {"caller_id": "5550100"},
    }
    headers = {name.lower(): value for name, value in got.headers.items()}
    assert (headers["content-type"], headers["x-tenant"]) == ("application/json", "7")
    timestamp, signature = headers["x-voxtra-timestamp"], headers["x-voxtra-signature"]
    assert timestamp == "1800000000"
    assert verify_signature("a secret", timestamp, got.body, signature, now=1800000100.0)
    assert verify_signature(b"a secret", timestamp, got.body, signature, now=1799999800.0)
    assert not verify_signature("another", timestamp, got.body, signature, now=1800000100.0)
    assert not verify_signature("a secret", timestamp, got.body + b" ", signature, now=1800000100.0)
    assert not verify_signature("a secret", "1800000001", got.body, signature, now=1800000100.0)
    assert not verify_signature("a secret", timestamp, got.body, signature, now=1800000400.0)
    assert not verify_signature("a secret", "now", got.body, signature_of(b"a secret", "now", got.body), now=0.0)


@pytest.mark.parametrize("header", ["", "1\udcff", "sha256=\u00e9", "\u0661", "9" * 5000, "-1", " 1", "1_0"])
def test_whatever_comes_as_a_header_is_refused_at_most(header: str) -> None:
    good = signature_of(b"key", "1", b"{}")
    assert verify_signature(b"key", "1", b"{}", good, now=1.0)
    assert not verify_signature(b"key", header, b"{}", good, now=1.0)
    assert not verify_signature(b"key", "1", b"{}", header, now=1.0)
    signed = signature_of(b"key", header, b"{}") if header.isascii() else header
    assert not verify_signature(b"key", header, b"{}", signed, now=1.0)


def test_a_signature_that_was_made_elsewhere() -> None:
    """By ``printf '1800000000.{}' | openssl dgst -sha256 -hmac key``."""
    signature = "7321475872b03ff21bdc2dfd86ea2d99ec29c479fbe4a77aa6acf4509505493f"
    assert signature_of(b"key", "1800000000", b"{}") == f"sha256={signature}"


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 500, 503])
def test_what_is_no_success_is_a_failure_and_nothing_is_followed(status: int) -> None:
    with web_server(200) as (elsewhere, received), web_server(status, elsewhere) as (url, _):
        with pytest.raises(SinkFailed, match=f"webhook on 127.0.0.1: status {status}"):
            WebhookSink(url, "secret").on_recording_complete(metadata())
        assert received == []


def test_nobody_is_there() -> None:
    with web_server(200) as (url, _):
        pass
    with pytest.raises(SinkFailed, match="Connection refused"):
        WebhookSink(url, "secret").on_recording_complete(metadata())


@pytest.mark.parametrize(
    ("url", "secret", "timeout", "says"),
    [
        ("ftp://a/", "s", 1.0, "https://"),
        ("http://", "s", 1.0, "a host"),
        ("https://user:word@a/", "s", 1.0, "no user or password"),
        ("https://a/", "", 1.0, "must not be empty"),
        ("https://a/", "s", 0.0, "timeout"),
    ],
)
def test_a_webhook_that_cannot_be(url: str, secret: str, timeout: float, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        WebhookSink(url, secret, timeout=timeout)
    assert "word" not in str(error.value).replace("password", "")


def test_no_secret_is_seen() -> None:
    sink = WebhookSink("https://pbx.example/hook/token-in-a-path", "a secret")
    assert repr(sink) == "<WebhookSink to pbx.example>"
    assert "secret" not in repr(CompositeSink(sink, LocalFileSink("/recordings")))
