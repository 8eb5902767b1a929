"""``/channels/{channelId}/record`` and ``/recordings`` (``resource_channels.c``, ``resource_recordings.c``)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from .media_requests import check_name, order_of
from .recording import LiveRecording
from .rest import NO_CONTENT, Handler, Reply, RestRequest, ok, refuse
from .sound_files import SoundFile, is_format

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["recording_handlers"]


def recording_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""
    resource = _Recordings(exchange)
    live, stored = "/recordings/live/{recordingName}", "/recordings/stored/{recordingName}"
    return {
        ("POST", "/channels/{channelId}/record"): resource.record,
        ("GET", live): lambda request: ok(resource.find(request).snapshot()),
        ("DELETE", live): partial(resource.stop, cancel=True),
        ("POST", f"{live}/stop"): resource.stop,
        ("POST", f"{live}/pause"): partial(resource.control, operation="pause"),
        ("DELETE", f"{live}/pause"): partial(resource.control, operation="unpause"),
        ("POST", f"{live}/mute"): partial(resource.control, operation="mute"),
        ("DELETE", f"{live}/mute"): partial(resource.control, operation="unmute"),
        ("GET", "/recordings/stored"): lambda _: ok([file.snapshot() for file in exchange.recordings.all()]),
        ("GET", stored): lambda request: ok(resource.find_file(request).snapshot()),
        ("DELETE", stored): resource.delete,
        ("GET", f"{stored}/file"): resource.download,
        ("POST", f"{stored}/copy"): resource.copy,
    }


class _Recordings:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    # ---- those that are being made -----------------------------------------------------------------------------------

    def record(self, request: RestRequest) -> Reply:
        parameters = request.parameters
        for name, words in (("maxDurationSeconds", "max_duration"), ("maxSilenceSeconds", "max_silence")):
            if parameters.number(name, 0) < 0:
                raise refuse(400, f"{words}_seconds cannot be negative")
        channel = self._exchange.channels.get(request.ids["channelId"])
        if channel is None:
            raise refuse(404, "Channel not found")
        if channel.control is None:
            raise refuse(409, "Channel not in Stasis application")
        order = order_of(parameters)
        if not is_format(order.format):
            raise refuse(422, "specified format is unknown on this system")
        check_name(self._exchange, order)
        recording = self._exchange.recordings.make(channel, order)
        channel.control.enqueue(recording)
        return ok(recording.snapshot(), status=201, location=f"/ari/recordings/live/{quote(recording.name)}")

    def find(self, request: RestRequest) -> LiveRecording:
        recording = self._exchange.recordings.live(request.ids["recordingName"])
        if recording is None:
            raise refuse(404, "Recording not found")
        return recording

    def stop(self, request: RestRequest, *, cancel: bool = False) -> Reply:
        self.find(request).stop(cancel=cancel)
        return NO_CONTENT

    def control(self, request: RestRequest, *, operation: str) -> Reply:
        if not self.find(request).control(operation):
            raise refuse(409, "Recording not in session")
        return NO_CONTENT

    # ---- files -------------------------------------------------------------------------------------------------------

    def find_file(self, request: RestRequest) -> SoundFile:
        file = self._exchange.recordings.file(request.ids["recordingName"])
        if file is None:
            raise refuse(404, "Recording not found")
        return file

    def delete(self, request: RestRequest) -> Reply:
        self._exchange.recordings.delete(self.find_file(request))
        return NO_CONTENT

    def download(self, request: RestRequest) -> Reply:
        file = self.find_file(request)
        return Reply(200, "OK", file.content, {"Content-type": f"audio/{file.format}"})

    def copy(self, request: RestRequest) -> Reply:
        name = request.parameters.text("destinationRecordingName")
        if not name:
            raise refuse(400, "Invalid destination recording name", reason="Bad request")
        file = self.find_file(request)
        if self._exchange.recordings.file(name) is not None:
            raise refuse(409, "A recording with the same name already exists on the system")
        return ok(self._exchange.recordings.copy(file, name).snapshot())
