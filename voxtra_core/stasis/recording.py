"""One recording, from the request for it to its one end. That of a call is made on a snoop of its own, which hears the
call wherever that is::

    the far end ── the call's channel ══ in a bridge, or not
                       ┆
                     snoop ── recording

Asterisk does not record a channel that is in a bridge, nor bridge one that is recorded, and holds up whatever else a
recorded channel is to do; none of it concerns a snoop. A snoop is heard without a gap, silence included, and ends with
the channel that it snoops on. A bridge is recorded as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from ..ari import (
    Channel,
    ChannelDestroyed,
    Event,
    LiveRecording,
    RecordingFailed,
    RecordingFinished,
    RecordingStarted,
    Request,
    StasisEnd,
    StasisStart,
    StoredRecording,
    bridges,
    channels,
    recordings,
)
from ..call import CallMachine, EndedBy, Pending
from ..call.doubt import DOUBT, MISSING
from ..call.outage import MAX_REPEATS
from ..errors import (
    AriConflict,
    AriError,
    AriNotFound,
    BridgeGone,
    CallEnded,
    RecordingNotStarted,
    RequestOutcomeUnknown,
    VoxtraError,
)
from ..recording import RecordingEnd, RecordingOptions
from .bridge import BridgeMachine
from .resync import runs_stasis

if TYPE_CHECKING:
    from .recordings import Recordings

__all__ = ["BridgeRecording", "CallRecording", "Recording", "RecordingControl", "RecordingOver", "Subject"]

START_TIMEOUT = 10.0
"""Seconds for a recording to have begun."""
TELL = 2.0
"""Seconds for Asterisk to say that a recording is over, when it must be: its call has ended, or it was stopped."""
WHY = 0.25
"""Seconds for it to show why one has ended by itself: the end of its call is told after it, as a rule."""
SLACK = 1.0
"""Seconds by which a recording may seem shorter than the longest it may be, and still have ended for that: it never
is in Asterisk, which lets it be up to a second longer (seen on 22.10), but events are late."""
CLOSE = 0.5
"""Likewise, where it may as well have ended for silence; and for a silence itself."""


RecordingControl: TypeAlias = Literal["pause", "unpause", "mute", "unmute"]
CONTROLS: dict[RecordingControl, Callable[[str], Request[None]]] = {
    "pause": recordings.pause,
    "unpause": recordings.unpause,
    "mute": recordings.mute,
    "unmute": recordings.unmute,
}


class Stage(Enum):
    """How far a recording is."""

    SNOOPING = auto()
    """Asterisk has been asked for the snoop, where there is one."""
    STARTING = auto()
    """… and for the recording."""
    RUNNING = auto()
    OVER = auto()


Subject: TypeAlias = CallMachine | BridgeMachine
"""What is recorded."""


@attrs.frozen
class RecordingOver:
    """A recording is over, once and for all."""

    subject: Subject
    options: RecordingOptions
    ended: RecordingEnd
    duration: float | None
    """In seconds, as Asterisk says."""
    clock: float | None
    """In seconds, as seen from here."""
    cause: str = ""
    sink: object = None
    """Whom to tell, as it was given."""


class Recording:
    """One recording, from the request for it to its one end."""

    def __init__(self, owner: Recordings, subject: Subject, options: RecordingOptions, sink: object) -> None:
        self.subject = subject
        self.sink = sink
        self.options = options
        self.stage = Stage.SNOOPING
        self.deadline: float | None = None
        self.started: Pending[str] = Pending(lambda _, now: self.stop(now))
        self.over: Pending[str] = Pending()
        self._owner = owner
        self._started_at = self._finished_at = 0.0
        self._asked: Pending[Any] = Pending()
        self._is_asked_after = False  # it may have begun unheard
        self._is_in_doubt = False  # it may have ended unheard
        self._is_missing = False  # it was asked after, and Asterisk knew nothing of it
        self._repeats = 0
        self._is_left = False  # what it was to be made on has ended
        self._why: RecordingEnd | None = None
        self._finished: LiveRecording | None = None
        self._error: Exception | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.options.name} of {self.subject.id}: {self.stage.name.lower()}>"

    @property
    def is_stopping(self) -> bool:
        """Whether it is to end."""
        return self._why is not None

    # ---- operations ------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Ask for what it needs."""
        raise NotImplementedError

    def stop(self, now: float, why: RecordingEnd = RecordingEnd.STOPPED) -> None:
        """Have it end; where it has not begun, as soon as it has."""
        if self.stage is Stage.OVER or self._why is not None:
            return
        if self._finished is not None:  # it just has, by itself
            self._end(self._reason(), now)
            return
        self._why = why
        if self.stage is Stage.RUNNING:
            self._stop(now)

    def control(self, control: RecordingControl, now: float) -> Pending[bool]:
        """Pause it, mute it, or go on: ``True``, or ``False`` where it is over."""
        outcome = Pending[bool]()
        if self.stage is not Stage.RUNNING:
            outcome.resolve(False)
            return outcome
        asked = self._owner.ask(CONTROLS[control](self.options.name), now)

        def settle() -> None:
            if asked.error is None or isinstance(asked.error, AriNotFound):
                outcome.resolve(asked.error is None)
            else:
                outcome.fail(asked.error)

        asked.add_waker(settle)
        return outcome

    def subject_over(self, now: float) -> None:
        """What it is of has ended, and it with that, as Asterisk says presently; or that is not ours any more."""
        if self.stage is Stage.RUNNING:
            is_stopping, self._why = self._why is not None, self._why or self._with_its_subject
            if self._finished is not None:
                self._end(self._why, now)
            elif self._outlives and not is_stopping:
                self._stop(now)
            else:
                self.deadline = now + TELL
        elif self.stage is Stage.STARTING and self._is_asked_after:
            self.started.fail(self._subject_gone)
            self._is_in_doubt = True
            self._why = self._why or self._with_its_subject
            self.deadline = now + START_TIMEOUT
            self._ask_after(now)
        elif self.stage is not Stage.OVER:
            self._not_started(self._subject_gone, now)

    # ---- what Asterisk says ----------------------------------------------------------------------------------------

    def receive_event(self, event: Event, now: float) -> None:
        """About it, or what it is made on."""
        match event:
            case RecordingStarted():
                self._has_started(now)
            case RecordingFailed(recording=recording) if self.stage is Stage.RUNNING:
                self._end(RecordingEnd.FAILED, now, recording.cause or "")
            case RecordingFailed(recording=recording):
                self._not_started(RecordingNotStarted(f"Asterisk could not record: {recording.cause}"), now)
            case RecordingFinished(recording=recording):
                self._has_started(now)  # one that is over at once may say that alone
                self._has_finished(recording, now)
            case StasisEnd() | ChannelDestroyed() if self.stage is Stage.RUNNING:
                if self._finished is None:
                    self.deadline = now + TELL
            case StasisEnd() | ChannelDestroyed():  # with its call, which is told to be over presently
                self._is_left = True
                self.deadline = now + WHY
            case _:
                pass

    def handle_timeout(self, now: float) -> None:
        """Nothing has been said for too long."""
        self.deadline = None
        if self._finished is not None:
            self._end(self._reason(), now)
        elif self.stage is Stage.RUNNING:
            self._look(now)
        elif self._is_missing and self._repeats < MAX_REPEATS and not (self.started.done or self._is_left):
            self._is_missing, self._error = False, None
            self._repeats += 1
            self._ask_again(now)
        elif self.stage is not Stage.OVER:
            late = RecordingNotStarted("Asterisk did not begin in time, or the snoop is gone")
            is_known = self._is_missing and self._is_left
            self._not_started(late if is_known else self._error or late, now)

    def link_lost(self) -> None:
        """Nothing is late until there is a link again."""
        self.deadline = None
        self._is_in_doubt = self.stage is Stage.RUNNING

    def link_restored(self, now: float) -> None:
        """There is a link again: is it still being made, or has it begun?"""
        if self.stage is Stage.RUNNING:
            self._look(now)
        elif self.stage is not Stage.OVER:
            self.deadline = now + START_TIMEOUT
            if self._asked.done:  # else it waits to be sent, or its answer is to come
                self._ask_after(now)

    def give_up(self, now: float) -> None:
        """Nothing more will be said of it."""
        if self.stage is Stage.RUNNING:
            self._end(self._why or RecordingEnd.UNKNOWN, now, "there was no connection to Asterisk any more")
        elif self.stage is not Stage.OVER:
            self._not_started(RecordingNotStarted("the connection to Asterisk is gone"), now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _ask(self, request: Request[Any], now: float, then: Callable[[Pending[Any]], None]) -> None:
        self._asked = asked = self._owner.ask(request, now)
        asked.add_waker(partial(then, asked))

    def _record(self, now: float) -> None:
        self.stage = Stage.STARTING
        self._started_at = now  # as far as is known
        self._ask(self._request(), now, self._asked_to_record)

    def _asked_to_record(self, asked: Pending[LiveRecording]) -> None:
        if asked.error is not None and self.stage is Stage.STARTING:
            self._refused(asked.error, self._owner.clock())

    def _ask_after(self, now: float) -> None:
        """It may have begun, and the word of that be lost."""
        self._is_asked_after = True
        self._ask(recordings.get_live(self.options.name), now, self._asked_after)

    def _asked_after(self, asked: Pending[LiveRecording]) -> None:
        now = self._owner.clock()
        if self.stage is not Stage.STARTING:
            return
        if isinstance(asked.error, AriNotFound):
            self._ask(recordings.get_stored(self.options.name), now, self._asked_after_file)
        elif asked.error is None and asked.result().target_uri == self.target_uri:
            self._begun(now)

    def _asked_after_file(self, asked: Pending[StoredRecording]) -> None:
        """It may have begun, and be over."""
        now = self._owner.clock()
        if self.stage is not Stage.STARTING:
            return
        if isinstance(asked.error, AriNotFound):
            self._misses(now)
        elif asked.error is None:
            self._is_in_doubt = True
            self.started.resolve(self.options.name)
            self._end(self._why or RecordingEnd.UNKNOWN, now)

    def _misses(self, now: float) -> None:
        """Asterisk knows nothing of it. The request may be on its way yet; else it never came there."""
        self._is_missing = True
        self.deadline = now + MISSING

    def _ask_again(self, now: float) -> None:
        self.deadline = now + START_TIMEOUT
        self._record(now)

    def _refused(self, error: Exception, now: float) -> None:
        """It comes to nothing; where Asterisk has said so, as a rule because the call is just ending. Where the answer
        was lost it need not.
        """
        is_unsure = isinstance(error, RequestOutcomeUnknown) or (self._repeats and isinstance(error, AriConflict))
        if is_unsure and self.stage is not Stage.OVER:
            self._error = error
            self._ask_after(now)
        elif isinstance(error, AriError) and self.stage is not Stage.OVER:
            self._error = error
            self.deadline = now + (MISSING if isinstance(error, AriNotFound) else WHY if error.status < 500 else DOUBT)
        else:
            self._not_started(error, now)

    def _has_started(self, now: float) -> None:
        if self.stage is Stage.STARTING:
            self._started_at = now
            self._begun(now)

    def _begun(self, now: float) -> None:
        self.stage = Stage.RUNNING
        self.deadline = None
        self.started.resolve(self.options.name)
        if self._why is not None:
            self._stop(now)

    def _not_started(self, error: Exception, now: float) -> None:
        if self.stage is Stage.OVER:
            return
        self.stage = Stage.OVER
        self.started.fail(error)
        self.over.fail(error)
        if self._outlives:
            self._clean_up(now)
        else:
            self._asked.abandon(now)  # what waits to be sent is not: there is nothing to snoop on
        self._owner.forget(self)

    def _stop(self, now: float) -> None:
        self.deadline = now + TELL
        self._ask(recordings.stop(self.options.name), now, self._stopped)

    def _stopped(self, asked: Pending[None]) -> None:
        error = asked.error  # without an answer it is asked after, and stopped again if it is still there
        if isinstance(error, AriError) and not isinstance(error, AriNotFound) and self.stage is Stage.RUNNING:
            self._why = None  # it goes on
            self.deadline = None
            self.over.fail(error)
            self.over = Pending()

    def _has_finished(self, recording: LiveRecording, now: float) -> None:
        if self.stage is not Stage.RUNNING:
            return
        self._finished = recording
        self._finished_at = now
        if self._why is not None:
            self._end(self._why, now)
        else:
            self.deadline = now + WHY

    def _reason(self) -> RecordingEnd:
        options, passed = self.options, self._finished_at - self._started_at
        slack = SLACK if options.max_silence is None else CLOSE
        if options.max_duration is not None and passed >= options.max_duration - slack:
            return RecordingEnd.MAX_DURATION
        if options.max_silence is not None and passed >= options.max_silence - CLOSE:
            return RecordingEnd.SILENCE
        return RecordingEnd.UNKNOWN

    @property
    def _with_its_subject(self) -> RecordingEnd:
        """How it has ended, where what it is of has."""
        options = self.options
        ends_by_itself = options.max_duration is not None or options.max_silence is not None
        return RecordingEnd.UNKNOWN if self._is_in_doubt and ends_by_itself else self._end_of_subject

    def _look(self, now: float) -> None:
        self._ask(recordings.get_live(self.options.name), now, self._looked)

    def _looked(self, asked: Pending[LiveRecording]) -> None:
        now = self._owner.clock()
        if self.stage is not Stage.RUNNING:
            return
        if isinstance(asked.error, AriNotFound):
            self._ask(recordings.get_stored(self.options.name), now, self._looked_for_file)
        elif asked.error is not None:
            self.deadline = now + TELL
        else:
            self._is_in_doubt = False
            if self._why is not None:
                self._stop(now)

    def _looked_for_file(self, asked: Pending[StoredRecording]) -> None:
        if self.stage is not Stage.RUNNING:
            return
        now = self._owner.clock()
        if isinstance(asked.error, AriNotFound):
            self._end(RecordingEnd.FAILED, now, "Asterisk has no file of it")
        elif asked.error is not None:
            self.deadline = now + TELL
        else:
            self._end(self._why or RecordingEnd.UNKNOWN, now)

    def _end(self, why: RecordingEnd, now: float, cause: str = "") -> None:
        self.stage = Stage.OVER
        self.deadline = None
        finished = self._finished
        clock = None if why is RecordingEnd.UNKNOWN or self._is_in_doubt else now - self._started_at
        duration = None if finished is None or finished.duration is None else float(finished.duration)
        self.over.resolve(self.options.name)
        self._clean_up(now)
        self._owner.ended(self, RecordingOver(self.subject, self.options, why, duration, clock, cause, self.sink))

    # ---- what differs ----------------------------------------------------------------------------------------------

    @property
    def target_uri(self) -> str:
        """What Asterisk says that it records."""
        raise NotImplementedError

    @property
    def _end_of_subject(self) -> RecordingEnd:
        raise NotImplementedError

    @property
    def _subject_gone(self) -> VoxtraError:
        """What whoever waits for it to begin is told when it cannot any more."""
        raise NotImplementedError

    @property
    def _outlives(self) -> bool:
        """Whether it goes on without what it is of, as far as that has ended."""
        raise NotImplementedError

    def _request(self) -> Request[LiveRecording]:
        raise NotImplementedError

    def _clean_up(self, now: float) -> None:
        """Leave nothing in Asterisk."""


class CallRecording(Recording):
    """That of a call, on a snoop."""

    def __init__(
        self, owner: Recordings, call: CallMachine, options: RecordingOptions, snoop_id: str, sink: object
    ) -> None:
        super().__init__(owner, call, options, sink)
        self.call = call
        self.snoop_id = snoop_id
        self._has_answered = False  # or will not: it may be there
        self._is_inside = False

    @property
    def target_uri(self) -> str:
        """The snoop's."""
        return f"channel:{self.snoop_id}"

    def begin(self, now: float) -> None:
        """Ask for the snoop."""
        self.deadline = now + START_TIMEOUT
        snoop = channels.snoop_channel_with_id(
            self.call.id,
            self.snoop_id,
            app=self._owner.app_name(),
            spy="in" if self.options.who == "caller" else "both",
        )
        self._ask(snoop, now, self._snooping)

    def receive_event(self, event: Event, now: float) -> None:
        """About the snoop, or the recording itself."""
        if isinstance(event, StasisStart):
            self._is_inside, self._is_left = True, False
            self._go_on(now)
        else:
            super().receive_event(event, now)

    def _snooping(self, asked: Pending[Channel]) -> None:
        now, error = self._owner.clock(), asked.error
        self._has_answered = error is None or isinstance(error, RequestOutcomeUnknown)
        if self.stage is Stage.OVER:
            if error is None:
                self._clean_up(now)
            return
        if self._has_answered:
            self._go_on(now)
        if error is not None and self.stage is Stage.SNOOPING:
            self._refused(error, now)

    def _ask_after(self, now: float) -> None:
        if self.stage is Stage.SNOOPING:
            self._ask(channels.get(self.snoop_id), now, self._asked_after_snoop)
        else:
            super()._ask_after(now)

    def _ask_again(self, now: float) -> None:
        if self.stage is Stage.SNOOPING:
            self.begin(now)
        else:
            super()._ask_again(now)

    def _asked_after_snoop(self, asked: Pending[Channel]) -> None:
        now = self._owner.clock()
        if self.stage is not Stage.SNOOPING:
            return
        if isinstance(asked.error, AriNotFound):
            self._misses(now)
        elif asked.error is None and runs_stasis(asked.result()):
            self._is_inside = True
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self.stage is Stage.SNOOPING and self._has_answered and self._is_inside:
            self._record(now)

    def _request(self) -> Request[LiveRecording]:
        options = self.options
        return channels.record(
            self.snoop_id,
            name=options.name,
            format=options.format,
            max_duration_seconds=options.max_duration,
            max_silence_seconds=options.max_silence,
            if_exists="fail",
        )

    @property
    def _end_of_subject(self) -> RecordingEnd:
        return RecordingEnd.CALL_ENDED

    @property
    def _subject_gone(self) -> VoxtraError:
        assert self.call.end is not None
        return CallEnded(self.call.id, self.call.end)

    @property
    def _outlives(self) -> bool:
        """Whether the snoop has to be hung up: it ends with the channel that it snoops on, and that may outlive the
        call.
        """
        end = self.call.end
        return end is None or end.by in {EndedBy.DIALPLAN, EndedBy.CONNECTION}

    def _clean_up(self, now: float) -> None:
        if self._has_answered and self._outlives:
            self._owner.remove(channels.hangup(self.snoop_id), now)


class BridgeRecording(Recording):
    """That of a bridge: all in it, mixed."""

    @property
    def target_uri(self) -> str:
        """The bridge's."""
        return f"bridge:{self.subject.id}"

    def begin(self, now: float) -> None:
        """Ask for it."""
        self.deadline = now + START_TIMEOUT
        self._record(now)

    def _request(self) -> Request[LiveRecording]:
        options = self.options
        return bridges.record(
            self.subject.id,
            name=options.name,
            format=options.format,
            max_duration_seconds=options.max_duration,
            max_silence_seconds=options.max_silence,
            if_exists="fail",
        )

    @property
    def _end_of_subject(self) -> RecordingEnd:
        return RecordingEnd.BRIDGE_ENDED

    @property
    def _subject_gone(self) -> VoxtraError:
        return BridgeGone(f"bridge {self.subject.id} has been destroyed")

    @property
    def _outlives(self) -> bool:
        return isinstance(self.subject, BridgeMachine) and not self.subject.is_gone

    def _clean_up(self, now: float) -> None:
        """It may be running unheard."""
        if self.started.failed and self._outlives and not isinstance(self._error, AriError):
            self._owner.remove(recordings.stop(self.options.name), now)
