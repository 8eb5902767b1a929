"""The media channels of one application: each gives one call a voice, by way of a bridge of its own.

For a call whose audio is wanted we ask Asterisk for a channel that connects to our port (``externalMedia``), make a
mixing bridge, and put both into it::

    the far end ── the call's channel ══ bridge ══ media channel ── AudioSocket ── us

All three ids are ours, and registered here before the requests leave. A media channel is never taken for a call, and
its end is never taken for a call's.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any

from ..ari import Bridge, Channel, ChannelDestroyed, Event, Request, StasisEnd, StasisStart, bridges, channels
from ..call import CallMachine, Pending
from ..effects import LogLevel
from ..errors import AriError, AriNotFound, MediaFailed, RequestOutcomeUnknown
from ..media.port import MediaPort
from .orphans import Ask

__all__ = ["BRIDGE_PREFIX", "MEDIA_PREFIX", "MediaChannels"]

MEDIA_PREFIX = "voxtra-media-"
"""How the ids of media channels begin."""
BRIDGE_PREFIX = "voxtra-bridge-"
"""How those of our bridges do."""

OPEN_TIMEOUT = 10.0
"""Seconds for a media channel to be there and joined, but for the time that the call's channel plays something."""
STEADY = 5.0
"""Seconds that a media channel has to last to be opened again when it is lost."""


class _Stage(Enum):
    """How far a media channel is."""

    PORT = auto()
    """Our port is not open yet."""
    MAKING = auto()
    """Asterisk has been asked for the channel and the bridge."""
    JOINING = auto()
    """Both are there, and the call is on its way into the bridge; it comes when it is done with what it plays."""
    OPEN = auto()
    """All are in."""
    CLOSED = auto()


class _MediaChannel:
    """One attempt to give a call a voice, from its beginning to its end. A :class:`~voxtra_core.media.port.MediaLine`."""

    def __init__(self, owner: MediaChannels, call: CallMachine, line_id: str, bridge_id: str) -> None:
        self.call = call
        self.line_id = line_id
        self.id = f"{MEDIA_PREFIX}{line_id}"
        self.bridge_id = bridge_id
        self.stage = _Stage.PORT
        self.deadline: float | None = None
        self.opened_at = 0.0
        self.is_retry = False
        self._owner = owner
        assert call.audio is not None
        self._audio = call.audio
        self._is_asked_for = False
        self._in_stasis = False
        self._has_bridge = False
        self._is_connected = False
        self._is_in = False
        self._has_call = False

    def __repr__(self) -> str:
        return f"<media channel of {self.call.id}: {self.stage.name.lower()}>"

    # ---- what its port says ----------------------------------------------------------------------------------------

    def port_ready(self, address: str, now: float) -> None:
        """Ask Asterisk for the channel and the bridge, side by side."""
        if self.stage is not _Stage.PORT:
            return
        self.stage = _Stage.MAKING
        self._is_asked_for = True
        owner = self._owner
        made = owner.ask(
            channels.external_media(
                app=owner.app_name(),
                channel_id=self.id,
                external_host=address,
                encapsulation=owner.port.encapsulation,
                transport=owner.port.transport,
                format=self._audio.wire.name,
                data=self.line_id,
            ),
            now,
        )
        made.add_waker(partial(self._made, made))
        bridged = owner.ask(bridges.create_with_id(self.bridge_id, type="mixing", name=owner.app_name()), now)
        bridged.add_waker(partial(self._bridged, bridged))

    def started(self, now: float) -> None:
        """Asterisk has connected."""
        self._is_connected = True
        self._go_on(now)

    def audio(self, data: bytes, now: float) -> None:
        """The far end's voice."""
        self._audio.receive(data, now)

    def digit(self, digit: str, now: float) -> None:
        """A key, which ARI tells as well."""
        self.call.receive_media_digit(digit, now)

    def next_frame(self) -> bytes | None:
        """Ours."""
        return self._audio.next_frame()

    def ended(self, reason: str, now: float) -> None:
        """The connection is gone, or never was."""
        self._is_connected = False
        self._owner.lost(self, reason, now)

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def entered(self, now: float) -> None:
        """The channel is in our application."""
        self._in_stasis = True
        self._go_on(now)

    def _made(self, made: Pending[Channel]) -> None:
        self._check(made)  # that it is in Stasis is said by its StasisStart

    def _bridged(self, bridged: Pending[Bridge]) -> None:
        self._has_bridge = not isinstance(bridged.error, AriError)
        if self.stage is _Stage.CLOSED:
            self._remove_bridge(self._owner.clock())  # not before: on another connection that could come first
        elif self._check(bridged):
            self._go_on(self._owner.clock())

    def _go_on(self, now: float) -> None:
        if self.stage is not _Stage.MAKING or not (self._in_stasis and self._has_bridge and self._is_connected):
            return
        self.stage = _Stage.JOINING
        joined = self._owner.ask(bridges.add_channel(self.bridge_id, channel=[self.id]), now)
        joined.add_waker(partial(self._came_in, joined))
        self.deadline = None  # the call's own request has one, and does not run while a prompt does
        self.join(now)

    def join(self, now: float) -> None:
        """Have the call come into the bridge; also where it has been there, and has left it."""
        joined = self.call.join_bridge(self.bridge_id, now)
        joined.add_waker(partial(self._joined, joined))

    def _came_in(self, joined: Pending[None]) -> None:
        if self._check(joined):
            self._is_in = True
            self._open()

    def _joined(self, joined: Pending[None]) -> None:
        if self._check(joined):
            self._has_call = True
            self._open()

    def _open(self) -> None:
        """Audio that is sent before both are in the bridge is lost; either may come last."""
        if self.stage is _Stage.JOINING and self._is_in and self._has_call:
            self.stage = _Stage.OPEN
            self.opened_at = self._owner.clock()
            self.call.media_opened(self.opened_at)

    def _check(self, outcome: Pending[Any]) -> bool:
        """Whether it went well, and is still wanted."""
        if self.stage is _Stage.CLOSED:
            return False
        error = outcome.error
        if error is not None and not self.call.is_over:
            was_cut_off = isinstance(error, RequestOutcomeUnknown)
            self._owner.lost(self, f"{error}", self._owner.clock(), was_cut_off=was_cut_off)
        return error is None

    def close(self, now: float) -> None:
        """It is wanted no more: leave nothing in Asterisk."""
        self.stage = _Stage.CLOSED
        self.deadline = None
        self._owner.port.release(self.line_id, now)
        if self._is_asked_for:
            self._owner.remove(channels.hangup(self.id), now)
            self._remove_bridge(now)

    def _remove_bridge(self, now: float) -> None:
        if self._has_bridge:
            self._has_bridge = False
            self._owner.remove(bridges.destroy(self.bridge_id), now)


