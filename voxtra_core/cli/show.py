"""Calls as they happen, a line each, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Callable

from ..ari import (
    Channel,
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    Dial,
    Event,
    PlaybackFinished,
    PlaybackStarted,
    Request,
    StasisEnd,
    StasisStart,
)
from ..ari.messages import Reply
from ..stasis import CallChanged

__all__ = ["Lines", "Show"]

_SECRET = {"channels.send_dtmf": "digits not shown", "channels.set_channel_var": "value not shown"}


class Lines:
    """Prints lines, each behind the seconds since the first."""

    def __init__(self, write: Callable[[str], object], time: Callable[[], float]) -> None:
        self._write = write
        self._time = time
        self._start: float | None = None

    def add(self, text: str) -> None:
        """Print one."""
        now = self._time()
        if self._start is None:
            self._start = now
        self._write(f"{now - self._start:7.3f}  {text}".rstrip())


class Show:
    """Prints what an application's observer is shown."""

    def __init__(self, write: Callable[[str], object], time: Callable[[], float]) -> None:
        self._write = write
        self._lines = Lines(write, time)

    def __call__(self, what: object) -> None:
        """Print one thing, if it is worth a line."""
        match what:
            case Request():
                self._line("→", what.method, _short_path(what) + _details(what))
            case Reply():
                if what.status >= 300:
                    self._line("←", str(what.status), what.reason)
            case CallChanged():
                end = f", {what.call.end}" if what.call.end else ""
                self._line("●", "call", f"is {what.change.state}{end}")
            case Event():
                described = _describe(what)
                if described is not None:
                    self._line("←", what.type, described)
            case _:
                pass

    def legend(self) -> None:
        """Say how to read the lines."""
        self._write("seconds    → what we ask of Asterisk    ← what it tells us    ● what the call is")

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._line(" ", "", text)

    def _line(self, arrow: str, head: str, rest: str) -> None:
        self._lines.add(f"{arrow} {head:<20} {rest}")


def _short_path(request: Request[object]) -> str:
    """The path, with the UUIDs in our own ids cut to what tells them apart."""
    return "/".join(part if len(part) <= 40 else f"{part[:18]}…{part[-4:]}" for part in request.path.split("/"))


def _details(request: Request[object]) -> str:
    if request.operation in _SECRET:
        return f"  ({_SECRET[request.operation]})"
    shown = [
        f"{name}={value}" for name, value in request.query if name in {"media", "reason", "reason_code", "mohClass"}
    ]
    return f"  {' '.join(shown)}" if shown else ""


def _describe(event: Event) -> str | None:
    match event:
        case StasisStart():
            return f"{_who(event.channel)} dialled {event.channel.dialplan.exten}, {event.channel.state}"
        case ChannelStateChange():
            return f"{_who(event.channel)} is {event.channel.state}"
        case PlaybackStarted() | PlaybackFinished():
            return f"{event.playback.media_uri}  {event.playback.state}"
        case ChannelDtmfReceived():
            return f"{_who(event.channel)} pressed {event.digit}"
        case Dial():
            return event.dialstatus or "dialling"
        case ChannelHangupRequest():
            return f"{_who(event.channel)}{'' if event.soft or event.cause is None else f', cause {event.cause}'}"
        case ChannelDestroyed():
            return f"{_who(event.channel)}, cause {event.cause} {event.cause_txt}"
        case StasisEnd():
            return _who(event.channel)
        case _:
            return None


def _who(channel: Channel) -> str:
    return f"{channel.caller.name or channel.caller.number or channel.name}"
