"""A recording of a channel, or of a bridge by the recorder in it (``res/res_stasis_recording.c``,
``ast_play_and_record_full`` in ``main/app.c``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import attrs

from .frames import is_silence
from .sound_files import SoundFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from .agenda import Appointment
    from .channels import Channel
    from .exchange import Exchange

__all__ = ["LiveRecording", "Order", "Outcome", "Recorded"]

Outcome: TypeAlias = Literal[
    "stopped", "cancelled", "hangup", "max-duration", "silence", "key", "failed", "asterisk-restarted"
]
_BEEP: Final = "sound:beep"
_FRAME: Final = 0.02
_KEPT: Final = 0.2
"""Seconds of the silence at the end that are kept, where that has ended it."""


@attrs.define(eq=False)
class Recorded:
    """A recording of a call, as Asterisk saw it. Times are in the simulation's seconds."""

    name: str
    format: str
    start: float
    end: float | None = None
    """``None`` while it is being made."""
    ended: Outcome | None = None
    """How it ended: ``"hangup"`` is the end of the channel that it was made on, whoever brought that."""
    file: SoundFile | None = attrs.field(default=None, repr=False)
    """What it has become, also where it has been deleted; ``None`` where nothing was recorded."""

    @property
    def seconds(self) -> float:
        """How long the file is: without pauses, and without the silence that ended it."""
        return self.file.seconds if self.file is not None else 0.0


@attrs.frozen
class Order:
    """What is asked for. Seconds are whole ones, 0 for none."""

    name: str
    format: str
    max_duration: int = 0
    max_silence: int = 0
    replaces: bool = False
    """A file of that name that is there already, or with :attr:`appends` goes on with it."""
    appends: bool = False
    beep: bool = False
    keys: str = ""
    """Those that end it."""


