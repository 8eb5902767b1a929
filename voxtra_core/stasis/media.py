"""The media channels of one application: each gives one call a voice, by way of a bridge of its own.

For a call whose audio is wanted we ask Asterisk for a channel that connects to our port (``externalMedia``), make a
mixing bridge, and put both into it::

    the far end ── the call's channel ══ bridge ══ media channel ── AudioSocket ── us

While Asterisk plays something on the call's channel, it takes it out of the mix. For who listens to a call that is
played to there is another one, its *ear*, with a snoop on the call in its place::

    the far end ── the call's channel ┄┄ snoop ══ bridge ══ media channel ── AudioSocket ── us

A media channel is never taken for a call, and its end is never taken for a call's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import attrs

from ..ari import (
    Bridge,
    BridgeDestroyed,
    Channel,
    ChannelDestroyed,
    ChannelEnteredBridge,
    ChannelLeftBridge,
    Event,
    Request,
    StasisEnd,
    StasisStart,
    bridges,
    channels,
)
from ..call import CallMachine, Pending
from ..call.commands import AskLink, Command, Hangup, Play, Withdraw
from ..call.outage import MAX_REPEATS
from ..effects import LogLevel
from ..errors import AriError, AriNotFound, MediaFailed, OperationTimeout, RequestOutcomeUnknown
from ..media.port import MediaPort
from .media_line import BRIDGE_PREFIX, MEDIA_PREFIX, Ear, Line, Stage, Voice
from .orphans import Ask

__all__ = ["BRIDGE_PREFIX", "MEDIA_PREFIX", "MediaChannels"]

OPEN_TIMEOUT = 10.0
"""Seconds for a media channel to be there, but for the time that the call's channel plays something."""
EAR_TIMEOUT = 0.5
"""Seconds that a prompt waits for an ear."""
EAR_IDLE = 10.0
"""Seconds between two looks whether an ear is still needed."""
DEAF = 30.0
"""Seconds for which a call whose ear has failed is given no other."""
APART = 0.5
"""Seconds for it to be said why a call has left its bridge: as a rule it is just ending, or moving."""
STEADY = 5.0
"""Seconds that a media channel has to last to be opened again when it is lost once more."""

BridgeEvent: TypeAlias = BridgeDestroyed | ChannelEnteredBridge | ChannelLeftBridge

NO_PORT = (
    "Asterisk could not bring audio here: it is on another machine, and this one listens to itself only. Give "
    "VoxtraApp media=AudioSocket(listen='0.0.0.0:9092', address='this-host:9092')"
)


