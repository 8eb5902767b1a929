"""What lies between a channel and the person at its far end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from ..media._audioop import audioop
from .frames import Path, silence
from .transfers import ask_for_transfer

if TYPE_CHECKING:
    from .callers import Refuse
    from .channels import Channel, Party
    from .exchange import Exchange
    from .people import Person

__all__ = ["DirectLine", "Line"]

_JITTER: Final = 0.001
"""Seconds by which a frame may be early."""
_REDIRECTED: Final = 23
_CANCELLED: Final = 127
"""What ``chan_pjsip`` makes of a CANCEL."""


class Line(ABC):
    """One person's connection to one channel. The third person singular is the person; the infinitive is Asterisk."""

    takes_silence = False
    """Whether every frame is passed on to the far end, also of silence."""
    keeps_own_time = False
    """Whether its frames come when they come, and not when a telephone's do."""

    def __init__(self, exchange: Exchange, channel: Channel, person: Person) -> None:
        self.channel = channel
        self.person = person
        self._exchange = exchange
        self._prompt: str | None = None
        self._music: str | None = None
        self._announced: str | None = None  # in the bridge where the channel is
        self._ringing = False
        self._muted = False
        self._voice_muted = False
        self._silence = False
        self._audible: str | None = None
        self._whispers: dict[Line, str] = {}
        self._whispered = bytearray()
        self._fed_until = -inf  # when what has come in so far has been heard
        self._paths: dict[Line, Path] = {}
        self.taps: list[Callable[[bytes], None]] = []
        """Who hears what is sent to the person."""
        self.is_talking = False
        """Whether the person is saying something."""
        self._watchers: list[Callable[[], None]] = []
        channel.line = self
        person.line = self

    # ---- what Asterisk does to the person ----------------------------------------------------------------------------

    def play(self, prompt: str | None) -> None:
        """A prompt begins or, with ``None``, ends. It takes the place of music and ringing, which don't come back."""
        if prompt is not None:
            self._music, self._ringing, self._silence = None, False, False
        self._prompt = prompt
        self._update()

    def play_music(self, music_class: str | None) -> None:
        """Music on hold begins or ends."""
        self._music = None if music_class is None else f"music:{music_class}"
        self._silence = False
        self._update()

    def play_silence(self, on: bool) -> None:
        """Silence begins, and takes the place of music, or ends. It is not heard, but what is whispered over it is."""
        if on:
            self._music = None
        self._silence = on
        self._update()

    def announce(self, what: str | None) -> None:
        """A prompt or music for all who are in the channel's bridge begins or ends."""
        self._announced = what
        self._update()

    def whisper(self, source: Line, what: str | None) -> None:
        """What somebody who snoops plays to the person begins or ends. In place of what it would be mixed with.

        It is heard only while something is sent to the person: it is put into those frames (``ast_write``).
        """
        if what is None:
            self._whispers.pop(source, None)
        else:
            self._whispers[source] = what
        self._update()

    def whisper_audio(self, data: bytes) -> None:
        """Likewise, as audio, at this line's rate. In a bridge it waits for the frame that it is put into."""
        if self._muted or not self._is_sent_frames:
            return
        if self._prompt or self._music or self._silence:
            self.person.hears_audio(data)
        else:
            self._whispered += data
            self._exchange.frames.look()

    def forget_whisper(self) -> None:
        """What waited for a frame comes too late."""
        self._whispered.clear()

    @property
    def is_whispered_to(self) -> bool:
        """Whether a whisper waits for a frame."""
        return bool(self._whispered)

    @property
    def is_fed_now(self) -> bool:
        """Whether a frame is being heard, so that none of silence need come."""
        return self._exchange.agenda.now < self._fed_until

    @property
    def _is_sent_frames(self) -> bool:
        bridge = self.channel.bridge
        is_played_to = self._prompt or self._music or self._silence or self._announced
        return bool(is_played_to) or (bridge is not None and bridge.feeds(self))

    def company_changed(self) -> None:
        """Somebody has come into the channel's bridge, or left it."""
        if self._whispers:
            self._update()

    def indicate_ringing(self, on: bool) -> None:
        """The ringing tone begins or ends."""
        self._ringing = on
        self._update()

    def mute(self, on: bool, direction: str) -> None:
        """Nothing that is played reaches the person (``"out"``), nothing that they say comes in, or ``"both"``."""
        was_muted, was_voice_muted = self._muted, self._voice_muted
        if direction != "in":
            self._muted = on
        if direction != "out":
            self._voice_muted = on
        self._update()
        if (detector := self.channel.talk_detector) is not None and was_voice_muted != self._voice_muted:
            if self._voice_muted:
                detector.stop()
            else:
                detector.resume(self.is_talking)
        is_muted = self._muted or self._voice_muted
        if self.channel.bridge is not None and is_muted != (was_muted or was_voice_muted):
            self.channel.bridge.reconsider()

    def hold(self, on: bool) -> None:
        """The device is told that it is on hold, or is not any more."""
        self.person.is_held(on)

    def answer(self) -> None:
        """The call has been answered by Asterisk."""
        self.indicate_ringing(False)
        self.person.is_answered()
        self._exchange.frames.look()

    def sends_digit(self, digit: str, duration: float) -> None:
        """A tone of so many seconds has reached the person; a silence before it is over."""
        self._silence = False
        self.person.hears_tone(digit)

    def redirect(self) -> None:
        """The person is to call somebody else: a 302, before the answer."""
        self._exchange.publish(self.channel, "ChannelHangupRequest", cause=_REDIRECTED)
        self._exchange.hang_up(self.channel, _REDIRECTED)

    def is_told(self, party: Party) -> None:
        """The other side is somebody else now."""

    def cut_off(self) -> None:
        """Asterisk is no more."""

    def release(self, cause: int) -> None:
        """The channel is about to be destroyed."""

    def released(self, cause: int) -> None:
        """The channel is destroyed."""
        self._prompt = self._music = None
        self._ringing = self._silence = False
        self._whispers.clear()
        self._update()
        self.person.is_cut_off(cause)

    def _update(self) -> None:
        announced = None if self._silence else self._announced
        audible = self._prompt or self._music or announced or ("ringing" if self._ringing else None)
        if self._whispers and self._is_sent_frames:
            audible = next(iter(self._whispers.values()))
        if self._muted:
            audible = None
        if audible != self._audible:
            self._audible = audible
            self.person.hears(audible)

        self._changed()

    # ---- who listens to it ---------------------------------------------------------------------------------------

    @property
    def is_sounding(self) -> bool:
        """Whether anything comes from here at the moment."""
        return self.is_talking and not self._voice_muted

    @property
    def is_played_to(self) -> bool:
        """Whether a prompt or music is being played to the person, of which there is no audio here."""
        return bool(self._prompt or self._music or self._announced) and not self._muted

    def watch(self, look: Callable[[], None]) -> None:
        """Call this whenever that may have changed."""
        self._watchers.append(look)

    def unwatch(self, look: Callable[[], None]) -> None:
        """Not any more."""
        if look in self._watchers:
            self._watchers.remove(look)

    def _changed(self) -> None:
        for look in [*self._watchers]:
            look()

    # ---- audio -------------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        """Of the audio in both directions, signed linear, in Hz."""
        return self.person.rate

    @property
    def is_fed(self) -> bool:
        """Whether frames come that can be recorded."""
        return True

    @property
    def sends_silence(self) -> bool:
        """Whether a frame comes from the far end every 20 ms, also of silence: a telephone that is off the hook."""
        return self.person.is_on_the_line

    def frame(self, tick: int) -> bytes | None:
        """What the person says in this frame, ``None`` for silence."""
        return None if self._voice_muted else self.person.voice.frame(tick)

    def is_heard_from(self, tick: int) -> bool:
        """Whether the person says anything in this frame or a later one."""
        return self.person.voice.is_heard_from(tick)

    def receive_audio(self, data: bytes) -> None:
        """Audio for the person, at this line's rate. What is played on the channel takes its place."""
        whisper = b""
        if self._whispered:
            whisper, self._whispered = bytes(self._whispered[: len(data)]), self._whispered[len(data) :]
        if not (self._muted or self._prompt or self._music or self._silence):
            for tap in self.taps:
                tap(data)
            if whisper:
                data = audioop.add(data, whisper + silence(len(data) - len(whisper)), 2)
            self._fed_until = self._exchange.agenda.now + len(data) / (2 * self.rate) - _JITTER
            self.person.hears_audio(data)

    def path_from(self, source: Line) -> Path:
        """The way of the other's audio to here."""
        path = self._paths.get(source)
        if path is None:
            path = self._paths[source] = Path(source.rate, self.rate)
        return path

    def forget_paths(self) -> None:
        """The others are others now."""
        self._paths.clear()

    # ---- what the person does to Asterisk ----------------------------------------------------------------------------

    def runs(self, app: str, data: str) -> None:
        """Where the person is a piece of dialplan: the application that it comes to."""

    def rings(self) -> None:
        """The phone rings."""
        self.runs("Ringing", "")
        if self.channel.attempt is not None:
            self.channel.attempt.ring()

    def progresses(self) -> None:
        """Early media."""
        self.runs("Progress", "")
        if self.channel.attempt is not None:
            self.channel.attempt.progress()

    def answers(self) -> float:
        """Picks up. Returns the seconds that this takes at most."""
        self.runs("Answer", "")
        if self.channel.attempt is not None:
            self.person.is_answered()
            self.channel.attempt.answer()
        return 0.0

    def presses(self, digit: str, duration: float) -> None:
        """Has pressed a key for so many seconds."""
        self._exchange.publish(self.channel, "ChannelDtmfReceived", digit=digit, duration_ms=round(duration * 1000))
        if self.channel.control is not None and self.channel.control.recording is not None:
            self.channel.control.recording.hears_key(digit)
        if self.channel.bridge is not None:
            self.channel.bridge.pass_on_digit(self, digit, duration)

    def talks(self, on: bool) -> None:
        """Says something from now on, or stops."""
        self.is_talking = on
        if on:
            self._exchange.frames.look()
        if self.channel.talk_detector is not None and not self._voice_muted:
            self.channel.talk_detector.hears(on)
        self._changed()

    def holds(self, on: bool) -> None:
        """Puts us on hold, or takes us back."""
        if on:
            self._exchange.publish(self.channel, "ChannelHold", musicclass=self._held_with)
        else:
            self._exchange.publish(self.channel, "ChannelUnhold")

    def asks_for_transfer(self, to: str) -> None:
        """Wants to be connected to somebody else."""
        ask_for_transfer(self._exchange, self.channel, to)

    @property
    def _held_with(self) -> str:
        """The music that the device asks for: PJSIP's ``moh_suggest``, nothing elsewhere."""
        return "default" if self.channel.name.startswith("PJSIP/") else "N/A"

    @abstractmethod
    def hangs_up(self, cause: int | None) -> None:
        """Hangs up."""

    @abstractmethod
    def refuses(self, how: Refuse) -> None:
        """Does not take the call."""


class DirectLine(Line):
    """A phone or a trunk: the channel is all there is."""

    def hangs_up(self, cause: int | None) -> None:
        """As a SIP phone does: to give up a call that is not answered is a CANCEL, which Asterisk knows no cause for;
        without a cause the channel ends with 0.
        """
        if cause is None and self.channel.state == "Ring" and self.channel.name.startswith("PJSIP/"):
            cause = _CANCELLED
        self._exchange.publish(self.channel, "ChannelHangupRequest", **({} if cause is None else {"cause": cause}))
        self._exchange.hang_up(self.channel, cause or 0)

    def refuses(self, how: Refuse) -> None:
        """The attempt fails; an answered call is hung up with that cause."""
        self.hangs_up(how.cause)
