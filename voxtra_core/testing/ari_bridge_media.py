"""``/bridges/{bridgeId}/moh``, ``/play`` and ``/record`` (``res/ari/resource_bridges.c``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from .bridges import Bridge
from .external import CODEC_RATES
from .guests import Guest
from .media_requests import check_name, order_of, playback_of
from .rest import NO_CONTENT, Handler, Parameters, Reply, RestRequest, ok, refuse
from .sound_files import is_format, rate_of

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["bridge_media_handlers"]


def bridge_media_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""
    resource = _BridgeMedia(exchange)
    one = "/bridges/{bridgeId}"
    return {
        ("POST", f"{one}/moh"): resource.start_music,
        ("DELETE", f"{one}/moh"): resource.stop_music,
        ("POST", f"{one}/play"): resource.play,
        ("POST", f"{one}/play/{{playbackId}}"): resource.play,
        ("POST", f"{one}/record"): resource.record,
    }


class _BridgeMedia:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _bridge(self, request: RestRequest) -> Bridge:
        bridge = self._exchange.bridges.get(request.ids["bridgeId"])
        if bridge is None:
            raise refuse(404, "Bridge not found", reason="Not found")
        return bridge

    def start_music(self, request: RestRequest) -> Reply:
        bridge = self._bridge(request)
        guest = bridge.guest("Announcer/ARI_MOH") or Guest(bridge, "Announcer/ARI_MOH")
        guest.line.play_music(request.parameters.text("mohClass") or "default")
        return NO_CONTENT

    def stop_music(self, request: RestRequest) -> Reply:
        guest = self._bridge(request).guest("Announcer/ARI_MOH")
        if guest is None:
            raise refuse(409, "Bridge isn't playing music")
        guest.leave()
        return NO_CONTENT

    def play(self, request: RestRequest) -> Reply:
        bridge = self._bridge(request)
        rate = self._rate(request.parameters, "announcer_format")
        guest = bridge.guest("Announcer/ARI") or Guest(bridge, "Announcer/ARI", rate=rate or 8000)
        guest.go_when_done()
        playback = playback_of(self._exchange, guest.channel, request)
        if playback is None:
            raise refuse(500, "Allocation failed", key="error")
        guest.enqueue(playback)
        return ok(playback.snapshot(), status=201, location=f"/ari/playbacks/{quote(playback.id)}")

    def record(self, request: RestRequest) -> Reply:
        bridge = self._bridge(request)
        parameters = request.parameters
        format = parameters.text("format") or ""
        if not is_format(format):  # without any a real 22.10.1 crashes here, which is not modelled
            raise refuse(422, "specified format is unknown on this system")
        rate = self._rate(parameters, "recorder_format")
        guest = Guest(bridge, "Recorder/ARI", rate=rate or rate_of(format))
        guest.go_when_done()
        order = order_of(parameters)
        if order.max_duration < 0 or order.max_silence < 0:
            raise refuse(500, "Error parsing request")
        check_name(self._exchange, order)
        recording = self._exchange.recordings.make(guest.channel, order)
        guest.enqueue(recording)
        return ok(recording.snapshot(), status=201, location=f"/ari/recordings/live/{quote(recording.name)}")

    def _rate(self, parameters: Parameters, name: str) -> int:
        """Samples a second of the codec that is asked for; 0 where none is."""
        codec = parameters.text(name)
        if codec and codec not in CODEC_RATES:
            raise refuse(422, f"specified {name} is unknown on this system")
        return CODEC_RATES[codec] if codec else 0