class MediaChannels:
    """All of one application's. ``port`` is where they arrive; without one no audio can be had."""

    def __init__(
        self,
        port: MediaPort | None,
        ask: Ask,
        *,
        app_name: Callable[[], str],
        new_id: Callable[[], str],
        clock: Callable[[], float],
        log: Callable[[LogLevel, str], None],
    ) -> None:
        self.ask = ask
        self.app_name = app_name
        self.clock = clock
        self._port = port
        self._new_id = new_id
        self._log = log
        self._by_call: dict[CallMachine, _MediaChannel] = {}
        self._by_id: dict[str, _MediaChannel] = {}
        self._leaving = 0

    def __contains__(self, channel_id: str) -> bool:
        """Whether it is one of ours that is wanted."""
        return channel_id in self._by_id

    @property
    def port(self) -> MediaPort:
        """Where they arrive. Only where there is one."""
        assert self._port is not None
        return self._port

    @property
    def under_way(self) -> int:
        """How many requests to remove something are under way."""
        return self._leaving

    def bridge_ids(self) -> set[str]:
        """The bridges that are in use."""
        return {channel.bridge_id for channel in self._by_call.values()}

    # ---- operations ------------------------------------------------------------------------------------------------

    def open(self, call: CallMachine, now: float) -> None:
        """The call's audio is wanted. With a media channel already, nothing happens."""
        if call in self._by_call or call.is_over:
            return
        if self._port is None:
            call.media_failed(MediaFailed("there is nothing here that Asterisk's audio could come to"), now)
            return
        self._begin(call, f"{BRIDGE_PREFIX}{self._new_id()}", now)

    def close(self, call: CallMachine, now: float) -> None:
        """The call has ended, or has left: its media channel goes, too."""
        channel = self._by_call.pop(call, None)
        if channel is not None:
            del self._by_id[channel.id]
            channel.close(now)

    def rejoin(self, call: CallMachine, now: float) -> None:
        """The call is back in Stasis, or on another channel, and in the bridge no more."""
        channel = self._by_call.get(call)
        if channel is not None and channel.stage in {_Stage.JOINING, _Stage.OPEN}:
            channel.join(now)

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive_event(self, channel_id: str, event: Event, now: float) -> None:
        """An event about a channel whose id is a media channel's."""
        channel = self._by_id.get(channel_id)
        if channel is None:
            if isinstance(event, StasisStart):  # it was given up before it came
                self.remove(channels.hangup(channel_id), now)
            return
        match event:
            case StasisStart():
                channel.entered(now)
            case StasisEnd() | ChannelDestroyed():
                self.lost(channel, "Asterisk has ended the media channel", now)
            case _:
                pass

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long."""
        for channel in [each for each in self._by_call.values() if each.deadline is not None and each.deadline <= now]:
            self.lost(channel, f"no media channel within {OPEN_TIMEOUT:g} s", now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        if not self._by_call:
            return None
        return min((each.deadline for each in self._by_call.values() if each.deadline is not None), default=None)

    def link_restored(self, now: float) -> None:
        """There is a link again: is everybody still where they were?"""
        for channel in list(self._by_call.values()):
            if channel.stage is _Stage.OPEN:
                there = self.ask(bridges.get(channel.bridge_id), now)
                there.add_waker(partial(self._looked, channel, there))
            elif channel.stage is not _Stage.JOINING:
                channel.deadline = now + OPEN_TIMEOUT

    def link_lost(self) -> None:
        """Nothing is late until there is a link again."""
        for channel in self._by_call.values():
            channel.deadline = None

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _begin(self, call: CallMachine, bridge_id: str, now: float, *, is_retry: bool = False) -> None:
        channel = _MediaChannel(self, call, self._new_id(), bridge_id)
        channel.is_retry = is_retry
        self._by_call[call] = channel
        self._by_id[channel.id] = channel
        channel.deadline = now + OPEN_TIMEOUT
        assert call.audio is not None
        try:
            self.port.expect(channel.line_id, channel, call.audio.wire, now)
        except ValueError as error:
            self.lost(channel, f"{error}", now)

    def lost(self, channel: _MediaChannel, reason: str, now: float, *, was_cut_off: bool = False) -> None:
        """It came to nothing, or is gone. One that was open, or whose making an outage has caught, is opened again,
        once; and once more when that has lasted.
        """
        if channel.stage is _Stage.CLOSED:
            return
        call, was_open = channel.call, channel.stage is _Stage.OPEN
        self.close(call, now)
        if call.is_over:
            return
        may_retry = not channel.is_retry or (was_open and now - channel.opened_at >= STEADY)
        if may_retry and (was_open or was_cut_off):
            if was_open:
                self._log(LogLevel.WARNING, f"call {call.id}: its media channel is lost, and opened again: {reason}")
                call.media_lost(reason, now)
            self._begin(call, f"{BRIDGE_PREFIX}{self._new_id()}", now, is_retry=True)
        else:
            self._log(LogLevel.WARNING, f"call {call.id}: no audio: {reason}")
            call.media_failed(MediaFailed(reason), now)

    def _looked(self, channel: _MediaChannel, there: Pending[Bridge]) -> None:
        if channel.stage is not _Stage.OPEN:
            return
        if isinstance(there.error, AriNotFound):
            self.lost(channel, "its bridge is gone", self.clock())
        elif there.error is None and channel.call.in_stasis and channel.call.id not in there.result().channels:
            channel.join(self.clock())

    def remove(self, request: Request[None], now: float) -> None:
        """Have something of ours removed; that it is gone already is just as well."""
        self._leaving += 1
        done = self.ask(request, now)
        done.add_waker(partial(self._removed, request, done))

    def _removed(self, request: Request[None], done: Pending[None]) -> None:
        self._leaving -= 1
        # without a link, nothing is said: what is left then is found when there is one
        if isinstance(done.error, AriError) and not isinstance(done.error, AriNotFound):
            self._log(LogLevel.WARNING, f"could not be removed: {request.path}: {done.error}")
