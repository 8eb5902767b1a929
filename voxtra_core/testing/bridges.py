"""Bridges (``res/res_stasis.c``, ``main/bridge.c``): who is in one, what is said about that, and who hears whom.

Two members hear each other at once, as in ``simple_bridge``; of three and more everybody hears the sum of the others
every 20 ms, as in ``softmix``. While a prompt is played on a member it is out of the mix: it neither hears nor is heard
(no event says so). Music on hold, and silence, are played on a member in it: it hears those and is heard all the same
(seen on 22.10.1). What is played to all of them, or records them, is a channel in it that no client sees
(:mod:`~.guests`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from ..media._audioop import audioop
from .frames import frame_bytes, is_silence, silence

if TYPE_CHECKING:
    from .channels import Channel
    from .exchange import Exchange
    from .guests import Guest, GuestKind
    from .lines import Line

__all__ = ["Bridge", "Manners"]

_FEW: Final = 2
"""Channels that hear each other without a mix, and"""
_MANY: Final = 3
"""… from how many on they are mixed."""


@attrs.frozen
class Manners:
    """How a member is in a bridge."""

    is_mute: bool = False
    """What it says is not heard there, though its keys are."""
    keeps_keys: bool = False
    """The others don't hear its keys."""
    tells_names: bool = True
    """The two who are there when it has come learn who the other is."""


_PLAIN: Final = Manners()