class MediaChannels:
    """All of one application's. ``port`` is where they arrive; without one no audio can be had.

    ``send(call, command)`` sends a call's command, now or later: what it is to play waits for its ear.
    """

    def __init__(
        self,
        port: MediaPort | None,
        ask: Ask,
        *,
        send: Callable[[CallMachine, Command], None],
        app_name: Callable[[], str],
        new_id: Callable[[], str],
        clock: Callable[[], float],
        log: Callable[[LogLevel, str], None],
    ) -> None:
        self.ask = ask
        self.app_name = app_name
        self.clock = clock
        self._port = port
        self._send = send
        self._new_id = new_id
        self._log = log
        self._voices: dict[CallMachine, Voice] = {}
        self._ears: dict[CallMachine, Ear] = {}
        self._deaf: dict[CallMachine, float] = {}  # those whose ear has failed, and until when that counts
        self._by_id: dict[str, Line] = {}
        self._held: dict[CallMachine, list[Command]] = {}
        self._leaving = 0
        self.creations = 0
        """How many requests to make something are under way."""
        self._has_link = True

    def __contains__(self, channel_id: str) -> bool:
        """Whether it is one of ours that is wanted."""
        return channel_id in self._by_id

    @property
    def port(self) -> MediaPort:
        """Where they arrive. Only where there is one."""
        assert self._port is not None
        return self._port

    @property
    def is_cleaning_up(self) -> bool:
        """Whether requests to make or to remove something are under way: what is made is to be removed yet."""
        return self._leaving + self.creations > 0

    @property
    def bridge_ids(self) -> set[str]:
        """The bridges that are in use."""
        return {line.bridge_id for line in self._lines()}

    # ---- operations ------------------------------------------------------------------------------------------------

    def open(self, call: CallMachine, now: float) -> None:
        """The call's audio is wanted, or its readers have changed. What there is already stays."""
        if call.is_over:
            return
        if self._port is None:
            call.media_failed(MediaFailed(NO_PORT), now)
            return
        if call not in self._voices:
            self._begin(Voice(self, call, self._new_id), now)
        if call.is_played_to:
            self._open_ear(call, now)

    def close(self, call: CallMachine, now: float) -> None:
        """The call has ended: its media channels go, too."""
        self._deaf.pop(call, None)
        self._held.pop(call, None)
        for lines in (self._voices, self._ears):
            line = lines.pop(call, None)
            if line is not None:
                self._close(line, now)

    def follow(self, call: CallMachine, now: float) -> None:
        """The call has moved from one bridge with others to another, into the first, or out of the last."""
        voice = self._voices.get(call)
        if voice is not None:
            voice.follow(now)

    def rejoin(self, call: CallMachine, now: float) -> None:
        """The call is back in Stasis, or on another channel, and in the bridge no more."""
        voice = self._voices.get(call)
        if voice is not None and voice.stage in {Stage.JOINING, Stage.OPEN}:
            voice.join(now)
        ear = self._ears.pop(call, None)
        if ear is not None:
            self._close(ear, now)  # it snooped on what is no more; there will be another when it is needed
            self._release(call)

    def holds(self, call: CallMachine, command: Command, now: float) -> bool:
        """Whether this command is kept back for now: what is to be played waits until the call has an ear, and what
        follows waits behind it.
        """
        if isinstance(command, Play) and call in self._voices:
            self._open_ear(call, now)
        held = self._held.get(call)
        if held is None or isinstance(command, Hangup | AskLink):
            return False
        if isinstance(command, Withdraw):
            left = [waiting for waiting in held if waiting.request_id != command.request_id]
            was_held = len(left) < len(held)
            self._held[call] = left
            return was_held
        held.append(command)
        return True

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive_event(self, channel_id: str, event: Event, now: float) -> None:
        """An event about a channel whose id is a media channel's."""
        line = self._by_id.get(channel_id)
        match event:
            case StasisStart() if line is None:  # it was given up before it came
                self.remove(channels.hangup(channel_id), now)
            case StasisStart() if isinstance(line, Voice) and channel_id == line.proxy_id:
                line.proxy_entered(now)
            case StasisStart() if line is not None:
                line.entered(channel_id, now)
            case StasisEnd() | ChannelDestroyed() if isinstance(line, Voice) and channel_id == line.proxy_id:
                if not line.call.is_ending:  # with which it ends
                    line.join(now)
            case StasisEnd() | ChannelDestroyed() if line is not None:
                self.lost(line, "Asterisk has ended the media channel", now)
            case _:
                pass

    def receive_bridge_event(self, event: BridgeEvent, now: float) -> None:
        """Something has happened to a bridge, which may be one of ours."""
        line = next((line for line in self._lines() if line.bridge_id == event.bridge.id), None)
        if line is None:
            return
        if isinstance(event, BridgeDestroyed):
            self.lost(line, "somebody has destroyed its bridge", now)
        elif (
            isinstance(line, Voice)
            and line.stage is Stage.OPEN
            and line.proxy_id is None
            and line.call.bridge is None
            and event.channel is not None
            and event.channel.id == line.call.id
        ):
            line.is_apart = isinstance(event, ChannelLeftBridge)
            line.deadline = now + APART if line.is_apart else None

    def handle_timeout(self, now: float) -> None:
        """Give up what has taken too long, and what is not needed any more."""
        for line in self._lines():
            if line.deadline is None or now < line.deadline:
                continue
            if isinstance(line, Ear) and line.stage is Stage.OPEN:
                self._look_after(line, now)
            elif isinstance(line, Voice) and line.is_apart:
                self._has_come_apart(line, now)
            else:
                self.lost(line, "it took Asterisk too long to bring it about", now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        if not self._by_id:
            return None
        return min((line.deadline for line in self._lines() if line.deadline is not None), default=None)

    def link_lost(self) -> None:
        """Nothing is late until there is a link again, and nothing new is begun."""
        self._has_link = False
        for line in self._lines():
            line.deadline = None
            line.was_interrupted = line.was_interrupted or line.stage in {Stage.MAKING, Stage.JOINING}

    def link_restored(self, now: float) -> None:
        """There is a link again: is everybody still where they were?"""
        self._has_link = True
        for voice in list(self._voices.values()):
            if voice.stage is Stage.OPEN:
                there = self.ask(bridges.get(voice.bridge_id), now)
                there.add_waker(partial(self._looked, voice, there))
            elif voice.stage is Stage.JOINING and voice.proxy_id is not None:
                voice.join(now)  # with another: that this one has come may have gone unheard
        for ear in list(self._ears.values()):
            if ear.stage is Stage.OPEN:
                snooping = self.ask(channels.get(ear.snoop_id), now)
                snooping.add_waker(partial(self._looked_for_snoop, ear, snooping))
                ear.deadline = now + EAR_IDLE
        for line in self._lines():
            if not line.is_expected:
                self._expect(line, now)
            elif line.stage in {Stage.PORT, Stage.MAKING}:
                line.deadline = now + _patience(line)

    # ---- what the lines say ----------------------------------------------------------------------------------------

    def opened(self, line: Line, now: float) -> None:
        """It is there, and everybody is in."""
        if isinstance(line, Voice):
            line.call.media_opened(now)
        else:
            line.deadline = now + EAR_IDLE
            self._release(line.call)

    def lost(self, line: Line, reason: str, now: float, *, was_cut_off: bool = False) -> None:
        """It came to nothing, or is gone. A voice that was open, or whose making an outage has caught, is opened again,
        once; and once more when that has lasted, or there is no link: it waits for one.
        """
        if line.stage is Stage.CLOSED:
            return
        call, was_open = line.call, line.stage is Stage.OPEN
        if isinstance(line, Voice):
            del self._voices[call]
        else:
            del self._ears[call]
        self._close(line, now)
        if not isinstance(line, Voice):
            self._ear_lost(call, reason, now, was_open=was_open)
            return
        may_retry = not line.is_retry or (was_open and now - line.opened_at >= STEADY) or not self._has_link
        was_cut_off = was_cut_off or line.was_interrupted or not self._has_link
        if may_retry and (was_open or was_cut_off) and not call.is_over:
            if was_open:
                self._log(LogLevel.WARNING, f"call {call.id}: its media channel is lost, and opened again: {reason}")
                call.media_lost(reason, now)
            voice = Voice(self, call, self._new_id)
            voice.is_retry = True
            self._begin(voice, now)
        elif not call.is_over:
            self._log(LogLevel.WARNING, f"call {call.id}: no audio: {reason}")
            call.media_failed(MediaFailed(reason), now)

    def new_proxy(self, voice: Voice) -> str:
        """An id for a channel that stands for a call's, which is known from now on."""
        proxy_id = f"{MEDIA_PREFIX}proxy-{self._new_id()}"
        self._by_id[proxy_id] = voice
        return proxy_id

    def dismiss_proxy(self, proxy_id: str) -> None:
        """It is known no more."""
        self._by_id.pop(proxy_id, None)

    def remove(self, request: Request[None], now: float, *, repeats: int = 0) -> None:
        """Have something of ours removed, asking more than once where that is refused; gone already is just as well."""
        self._leaving += 1
        done = self.ask(request, now)
        done.add_waker(partial(self._removed, request, done, repeats))

    # ---- the inside ------------------------------------------------------------------------------------------------

    def _lines(self) -> list[Line]:
        return [*self._voices.values(), *self._ears.values()]

    def _begin(self, line: Line, now: float) -> None:
        call = line.call
        if isinstance(line, Ear):
            self._ears[call] = line
        elif isinstance(line, Voice):
            self._voices[call] = line
        for channel_id in line.channel_ids:
            self._by_id[channel_id] = line
        if self._has_link:
            self._expect(line, now)

    def _expect(self, line: Line, now: float) -> None:
        line.is_expected = True
        line.deadline = now + _patience(line)
        assert line.call.audio is not None
        try:
            self.port.expect(line.line_id, line, line.call.audio.wire, now)
        except ValueError as error:
            self.lost(line, f"{error}", now)

    def _close(self, line: Line, now: float) -> None:
        for channel_id in line.channel_ids:
            del self._by_id[channel_id]
        if isinstance(line, Voice) and line.proxy_id is not None:
            self.dismiss_proxy(line.proxy_id)
        line.close(now)

    def _open_ear(self, call: CallMachine, now: float) -> None:
        is_deaf = now < self._deaf.get(call, now)
        if call in self._ears or is_deaf or call.audio is None or not call.audio.has_readers:
            return
        voice = self._voices.get(call)
        if voice is not None and voice.proxy_id is not None:
            return  # which hears the call, whatever that is played
        self._held[call] = []
        self._begin(Ear(self, call, self._new_id), now)

    def _ear_lost(self, call: CallMachine, reason: str, now: float, *, was_open: bool) -> None:
        if not was_open and not call.is_over:
            self._deaf[call] = now + DEAF
            self._log(LogLevel.WARNING, f"call {call.id}: not heard while something is played to it: {reason}")
        self._release(call)
        if was_open and call.is_played_to and call in self._voices:
            self._open_ear(call, now)

    def _look_after(self, ear: Ear, now: float) -> None:
        """It costs Asterisk and us as much as the voice: it is kept from one prompt to the next, and no longer."""
        call = ear.call
        if call.is_played_to and call.audio is not None and call.audio.has_readers:
            ear.deadline = now + EAR_IDLE
        else:
            del self._ears[call]
            self._close(ear, now)

    def _has_come_apart(self, voice: Voice, now: float) -> None:
        """The bridge has been destroyed, which is seldom told, or somebody has taken the call out of it."""
        voice.is_apart, voice.deadline = False, None
        if voice.call.bridge is None and voice.call.is_moving:
            voice.join(now)
        elif voice.call.in_stasis and not voice.call.is_over and voice.call.bridge is None:
            there = self.ask(bridges.get(voice.bridge_id), now)
            there.add_waker(partial(self._looked, voice, there, was_taken_out=True))

    def _looked_for_snoop(self, ear: Ear, snooping: Pending[Channel]) -> None:
        if ear.stage is Stage.OPEN and isinstance(snooping.error, AriNotFound):
            self.lost(ear, "its snoop is gone", self.clock())

    def _release(self, call: CallMachine) -> None:
        for command in self._held.pop(call, ()):
            self._send(call, attrs.evolve(command, channel_id=call.id))  # by now the call may be on another channel

    def _looked(self, voice: Voice, there: Pending[Bridge], *, was_taken_out: bool = False) -> None:
        call = voice.call
        if voice.stage is not Stage.OPEN:
            return
        if isinstance(there.error, AriNotFound):
            self.lost(voice, "its bridge is gone", self.clock())
        elif there.error is None and call.in_stasis and voice.seat not in there.result().channels:
            if was_taken_out:  # and is not torn away from wherever it is now
                self._fail(voice, "somebody has taken the call out of its bridge")
            else:
                voice.join(self.clock())

    def _fail(self, voice: Voice, reason: str) -> None:
        call, now = voice.call, self.clock()
        self._log(LogLevel.WARNING, f"call {call.id}: no audio: {reason}")
        del self._voices[call]
        self._close(voice, now)
        call.media_failed(MediaFailed(reason), now)

    def _removed(self, request: Request[None], done: Pending[None], repeats: int) -> None:
        self._leaving -= 1
        error = done.error
        if isinstance(error, AriNotFound):
            return
        if isinstance(error, RequestOutcomeUnknown | OperationTimeout | AriError) and repeats < MAX_REPEATS:
            self.remove(request, self.clock(), repeats=repeats + 1)
        elif isinstance(error, AriError):
            self._log(LogLevel.WARNING, f"could not be removed: {request.path}: {error}")
        # without a link, nothing is said: what is left then is found when there is one


def _patience(line: Line) -> float:
    return EAR_TIMEOUT if isinstance(line, Ear) else OPEN_TIMEOUT
