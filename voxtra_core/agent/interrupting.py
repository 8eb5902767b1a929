"""Who may be interrupting: somebody speaks, and so does the agent, or it is about to.

The agent falls silent as soon as that has lasted, and what they say decides: words make it an interruption; a cough, or
an "mm-hm", does not, and it goes on. So it does over what is no more than a noise (:mod:`.noise`). ::

               lasts for min_speech             words
    SOMEBODY ────────────────────────▶ DOUBT ──────────▶ it is interrupted
                                         │  none, or a noise
                                         └─────────────▶ it goes on
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Literal

import attrs

from ..timers import Timers
from .ear import Ear, Utterance
from .events import AgentEvent, AgentInterrupted, AgentResumed
from .noise import ROUNDING, Noise
from .options import Conversation
from .speaker import Begin, Say, SayState, Speaker
from .words import WORD, word_count

__all__ = ["POLITE", "Doubt", "Interruptions"]

POLITE = 10.0
"""Seconds that something waits to be said while it is not known what they have said who speak no more."""


@attrs.define
class Doubt:
    """Somebody may be interrupting."""

    say: Say
    utterance: Utterance
    began: float
    confirmed: float


class Interruptions:
    """Of one conversation. ``tell(event)`` is called with what comes of them."""

    def __init__(
        self,
        options: Conversation,
        ear: Ear,
        speaker: Speaker,
        *,
        has_recogniser: bool,
        tell: Callable[[AgentEvent], object],
    ) -> None:
        self.timers = Timers()
        self.doubt: Doubt | None = None
        self._options = options.interruption
        self._longest = options.end_of_turn.longest
        self._ear = ear
        self._speaker = speaker
        self._has_recogniser = has_recogniser
        self._tell = tell
        self._words_that_are_none = {_normal(text) for text in self._options.backchannels}
        self._noise = Noise(ear, self._options.doubt, self._has_words)

    @property
    def _waits_for_words(self) -> bool:
        """Whether somebody who speaks does not interrupt before it is known what they say."""
        options = self._options
        return bool(self._has_recogniser and options.resume and options.min_words)

    # ---- what is asked of it ---------------------------------------------------------------------------------------

    def waits_for_somebody(self, begun: int, now: float) -> float | None:
        """In how many seconds it may be known that nobody says anything in what had begun by then, up to the utterance
        of that number: infinite where its end is what tells; ``None`` where it is known.
        """
        somebody = self._noise.somebody(now)
        if not somebody or somebody[0].number > begun:
            return None
        return self._noise.left(somebody[-1], now)

    def may_begin(self, say: Say, now: float) -> Begin:
        """Nobody is talked over. What answers an earlier turn is out of date if they say something else."""
        ear, somebody = self._ear, self._noise.somebody(now)
        if not say.interruptible or not somebody:
            self.timers.cancel("polite")
            return Begin.NOW
        if say.response is not None and self._has_recogniser:
            self._set_doubt(say, somebody[0], now, now)
            return Begin.PAUSED
        if say.waits_since is None:
            say.waits_since = now
        left = say.waits_since + POLITE - now
        if left <= 0:
            if ear.current not in somebody or not self._has_recogniser:
                return Begin.NOW
            left = inf  # the end of what they say is waited for
        left = min(left, self._noise.left(somebody[-1], now))
        if left < inf:
            self.timers.set("polite", now + left, self._speaker.poke)
        return Begin.LATER

    def is_no_turn(self, utterance: Utterance) -> bool:
        """Whether it is but a sign of listening to the agent."""
        is_listening = utterance.may_be_backchannel and not utterance.outlasts_the_agent
        return is_listening and self._is_backchannel(utterance.text)

    def key_pressed(self, now: float) -> None:
        """What nobody has heard a word of is not what they want to end by it."""
        say = self._speaker.current
        if self._options.dtmf and say is not None and say.interruptible and say.began is not None:
            self._interrupt(say, now, now, now, by="dtmf")

    def said(self, say: Say, now: float) -> None:
        """This is over."""
        if self.doubt is not None and self.doubt.say is say:
            self.doubt = None
            self.timers.cancel("doubt")
        if self._speaker.current is None:
            self._agent_ends(now)

    def close(self) -> None:
        """The call has ended."""
        self.doubt = None
        self.timers.clear()

    # ---- what is heard ---------------------------------------------------------------------------------------------

    def speech_goes_on(self, utterance: Utterance, at: float, now: float) -> None:
        """What somebody says from now on is this."""
        self._noise.begun(utterance, at)
        say = self._speaker.current
        if say is None:
            return
        utterance.is_beside = True
        utterance.may_be_backchannel = say.base is not None or say.began is not None
        if not (utterance.is_noise and self._waits_for_words):
            self._suspect(utterance, at, now)

    def speech_over(self) -> None:
        """They have stopped, for now."""
        self.timers.cancel("confirm")

    def understood(self, utterance: Utterance, now: float) -> None:
        """There is more text."""
        began = now if utterance.is_noise else utterance.times.began or now
        self._tell_noise(self._noise.understood, utterance, now)
        if self._counts(utterance.text):
            self._words_said(utterance, began, now)

    def settled(self, utterance: Utterance, now: float) -> None:
        """This is all there will be."""
        began = now if utterance.is_noise else utterance.times.began or now
        if self._has_recogniser:
            self._tell_noise(self._noise.settled, utterance, now)
            self._wait_for_somebody(utterance, now)
        if self._counts(utterance.text):
            self._words_said(utterance, began, now)
        else:
            self._no_words(utterance, now)

    # ---- inside ----------------------------------------------------------------------------------------------------

    def _suspect(self, utterance: Utterance, at: float, now: float) -> None:
        """Somebody may be interrupting, should they go on."""
        say = self._speaker.current
        if say is not None and say.interruptible and self.doubt is None:
            confirmed = at + self._options.min_speech
            if confirmed <= self._ear.heard_until:
                self._confirm(utterance, at, now)
            else:  # if it has passed, there is more that is heard first
                due = max(confirmed, now + ROUNDING)
                self.timers.set("confirm", due, lambda now: self._confirm(utterance, at, now))

    def _agent_ends(self, at: float) -> None:
        """Who still speaks then answers, whatever they say."""
        for utterance in self._ear.unsettled:
            utterance.agent_ended = min(at, inf if utterance.agent_ended is None else utterance.agent_ended)

    def _tell_noise(self, tell: Callable[[Utterance], object], utterance: Utterance, now: float) -> None:
        """What is known of this tells of what sounds now: it is a noise, or it is none, and may be interrupting."""
        current = self._ear.current
        was_noise = current is not None and current.is_noise
        tell(utterance)
        if current is not None and was_noise and not current.is_noise and self._ear.is_speaking:
            self._suspect(current, now, now)

    def _wait_for_somebody(self, utterance: Utterance, now: float) -> None:
        """Whether what waits for the end of what they say is to wait for more of it."""
        waiting = [say for say in self._speaker.queue if say.state is SayState.WAITING]
        if self._has_words(utterance.text):
            for say in waiting:
                say.waits_since = None
            return
        # where such follow each other for longer than one may last, what waits for their end would do so for ever
        since = self.doubt.confirmed if self.doubt is not None else waiting[0].waits_since if waiting else None
        if since is not None and now - since >= self._longest:
            for following in self._ear.unsettled:
                if not self._has_words(following.text):
                    self._noise.found(following)

    def _counts(self, text: str) -> bool:
        """Whether it is more than a sign of listening."""
        return word_count(text) >= max(1, self._options.min_words) and not self._is_backchannel(text)

    def _has_words(self, text: str) -> bool:
        return WORD.search(text) is not None and not self._is_backchannel(text)

    def _is_backchannel(self, text: str) -> bool:
        return _normal(text) in self._words_that_are_none or all(
            _normal(word) in self._words_that_are_none for word in text.split()
        )

    def _confirm(self, utterance: Utterance, began: float, now: float) -> None:
        """They have spoken for so long that it may be one."""
        say, options = self._speaker.current, self._options
        if say is None or not say.interruptible or self.doubt is not None:
            return
        missing = options.min_speech - (now - began - self._ear.silence)
        if missing > ROUNDING:  # they have made no sound for a moment: it may be over
            self.timers.set("confirm", now + missing, lambda now: self._confirm(utterance, began, now))
            return
        if not self._waits_for_words:
            self._interrupt(say, began, now, now, by="speech")
            return
        if utterance not in self._noise.somebody(now):
            return
        self._agent_ends(now + self._speaker.left)
        self._speaker.pause(now)
        self._set_doubt(say, utterance, began, now)

    def _set_doubt(self, say: Say, utterance: Utterance, began: float, now: float) -> None:
        self.doubt = Doubt(say, utterance, began, now)
        self._expect_words(utterance, now)

    def _expect_words(self, utterance: Utterance, now: float) -> None:
        left = self._options.doubt
        if self._waits_for_words:
            left = min(left, self._noise.left(utterance, now))
        self.timers.set("doubt", now + left, self._still_in_doubt)

    def _still_in_doubt(self, now: float) -> None:
        doubt = self.doubt
        if doubt is None:
            return
        if not self._waits_for_words and self._ear.is_speaking:
            self._interrupt(doubt.say, doubt.began, doubt.confirmed, now, by="speech")
        elif doubt.utterance not in self._noise.somebody(now):
            self._no_words(doubt.utterance, now)
        else:  # or the recogniser is asked, and settles it
            self._expect_words(doubt.utterance, now)

    def _words_said(self, utterance: Utterance, began: float, now: float) -> None:
        doubt, say = self.doubt, self._speaker.current
        if doubt is not None and doubt.utterance.number <= utterance.number:
            self._interrupt(doubt.say, doubt.began, doubt.confirmed, now, by="speech")
        elif doubt is None and say is not None and say.interruptible and utterance.is_beside:
            self._interrupt(say, began, now, now, by="speech")

    def _no_words(self, utterance: Utterance, now: float) -> None:
        doubt, somebody = self.doubt, self._noise.somebody(now)
        if doubt is None or doubt.utterance is not utterance:
            return
        if somebody:  # meanwhile they have said something else
            doubt.utterance = somebody[0]
            self._expect_words(doubt.utterance, now)
        else:
            self.doubt = None
            self.timers.cancel("doubt")
            for noise in self._ear.unsettled:
                noise.agent_ended = None
            self._tell(AgentResumed(now, utterance.text))
            self._speaker.resume(now)

    def _interrupt(
        self, say: Say, began: float, confirmed: float, now: float, *, by: Literal["speech", "dtmf"]
    ) -> None:
        silenced = self.doubt.confirmed if self.doubt is not None else now
        self.doubt = None
        for name in ("doubt", "confirm"):
            self.timers.cancel(name)
        self._tell(AgentInterrupted(began, confirmed, silenced))
        # what waits behind it is older than what they say as well; and none of it is to begin before it is stopped
        waiting = [other for other in self._speaker.queue if other is not say and other.interruptible]
        for other in [*waiting, say]:
            self._speaker.stop(other, now, by=by)


def _normal(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
