"""The exchange: every channel there is, and what can happen to one, whoever causes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import floor
from typing import Any, Final

import attrs

from .agenda import Agenda
from .applications import Applications
from .bridges import Bridge
from .broadcast import Broadcast, offer
from .callers import Callee, Script
from .channels import Channel, Place, ari_date, cause_text
from .dialplan import Extension
from .external import Door
from .frames import FrameClock
from .outbound import Outbound
from .people import Person
from .playback import Playbacks
from .queues import QueueContext, enter_queue
from .recordings import Recordings
from .stasis import Control
from .talking import TalkDetector

__all__ = ["ASTERISK_ID", "Exchange"]

ASTERISK_ID: Final = "02:00:00:00:00:01"
"""``asterisk_id`` of every event."""

_SYSTEM_NAME: Final = "simulated"

_ROUNDING: Final = 1e-6
"""Seconds by which the sum of two times may be too little."""
_NORMAL_CLEARING: Final = 16
"""The cause of who leaves a bridge for none."""


class Exchange:
    """All the state of one Asterisk. ``send(socket, text)`` puts an event on a socket."""

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        epoch: float,
        sounds: Mapping[str, float],
        send: Callable[[int, str], None],
    ) -> None:
        self.agenda = Agenda()
        self.applications = Applications(self._compose, send)
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.frames = FrameClock(self)
        self.playbacks = Playbacks(self, sounds)
        self.recordings = Recordings(self)
        self.variables: dict[str, str] = {}
        """Global ones."""
        self.callees: dict[str, Callee] = {}
        """By endpoint, as it is dialled."""
        self.contexts: dict[str, str] = {}
        """Likewise, their contexts in the dialplan."""
        self.dialplan: dict[tuple[str, str], Extension] = {}
        """By context and extension."""
        self.outbound: list[Outbound] = []
        """Where Asterisk connects for single calls."""
        self.doors: dict[str, Door] = {}
        """Who listens for AudioSocket connections, by ``host:port``, and"""
        self.default_door: Door | None = None
        """… at any other address."""
        self.people: list[Person] = []
        self.new_id = new_id
        self.asterisk_id = ASTERISK_ID
        self._epoch = epoch
        self.started = self.date()
        self._channels_made = 0
        self._calls_made = 0
        self._snoops_made = 0
        self._guests_made = 0

    def take_over(self, old: Exchange) -> None:
        """Asterisk has been started again, and is this one from now on: those who were on the phone are cut off."""
        self.agenda.run_until(old.agenda.now)
        self.started = self.date()
        self.callees, self.dialplan, self.people = old.callees, old.dialplan, old.people
        self.contexts = old.contexts
        self.doors, self.default_door = old.doors, old.default_door
        self.recordings.take_over(old.recordings)
        self._channels_made = old._channels_made  # the ids of channels hold a second, and could come again
        for person in self.people:
            if person.ended_at is None:
                person.is_cut_off(0)
        for channel in old.channels.values():
            if channel.line is not None:
                channel.line.cut_off()

    # ---- events ------------------------------------------------------------------------------------------------------

    def date(self) -> str:
        """The time of day, as events have it."""
        return ari_date(self._epoch + self.agenda.now)

    def seconds(self) -> int:
        """The calendar's whole seconds: C's ``time()``."""
        return floor(self._epoch + self.agenda.now + _ROUNDING)

    def time_of(self, second: int) -> float:
        """When the calendar's second of that number begins."""
        return second - self._epoch

    def publish(self, channel: Channel, event: str, **fields: Any) -> None:
        """An event of this channel, for everybody who is subscribed to it."""
        self.applications.publish(channel.id, event, {**fields, "channel": channel.snapshot()})

    def publish_media(self, channel: Channel, event: str, fields: dict[str, Any]) -> None:
        """An event of what is played or recorded on this channel, or in the bridge that it works for."""
        if channel.works_for is None:
            self.applications.publish(channel.id, event, fields)
        else:
            self.applications.publish_bridge(channel.works_for.id, event, fields)

    def _compose(self, application: str, event: str, fields: dict[str, Any]) -> str:
        envelope = {"type": event, "timestamp": self.date(), **fields}
        envelope |= {"asterisk_id": ASTERISK_ID, "application": application}
        return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)

    # ---- channels ----------------------------------------------------------------------------------------------------

    def new_channel_id(self) -> str:
        """As Asterisk makes them: system name, second, running number."""
        self._channels_made += 1
        return f"{_SYSTEM_NAME}-{int(self._epoch + self.agenda.now)}.{self._channels_made - 1}"

    def next_call_number(self) -> str:
        """The running number that is part of a channel's name."""
        self._calls_made += 1
        return f"{self._calls_made - 1:08x}"

    def next_snoop_number(self) -> str:
        """Likewise for the channels that snoop."""
        self._snoops_made += 1
        return f"{self._snoops_made - 1:08x}"

    def next_guest_number(self) -> str:
        """Likewise for those that announce or record in bridges."""
        self._guests_made += 1
        return f"{self._guests_made - 1:08x}"

    def add_channel(self, id: str, name: str, state: str, place: Place, **more: Any) -> Channel:
        """A new channel; ``more`` are further attributes of :class:`~.channels.Channel`."""
        channel = Channel(id, name, state, place, self.date(), since=self.agenda.now, **more)
        self.channels[id] = channel
        return channel

    def add_person(self, script: Script) -> Person:
        """Somebody who acts out this script."""
        person = Person(script, self.agenda)
        self.people.append(person)
        return person

    def set_state(self, channel: Channel, state: str) -> None:
        """And say so."""
        channel.state = state
        self.publish(channel, "ChannelStateChange")

    def set_variable(self, channel: Channel, name: str, value: str | None) -> None:
        """Set it, or with ``None`` remove it; only the former is an event.

        ``CALLERID``, ``CONNECTEDLINE``, ``TALK_DETECT`` and ``PJSIP_TRANSFER_HANDLING`` work as functions; others do
        nothing, as in Asterisk those that it doesn't have. ``_`` and ``__`` before a name only say that it is
        inherited.
        """
        if name.endswith(")"):
            self._write_function(channel, name, value or "")
        elif value is None:
            channel.variables.pop(name.lstrip("_"), None)
        else:
            channel.variables[name.lstrip("_")] = value
            self.publish(channel, "ChannelVarset", variable=name, value=value)

    def _write_function(self, channel: Channel, name: str, value: str) -> None:
        function, _, field = name[:-1].partition("(")
        if function == "TALK_DETECT":
            self._detect_talking(channel, field, value)
        elif function == "PJSIP_TRANSFER_HANDLING" and channel.name.startswith("PJSIP/"):
            channel.transfer_handling = value
        field = {"num": "number", "name": "name"}.get(field, "")
        if function == "CALLERID" and field:
            channel.caller = attrs.evolve(channel.caller, **{field: value})
            self.publish_caller_id(channel)
        elif function == "CONNECTEDLINE" and field:
            channel.connected = attrs.evolve(channel.connected, **{field: value})
            self.publish(channel, "ChannelConnectedLine")

    def _detect_talking(self, channel: Channel, action: str, value: str) -> None:
        detector = channel.talk_detector
        if action == "remove" and detector is not None:
            detector.stop()
            channel.talk_detector = None
            self._audio_changed(channel)
        elif action == "set":
            new = detector or TalkDetector(self, channel)
            if new.configure(value) and detector is None:
                channel.talk_detector = new
                self._audio_changed(channel)
                if channel.line is not None and channel.line.is_talking:
                    new.hears(True)

    @staticmethod
    def _audio_changed(channel: Channel) -> None:
        if channel.bridge is not None:
            channel.bridge.reconsider()

    def publish_caller_id(self, channel: Channel) -> None:
        """The caller's name or number has changed."""
        text = "Presentation Allowed, Not Screened"
        self.publish(channel, "ChannelCallerId", caller_presentation=0, caller_presentation_txt=text)

    def answer(self, channel: Channel) -> None:
        """Answer a call that has come in; nothing happens to one that is up."""
        if channel.state != "Up" and not channel.hung_up:
            self.set_state(channel, "Up")
            if channel.line is not None:
                channel.line.answer()

    def hang_up(self, channel: Channel, cause: int) -> None:
        """End it; the ``ChannelHangupRequest`` has been published. A second time nothing happens."""
        if channel.hung_up:
            return
        channel.hung_up = True
        if channel.cause is None:
            channel.cause = cause or (_NORMAL_CLEARING if channel.bridge is not None else 0)
        if channel.attempt is not None:
            channel.attempt.fail(channel.cause)
        elif channel.control is not None:
            channel.control.hang_up()
        elif channel.half_of is not None:
            channel.half_of.end_half(channel.cause)
        else:
            self.destroy(channel)

    def destroy(self, channel: Channel) -> None:
        """It is gone, and what hangs on it."""
        cause = channel.cause or 0
        channel.hung_up = True
        if channel.leaving is not None:
            channel.leaving.cancel()
        if channel.queue is not None:
            channel.queue.hung_up()
        if channel.talk_detector is not None:
            channel.talk_detector.stop()
        if channel.bridge is not None:
            channel.bridge.remove(channel)
        for snoop in channel.snoops:
            self.hang_up(snoop, 16)
        if channel.line is not None:
            channel.line.release(cause)
        if channel.outer_status is not None:
            self.set_variable(channel, "STASISSTATUS", channel.outer_status)
        if not channel.launcher[0]:
            self.publish_dialplan_end(channel)
        channel.runs(*channel.launcher)
        self.publish(channel, "ChannelDestroyed", cause=cause, cause_txt=cause_text(cause))
        del self.channels[channel.id]
        self.applications.forget_channel(channel.id)
        if channel.line is not None:
            channel.line.released(cause)

    def publish_dialplan_end(self, channel: Channel) -> None:
        """The dialplan ends with a soft hangup; its ``cause`` is a flag (``AST_SOFTHANGUP_APPUNLOAD``)."""
        if not channel.dialplan_ended:
            channel.dialplan_ended = True
            self.publish(channel, "ChannelHangupRequest", cause=16, soft=True)

    # ---- where a channel goes ----------------------------------------------------------------------------------------

    def enter_stasis(self, channel: Channel, name: str, args: Sequence[str]) -> None:
        """``Stasis(name,args)``: in, at once or when Asterisk has connected for it; hung up where there is nobody."""
        channel.runs("Stasis", ",".join([name, *args]))
        self.set_variable(channel, "STASISSTATUS", "")
        outbound = next((outbound for outbound in self.outbound if name in outbound.apps), None)
        if self.applications.active(name) is not None:
            self.admit(channel, name, args)
        elif outbound is not None:
            outbound.carry(self, channel, name, args)
        else:
            self.fail_stasis(channel)

    def admit(self, channel: Channel, name: str, args: Sequence[str]) -> bool:
        """Let it into ``Stasis``; with nobody connected for that application only ``STASISSTATUS`` is set."""
        app = self.applications.active(name)
        if app is None:
            self.set_variable(channel, "STASISSTATUS", "FAILED")
            return False
        channel.control = Control(self, channel, app)
        channel.control.tell_start(args)
        return True

    def fail_stasis(self, channel: Channel) -> None:
        """``STASISSTATUS=FAILED``, upon which the dialplan hangs up."""
        if channel.control is not None:
            channel.control.status = "FAILED"
        else:
            self.set_variable(channel, "STASISSTATUS", "FAILED")
        self.hang_up(channel, 16)

    def enter_dialplan(
        self, channel: Channel, context: str, exten: str, priority: int = 1, *, answered: bool = False
    ) -> None:
        """Go on at a place in the dialplan, behind an ``Answer()`` if it was ``answered`` there.

        Hung up where there is none.
        """
        extension = self.dialplan.get((context, exten))
        if extension is None or priority != 1:
            self.hang_up(channel, 16)
            return
        channel.place = Place(context, exten, 2 if answered else 1, extension.application, extension.data)
        if isinstance(extension, QueueContext):
            enter_queue(self, channel, extension)
            return
        self.publish(channel, "ChannelDialplan", dialplan_app=extension.application, dialplan_app_data=extension.data)
        leave = partial(self._leave_dialplan, channel, extension)
        if extension.application == "Stasis":
            name, *args = extension.data.split(",")
            self.enter_stasis(channel, name, args)
        elif extension.application == "StasisBroadcast":
            offer(self, channel, Broadcast.parse(extension.data, leave))
        elif extension.lasts is not None:
            channel.leaving = self.agenda.after(extension.lasts, leave)

    def _leave_dialplan(self, channel: Channel, extension: Extension) -> None:
        channel.place = attrs.evolve(channel.place, priority=channel.place.priority + 1)
        if extension.app:
            self.enter_stasis(channel, extension.app, extension.args)
        else:
            self.hang_up(channel, 16)
