"""``POST /channels/externalMedia`` by AudioSocket (``resource_channels.c``, ``channels/chan_audiosocket.c``).

Asterisk connects when the channel is made: where nobody answers there is none. Then its audio goes both ways, in the
format that was asked for, until either side closes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from .callers import Callee
from .channels import APP_DIAL, Channel, Place
from .dialing import Attempt
from .frames import is_silence
from .lines import DirectLine
from .people import Person
from .rest import Parameters, Refused, Reply, RestRequest, ok, refuse

if TYPE_CHECKING:
    from .exchange import Exchange

__all__ = ["CODEC_RATES", "AudioSocketCall", "Door", "FarEnd", "external_media"]

_LONGEST_ID: Final = 149
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_RATES: Final = {
    "slin": 8000,
    "slin12": 12_000,
    "slin16": 16_000,
    "slin24": 24_000,
    "slin32": 32_000,
    "slin44": 44_100,
    "slin48": 48_000,
    "slin96": 96_000,
    "slin192": 192_000,
}
_OTHERS: Final = {
    **dict.fromkeys(("ulaw", "alaw", "gsm", "g729", "ilbc", "speex"), 8000),
    "g722": 16_000,
    "opus": 48_000,
}
CODEC_RATES: Final = {**_RATES, **_OTHERS}
"""Samples a second of each codec, by the name that requests give it."""
_MOST_WAITING: Final = 5
"""Frames that wait to be mixed; of more the oldest is dropped."""


class FarEnd(Protocol):
    """Whoever Asterisk has connected to."""

    def send_audio(self, data: bytes) -> None:
        """Some audio, at the connection's rate."""

    def send_digit(self, digit: str) -> None:
        """A key."""

    def close(self) -> None:
        """Asterisk closes the connection. It may be closed already."""


Door: TypeAlias = "Callable[[AudioSocketCall], None]"
"""Where Asterisk connects to: accepts the connection, or refuses it, now or later."""


def external_media(exchange: Exchange, request: RestRequest) -> None:
    """Answered when Asterisk has connected, or could not. Raises :class:`~.rest.Refused`."""
    parameters = request.parameters
    address, format_name, uuid = _checked(parameters)
    channel_id = parameters.text("channelId") or ""
    door = exchange.doors.get(address, exchange.default_door)
    if format_name in _OTHERS and door is not None:
        raise refuse(501, f"The simulated Asterisk has no AudioSocket with the format {format_name}")
    if format_name not in _RATES or not _UUID.fullmatch(uuid) or door is None or channel_id in exchange.channels:
        raise _internal_error()
    door(AudioSocketCall(exchange, request, address, uuid, _RATES[format_name], channel_id))


def _checked(parameters: Parameters) -> tuple[str, str, str]:
    """Address, format and UUID; in the order in which Asterisk looks at them."""
    host = parameters.text("external_host") or ""
    transport = parameters.text("transport") or "udp"
    encapsulation = parameters.text("encapsulation") or "rtp"
    connection = parameters.text("connection_type") or "client"
    is_websocket = transport == "websocket"
    if not parameters.text("app"):
        raise refuse(400, "app cannot be empty")
    if len(parameters.text("channelId") or "") > _LONGEST_ID:
        raise refuse(400, f"Uniqueid length exceeds maximum of {_LONGEST_ID}")
    if is_websocket and encapsulation != "none":
        raise refuse(400, "encapsulation must be 'none' for websocket transport")
    if not host and not (is_websocket and connection == "server"):
        raise refuse(400, "external_host is required for all but websocket server connections")
    if not parameters.text("format"):
        raise refuse(400, "format cannot be empty")
    if not is_websocket and ":" not in host:
        raise refuse(400, "external_host must be <host>:<port> for all transports other than websocket")
    if connection == "server" and not is_websocket:
        raise refuse(400, "'server' connection_type can only be used with the websocket transport")
    if encapsulation == "audiosocket":
        if transport != "tcp":
            raise refuse(400, "transport must be 'tcp' for audiosocket encapsulation")
        if not parameters.text("data"):
            raise refuse(400, "data can not be empty")
    elif (encapsulation, transport) in {("rtp", "udp"), ("none", "websocket")}:
        if parameters.text("format") not in CODEC_RATES:
            raise _internal_error()
        raise refuse(501, f"The simulated Asterisk has no external media by {encapsulation} over {transport}")
    else:
        raise refuse(501, "The encapsulation and/or transport is not supported")
    return host, parameters.text("format") or "", parameters.text("data") or ""


