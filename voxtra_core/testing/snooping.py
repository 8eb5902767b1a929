"""Snoop channels (``res/res_stasis_snoop.c``).

What is played on one is whispered, and so is what it hears in a bridge. There the others hear what it spies on, frame
by frame, also while a prompt is played to the person it snoops on: the prompt itself has no audio. It can be recorded
just so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..media._audioop import audioop
from .callers import Callee
from .channels import Channel, Place
from .frames import frame_bytes, silence
from .lines import DirectLine
from .people import Person
from .rest import Parameters, refuse

if TYPE_CHECKING:
    from .exchange import Exchange
    from .lines import Line

__all__ = ["Snooping"]

_DIRECTIONS: Final = frozenset({"none", "both", "out", "in"})


class Snooping:
    """A request to snoop, whose parameters are looked at before anybody asks for the channel to snoop on."""

    def __init__(self, exchange: Exchange, id: str, parameters: Parameters) -> None:
        self._exchange = exchange
        self._id = id
        self._spy, self._whisper = (parameters.text(name) or "none" for name in ("spy", "whisper"))
        if self._spy not in _DIRECTIONS:
            raise refuse(400, "Invalid direction specified for spy")
        if self._whisper not in _DIRECTIONS:
            raise refuse(400, "Invalid direction specified for whisper")
        if self._spy == self._whisper == "none":
            raise refuse(400, "Direction must be specified for at least spy or whisper")
        self._app = parameters.text("app") or ""
        if not self._app:
            raise refuse(400, "Application name is required")
        args = parameters.text("appArgs")
        self._args = args.split(",") if args else []

    def make(self, target: Channel) -> Channel:
        """The channel; it enters its application next."""
        exchange = self._exchange
        if self._id in exchange.channels:
            raise refuse(500, "Snoop channel could not be created")
        name = f"Snoop/{target.id}-{exchange.next_snoop_number()}"
        channel = exchange.add_channel(self._id or exchange.new_channel_id(), name, "Up", Place("default", "s"))
        _SnoopLine(exchange, channel, target.line, spy=self._spy, whisper=self._whisper)
        channel.snoops_on = target
        target.snoops.append(channel)
        exchange.agenda.after(0, self._enter(channel))
        exchange.agenda.after(0, lambda: _changed_audio(target))
        return channel

    def _enter(self, channel: Channel) -> Callable[[], None]:
        def enter() -> None:
            if not channel.hung_up:
                self._exchange.enter_stasis(channel, self._app, self._args)

        return enter


class _SnoopLine(DirectLine):
    """A line with nobody at its end: what is played goes to the person who is whispered to, if there is one, and what
    is said there comes from here.
    """

    def __init__(self, exchange: Exchange, channel: Channel, target: Line | None, *, spy: str, whisper: str) -> None:
        rate = target.rate if target is not None else 8000
        super().__init__(exchange, channel, Person(Callee(rate=rate), exchange.agenda))
        self._listener = target if whisper in {"out", "both"} else None
        self._spied_on = target if spy in {"in", "both"} else None
        self._sent_there = bytearray()
        self._target = target
        self._hooks = (spy != "none") + (whisper != "none")
        self._hears_sent = spy in {"out", "both"}
        if target is not None and spy in {"out", "both"}:
            target.taps.append(self._tap)

    @property
    def sends_silence(self) -> bool:
        """While the channel that it snoops on is there."""
        return self._target is not None and not self._target.channel.hung_up

    def frame(self, tick: int) -> bytes | None:
        """What is said there, to there, or both."""
        said = self._spied_on.frame(tick) if self._spied_on is not None else None
        size = frame_bytes(self.rate)
        heard, self._sent_there = bytes(self._sent_there[:size]), self._sent_there[size:]
        if not heard:
            return said
        heard += silence(size - len(heard))
        return heard if said is None else audioop.add(said, heard, 2)

    def is_heard_from(self, tick: int) -> bool:
        """Whether anything is said there."""
        return bool(self._sent_there) or (self._spied_on is not None and self._spied_on.is_heard_from(tick))

    @property
    def is_sounding(self) -> bool:
        """Whether anything is said there, or played to there."""
        said = self._spied_on is not None and self._spied_on.is_sounding
        return said or (self._hears_sent and self._target is not None and self._target.is_played_to)

    def watch(self, look: Callable[[], None]) -> None:
        """What changes is there."""
        if self._target is not None:
            self._target.watch(look)

    def unwatch(self, look: Callable[[], None]) -> None:
        """Not any more."""
        if self._target is not None:
            self._target.unwatch(look)

    def receive_audio(self, data: bytes) -> None:
        """What is said in the bridge where it is: whispered."""
        if self._listener is not None:
            self._listener.whisper_audio(data)

    def _tap(self, data: bytes) -> None:
        control = self.channel.control
        if self.channel.bridge is not None or (
            control is not None and control.recording is not None and control.recording.is_writing
        ):
            self._sent_there += data
            self._exchange.frames.look()
        else:
            self._sent_there.clear()

    def released(self, cause: int) -> None:
        """It hears nothing more."""
        if self._target is not None and self._tap in self._target.taps:
            self._target.taps.remove(self._tap)
        super().released(cause)
        if self._target is not None:
            for _ in range(self._hooks):
                _changed_audio(self._target.channel)

    def _update(self) -> None:
        super()._update()
        if self._listener is not None:
            self._listener.whisper(self, self._audible)


def _changed_audio(target: Channel) -> None:
    """Something has been put on it, or taken off."""
    if target.bridge is not None:
        target.bridge.reconsider()
