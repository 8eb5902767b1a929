"""Somebody on the phone: acts out a script, and remembers what was heard."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, assert_never

import attrs

from ..media.formats import format_of
from ..media.transcode import Transcoder
from .callers import (
    Answer,
    AskForTransfer,
    HangUp,
    Hold,
    Press,
    Progress,
    Refuse,
    Ring,
    Script,
    Step,
    Talk,
    Wait,
    WaitForAnswer,
    WaitForDigits,
    WaitForPrompt,
    WaitForSpeech,
)
from .frames import Voice, humming
from .hearing import Heard, Hearing
from .speech import Utterance, speak, word_times
from .understanding import Understanding

if TYPE_CHECKING:
    from .agenda import Agenda, Appointment
    from .lines import Line

__all__ = ["Digit", "Heard", "Person"]


_MOMENT = 1e-6
"""Seconds by which sums of times may be off."""


@attrs.frozen
class Digit:
    """A tone that was heard, and when it had ended."""

    digit: str
    at: float


class Person:
    """A running :class:`~.callers.Script`. Everything here is for tests to read."""

    def __init__(self, script: Script, agenda: Agenda) -> None:
        self.script = script
        self.line: Line
        """What joins this person to Asterisk; set before anything else happens."""
        self.rate = script.rate
        """Of the telephone's audio, in Hz."""
        self.heard = Hearing(script.rate)
        """Prompts and music by name, and all audio."""
        self.understood = Understanding(self.heard)
        """The words in that audio."""
        self.voice = Voice(script.rate)
        """What this person says, frame by frame."""
        self.held: list[Heard] = []
        """When the other side had this person on hold; ``what`` is ``"hold"``."""
        self.tones: list[Digit] = []
        """What the other side has sent."""
        self.pressed: list[Digit] = []
        """The keys, each when it was let go."""
        self.sent_to: list[str] = []
        """Where the other side has sent this person, by transfer."""
        self.told: list[str] = []
        """What came of the transfers that this person asked for: ``progress``, ``answered`` and ``declined``."""
        self.takes_referral: Callable[[str, Callable[[], None]], None] | None = None
        """What the telephone does with a REFER, if not what the script says: it is given where to go, and what to call
        when nothing has come of that.
        """
        self.done: list[tuple[float, Step]] = []
        """The steps so far, and when each began."""
        self.answered_at: float | None = None
        """When either side answered."""
        self.ended_at: float | None = None
        self.cause: int | None = None
        """The Q.850 cause the call ended with, when it has."""
        self.hung_up_first = False
        """Whether it was this person who ended the call."""
        self._agenda = agenda
        self.is_idle = False
        """Whether all steps are done, and this person just stays on the line."""
        self._next_step = 0
        self._waits_for: Step | None = None
        self._timer: Appointment | None = None
        self._looks_again: Appointment | None = None
        self._falls_silent: Appointment | None = None
        self._talks_until = 0.0
        self._texts: list[tuple[float, str]] = []  # what was said in words, and when each began
        self._started = 0  # what waits_for_prompt has not yet seen start, and end
        self._ended = 0
        self._digits_taken = 0
        self._told_before = 0  # of transfers asked for earlier

    def __repr__(self) -> str:
        state = "has left" if self.ended_at is not None else "talks" if self.answered_at is not None else "waits"
        return f"<Person on {self.channel_id}: {state}>"

    @property
    def channel_id(self) -> str:
        """The id of the channel that the application sees."""
        return self.line.channel.id

    @property
    def is_on_the_line(self) -> bool:
        """Whether the call has been answered, by either side, and not ended."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def digits(self) -> str:
        """All the tones heard so far."""
        return "".join(tone.digit for tone in self.tones)

    @property
    def heard_speech(self) -> list[Utterance]:
        """What the other side was heard to say, in words."""
        return self.understood.utterances

    @property
    def said(self) -> list[Utterance]:
        """What this person said in words; of what was cut off by the end of the call, the whole words."""
        end = inf if self.ended_at is None else self.ended_at
        said: list[Utterance] = []
        for start, text in self._texts:
            times = word_times(text)
            whole = [word for word in times if start + word.end <= end + _MOMENT]
            if len(whole) == len(times):
                said.append(Utterance(start, round(start + times[-1].end, 6), text))
            elif whole:
                heard = " ".join([word.text for word in whole])
                said.append(Utterance(start, round(start + whole[-1].end, 6), heard))
        return said

    def act(self) -> None:
        """Start with the script."""
        self._go_on()

    def does(self, *steps: Step) -> None:
        """These steps as well, behind those of the script, as soon as this person is free; none where it has ended."""
        if self.script.steps and isinstance(self.script.steps[-1], HangUp | Refuse):
            return
        self.script = self.script.then(*steps)
        if self._waits_for is None and self.is_idle:
            self._go_on()

    # ---- what happens to this person ---------------------------------------------------------------------------------

    def is_answered(self) -> None:
        """Either side has answered."""
        if self.answered_at is None:
            self.answered_at = self._agenda.now
            self._check()

    def hears(self, what: str | None) -> None:
        """From now on this is heard, and nothing else; ``None`` is silence."""
        if self.heard and self.heard[-1].end is None:
            self.heard[-1].end = self._agenda.now
        if what is not None:
            self.heard.append(Heard(what, self._agenda.now))
        self._check()

    def hears_audio(self, data: bytes) -> None:
        """The next of what the other side says; its end is not told."""
        if self.ended_at is None:
            self.heard.put(data, self._agenda.now)
            if isinstance(self._waits_for, WaitForSpeech):
                self._agenda.after(0.0, self._check)  # not now: others are to hear the same frame

    def hears_tone(self, digit: str) -> None:
        """The other side has sent a digit."""
        self.tones.append(Digit(digit, self._agenda.now))
        self._check()

    def is_referred(self, to: str, failed: Callable[[], None]) -> None:
        """The other side sends this person elsewhere; ``failed`` says that it has come to nothing."""
        if self.takes_referral is not None:
            self.takes_referral(to, failed)
        elif self.script.refuses_referrals:
            failed()
        else:
            self.sent_to.append(to)
            self._hang_up(None)

    def hears_of_transfer(self, what: str) -> None:
        """What has become of the transfer that this person asked for; who is connected elsewhere is gone from here."""
        self.told.append(what)
        if isinstance(self._waits_for, AskForTransfer) and what == "answered":
            self._hang_up(None)
        else:
            self._check()

    def is_held(self, on: bool) -> None:
        """The other side puts this person on hold, or takes them back."""
        if self.held and self.held[-1].end is None:
            self.held[-1].end = self._agenda.now
        if on:
            self.held.append(Heard("hold", self._agenda.now))

    def is_cut_off(self, cause: int) -> None:
        """The call is over, whoever ended it."""
        self.hears(None)
        self.is_held(False)
        self.ended_at, self.cause = self._agenda.now, cause
        self._waits_for = None
        self._set_timer(None, None)
        if self._looks_again is not None:
            self._looks_again.cancel()
        self.voice.stop()
        if self._falls_silent is not None:
            self._falls_silent.cancel()

    # ---- the script --------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Run steps until one has to wait for something."""
        self._waits_for = None
        self.is_idle = False
        self._set_timer(None, None)
        steps = self.script.steps
        while self._is_free() and self._next_step < len(steps):
            self._next_step += 1
            self._begin(steps[self._next_step - 1])
        if self._is_free():
            self.is_idle = True
            self.line.runs("Wait", "300")

    def _is_free(self) -> bool:
        """Whether this person can do something now."""
        return self.ended_at is None and not self.hung_up_first and self._waits_for is None

    def _begin(self, step: Step) -> None:
        self.done.append((self._agenda.now, step))
        match step:
            case Ring():
                self.line.rings()
            case Progress():
                self.line.progresses()
            case Answer():
                self._pause(step, self.line.answers())
            case Wait(seconds):
                self.line.runs("Wait", f"{seconds:g}")
                self._pause(step, seconds)
            case (
                WaitForAnswer(timeout)
                | WaitForPrompt(timeout=timeout)
                | WaitForDigits(timeout=timeout)
                | WaitForSpeech(timeout=timeout)
            ):
                self._waits_for = step
                if self._has_come():
                    self._waits_for = None
                else:
                    self._set_timer(timeout, lambda: self._hang_up(16))
            case Press():
                self.line.runs("SendDTMF", f"{step.digits},{step.between * 1000:.0f},{step.duration * 1000:.0f}")
                self._waits_for = step
                self._press(step, 0, step.after)
            case Talk():
                self._talk(step)
            case Hold(on):
                self.line.holds(on)
            case AskForTransfer(to):
                self._waits_for = step
                self._told_before = len(self.told)
                self.line.asks_for_transfer(to)
            case HangUp(cause):
                self._hang_up(cause)
            case Refuse():
                self.hung_up_first = True
                self.line.refuses(step)
            case _:
                assert_never(step)

    def _talk(self, step: Talk) -> None:
        """Say it behind what is being said, if anything is."""
        now = self._agenda.now
        seconds = step.seconds
        if step.words and step.audio is None:
            self._texts.append((round(max(self._talks_until, now), 6), step.words))
            self.voice.say(speak(step.words, format_of("slin", self.rate)).data, now)
        elif step.audio is None:
            self.voice.say(humming(seconds, self.rate), now)
        else:
            transcoder = Transcoder(step.audio.format, format_of("slin", self.rate))
            self.voice.say(transcoder.convert(step.audio.data) + transcoder.flush(), now)
        self._talks_until = max(self._talks_until, now) + seconds
        if self._falls_silent is not None:
            self._falls_silent.cancel()
        self._falls_silent = self._agenda.at(self._talks_until, self._fall_silent)
        self.line.talks(True)
        if step.waits:
            self._pause(step, self._talks_until - now)

    def _fall_silent(self) -> None:
        self._falls_silent = None
        self.line.talks(False)

    def _pause(self, step: Step, seconds: float) -> None:
        if self.ended_at is None:  # who picks up for an application that is not there is hung up at once
            self._waits_for = step
            self._set_timer(seconds, self._go_on)

    def _press(self, step: Press, index: int, pause: float) -> None:
        """Press the key at ``index`` after a pause, then the next one."""
        if index == len(step.digits):
            self._set_timer(pause, self._go_on)
            return

        def let_go() -> None:
            self.pressed.append(Digit(step.digits[index], self._agenda.now))
            self.line.presses(step.digits[index], step.duration)
            self._press(step, index + 1, step.between)

        self._set_timer(pause + step.duration, let_go)

    def _hang_up(self, cause: int | None) -> None:
        self.hung_up_first = True
        self.line.hangs_up(cause)

    def _check(self) -> None:
        """Go on if what the current step waits for has come."""
        if self._has_come():
            self._go_on()

    def _has_come(self) -> bool:
        match self._waits_for:
            case Answer():  # ends with the first frame that comes in
                return bool(self.heard) and self.heard[-1].end is None
            case WaitForAnswer():
                return self.answered_at is not None
            case AskForTransfer():
                return "declined" in self.told[self._told_before :]
            case WaitForPrompt(uri, ended):
                return self._finds(uri, ended)
            case WaitForSpeech(text):
                return self.understood.finds(text) if text else self._has_finished()
            case WaitForDigits(digits):
                position = self.digits.find(digits, self._digits_taken)
                if position >= 0:
                    self._digits_taken = position + len(digits)
                return position >= 0
            case _:
                return False

    def _finds(self, uri: str, ended: bool) -> bool:
        """Whether this was heard to begin, or end, since the last time that was waited for."""
        for index in range(self._ended if ended else self._started, len(self.heard)):
            heard = self.heard[index]
            if heard.what == uri and (heard.end is not None or not ended):
                self._started = index + 1
                self._ended = index + 1 if ended else index
                return True
        return False

    def _has_finished(self) -> bool:
        """Whether the other side has said something and is silent; else it is looked at again when it may be so."""
        silent_at = self.understood.silent_at()
        if silent_at is None:
            return False
        if silent_at <= self._agenda.now + _MOMENT:
            self.understood.takes_all()
            return True
        if self._looks_again is None:
            self._looks_again = self._agenda.at(silent_at, self._look_again)
        return False

    def _look_again(self) -> None:
        self._looks_again = None
        self._check()

    def _set_timer(self, seconds: float | None, action: Callable[[], None] | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._agenda.after(seconds, action) if seconds is not None and action is not None else None
