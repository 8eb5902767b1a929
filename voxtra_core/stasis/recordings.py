"""The recordings of one application."""

from __future__ import annotations

from collections.abc import Callable

from ..ari import (
    ChannelDestroyed,
    Event,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
    Request,
    StasisEnd,
    StasisStart,
)
from ..call import CallMachine
from ..deadlines import soonest
from ..errors import LocalProtocolError
from ..recording import RecordingEnd, RecordingOptions
from .bridge import BridgeMachine
from .orphans import Ask
from .own import RECORDER_PREFIX
from .recording import BridgeRecording, CallRecording, Recording, RecordingControl, RecordingOver, Subject

__all__ = ["Recording", "RecordingControl", "RecordingOver", "Recordings"]


class Recordings:
    """All of one application's: at most one of each call, but for those that are being stopped.

    ``tell(over)`` is called once for each that had begun.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        remove: Callable[[Request[None], float], None],
        app_name: Callable[[], str],
        new_id: Callable[[], str],
        clock: Callable[[], float],
        tell: Callable[[RecordingOver], None],
    ) -> None:
        self.ask = ask
        self.remove = remove
        self.app_name = app_name
        self.clock = clock
        self._new_id = new_id
        self._tell = tell
        self._by_name: dict[str, Recording] = {}
        self._by_snoop: dict[str, Recording] = {}
        self._by_subject: dict[Subject, list[Recording]] = {}

    def __contains__(self, channel_id: str) -> bool:
        """Whether it is a snoop that records."""
        return channel_id in self._by_snoop

    def of(self, subject: Subject) -> Recording | None:
        """What is being made of this call or bridge, and is to go on."""
        return next((each for each in self._by_subject.get(subject, ()) if not each.is_stopping), None)

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._by_name)

    # ---- operations ------------------------------------------------------------------------------------------------

    def start(self, call: CallMachine, options: RecordingOptions, now: float, *, sink: object = None) -> CallRecording:
        """Record a call. ``LocalProtocolError`` where one is being made of it, or has that name."""
        options.check()
        call.check_alive()
        self.check(call, options)
        recording = CallRecording(self, call, options, f"{RECORDER_PREFIX}{self._new_id()}", sink)
        self._by_snoop[recording.snoop_id] = recording
        self._begin(recording, now)
        return recording

    def start_bridge(
        self, bridge: BridgeMachine, options: RecordingOptions, now: float, *, sink: object = None
    ) -> BridgeRecording:
        """Record a bridge, likewise."""
        options.check()
        bridge.check_open()
        self.check(bridge, options)
        recording = BridgeRecording(self, bridge, options, sink)
        self._begin(recording, now)
        return recording

    def check(self, subject: Subject, options: RecordingOptions) -> None:
        """``LocalProtocolError`` where one is being made of it, or has that name."""
        for running in (self.of(subject), self._by_name.get(options.name)):
            if running is not None:
                of = "call" if isinstance(running, CallRecording) else "bridge"
                raise LocalProtocolError(
                    f"recording {running.options.name!r} of {of} {running.subject.id} is under way: stop it first"
                )

    def _begin(self, recording: Recording, now: float) -> None:
        self._by_name[recording.options.name] = recording
        self._by_subject.setdefault(recording.subject, []).append(recording)
        recording.begin(now)

    def subject_over(self, subject: Subject, now: float) -> None:
        """A call, or a bridge, has ended."""
        for recording in [*self._by_subject.get(subject, ())]:
            recording.subject_over(now)

    # ---- inputs ----------------------------------------------------------------------------------------------------

    def receive_event(self, event: Event, now: float) -> None:
        """Any event of the application's."""
        if not self._by_name:
            return
        match event:
            case RecordingStarted() | RecordingFinished() | RecordingFailed():
                recording = self._by_name.get(event.recording.name)
                if recording is not None and event.recording.target_uri == recording.target_uri:
                    recording.receive_event(event, now)
            case StasisStart() | StasisEnd() | ChannelDestroyed():
                recording = self._by_snoop.get(event.channel.id)
                if recording is not None:
                    recording.receive_event(event, now)

    def pressed(self, call: CallMachine, digit: str, now: float) -> None:
        """The far end of a call has pressed a key."""
        for recording in [*self._by_subject.get(call, ())]:
            if digit.upper() in recording.options.terminate_on.upper():
                recording.stop(now, RecordingEnd.KEY)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        for recording in [*self._by_name.values()]:
            if recording.deadline is not None and recording.deadline <= now:
                recording.handle_timeout(now)

    def next_deadline(self) -> float | None:
        """When :meth:`handle_timeout` is wanted."""
        return soonest(recording.deadline for recording in self._by_name.values()) if self._by_name else None

    def link_lost(self) -> None:
        """Nothing is late until there is a link again."""
        for recording in self._by_name.values():
            recording.link_lost()

    def link_restored(self, now: float) -> None:
        """There is a link again."""
        for recording in [*self._by_name.values()]:
            recording.link_restored(now)

    def close(self, now: float) -> None:
        """There will be no link: what has become of them is not to be known."""
        for recording in [*self._by_name.values()]:
            recording.give_up(now)

    # ---- what the recordings say -----------------------------------------------------------------------------------

    def ended(self, recording: Recording, over: RecordingOver) -> None:
        """One is over."""
        self.forget(recording)
        self._tell(over)

    def forget(self, recording: Recording) -> None:
        """One is no more."""
        del self._by_name[recording.options.name]
        if isinstance(recording, CallRecording):
            del self._by_snoop[recording.snoop_id]
        others = [each for each in self._by_subject.pop(recording.subject) if each is not recording]
        if others:
            self._by_subject[recording.subject] = others
