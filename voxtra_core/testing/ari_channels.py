"""``/channels`` (``res/ari/resource_channels.c``), as far as it is modelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from .channels import Channel
from .commands import Do
from .digits import SendDigits
from .external import external_media
from .media_requests import playback_of
from .originate import Origination
from .queues import read_function
from .rest import NO_CONTENT, Handler, Parameters, Reply, RestRequest, atoi, ok, refuse
from .snooping import Snooping
from .stasis import Control

if TYPE_CHECKING:
    from .exchange import Exchange
    from .lines import Line

__all__ = ["channel_handlers", "in_stasis"]

_EXPLICIT_HANGUP: Final = 32
"""``AST_SOFTHANGUP_EXPLICIT``, which stands for the cause in the event that our own hangup causes."""

_HANGUP_REASONS: Final = {
    "normal": 16,
    "busy": 17,
    "congestion": 34,
    "no_answer": 19,
    "timeout": 18,
    "rejected": 21,
    "unallocated": 1,
    "normal_unspecified": 31,
    "number_incomplete": 28,
    "codec_mismatch": 58,
    "interworking": 127,
    "failure": 38,
    "answered_elsewhere": 26,
}
_DIRECTIONS: Final = frozenset({"both", "in", "out"})


def channel_handlers(exchange: Exchange) -> Mapping[tuple[str, str], Handler]:
    """By method and path."""
    resource = _Channels(exchange)
    one = "/channels/{channelId}"
    return {
        ("GET", "/channels"): resource.list,
        ("POST", "/channels"): resource.originate,
        ("POST", "/channels/externalMedia"): lambda request: external_media(exchange, request),
        ("GET", one): resource.get,
        ("POST", one): resource.originate,
        ("DELETE", one): resource.hang_up,
        ("POST", f"{one}/answer"): resource.answer,
        ("POST", f"{one}/continue"): resource.continue_in_dialplan,
        ("POST", f"{one}/move"): resource.move,
        ("POST", f"{one}/dtmf"): resource.send_dtmf,
        ("POST", f"{one}/play"): resource.play,
        ("POST", f"{one}/play/{{playbackId}}"): resource.play,
        ("POST", f"{one}/snoop"): resource.snoop,
        ("POST", f"{one}/snoop/{{snoopId}}"): resource.snoop,
        ("GET", f"{one}/variable"): resource.get_variable,
        ("POST", f"{one}/variable"): resource.set_variable,
        ("POST", f"{one}/mute"): resource.does(_mute(True)),
        ("DELETE", f"{one}/mute"): resource.does(_mute(False)),
        ("POST", f"{one}/moh"): resource.does(_start_music),
        ("DELETE", f"{one}/moh"): resource.does(lambda _: lambda line: line.play_music(None)),
        ("POST", f"{one}/hold"): resource.does(lambda _: lambda line: line.hold(True)),
        ("DELETE", f"{one}/hold"): resource.does(lambda _: lambda line: line.hold(False)),
        ("POST", f"{one}/ring"): resource.does(lambda _: lambda line: line.indicate_ringing(True)),
        ("DELETE", f"{one}/ring"): resource.does(lambda _: lambda line: line.indicate_ringing(False)),
        ("POST", f"{one}/silence"): resource.does(lambda _: lambda line: line.play_silence(True)),
        ("DELETE", f"{one}/silence"): resource.does(lambda _: lambda line: line.play_silence(False)),
        ("POST", f"{one}/progress"): resource.does(lambda _: _nothing),
    }


def _find(exchange: Exchange, request: RestRequest) -> Channel:
    channel = exchange.channels.get(request.ids["channelId"])
    if channel is None:
        raise refuse(404, "Channel not found")
    return channel


def in_stasis(exchange: Exchange, request: RestRequest) -> tuple[Channel, Control]:
    """The channel that a request is about. Raises :class:`~.rest.Refused` for one that takes no commands."""
    channel = _find(exchange, request)
    if channel.control is None:
        raise refuse(409, "Channel not in Stasis application")
    return channel, channel.control


def _nothing(line: Line) -> None:
    """What nobody hears."""


def _mute(on: bool) -> Callable[[Parameters], Callable[[Line], None]]:
    def parse(parameters: Parameters) -> Callable[[Line], None]:
        direction = parameters.text("direction")
        if not direction:
            raise refuse(400, "Direction is required")
        if direction not in _DIRECTIONS:
            raise refuse(400, "Invalid direction specified")
        return lambda line: line.mute(on, direction)

    return parse


def _start_music(parameters: Parameters) -> Callable[[Line], None]:
    music_class = parameters.text("mohClass") or "default"
    return lambda line: line.play_music(music_class)


class _Channels:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _channel(self, request: RestRequest) -> Channel:
        return _find(self._exchange, request)

    def _in_stasis(self, request: RestRequest) -> tuple[Channel, Control]:
        return in_stasis(self._exchange, request)

    # ---- any channel -------------------------------------------------------------------------------------------------

    def list(self, request: RestRequest) -> Reply:
        return ok([channel.snapshot() for channel in self._exchange.channels.values()])

    def get(self, request: RestRequest) -> Reply:
        return ok(self._channel(request).snapshot())

    def originate(self, request: RestRequest) -> Reply:
        channel_id = request.ids.get("channelId") or request.parameters.text("channelId") or ""
        return ok(Origination.read(self._exchange, channel_id, request.parameters).make().snapshot())

    def snoop(self, request: RestRequest) -> Reply:
        snoop_id = request.ids.get("snoopId") or request.parameters.text("snoopId") or ""
        snooping = Snooping(self._exchange, snoop_id, request.parameters)
        target = self._exchange.channels.get(request.ids["channelId"])
        if target is None:
            raise refuse(404, "Provided channel was not found", reason="Channel Not Found")
        return ok(snooping.make(target).snapshot())

    def hang_up(self, request: RestRequest) -> Reply:
        channel = self._channel(request)
        cause = self._hangup_cause(request.parameters)
        self._exchange.publish(channel, "ChannelHangupRequest", cause=_EXPLICIT_HANGUP, soft=True)
        self._exchange.agenda.after(0, lambda: self._exchange.hang_up(channel, cause))
        return NO_CONTENT

    @staticmethod
    def _hangup_cause(parameters: Parameters) -> int:
        reason, code = parameters.text("reason"), parameters.text("reason_code")
        if reason and code:
            raise refuse(400, "The reason and reason_code can't both be specified")
        if code:
            number = atoi(code)
            if number is None:
                raise refuse(400, "Invalid reason for hangup reason code provided", reason="Invalid Reason Code")
            return number
        if reason and reason not in _HANGUP_REASONS:
            raise refuse(400, "Invalid reason for hangup reason provided", reason="Invalid Reason")
        return _HANGUP_REASONS[reason or "normal"]

    def get_variable(self, request: RestRequest) -> Reply:
        name = request.parameters.text("variable")
        if not name:
            raise refuse(400, "Variable name is required")
        channel = self._exchange.channels.get(request.ids["channelId"])
        if channel is None:
            raise refuse(404, "Provided channel was not found", reason="Channel Not Found")
        return ok({"value": self._read_variable(channel, name)})

    def _read_variable(self, channel: Channel, name: str) -> str:
        readable = {
            "CHANNEL": channel.name,
            "CHANNEL(name)": channel.name,
            "CHANNEL(state)": channel.state,
            "CHANNEL(language)": "en",
            "CHANNEL(uniqueid)": channel.id,
            "UNIQUEID": channel.id,
            "CONTEXT": channel.place.context,
            "EXTEN": channel.place.exten,
            "PRIORITY": str(channel.place.priority),
            "CALLERID(num)": channel.caller.number,
            "CALLERID(name)": channel.caller.name,
            "CALLERID(all)": f'"{channel.caller.name}" <{channel.caller.number}>',
            "CALLERID(ani)": channel.caller.number,
            "CALLERID(dnid)": "",
            "CALLERID(rdnis)": "",
            "CONNECTEDLINE(num)": channel.connected.number,
            "CONNECTEDLINE(name)": channel.connected.name,
        }
        value = self._exchange.variables | channel.variables | readable
        if name in value:
            return value[name]
        if (said := read_function(self._exchange, name)) is not None:
            return said
        if name.endswith(")"):
            raise refuse(500, "Unable to read provided function", reason="Error With Function")
        raise refuse(404, "Provided variable was not found", reason="Variable Not Found")

    # ---- a channel in Stasis, answered when it is done ---------------------------------------------------------------

    def answer(self, request: RestRequest) -> None:
        channel, control = self._in_stasis(request)

        def answer() -> None:
            if channel.hung_up:
                request.reply_later(refuse(500, "Failed to answer channel").reply)
                return
            self._exchange.answer(channel)
            request.reply_later(NO_CONTENT)

        control.enqueue(Do(answer))

    def set_variable(self, request: RestRequest) -> None:
        name, value = request.parameters.text("variable"), request.parameters.text("value")
        if not name:
            raise refuse(400, "Variable name is required")
        channel, control = self._in_stasis(request)
        # In JSON a value that is no string empties the variable; only one that is missing removes it.
        given = (value or "") if "value" in request.parameters else None

        def set_variable() -> None:
            self._exchange.set_variable(channel, name, given)
            request.reply_later(NO_CONTENT)

        control.enqueue(Do(set_variable))

    # ---- a channel in Stasis, answered before it is done -------------------------------------------------------------

    def does(self, parse: Callable[[Parameters], Callable[[Line], None]]) -> Handler:
        """A handler for what only the far end notices."""

        def handle(request: RestRequest) -> Reply:
            channel, control = self._in_stasis(request)
            act = parse(request.parameters)

            def run() -> None:
                if channel.line is not None:
                    act(channel.line)

            control.enqueue(Do(run))
            return NO_CONTENT

        return handle

    def play(self, request: RestRequest) -> Reply:
        channel, control = self._in_stasis(request)
        for name in ("skipms", "offsetms"):
            if request.parameters.number(name, 0) < 0:
                raise refuse(400, f"{name} cannot be negative")
        playback = playback_of(self._exchange, channel, request)
        if playback is None:
            raise refuse(500, "Failed to queue media for playback")
        control.enqueue(playback)
        return ok(playback.snapshot(), status=201, location=f"/ari/playbacks/{quote(playback.id)}")

    def send_dtmf(self, request: RestRequest) -> Reply:
        channel, control = self._in_stasis(request)
        parameters = request.parameters
        digits = parameters.text("dtmf")
        if not digits:
            raise refuse(400, "DTMF is required")
        command = SendDigits(
            channel,
            self._exchange.agenda,
            digits,
            before=parameters.number("before", 0) / 1000,
            between=(parameters.number("between", 0) or 100) / 1000,
            duration=(parameters.number("duration", 0) or 100) / 1000,
            after=parameters.number("after", 0) / 1000,
        )
        control.enqueue(command)
        return NO_CONTENT

    def move(self, request: RestRequest) -> Reply:
        _, control = self._in_stasis(request)
        app, args = request.parameters.text("app"), request.parameters.text("appArgs")
        if not app:
            # A real 22.10.1 crashes here, which is not modelled.
            raise refuse(400, "Application must be specified")
        control.enqueue(Do(lambda: control.move(app, args.split(",") if args else ())))
        return NO_CONTENT

    def continue_in_dialplan(self, request: RestRequest) -> Reply:
        channel, control = self._in_stasis(request)
        parameters = request.parameters
        label = parameters.text("label") or ""
        if label and not label.isdecimal():
            raise refuse(404, "Requested label can not be found")
        context, extension = parameters.text("context"), parameters.text("extension")
        priority = (atoi(label) or 0) if label else parameters.number("priority", 0)
        if not context and not extension and not priority:
            priority = channel.place.priority + 1
        target = (
            context or channel.place.context,
            extension or ("s" if context else channel.place.exten),
            priority or 1,
        )
        control.enqueue(Do(lambda: control.leave(lambda: self._exchange.enter_dialplan(channel, *target))))
        return NO_CONTENT