def _internal_error() -> Refused:
    return refuse(500, "An internal error prevented this request from being handled")


class AudioSocketCall:
    """Asterisk's end of a connection. Whoever is at the other end says what comes from there."""

    def __init__(
        self, exchange: Exchange, request: RestRequest, address: str, uuid: str, rate: int, channel_id: str
    ) -> None:
        self.address = address
        """``host:port`` that Asterisk connects to."""
        self.uuid = uuid.lower()
        """What it says first."""
        self.rate = rate
        """Of the signed linear audio in both directions, in Hz."""
        self._exchange = exchange
        self._request = request
        self._channel_id = channel_id
        self._line: _AudioSocketLine | None = None
        self._is_settled = False

    @property
    def channel_id(self) -> str:
        """Of its channel; ``""`` while there is none."""
        return self._line.channel.id if self._line is not None else ""

    def refused(self) -> None:
        """Nobody listens there."""
        if not self._is_settled:
            self._is_settled = True
            self._request.reply_later(_internal_error().reply)

    def accepted(self, far: FarEnd) -> None:
        """Asterisk has connected, and said its UUID: there is a channel."""
        if self._is_settled:
            far.close()
        elif self._channel_id in self._exchange.channels:
            self.refused()
            far.close()
        else:
            self._is_settled = True
            self._request.reply_later(self._make(far))

    def audio(self, data: bytes) -> None:
        """Audio has come in, as a rule 20 ms: it goes on at once."""
        if self._line is not None:
            self._line.comes_in(data)

    def hung_up(self) -> None:
        """The connection has been closed, or a hangup been asked for: the channel ends, for no cause."""
        line = self._line
        if line is not None:
            self._exchange.agenda.after(0, lambda: self._exchange.hang_up(line.channel, 0))

    def _make(self, far: FarEnd) -> Reply:
        exchange, parameters = self._exchange, self._request.parameters
        uuid, app_name = parameters.text("data") or "", parameters.text("app") or ""
        channel = exchange.add_channel(
            self._channel_id or exchange.new_channel_id(),
            f"AudioSocket/{self.address}-{uuid}",
            "Down",
            Place("default", "s", 1, *APP_DIAL),
            launcher=APP_DIAL,
        )
        own = {"AUDIOSOCKET_SERVICE": self.address, "AUDIOSOCKET_UUID": uuid}
        channel.variables.update(parameters.variables() | own)
        self._line = _AudioSocketLine(exchange, channel, far, self.rate)
        if (app := exchange.applications.get(app_name)) is not None:
            app.subscribe(channel.id)
        exchange.agenda.after(0, lambda: self._answer(channel, app_name, uuid))
        return ok({**channel.snapshot(), "channelvars": own})

    def _answer(self, channel: Channel, app_name: str, uuid: str) -> None:
        """Such a channel is up as soon as it is dialled."""
        if channel.hung_up:
            return
        exchange = self._exchange
        attempt = Attempt(
            exchange, channel, f"{self.address}/{uuid}", lambda: exchange.enter_stasis(channel, app_name, [uuid]), None
        )
        attempt.begin()
        attempt.answer()


class _AudioSocketLine(DirectLine):
    """A line whose far end is an AudioSocket. It takes frames of silence, too, as nobody else here does."""

    takes_silence = True
    keeps_own_time = True
    sends_silence = False

    def __init__(self, exchange: Exchange, channel: Channel, far: FarEnd, rate: int) -> None:
        super().__init__(exchange, channel, Person(Callee(rate=rate), exchange.agenda))
        self._far = far
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)

    def comes_in(self, data: bytes) -> None:
        """From the other end of the connection."""
        bridge = self.channel.bridge
        if bridge is not None and not bridge.pass_on(self, data) and not is_silence(data):
            self._waiting.append(data)
            self._exchange.frames.look()

    def frame(self, tick: int) -> bytes | None:
        """The next that waits to be mixed."""
        return self._waiting.popleft() if self._waiting else None

    def is_heard_from(self, tick: int) -> bool:
        """Whether there is one."""
        return bool(self._waiting)

    def receive_audio(self, data: bytes) -> None:
        """To the other end of the connection."""
        self._far.send_audio(data)

    def sends_digit(self, digit: str, duration: float) -> None:
        """Likewise."""
        self._far.send_digit(digit)

    def cut_off(self) -> None:
        """Asterisk is gone."""
        self._far.close()

    def release(self, cause: int) -> None:
        """The channel is about to be destroyed: its connection is closed, without a word."""
        self._far.close()