@attrs.define(eq=False)
class Bridge:
    """One that ARI has made. An application hears of it from when the first of its channels has entered it."""

    exchange: Exchange = attrs.field(repr=False)
    id: str
    name: str
    is_holding: bool
    created: str
    """``creationtime``."""
    members: list[Channel] = attrs.field(factory=list)
    """In the order in which they came."""
    guests: list[Guest] = attrs.field(factory=list)
    """Who announces or records here; likewise."""
    lines: list[Line] = attrs.field(factory=list, repr=False)
    """Those of the members."""
    speakers: list[Line] = attrs.field(factory=list, repr=False)
    """Those of the members who are not mute."""
    _technology: str = "simple_bridge"
    _order: list[Channel] = attrs.field(factory=list)
    """All as Asterisk walks through them: the third, for which the technology changes, has come to the front."""
    _manners: dict[Channel, Manners] = attrs.field(factory=dict)
    _is_dissolved: bool = False

    def snapshot(self) -> dict[str, Any]:
        """The model ``Bridge``."""
        return {
            "id": self.id,
            "technology": "holding_bridge" if self.is_holding else self._technology,
            "bridge_type": "holding" if self.is_holding else "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": self.name,
            "channels": [channel.id for channel in self.members],
            "creationtime": self.created,
            "video_mode": "talker",
        }

    # ---- members -----------------------------------------------------------------------------------------------------

    def add(self, channel: Channel, manners: Manners = _PLAIN) -> None:
        """It comes in, and leaves the one where it was. One that is hung up, or has left ``Stasis``, does not."""
        if channel.hung_up or channel.control is None or self.exchange.bridges.get(self.id) is not self:
            return
        if channel.bridge is not None:
            channel.bridge.let_go(channel)
        channel.control.app.subscribe_bridge(self.id)
        for guest in self.guests:
            guest.line.expects_change()
        self.members.append(channel)
        self._manners[channel] = manners
        self._count()
        self._line_up(channel)
        channel.bridge = self
        self._publish("ChannelEnteredBridge", channel)
        self._rearrange(tells_names=manners.tells_names)
        for guest in self.guests:
            guest.line.meets(channel)
        if self.sound is not None and channel.line is not None:
            channel.line.announce(self.sound)
        self.exchange.frames.look()

    def remove(self, channel: Channel) -> None:
        """It leaves. An empty bridge is still there."""
        for guest in self.guests:
            guest.line.expects_change()
        self.members.remove(channel)
        del self._manners[channel]
        self._count()
        self._order.remove(channel)
        channel.bridge = None
        if channel.line is not None:
            channel.line.forget_whisper()
        for each in (channel, *self.members):
            if each.line is not None:
                each.line.forget_paths()
        if channel.variables.get("BRIDGEPEER"):
            self.exchange.set_variable(channel, "BRIDGEPEER", "")
        self._publish("ChannelLeftBridge", channel)
        self._rearrange()
        for guest in self.guests:
            guest.line.misses(channel)
        if self.sound is not None and channel.line is not None:
            channel.line.announce(None)
        self._send_the_lonely_away()

    def let_go(self, channel: Channel) -> None:
        """It leaves, and stays in its application, which hears no more of the bridge on its account.

        Of one that leaves ``Stasis`` the application does hear more (``stasis_app_exec``).
        """
        self.remove(channel)
        if channel.control is not None:
            self.exchange.applications.unsubscribe_bridge(channel.control.app, self.id)

    def destroy(self) -> None:
        """All leave, and it is gone; of which those hear no more who heard of it by a member."""
        self._is_dissolved = True
        for channel in list(self.members):
            self.let_go(channel)
        for guest in list(self.guests):
            guest.leave()
        self._publish("BridgeDestroyed")
        self.exchange.bridges.pop(self.id, None)
        self.exchange.applications.forget_bridge(self.id)

    def _count(self) -> None:
        self.lines = [channel.line for channel in self.members if channel.line is not None]
        self.speakers = [line for line in self.lines if not self._manners[line.channel].is_mute]

    def _line_up(self, channel: Channel) -> None:
        self._order.insert(0 if len(self._order) == _MANY - 1 else len(self._order), channel)

    def _rearrange(self, *, tells_names: bool = True) -> None:
        """After somebody has come or left. The technology is seen in the next event only."""
        for line in self.lines:
            line.company_changed()
        if self._is_dissolved:
            return
        self._technology = "softmix" if len(self._order) >= _MANY else "simple_bridge"
        if len(self._order) >= _FEW and not self.is_holding:
            self._name_peers()
            if tells_names:
                self._introduce()

    def reconsider(self) -> None:
        """What there is on a member's audio has changed: Asterisk looks whether it still mixes in the right way.

        Each is told anew who else is here (seen on 22.10.1).
        """
        if len(self._order) >= _FEW and not self.is_holding:
            self._name_peers()

    def _name_peers(self) -> None:
        for channel in list(self._order):
            if channel.works_for is None:
                others = [other.name for other in self._order if other is not channel]
                self.exchange.set_variable(channel, "BRIDGEPEER", ",".join(others))

    def _introduce(self) -> None:
        """Each of two learns who the other is."""
        if len(self._order) != _FEW:
            return
        for channel, other in zip(reversed(self._order), self._order, strict=True):
            if channel.works_for is None and channel.connected != other.caller:
                channel.connected = other.caller
                self.exchange.publish(channel, "ChannelConnectedLine")
                if channel.line is not None:
                    channel.line.is_told(other.caller)

    def peer_of(self, channel: Channel) -> Channel | None:
        """The other one, where there are two."""
        others = [other for other in self._order if other is not channel]
        return others[0] if len(others) == 1 and others[0].works_for is None else None

    def _publish(self, event: str, channel: Channel | None = None) -> None:
        about = {} if channel is None else {"channel": channel.snapshot()}
        self.exchange.applications.publish_bridge(self.id, event, {"bridge": self.snapshot(), **about})

    # ---- guests ------------------------------------------------------------------------------------------------------

    def guest(self, kind: GuestKind) -> Guest | None:
        """The one of this kind, if there is one."""
        return next((guest for guest in self.guests if guest.kind == kind), None)

    def admit(self, guest: Guest) -> None:
        """It comes in."""
        for other in self.guests:
            other.line.expects_change()
        self.guests.append(guest)
        self._line_up(guest.channel)
        self._rearrange()

    def dismiss(self, guest: Guest) -> None:
        """It leaves."""
        for other in self.guests:
            other.line.expects_change()
        self.guests.remove(guest)
        self._order.remove(guest.channel)
        for line in self.lines:
            line.forget_paths()
        self._rearrange()
        self.sound_changed()
        self._send_the_lonely_away()

    def _send_the_lonely_away(self) -> None:
        if not self.members and not self._is_dissolved:
            for channel in list(self._order):
                for guest in [guest for guest in self.guests if guest.channel is channel]:
                    guest.leave()

    @property
    def is_company(self) -> bool:
        """Whether there is more than one channel here."""
        return len(self._order) >= _FEW

    @property
    def sound(self) -> str | None:
        """What is played to all here: a prompt, or else music."""
        prompts = [guest.line.prompt for guest in self.guests if guest.line.prompt is not None]
        music = [guest.line.music for guest in self.guests if guest.line.music is not None]
        return next(iter(prompts + music), None)

    def sound_changed(self) -> None:
        """Somebody has begun to play something, or ended."""
        for line in self.lines:
            line.announce(self.sound)
        for guest in self.guests:
            guest.line.sound_changed()

    # ---- audio -------------------------------------------------------------------------------------------------------

    def feeds(self, line: Line) -> bool:
        """Whether this member is sent frames all the time: by the other's telephone, or the mix."""
        if self.is_holding or len(self._order) < _FEW:
            return False
        return len(self._order) > _FEW or any(other.sends_silence for other in self.lines if other is not line)

    def needs_frames(self, tick: int) -> bool:
        """Whether anybody here hears anything from this frame on, for which somebody has to keep time."""
        if len(self._order) < _FEW or self.is_holding:
            return False
        lines = self.lines
        if any(line.is_heard_from(tick) for line in self.speakers) or any(line.is_whispered_to for line in lines):
            return True
        return any(line.takes_silence for line in lines) and any(line.sends_silence for line in lines)

    def mix(self, tick: int) -> None:
        """A frame has ended: everybody who is in the mix hears the others'."""
        if not self.needs_frames(tick):
            return
        lines = self._in_the_mix()
        # of two, who sends frames at times of its own is heard at those: pass_on()
        frames = [
            (line, self._frame(line, tick)) for line in lines if len(self._order) > _FEW or not line.keeps_own_time
        ]
        for listener in self._and_guests(lines):
            mixed: bytes | None = None
            for source, frame in frames:
                if source is not listener:
                    heard = listener.path_from(source).convert(frame)
                    mixed = heard if mixed is None else mixed if heard is None else audioop.add(mixed, heard, 2)
            if mixed is None and listener.takes_silence and any(s.sends_silence for s in lines if s is not listener):
                mixed = silence(frame_bytes(listener.rate))
            if mixed is None and listener.is_whispered_to and not listener.is_fed_now:
                mixed = silence(frame_bytes(listener.rate))
            if mixed is not None:
                listener.receive_audio(mixed)

    def _frame(self, line: Line, tick: int) -> bytes | None:
        frame = line.frame(tick)
        return None if self._manners[line.channel].is_mute else frame

    def pass_on(self, source: Line, data: bytes) -> bool:
        """Audio that has come in by itself goes to the other of two. ``False`` where it has to wait to be mixed."""
        if len(self._order) > _FEW:
            return False
        lines = self._in_the_mix()
        if self._manners[source.channel].is_mute:
            data = silence(len(data))
        if source in lines:
            for listener in self._and_guests(lines):
                if listener is not source:
                    heard = listener.path_from(source).convert(None if is_silence(data) else data)
                    if heard is None and listener.takes_silence:
                        heard = silence(2 * round(len(data) / 2 * listener.rate / source.rate))
                    if heard is not None:
                        listener.receive_audio(heard)
        return True

    def pass_on_digit(self, source: Line, digit: str, duration: float) -> None:
        """A key that a member has pressed is heard by the others."""
        lines = self._in_the_mix()
        if source in lines and not self._manners[source.channel].keeps_keys:
            for line in self._and_guests(lines):
                if line is not source:
                    line.sends_digit(digit, duration)

    def _and_guests(self, lines: list[Line]) -> list[Line]:
        return [*lines, *(guest.line for guest in self.guests)] if self.guests else lines

    def _in_the_mix(self) -> list[Line]:
        if self.is_holding:
            return []
        return [
            channel.line
            for channel in self.members
            if channel.line is not None
            and not channel.hung_up
            and channel.control is not None
            and not channel.control.is_playing
        ]