class LiveRecording:
    """As a command of its channel, which does nothing else meanwhile."""

    def __init__(self, exchange: Exchange, channel: Channel, order: Order) -> None:
        self.order = order
        self.state = "queued"
        """``queued``, ``recording``, ``paused``, ``canceled``, ``done`` or ``failed``."""
        self.file: SoundFile | None = None
        """From when it is being written."""
        self._exchange = exchange
        self._channel = channel
        self._about: dict[str, Any] = {}
        self._finished: Callable[[], None] = lambda: None
        self._recorded: Recorded | None = None
        self._is_muted = False
        self._began = 0  # the calendar's second, moved on by pauses: Asterisk's time()
        self._paused_at = 0
        self._resumed_at: float | None = None
        self._timer: Appointment | None = None
        self._quiet_since: float | None = None
        self._was_quiet = 0.0  # seconds, without the silence that lasts
        self._silence: Appointment | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.order.name

    def snapshot(self) -> dict[str, Any]:
        """The model ``LiveRecording``."""
        order = self.order
        target = self._channel.target_uri
        return {"name": order.name, "format": order.format, "state": self.state, "target_uri": target, **self._about}

    def is_of(self, channel: Channel) -> None:
        """It is one of this call, too."""
        if self._recorded is not None:
            (channel.snoops_on or channel).recordings.append(self._recorded)

    # ---- as a command ------------------------------------------------------------------------------------------------

    def start(self, finished: Callable[[], None]) -> None:
        """Its turn has come, though it may have been stopped: that has no effect on one that is queued."""
        self._finished = finished
        channel, now = self._channel, self._exchange.agenda.now
        self._recorded = Recorded(self.order.name, self.order.format, now)
        for each in [channel] if channel.works_for is None else channel.works_for.members:
            self.is_of(each)
        if channel.bridge is not None:
            self._fail("Cannot record channel while in bridge")
            return
        if channel.state != "Up" and channel.hung_up:
            self._fail("Failed to answer channel")
            return
        self._exchange.answer(channel)
        self.state = "recording"
        self._publish("RecordingStarted")
        rate = channel.line.rate if channel.line is not None else 8000
        self.file = self._recorded.file = self._exchange.recordings.open(self.order, rate)
        if channel.hung_up:
            self._end("hangup")
        elif self.order.beep:
            self._hear(_BEEP)
            self._timer = self._exchange.agenda.after(self._exchange.playbacks.length(_BEEP) or 0.0, self._beeped)
        else:
            self._begin()

    def hang_up(self) -> None:
        """Cut short."""
        self._end("hangup")

    def cut_off(self) -> None:
        """Asterisk is no more; what has been written is."""
        self.write()
        if self._recorded is not None and self._recorded.end is None:
            self._recorded.end, self._recorded.ended = self._exchange.agenda.now, "asterisk-restarted"

    # ---- what one can ask of it --------------------------------------------------------------------------------------

    def stop(self, *, cancel: bool = False) -> None:
        """It ends; cancelled, no file is left. Before its turn this says no more than that it was asked."""
        if self.state == "queued":
            self.state = "canceled"
        elif self.state in {"recording", "paused"}:
            self._exchange.agenda.after(0, lambda: self._end("cancelled" if cancel else "stopped"))

    def control(self, operation: str) -> bool:
        """``pause``, ``unpause``, ``mute`` or ``unmute``; whether the state allows it. To repeat one does nothing."""
        if self.state not in {"recording", "paused"}:
            return False
        now = self._exchange.agenda.now
        match operation:
            case "pause" if self.state == "recording":
                self.write()
                self.state, self._resumed_at, self._paused_at = "paused", None, self._exchange.seconds()
                self._stop_timer()
            case "unpause" if self.state == "paused":
                self.state, self._resumed_at = "recording", now
                self._began += self._exchange.seconds() - self._paused_at
                self._watch_duration()
                self._exchange.frames.look()
            case "mute" | "unmute":
                self._is_muted = operation == "mute"
            case _:
                pass
        return True

    def hears_key(self, digit: str) -> None:
        """The far end has pressed it."""
        if digit.upper() in self.order.keys and self._is_running:
            self._end("key")

    # ---- the audio ---------------------------------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return self._recorded is not None and self._recorded.end is None

    @property
    def is_writing(self) -> bool:
        """Whether what is said now gets into the file."""
        return self._resumed_at is not None

    def needs_frames(self, tick: int) -> bool:
        """Whether there is something to record, in this frame or a later one."""
        line = self._channel.line
        return self.is_writing and line is not None and line.is_heard_from(tick)

    def take(self, tick: int) -> None:
        """A frame has ended."""
        line = self._channel.line
        assert line is not None
        assert self.file is not None
        frame = line.frame(tick)
        self.write()
        if frame is not None and not is_silence(frame):
            if not self._is_muted:
                self.file.parts.append((max(self.file.seconds - _FRAME, 0.0), frame))
            if self._quiet_since is not None and not line.is_sounding:
                self._sounds()
                self._falls_quiet()

    def write(self) -> None:
        """The file is as long as what has been recorded until now."""
        now = self._exchange.agenda.now
        if self._resumed_at is not None and self.file is not None:
            if self._channel.line is None or self._channel.line.is_fed:
                self.file.seconds += now - self._resumed_at
            self._resumed_at = now

    # ---- how it goes -------------------------------------------------------------------------------------------------

    def _beeped(self) -> None:
        self._timer = None
        self._hear(None)
        self._begin()

    def _begin(self) -> None:
        self._resumed_at = self._exchange.agenda.now
        self._began = self._exchange.seconds()
        self._watch_duration()
        if self.order.max_silence and self._channel.line is not None:
            self._channel.line.watch(self._look)
            self._look()
        self._exchange.frames.look()

    def _watch_duration(self) -> None:
        """Its end is with the calendar's second after the last one that is allowed."""
        self._stop_timer()
        if self.order.max_duration:
            due = self._exchange.time_of(self._began + self.order.max_duration + 1)
            self._timer = self._exchange.agenda.at(due, lambda: self._end("max-duration"))

    def _look(self) -> None:
        """Is there anything to be heard?"""
        line = self._channel.line
        assert line is not None
        if line.is_sounding:
            self._sounds()
        elif self._quiet_since is None:
            self._falls_quiet()

    def _sounds(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        if self._quiet_since is not None:
            self._was_quiet += self._exchange.agenda.now - self._quiet_since
        self._quiet_since = self._silence = None

    def _falls_quiet(self) -> None:
        self._quiet_since = self._exchange.agenda.now
        after = self.order.max_silence + _FRAME  # it must be longer than that
        self._silence = self._exchange.agenda.after(after, lambda: self._end("silence"))

    def _fail(self, cause: str) -> None:
        self.state = "failed"
        self._about = {"cause": cause}
        self._is_over("failed", "RecordingFailed")

    def _end(self, how: Outcome) -> None:
        if not self._is_running:
            return
        self.write()
        self._resumed_at = None
        self._hear(None)
        assert self.file is not None
        self._about = self._measured(self.file, how)
        if how == "cancelled":
            self._exchange.recordings.delete(self.file)
        self.state = "done"
        self._is_over(how, "RecordingFinished")

    def _measured(self, file: SoundFile, how: Outcome) -> dict[str, int]:
        """In whole seconds. A silence that has ended it, or is ended by a key, is cut off, all but the beginning."""
        duration = whole = file.duration
        if not self.order.max_silence:
            return {"duration": duration}
        quiet = 0.0 if self._quiet_since is None else self._exchange.agenda.now - self._quiet_since
        if how in {"silence", "key"}:
            too_long = max(quiet - _KEPT, 0.0)
            duration = max(whole - int(too_long), 0)
            file.seconds = max(file.seconds - too_long, 0.0)
        silent = self._was_quiet + (0.0 if how == "silence" else quiet)  # as Asterisk counts it (seen on 22.10.1)
        talking = min(max(whole - int(silent), 0), duration)
        return {"duration": duration, "talking_duration": talking, "silence_duration": duration - talking}

    def _is_over(self, how: Outcome, event: str) -> None:
        self._stop_timer()
        if self._silence is not None:
            self._silence.cancel()
        if self._channel.line is not None:
            self._channel.line.unwatch(self._look)
        assert self._recorded is not None
        self._recorded.end, self._recorded.ended = self._exchange.agenda.now, how
        self._exchange.recordings.remove(self)
        self._publish(event)
        self._finished()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hear(self, uri: str | None) -> None:
        if self.order.beep and self._channel.line is not None:
            self._channel.line.play(uri)

    def _publish(self, event: str) -> None:
        self._exchange.publish_media(self._channel, event, {"recording": self.snapshot()})
