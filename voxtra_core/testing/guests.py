"""Who is in a bridge for the bridge itself: plays prompts or music there, or records it (``resource_bridges.c``).

Each is a channel of which no client is told. But the members' ``BRIDGEPEER`` names it, it counts where Asterisk chooses
how to mix, and it goes as soon as nobody else is left (seen on 22.10.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

from .callers import Callee
from .channels import Channel, Place
from .commands import Commands
from .frames import frame_bytes, silence
from .lines import DirectLine
from .people import Person
from .recording import LiveRecording

if TYPE_CHECKING:
    from .bridges import Bridge

__all__ = ["Guest", "GuestKind", "GuestLine"]

GuestKind: TypeAlias = Literal["Announcer/ARI", "Announcer/ARI_MOH", "Recorder/ARI"]


class Guest(Commands):
    """One that is in a bridge from the beginning, until it has nothing more to do there."""

    def __init__(self, bridge: Bridge, kind: GuestKind, *, rate: int = 8000) -> None:
        exchange = bridge.exchange
        name = f"{kind}-{exchange.next_guest_number()};2"
        channel = Channel(name, name, "Up", Place("", ""), exchange.date(), works_for=bridge)
        super().__init__(exchange, channel)
        self.kind: GuestKind = kind
        self.line = (RecorderLine if kind == "Recorder/ARI" else GuestLine)(self, bridge, rate)
        self._bridge = bridge
        bridge.admit(self)

    @property
    def channel(self) -> Channel:
        """Its channel, which is not among the exchange's."""
        return self._channel

    @property
    def recording(self) -> LiveRecording | None:
        """What it records at the moment."""
        return self._running if isinstance(self._running, LiveRecording) else None

    def leave(self) -> None:
        """It has been sent away: what it does is cut short, and what waits is run, at once."""
        if not self._channel.hung_up:
            self._channel.hung_up = True
            self._bridge.dismiss(self)
            self._work()

    def go_when_done(self) -> None:
        """It leaves as soon as it has nothing to do, be that because what was asked for is refused."""
        self._wake()

    def _is_there(self) -> bool:
        return True

    def _all_done(self) -> None:
        if not self._channel.hung_up:
            self._channel.hung_up = True
            self._bridge.dismiss(self)


class GuestLine(DirectLine):
    """What is played on it is heard by all in the bridge; it says nothing, and hears nothing."""

    def __init__(self, guest: Guest, bridge: Bridge, rate: int) -> None:
        self._bridge = bridge
        self._guest = guest
        super().__init__(bridge.exchange, guest.channel, Person(Callee(rate=rate), bridge.exchange.agenda))

    @property
    def prompt(self) -> str | None:
        """The URI of the prompt that it plays."""
        return self._prompt

    @property
    def music(self) -> str | None:
        """What music it plays."""
        return self._music

    def _update(self) -> None:
        self._bridge.sound_changed()

    def sound_changed(self) -> None:
        """Of what is played in the bridge."""
        self._changed()

    def receive_audio(self, data: bytes) -> None:
        """Nobody is there to hear it."""

    def sends_digit(self, digit: str, duration: float) -> None:
        """Likewise."""

    # ---- the company -------------------------------------------------------------------------------------------------

    def expects_change(self) -> None:
        """Somebody is about to come in, or to leave."""

    def meets(self, channel: Channel) -> None:
        """A member has come in."""

    def misses(self, channel: Channel) -> None:
        """A member has left."""


class RecorderLine(GuestLine):
    """What is said in the bridge comes out of it, mixed; a prompt that is played there has no audio."""

    def __init__(self, guest: Guest, bridge: Bridge, rate: int) -> None:
        super().__init__(guest, bridge, rate)
        self._heard = bytearray()

    def receive_audio(self, data: bytes) -> None:
        """Kept for the next frame."""
        self._heard += data
        self._exchange.frames.look()

    def frame(self, tick: int) -> bytes | None:
        """What was said."""
        size = frame_bytes(self.rate)
        heard, self._heard = bytes(self._heard[:size]), self._heard[size:]
        return heard + silence(size - len(heard)) if heard else None

    def is_heard_from(self, tick: int) -> bool:
        """Whether there is any of it, in this frame or a later one."""
        return bool(self._heard) or any(line.is_heard_from(tick) for line in self._bridge.speakers)

    @property
    def is_sounding(self) -> bool:
        """Whether anybody says anything, or a prompt or music is played there."""
        return self._bridge.sound is not None or any(line.is_sounding for line in self._bridge.speakers)

    @property
    def is_fed(self) -> bool:
        """Alone in the bridge it gets no frames."""
        return self._bridge.is_company

    def sends_digit(self, digit: str, duration: float) -> None:
        """A key that a member has pressed."""
        if (recording := self._guest.recording) is not None:
            recording.hears_key(digit)

    def watch(self, look: Callable[[], None]) -> None:
        """What changes is at the members' lines, and which they are."""
        super().watch(look)
        for line in self._bridge.lines:
            line.watch(look)

    def unwatch(self, look: Callable[[], None]) -> None:
        """Not any more."""
        super().unwatch(look)
        for line in self._bridge.lines:
            line.unwatch(look)

    # ---- the company -------------------------------------------------------------------------------------------------

    def expects_change(self) -> None:
        """Until now it was as it was."""
        if (recording := self._guest.recording) is not None:
            recording.write()

    def meets(self, channel: Channel) -> None:
        """Whose call is recorded from now on."""
        if (recording := self._guest.recording) is not None:
            recording.is_of(channel)
        if channel.line is not None:
            for look in self._watchers:
                channel.line.watch(look)
        self._changed()

    def misses(self, channel: Channel) -> None:
        """Who says nothing more here."""
        if channel.line is not None:
            for look in self._watchers:
                channel.line.unwatch(look)
        self._changed()
