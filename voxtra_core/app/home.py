"""What calls and bridges ask of the application that they belong to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

import attrs

from ..call import CallMachine, Feed, Pending, SnoopDirection
from ..errors import LocalProtocolError, QueueUnavailable
from ..media.formats import AudioFormat
from ..queueing import QueueEntry
from ..recording import RecordingOptions
from ..session import CallSession, Driver, TransferRequest, TransferRequests
from ..stasis import BridgeMachine, RecordingControl, Subject, Visit
from ..stasis.asked_transfer import AskedTransfer
from ..stasis.transfer import Comfort, Dialled, Transfer
from .registration import Registration
from .versions import FEATURES

if TYPE_CHECKING:
    from ..session.agent import Talking
    from .machine import AppMachine

__all__ = ["Home"]


@attrs.frozen(eq=False)
class Home:
    """What calls and bridges ask of their application; a :class:`~voxtra_core.session.CallHome` and a
    :class:`~voxtra_core.session.BridgeHome`.
    """

    app: AppMachine
    registration: Registration

    @property
    def asterisk_id(self) -> str:
        """Which Asterisk the call is on, where there can be several."""
        return self.registration.asterisk_id

    def late_callback(self, session: CallSession) -> None:
        """A hangup callback has been registered after the end."""
        self.app.late_callback(session, self.registration)

    def wire_format(self, wanted: AudioFormat) -> AudioFormat:
        """What to speak with Asterisk, for somebody who wants this."""
        return self.app.wire_format(wanted)

    def snoop(
        self, session: CallSession, now: float, *, spy: SnoopDirection, whisper: SnoopDirection
    ) -> tuple[CallSession, Pending[None]]:
        """Have a channel of ours snoop on a call: its session, and when it is up."""
        call, pending = self.registration.stasis.snoop(session.machine, now, spy=spy, whisper=whisper)
        return self.app.session_of(call, self.registration), pending

    def check_recording(self, session: CallSession, options: RecordingOptions) -> None:
        """``LocalProtocolError`` where one is being made of it, or has that name."""
        self.registration.stasis.recordings.check(session.machine, options)

    def record(self, session: CallSession, options: RecordingOptions, sink: object, now: float) -> Pending[str]:
        """Record a call; settled with the recording's name when it has begun."""
        recordings = self.registration.stasis.recordings
        return recordings.start(session.machine, self._named(options), now, sink=sink).started

    def record_bridge(self, bridge: BridgeMachine, options: RecordingOptions, sink: object, now: float) -> Pending[str]:
        """Record a bridge; settled with the recording's name when it has begun."""
        recordings = self.registration.stasis.recordings
        return recordings.start_bridge(bridge, self._named(options), now, sink=sink).started

    def _named(self, options: RecordingOptions) -> RecordingOptions:
        return options if options.name else attrs.evolve(options, name=f"voxtra-{self.app.new_name()}")

    def stop_recording(self, subject: Subject, now: float) -> Pending[str] | None:
        """Have its recording end; ``None`` where there is none."""
        recording = self.registration.stasis.recordings.of(subject)
        if recording is None:
            return None
        recording.stop(now)
        return recording.over

    def control_recording(self, subject: Subject, control: RecordingControl, now: float) -> Pending[bool]:
        """Pause it, mute it, or go on; ``False`` where there is none."""
        if isinstance(subject, CallMachine):
            subject.check_alive()
        else:
            subject.check_open()
        recording = self.registration.stasis.recordings.of(subject)
        return Pending.resolved(False) if recording is None else recording.control(control, now)

    def new_bridge(self, now: float, *, is_pair: bool = False, keep: bool = False) -> BridgeMachine:
        """A bridge, being made."""
        return self.registration.stasis.bridges.new(now, is_pair=is_pair, keep=keep)

    def transfer(
        self, session: CallSession, endpoint: str, now: float, *, dialling: Dialled, comfort: Comfort, is_blind: bool
    ) -> Transfer:
        """Dial somebody for a call, to join the two."""
        call = session.machine
        call.check_alive()
        if comfort not in get_args(Comfort):
            raise ValueError(f"comfort must be one of {', '.join(get_args(Comfort))}, not {comfort!r}")
        self.app.check_running()
        self.app.admission.check_room()
        leg, reached = self.registration.stasis.originate(
            endpoint,
            now,
            caller_id=dialling.caller_id if dialling.caller_id is not None else call.caller_id or None,
            timeout=dialling.timeout,
            variables=dialling.variables,
        )
        self.app.admission.place(leg)
        transfer = Transfer(
            call,
            leg,
            reached,
            endpoint=endpoint,
            comfort=comfort,
            is_blind=is_blind,
            new_bridge=partial(self.new_bridge, is_pair=True),
            clock=self.app.time,
        )
        transfer.begin(now)
        return transfer

    def hear_transfer_requests(self, session: CallSession, driver: Driver, now: float) -> Pending[TransferRequests]:
        """Have what a call's far end asks for told to us; settled when it is."""
        self.app.check_running()

        def show(asked: AskedTransfer) -> TransferRequest:
            return TransferRequest(asked, session, driver, self)

        heard = self.registration.stasis.transfer_requests.listen(
            session.machine, show, now, check_release=FEATURES["refer-to-us"].check_release
        )
        return heard.then(lambda feed: TransferRequests(session, feed, driver, self))

    def ignore_transfer_requests(self, session: CallSession, feed: Feed[TransferRequest], now: float) -> None:
        """Nobody wants that feed any more."""
        self.registration.stasis.transfer_requests.stop_listening(session.machine, feed, now)

    def accept_transfer(
        self, asked: AskedTransfer, endpoint: str | None, now: float, *, dialling: Dialled, comfort: Comfort
    ) -> Pending[str]:
        """Do what a far end has asked for: connect those whom it names, or with ``endpoint``."""
        if endpoint is None and asked.target is not None:
            return asked.join(now)
        transferee = asked.check_open(now)
        if endpoint is None:
            raise ValueError(f"endpoint must say whom to dial for {asked.destination!r}: it is no call of ours")
        transfer = self.transfer(
            self.session_of(transferee), endpoint, now, dialling=dialling, comfort=comfort, is_blind=True
        )
        return asked.follow(transfer, now)

    def session_of(self, call: CallMachine) -> CallSession:
        """The session of a call."""
        return self.app.session_of(call, self.registration)

    def check_same_place(self, session: CallSession) -> None:
        """``LocalProtocolError`` for a call that cannot come into a bridge with one of here."""
        self.app.check_running()
        if session.asterisk_id != self.asterisk_id:
            raise LocalProtocolError(f"call {session.id} is on another Asterisk: two of them cannot be bridged")
        if not self.app.knows(session):
            raise LocalProtocolError(f"call {session.id} belongs to another application: it cannot be bridged here")

    def new_talk(self, session: CallSession) -> Talking:
        """A conversation on a call. ``AgentNotConfigured`` where the application has no part of one."""
        return self.app.new_talk(session, self.registration)

    def enter_queue(self, session: CallSession, entry: QueueEntry, now: float) -> Visit:
        """Follow a call that is about to leave for a queue. ``QueueUnavailable`` if it is to come back, and cannot."""
        if entry.come_back and self.registration.is_of_one_call:
            raise QueueUnavailable(
                "a call cannot come back whose Asterisk connects for each call: it would connect for this one again, "
                "while the connection of before is still there (seen on 22.10)"
            )
        return self.registration.stasis.queues.enter(session.machine, entry, now)
