"""What Asterisk sends to each leg of a call: recorded by a stranger, who snoops on the leg's channel."""

from __future__ import annotations

from array import array

import attrs

from voxtra_core import CallSession
from voxtra_core.ari import RecordingFinished, channels, recordings

from .rig import Rig, eventually
from .sound import Sound

__all__ = ["Leg", "strangers"]

WINDOW = 0.2
"""Seconds that are looked at: a pure tone has nearly all the energy of one, or it is not heard in it."""
PURE, TRACE = 0.9, 0.02
"""The share of the energy from which on a tone is heard, and below which it is not."""


def strangers(rig: Rig) -> None:
    """Let the far end keep the channels that it snoops with."""

    @rig.far.default()
    async def keep(call: CallSession) -> None:
        await call.wait_ended()


@attrs.define
class Leg:
    """A channel, and what has been sent to it so far."""

    rig: Rig
    name: str

    @classmethod
    async def of(cls, rig: Rig, channel_id: str) -> Leg:
        """Record what Asterisk sends to a channel from now on, until the channel is gone."""
        leg = cls(rig, f"leg-{channel_id}")
        request = channels.snoop_channel_with_id(channel_id, leg.name, app=rig.far.app_name, spy="out")
        await rig.far.request(request)
        await eventually(lambda: leg.name in rig.far.calls)
        await rig.far.request(channels.record(leg.name, name=leg.name, format="wav"))
        return leg

    async def heard(self) -> Heard:
        """All of it, once the channel is gone."""
        await eventually(lambda: [e for e in self.rig.far_events(RecordingFinished) if e.recording.name == self.name])
        heard = Heard.of(Sound.of(self.rig.asterisk.dir / "var/spool/recording" / f"{self.name}.wav"))
        await self.rig.far.request(recordings.delete_stored(self.name))
        return heard


@attrs.frozen
class Heard:
    """What there was, window by window."""

    windows: tuple[Sound, ...]

    @classmethod
    def of(cls, sound: Sound) -> Heard:
        """Cut into windows."""
        size = round(sound.rate * WINDOW)
        starts = range(0, len(sound.samples) - size + 1, size)
        return cls(tuple(Sound(array("h", sound.samples[start : start + size]), sound.rate) for start in starts))

    def seconds_of(self, hertz: int) -> float:
        """How long this tone was heard, alone."""
        return WINDOW * sum(sound.share_of(hertz) > PURE for sound in self.windows)

    def has_trace_of(self, hertz: int) -> bool:
        """Whether it was heard at all, be it mixed with others."""
        return any(sound.loud_seconds > 0 and sound.share_of(hertz) > TRACE for sound in self.windows)

    def before(self, hertz: int) -> Heard:
        """What there was until a tone began."""
        first = next((n for n, sound in enumerate(self.windows) if sound.share_of(hertz) > TRACE), len(self.windows))
        return Heard(self.windows[:first])

    @property
    def loud_seconds(self) -> float:
        """How much of it is not silence."""
        return sum(sound.loud_seconds for sound in self.windows)
